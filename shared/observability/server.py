"""Serving one app in one process: uvicorn with uvloop and httptools, one worker, bounded shutdown."""

import gc
import os
import signal
import sys
import threading
from types import FrameType
from typing import Final, Literal

import uvicorn
from fastapi import FastAPI

from shared.observability import allocator
from shared.observability.heads import BoundedProtocol
from shared.observability.health import RENEWED, Health
from shared.observability.logging import LineWriter, configure_logging, get_logger

GRACE_S: Final = 5
"""Seconds that requests under way get after SIGTERM; the whole stop stays under 10 s."""

KEEP_ALIVE_S: Final = 75
"""Seconds that an idle connection is kept."""

STARTUP_FAILED: Final = 3
BROKEN: Final = 4
"""Exit code after `Health.fatal`: only a restart helps, and whoever supervises the process makes it."""

BROKEN_STOP_S: Final = 20.0
"""Seconds that a broken process gets for its orderly stop; what broke it may also block that."""

_GC_THRESHOLDS: Final = (20_000, 20, 20)
"""Python's own (700, 10, 10) look for cycles some 100 times a second under load, a tenth of a batch's time.
Our values and pydantic's hold no cycles, tracebacks do; 20,000 objects of garbage are a few megabytes."""

_SWITCH_S: Final = 0.000_2
"""How long a thread that waits for the interpreter lets the event loop go on. With Python's own 5 ms each
step of a request to MongoDB or SQLite, which runs in a thread, waits as long as a whole small one takes."""

_TICK_S: Final = 0.1
_TICKS_A_LOOK: Final = round(allocator.LOOK_S / _TICK_S)

_log = get_logger(component="server")


class _Server(uvicorn.Server):
    """Serves until a signal comes, or until the app's health is fatal; `broken` is the exit code then."""

    broken: int | None = None

    def __init__(self, config: uvicorn.Config, health: Health | None, lines: LineWriter) -> None:
        super().__init__(config)
        self._health = health
        self._lines = lines
        self._tidying = allocator.Tidying()

    async def on_tick(self, counter: int) -> bool:  # uvicorn calls it every 0.1 s
        if self._health is not None and self._health.fatal_reason is not None and self.broken is None:
            self.should_exit = True
            if self._health.renewing:
                self.broken = RENEWED
                _log.warning("process ends, to be started anew", reason=self._health.fatal_reason)
            else:
                self.broken = BROKEN
                _log.critical("process ends, only a restart helps", reason=self._health.fatal_reason)
            watchdog = threading.Timer(BROKEN_STOP_S, os._exit, args=(self.broken,))
            watchdog.daemon = True
            watchdog.start()
        ends = await super().on_tick(counter)
        if ends:
            self._lines.release()
            if self._health is not None:
                self._health.draining()
        else:
            self._lines.hold()
            self._lines.flush()
            if counter % _TICKS_A_LOOK == 0:
                self._tidying.look()
        return ends


def run_service(  # noqa: PLR0913 - what a process has to know, keyword-only
    app: FastAPI,
    *,
    service: str,
    host: str,
    port: int,
    log_level: str = "INFO",
    grace_s: int = GRACE_S,
    loop: Literal["uvloop", "asyncio", "auto"] = "auto",
    block_bytes: int = allocator.SMALL,
) -> int:
    """Serve `app` until SIGTERM or SIGINT, or until its health is fatal; blocks.

    Then: no new connections, requests under way get `grace_s`, then the app's lifespan ends. A process that
    is fatally broken ends by itself, because not everybody who supervises processes looks at ``/livez``.
    One worker, because each service is one fold of its streams; more capacity means more processes.

    Args:
        app: the app, `http.install`ed.
        service: name in the logs.
        host: address to bind.
        port: TCP port to bind.
        log_level: see `logging.configure_logging`.
        grace_s: see above.
        loop: auto means uvloop where it exists.
        block_bytes: see `allocator.keep_little_memory`.

    Returns:
        The process's exit code: 0 after a clean stop, 3 if start-up failed, 4 if the health became fatal, 5
        if it is to be started anew though nothing is wrong.
    """
    allocator.keep_little_memory(block_bytes)
    lines = configure_logging(service, log_level)
    server = _Server(
        uvicorn.Config(
            getattr(app.state, "front", app),  # see `http.serve_directly`
            host=host,
            port=port,
            loop=loop,
            http=BoundedProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=grace_s,
            # Longer than the idle time of common clients: whoever closes first must be the client, or a
            # request that is just being sent dies with the connection.
            timeout_keep_alive=KEEP_ALIVE_S,
            backlog=2048,
            # Whose forwarding headers are believed is for the service's own settings to say (intake's
            # TRUSTED_PROXIES); uvicorn would believe everybody on this machine, and take 6 % of a request.
            proxy_headers=False,
        ),
        getattr(app.state, "health", None),
        lines,
    )
    calm_garbage_collector()
    sys.setswitchinterval(_SWITCH_S)
    # uvicorn raises the signal once more after its shutdown; without these, that would end the process
    # by the signal (exit -15) although everything was finished in order.
    previous = {number: signal.signal(number, _already_handled) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        server.run()
    finally:
        lines.release()
        for number, handler in previous.items():
            signal.signal(number, handler)
    if server.broken is not None:
        return server.broken
    return 0 if server.started else STARTUP_FAILED


def calm_garbage_collector() -> None:
    """Leave what the app is made of out of every later collection, and collect less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


def _already_handled(_number: int, _frame: FrameType | None) -> None:
    return None
