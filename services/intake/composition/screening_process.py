"""The process beside intake's that looks at the stream, so that a third of a batch's time is off its thread.

It begins as a copy of intake's process, before that has threads, an event loop or connections: so it takes no
time to load, and shares the memory of what is loaded. See ADR 0064.
"""

import asyncio
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Final

import uvloop
from nats.aio.client import Client

from services.intake.adapters.live_keys import load_pseudonyms
from services.intake.adapters.rules import RulePacks
from services.intake.adapters.screen_file import ScreenFile
from services.intake.adapters.screened import StoredRatings
from services.intake.adapters.screening_process import Request, ScreeningProcess, encode_look
from services.intake.entrypoints.watching import Watch
from services.intake.settings import Settings
from shared.kernel.clock import SystemClock
from shared.kernel.errors import PermanentError
from shared.messaging.connection import close, connect
from shared.observability import allocator
from shared.observability.logging import configure_logging, get_logger
from shared.observability.server import calm_garbage_collector

SERVICE: Final = "intake"
NAME: Final = "intake-screen"
"""Name in `ps -o comm`, at most 15 characters; the command line is intake's."""
NICE: Final = 5
"""Who sends ratings comes first where processors are scarce; a hold may come a little later."""
STOPPED_WITHIN_S: Final = 3.0
CONNECTED_WITHIN_S: Final = 2.0
"""Then it is tried again, and whether intake still wants to know is looked at between."""
PR_SET_PDEATHSIG: Final = 1
"""Option number of prctl(2), from <linux/prctl.h>."""

_log = get_logger(component="screening")


@contextmanager
def screening_apart(settings: Settings) -> Iterator[ScreeningProcess | None]:
    """Screening in a process of its own within the block; None where settings or the system rule it out."""
    if not settings.screening_process or sys.platform != "linux":
        yield None
        return
    ours, theirs = socket.socketpair()
    with theirs:
        process = get_context("fork").Process(
            target=_run, args=(settings, theirs, ours, os.getpid()), name=NAME, daemon=True
        )
        process.start()
    try:
        yield ScreeningProcess(ours, lambda: _end(process))
    finally:
        ours.close()
        _end(process)


def _end(process: ForkProcess) -> None:
    process.join(STOPPED_WITHIN_S)
    if process.is_alive():
        process.kill()
        process.join()


def _run(settings: Settings, connection: socket.socket, others: socket.socket, intake: int) -> None:
    """Be that process; it never outlives `intake`, whatever it is doing."""
    others.close()  # or the end of the connection would never show
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != intake:
        return
    for each in (signal.SIGTERM, signal.SIGINT):  # sent to intake, or to all: intake says when it is over
        signal.signal(each, signal.SIG_IGN)
    Path("/proc/self/comm").write_text(NAME)
    os.nice(NICE)
    allocator.keep_little_memory()
    configure_logging(SERVICE, settings.log_level)
    calm_garbage_collector()
    try:
        key_id = load_pseudonyms(settings.secrets_dir).references.key_id
    except PermanentError:
        return  # intake itself says what is wrong with its keys, and ends
    uvloop.run(_serve(settings, key_id, connection))


async def _serve(settings: Settings, key_id: str, connection: socket.socket) -> None:
    """Answer until the other side says stop, or is gone."""
    broker = _Broker(settings)
    watch = Watch(
        client=broker.client,
        reads=StoredRatings(),
        kept=ScreenFile(settings.data_dir, key_id),
        rules=RulePacks(settings.rules_path),
        clock=SystemClock(),
    )
    reader, writer = await asyncio.open_unix_connection(sock=connection)
    tidying = allocator.Tidying()
    while True:
        request = await reader.read(1)
        if request not in (Request.LOOK.value, Request.LOOK_SETTLED.value):
            break
        look = await watch.look(settled=request == Request.LOOK_SETTLED.value)
        tidying.look()
        try:
            writer.write(encode_look(look))
            await writer.drain()
        except OSError:
            break
    settled = watch.settled if not request else request == Request.STOP_SETTLED.value
    await watch.stop(settled=settled)
    await broker.close()
    writer.close()


class _Broker:
    """A connection that is made when it is needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Client | None = None

    async def client(self) -> Client:
        """The connection; it reconnects by itself.

        Raises:
            TransientError: there is none.
        """
        if self._client is None or self._client.is_closed:
            self._client = await connect(self._settings, SERVICE, timeout_s=CONNECTED_WITHIN_S)
        return self._client

    async def close(self) -> None:
        """Close it."""
        if self._client is not None:
            await close(self._client)
