"""Serving one app in one process: uvicorn with uvloop and httptools, one worker, bounded shutdown."""

import signal
from types import FrameType
from typing import Final, Literal

import uvicorn
from fastapi import FastAPI

from shared.observability.logging import configure_logging

GRACE_S: Final = 5
"""Seconds that requests under way get after SIGTERM; the whole stop stays under 10 s."""

KEEP_ALIVE_S: Final = 75
"""Seconds that an idle connection is kept."""

STARTUP_FAILED: Final = 3


def run_service(
    app: FastAPI,
    *,
    service: str,
    host: str,
    port: int,
    log_level: str = "INFO",
    grace_s: int = GRACE_S,
    loop: Literal["uvloop", "asyncio", "auto"] = "auto",
) -> int:
    """Serve `app` until SIGTERM or SIGINT; blocks.

    On the signal: no new connections, requests under way get `grace_s`, then the app's lifespan ends.
    One worker, because each service is one fold of its streams; more capacity means more processes.

    Args:
        app: the app, `http.install`ed.
        service: name in the logs.
        host: address to bind.
        port: TCP port to bind.
        log_level: see `logging.configure_logging`.
        grace_s: see above.
        loop: auto means uvloop where it exists.

    Returns:
        The process's exit code: 0 after a clean stop, 3 if start-up failed.
    """
    configure_logging(service, log_level)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            loop=loop,
            http="httptools",
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
        )
    )
    # uvicorn raises the signal once more after its shutdown; without these, that would end the process
    # by the signal (exit -15) although everything was finished in order.
    previous = {number: signal.signal(number, _already_handled) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        server.run()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return 0 if server.started else STARTUP_FAILED


def _already_handled(_number: int, _frame: FrameType | None) -> None:
    return None
