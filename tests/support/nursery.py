"""The process whose copies :mod:`tests.support.warm` hands out: ``python -m tests.support.nursery FD``."""

import atexit
import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final, NoReturn

from deploy.local import supervisor
from deploy.local.cli import COMMANDS, main
from deploy.local.embedded.logs import open_log
from deploy.local.embedded.process import ChildProcess
from deploy.local.layout import SERVICES
from tests.support import warm
from tests.support.warm import MESSAGE_BYTES, Nursery, Order

PR_SET_PDEATHSIG: Final = 1
ADOPTED_WITHIN_S: Final = 30.0
SUPERVISING: Final = {"up", "demo"}
FIRST_USED: Final = (
    "anyio._backends._asyncio",
    "fastapi.telemetry._runtime",
    "httpcore",
    "pydantic.v1",
    "uvicorn.lifespan.on",
)
"""What the libraries import when they are first used: 0.05 s in every process that serves or asks."""


def load() -> None:
    """Everything that a copy may become."""
    for _, place in COMMANDS:
        importlib.import_module(place.partition(":")[0])
    for name in (*(f"services.{name}.__main__" for name in SERVICES), "deploy.provision", *FIRST_USED):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def serve(connection: socket.socket) -> Order:
    """Make copies until the other end is gone, then end; returns in each copy, settled, with its order."""
    while True:
        message, files, *_ = socket.recv_fds(connection, MESSAGE_BYTES, 3)
        if not message:
            os._exit(0)
        reading, writing = os.pipe()
        between = os.fork()
        if between == 0:
            copy = os.fork()
            if copy == 0:
                connection.close()
                os.close(reading)
                order = Order(**json.loads(message))
                settle(order, files)
                os.write(writing, str(os.getpid()).encode())
                os.close(writing)
                return order
            os._exit(0)
        os.close(writing)
        os.waitpid(between, 0)
        # Once it has settled, or its session is still another's when it is looked at; nothing: it could not.
        connection.send(os.read(reading, 100))
        for number in (reading, *files):
            os.close(number)


def settle(order: Order, files: list[int]) -> None:
    """Take the place that a process executed for the order would have."""
    deadline_s = time.monotonic() + ADOPTED_WITHIN_S
    while os.getppid() != order.parent:
        if time.monotonic() > deadline_s:
            os._exit(125)
        time.sleep(0.0005)
    if order.own_session:
        os.setsid()
    if order.bound:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != order.parent:
            os._exit(125)
    if order.nice:
        os.nice(order.nice)
    for number, file in enumerate(files):
        os.dup2(file, number)
    for file in files:
        os.close(file)
    os.chdir(order.directory)
    os.environ.clear()
    os.environ.update(order.environment)
    time.tzset()
    signal.signal(signal.SIGINT, signal.default_int_handler)


def become(order: Order) -> NoReturn:
    """Run the program, and end the process as it ends; an error that nobody caught ends the interpreter."""
    sys.argv = [order.module or str(warm.PINGYI), *order.arguments]
    sys.modules[
        "__main__"
    ].__package__ = None  # usage texts name the program, and say `python -m` for a package
    try:
        if order.module is None:
            main()
        else:
            runpy.run_module(order.module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        code = ended.code
    else:
        code = 0
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
    # What the interpreter does at its end, but for taking apart all that was loaded: five times the rest.
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - waits for threads, as is said above
    atexit._run_exitfuncs()  # noqa: SLF001 - as is said above
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


class WarmChild(ChildProcess):
    """A supervisor's child; the servers are executed as ever."""

    def _spawn(self) -> "subprocess.Popen[bytes]":
        if self.command[:2] != (sys.executable, "-m"):
            return super()._spawn()
        with open_log(self.log) as log:
            return warm.start(
                list(self.command),
                bound=True,
                nice=self._nice,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,
            )


def live(connection: socket.socket) -> NoReturn:
    """Be a nursery; in each copy, be what was ordered."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal; whoever asked for us gets it, too
    order = serve(connection)
    if order.module is None and order.arguments[:1] and order.arguments[0] in SUPERVISING:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        if os.fork() == 0:
            ours.close()
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
            if os.getppid() != parent:
                os._exit(125)
            live(theirs)
        theirs.close()
        warm.wanted(Nursery(ours))
        supervisor.ChildProcess = WarmChild  # type: ignore[attr-defined]  # where the supervisor finds it
    become(order)


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[2])
    load()
    live(socket.socket(fileno=int(sys.argv[1])))
