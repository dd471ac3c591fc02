"""The supervisor on a machine that fails it: a full disk, no more processes, a defect of its own."""

import asyncio
import errno
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deploy.local.errors import GaveUpError
from deploy.local.restart import RestartPolicy
from deploy.local.supervisor import ProcessSpec, ServerSpec, Supervisor

QUICK = RestartPolicy(first_delay_s=0.01, max_delay_s=0.02, max_failures=4)
FULL = OSError(errno.ENOSPC, "No space left on device")


class FakeServer:
    """A server that dies when told to, and whose next starts raise what is in ``faults``."""

    returncode = 1

    def __init__(self, log: Path) -> None:
        self.log = log
        self.pid: int | None = None
        self.alive = False
        self.starts = 0
        self.faults: list[Exception] = []

    def start(self) -> None:
        self.starts += 1
        if self.faults:
            raise self.faults.pop(0)
        self.pid = self.starts
        self.alive = True

    def stop(self, timeout_s: float) -> None:
        assert timeout_s > 0
        self.kill()

    def kill(self) -> None:
        self.alive = False

    def is_alive(self) -> bool:
        return self.alive

    def healthy(self) -> bool:
        return self.alive


def full_disk(*_: object) -> None:
    raise FULL


@asynccontextmanager
async def running(supervisor: Supervisor) -> AsyncIterator[Supervisor]:
    try:
        async with asyncio.timeout(60):
            await supervisor.start()
            yield supervisor
    finally:
        await supervisor.stop()


async def test_a_server_that_cannot_be_started_for_a_full_disk_is_tried_again(tmp_path: Path) -> None:
    server = FakeServer(tmp_path / "nats.log")
    async with running(Supervisor([ServerSpec("nats", server)], None, [], policy=QUICK)):
        server.faults = [FULL, FULL]
        server.kill()
        while not server.alive:  # noqa: ASYNC110 - the condition is the fake's
            await asyncio.sleep(0.01)
    assert server.starts == 4


async def test_a_disk_that_stays_full_ends_the_platform_with_an_error(tmp_path: Path) -> None:
    server = FakeServer(tmp_path / "nats.log")
    async with running(Supervisor([ServerSpec("nats", server)], None, [], policy=QUICK)) as supervisor:
        server.faults = [FULL] * 10
        server.kill()
        with pytest.raises(GaveUpError, match="failure 4 within"):
            await supervisor.wait()


async def test_nothing_to_write_to_does_not_keep_children_from_being_restarted(tmp_path: Path) -> None:
    server = FakeServer(tmp_path / "nats.log")
    supervisor = Supervisor(
        [ServerSpec("nats", server)], None, [], policy=QUICK, say=full_disk, on_change=full_disk
    )
    async with running(supervisor):
        server.kill()
        while not server.alive:  # noqa: ASYNC110 - the condition is the fake's
            await asyncio.sleep(0.01)


async def test_a_service_that_cannot_be_launched_again_counts_as_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = ProcessSpec(
        "scoring", (sys.executable, "-c", "import time; time.sleep(0.3)"), {}, tmp_path / "log"
    )
    async with running(Supervisor([], None, [spec], policy=QUICK)) as supervisor:
        monkeypatch.setattr("deploy.local.embedded.process.open_log", full_disk)
        with pytest.raises(GaveUpError, match=r"could not be started.*No space left.*failure 4"):
            await supervisor.wait()


async def test_a_defect_of_a_keeper_is_loud(tmp_path: Path) -> None:
    server = FakeServer(tmp_path / "nats.log")
    async with running(Supervisor([ServerSpec("nats", server)], None, [], policy=QUICK)) as supervisor:
        server.faults = [KeyError("a defect")]
        server.kill()
        with pytest.raises(GaveUpError, match=r"keeps nats running ended.*a defect"):
            await supervisor.wait()
