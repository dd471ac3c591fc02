"""Measuring programs in processes of their own, and what each process's work costs the processor."""

import asyncio
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from deploy.local.resident import resident_bytes
from tests.bench.client import Job, Load
from tests.bench.figures import Cost, Series

CLIENT = "client"
OTHERS = "other programs"


class ProgramFailedError(Exception):
    """A measuring program ended with an error."""


async def run_program(module: str, job: Mapping[str, object]) -> dict[str, Any]:
    """Run ``python -m <module>`` with ``job`` as JSON on its standard input; its output, parsed.

    Raises:
        ProgramFailedError: it ended with an error; the message has its last words.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = await process.communicate(json.dumps(job).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise ProgramFailedError(f"{module} {dict(job)} failed:\n{err.decode()[-2000:]}")
    answer: dict[str, Any] = json.loads(out.splitlines()[-1])  # log lines may stand before it
    return answer


async def run_client(job: Job) -> Load:
    """Let the load generator do ``job``."""
    return Load(**await run_program("tests.bench.client", asdict(job)))


@dataclass(slots=True)
class Spent:
    """Processor seconds by process within a :func:`watching` block."""

    seconds: dict[str, float] = field(default_factory=dict)


@contextmanager
def watching(pids: Mapping[str, int]) -> Iterator[Spent]:
    """Take the processor time that the processes of ``pids`` spend within the block."""
    before = {name: _cpu_s(pid) for name, pid in pids.items()}
    spent = Spent()
    yield spent
    spent.seconds = {name: _cpu_s(pid) - before[name] for name, pid in pids.items()}


def _cpu_s(pid: int) -> float:
    """Of a process and of those that it started and that live."""
    process = psutil.Process(pid)
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))


@dataclass(slots=True)
class CostSheet:
    """Collects, round by round, what a unit of work costs."""

    name: str
    work: str
    _micros: dict[str, list[float]] = field(default_factory=dict)
    _busy: dict[str, list[float]] = field(default_factory=dict)

    def add(self, seconds: Mapping[str, float], units: float, elapsed_s: float) -> None:
        """One round: processor seconds by process, for ``units`` of work within ``elapsed_s``."""
        for name, value in seconds.items():
            self._micros.setdefault(name, []).append(value * 1e6 / units)
            self._busy.setdefault(name, []).append(value / elapsed_s)

    def cost(self) -> Cost:
        """All rounds."""
        return Cost(
            self.name,
            self.work,
            {name: Series(tuple(values)) for name, values in self._micros.items()},
            {name: Series(tuple(values)) for name, values in self._busy.items()},
        )


def own_cpu_s() -> float:
    """Processor seconds of this process and of all its children that have ended."""
    times = psutil.Process().cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def resident_mb(pid: int) -> float:
    """Resident memory of a process and those that it started now, in MB (10^6 bytes)."""
    return resident_bytes(pid) / 1e6


def peak_resident_mb(pid: int) -> float:
    """The most that the process itself ever held, where the system keeps it (Linux); else what it has now."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return resident_mb(pid)
    for line in status.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return resident_mb(pid)
