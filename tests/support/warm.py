"""Processes of the platform that begin as copies of one that has loaded everything.

A process of a service or of ``pingyi`` takes two seconds of processor time until its modules are loaded, and
the tests start hundreds. :class:`Warm` is ``subprocess.Popen`` for those: a child with its own environment,
directory, files, session, signals and exit code, but forked from a *nursery* (``tests.support.nursery``)
instead of executed. What that cannot show (that a program loads what it needs, its memory, its name in
``ps``, another order of sets) is what ``tests/e2e/test_processes.py`` and whoever passes ``cold=True`` check;
soaks, benchmarks and ``PINGYI_TESTS_COLD=1`` start no other processes than cold ones.

Each pytest process has one nursery. It has one thread and no event loop, so that forking it is safe. It forks
twice and the process between ends at once: the kernel gives its child to the nearest process above that
adopts, and that is whoever asked. So it is a child like any other, waited for and dying with us as usual.
"""

import asyncio
import ctypes
import inspect
import json
import os
import socket
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, AnyStr, Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PINGYI: Final = Path(sys.executable).parent / "pingyi"
COLD: Final = "PINGYI_TESTS_COLD"
MESSAGE_BYTES: Final = 128 * 1024
PR_SET_CHILD_SUBREAPER: Final = 36
"""Option number of prctl(2), from <linux/prctl.h>."""

_PARAMETERS: Final = inspect.signature(subprocess.Popen._execute_child)  # type: ignore[attr-defined]  # noqa: SLF001 - what Popen passes to the method that Warm replaces


@dataclass(frozen=True, slots=True)
class Order:
    """What a copy becomes; its standard files come beside it.

    Attributes:
        module: run as ``python -m`` does; None: ``pingyi``.
        arguments: of the command line.
        environment: all of it.
        directory: where it runs.
        parent: process id of whoever asks.
        own_session: as ``start_new_session``.
        bound: it is killed when its parent ends.
        nice: how far it stands back, 0 to 19.
    """

    module: str | None
    arguments: list[str]
    environment: dict[str, str]
    directory: str
    parent: int
    own_session: bool
    bound: bool
    nice: int


class Nursery:
    """The other end of a nursery."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._prctl = ctypes.CDLL(None, use_errno=True).prctl

    def bear(self, order: Order, files: list[int]) -> int:
        """A new child of this process, as ordered, with ``files`` as its standard ones; its process id."""
        with self._lock:
            self._adopt(1)
            try:
                socket.send_fds(self._connection, [json.dumps(asdict(order)).encode()], files)
                answer = self._connection.recv(100)
            finally:
                # Not for longer: what others leave behind is not ours to wait for.
                self._adopt(0)
        if not answer:
            raise RuntimeError("no copy: the nursery has ended, or nobody adopted it; expected a process id")
        return int(answer)

    def _adopt(self, yes: int) -> None:
        if self._prctl(PR_SET_CHILD_SUBREAPER, yes, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


class _Here:
    """Whether this process has a nursery, and which."""

    wanted = False
    nursery: Nursery | None = None


def pytest_configure(config: pytest.Config) -> None:
    """Let the tests of this process start warm processes, unless they are to be like an operator's."""
    cold = config.option.markexpr == "soak" or os.environ.get(COLD) or sys.platform != "linux"
    _Here.wanted = not cold


def wanted(nursery: Nursery | None = None) -> None:
    """Let this process start warm processes: out of ``nursery``, or of one that it makes when it needs it."""
    _Here.wanted, _Here.nursery = True, nursery


def _nursery() -> Nursery:
    if _Here.nursery is None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # Never waited for: it ends when our end of the connection does, that is with us.
            subprocess.Popen(
                [sys.executable, "-m", "tests.support.nursery", str(theirs.fileno())],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            ).returncode = 0
        _Here.nursery = Nursery(ours)
    return _Here.nursery


def start(
    command: list[str],
    *,
    cold: bool = False,
    bound: bool = False,
    nice: int = 0,
    **options: Any,  # noqa: ANN401 - Popen's own
) -> "subprocess.Popen[Any]":
    """``subprocess.Popen``, warm if it can be.

    Args:
        command: ``python -m <module>``, ``pingyi``, or anything else.
        cold: execute it, whatever it is.
        bound: a warm one is killed when this process ends.
        nice: how far a warm one stands back.
        options: of ``Popen``.
    """
    if cold or not _Here.wanted or _program(command) is None:
        return subprocess.Popen(command, **options)
    return Warm(command, bound=bound, nice=nice, **options)


def run(
    command: list[str],
    *,
    timeout_s: float,
    cold: bool = False,
    **options: Any,  # noqa: ANN401 - Popen's own
) -> "subprocess.CompletedProcess[str]":
    """``subprocess.run`` with the output captured as text, warm if it can be."""
    pipe = subprocess.PIPE
    with start(command, cold=cold, stdout=pipe, stderr=pipe, text=True, **options) as process:
        try:
            out, err = process.communicate(timeout=timeout_s)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _program(command: list[str]) -> tuple[str | None, list[str]] | None:
    """Module (None: ``pingyi``) and arguments of a command that a copy can become; None: it cannot."""
    if command[0] == str(PINGYI):
        return None, command[1:]
    if command[:2] == [sys.executable, "-m"] and command[2].startswith(("services.", "deploy.")):
        return command[2], command[3:]
    return None


class Warm(subprocess.Popen[AnyStr]):
    """A process that begins as a copy of this process's nursery."""

    def __init__(self, command: list[str], *, bound: bool, nice: int, **options: Any) -> None:  # noqa: ANN401 - Popen's own
        self._bound, self._nice = bound, nice
        super().__init__(command, **options)

    def _execute_child(self, *values: object) -> None:
        asked: dict[str, Any] = _PARAMETERS.bind(self, *values).arguments
        pipes = [
            asked[name] for name in ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        ]
        program = _program(asked["args"])
        assert program is not None
        order = Order(
            *program,
            environment=dict(os.environ if asked["env"] is None else asked["env"]),
            directory=str(asked["cwd"] or Path.cwd()),
            parent=os.getpid(),
            own_session=asked["start_new_session"],
            bound=self._bound,
            nice=self._nice,
        )
        theirs = pipes[0], pipes[3], pipes[5]
        try:
            self.pid = _nursery().bear(
                order, [number if own == -1 else own for number, own in enumerate(theirs)]
            )
            self._child_created = True
        finally:
            self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]  # as the method does that this one replaces


class Awaited:
    """A process of :func:`start` for coroutines: what they use of ``asyncio.subprocess.Process``."""

    def __init__(self, command: list[str], **options: Any) -> None:  # noqa: ANN401 - Popen's own
        self._process = start(command, **options)
        self.send_signal = self._process.send_signal
        self.terminate = self._process.terminate
        self.kill = self._process.kill
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit code once it has ended."""
        return self._process.poll()

    async def wait(self) -> int:
        """Its exit code when it has ended."""
        while (code := self._process.poll()) is None:  # noqa: ASYNC110 - the end of a process sets no event
            await asyncio.sleep(0.01)
        return code
