"""A service's session with the broker: starts without it, outlives it, stops with a drain.

The HTTP side must answer (503 with a reason) while the broker is away, also at start. So connecting happens
in the background, and whoever needs the broker asks the session.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import structlog
from faststream.nats import NatsBroker
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError

from shared.kernel.errors import TransientError, describe
from shared.kernel.tasks import heed_cancellation
from shared.messaging.connection import forgive_late_pongs
from shared.messaging.publisher import BrokerUnavailableError

log = structlog.get_logger(__name__)
RETRY_S: Final = 1.0
STOPPED_WITHIN_S: Final = 1.0
DRAINED_WITHIN_S: Final = 7.0
"""Handlers under way get five seconds of it (`make_broker`)."""


class BrokerSession:
    """Owns the connection of one service.

    ``on_connect`` runs once, after the first connection and before FastStream's subscribers start: the place
    to start publishers, readers and middlewares that need the client. It is retried until it succeeds.
    """

    def __init__(
        self, broker: NatsBroker, on_connect: Callable[[Client], Awaitable[None]] | None = None
    ) -> None:
        """Prepare; nothing connects before :meth:`start`."""
        self._broker = broker
        self._on_connect = on_connect
        self._client: Client | None = None
        self._ready = asyncio.Event()
        self._trouble: BaseException | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin connecting in the background and return at once."""
        self._task = asyncio.create_task(self._establish(), name="broker-session")

    async def _establish(self) -> None:
        while not self._ready.is_set():
            try:
                client = await self._connect()
                if client is not self._client:
                    forgive_late_pongs(client)
                self._client = client
                if self._on_connect is not None:
                    await self._on_connect(client)
                await self._broker.start()
            except (NatsError, JetStreamError, TransientError, OSError, TimeoutError) as error:
                log.warning("broker_session_retries", reason=repr(error), delay_s=RETRY_S)
                await self._retry(error)
            except Exception as error:
                # A defect, or a library's surprise. Ending here would leave a process that is alive and will
                # never be connected; so it is tried again too, and readiness says what happens.
                log.exception("broker_session_failed_unexpectedly", delay_s=RETRY_S)
                await self._retry(error)
            else:
                self._trouble = None
                self._ready.set()
                log.info("broker_session_ready")

    async def _connect(self) -> Client:
        """Connect; if we are stopped meanwhile, first let the attempt end: cancelled, it leaks its socket."""
        connecting = asyncio.ensure_future(self._broker.connect())
        try:
            return await asyncio.shield(connecting)
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(connecting, STOPPED_WITHIN_S)
            raise

    async def _retry(self, error: BaseException) -> None:
        heed_cancellation()
        self._trouble = error
        await asyncio.sleep(RETRY_S)

    @property
    def client(self) -> Client:
        """The connected client.

        Raises:
            BrokerUnavailableError: there is no connection right now.
        """
        if self._client is None or not self._client.is_connected:
            raise BrokerUnavailableError(
                describe(
                    self._what_is_wrong("no connection to the broker"),
                    "one at NATS_URL",
                    "it reconnects by itself; retry",
                )
            )
        return self._client

    def connected(self) -> bool:
        """Whether there is a connection on which everything is set up."""
        return self._client is not None and self._client.is_connected and self._ready.is_set()

    async def wait_ready(self) -> Client:
        """Wait until the session is established; then the client."""
        await self._ready.wait()
        return self.client

    async def check(self) -> None:
        """Health check: returns when the broker answers, raises otherwise.

        Raises:
            BrokerUnavailableError: not connected, not established yet, or no answer to a ping.
        """
        client = self.client
        if not self._ready.is_set():
            raise BrokerUnavailableError(
                describe(
                    self._what_is_wrong("a connection that is being set up"),
                    "streams and consumers",
                    "run `python -m deploy.provision`",
                )
            )
        try:
            await client.flush(timeout=1)
        except (NatsError, TimeoutError) as error:
            raise BrokerUnavailableError(
                describe("no pong within 1 s", "a living broker", "see /healthz")
            ) from error

    def _what_is_wrong(self, otherwise: str) -> str:
        # First in the message: readiness shortens it.
        return otherwise if self._ready.is_set() or self._trouble is None else repr(self._trouble)

    async def stop(self) -> None:
        """Stop the subscribers (in-flight handlers finish), then close the connection.

        Takes no longer than its limits, whatever the broker does meanwhile.
        """
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=2 * STOPPED_WITHIN_S)
        await _within(DRAINED_WITHIN_S, self._broker.stop(), "drain")
        if self._client is not None and not self._client.is_closed:
            # The broker is away: what can't be drained would go on reconnecting behind our back.
            await _within(STOPPED_WITHIN_S, self._client.close(), "close")


async def _within(limit_s: float, work: Coroutine[Any, Any, None], what: str) -> None:
    """Do ``work`` for ``limit_s`` seconds at most, also where it does not obey when it is cancelled."""
    task = asyncio.create_task(work, name=f"broker-session-{what}")
    try:
        await asyncio.wait({task}, timeout=limit_s)
        if task.done():
            with contextlib.suppress(NatsError, TimeoutError, OSError):
                task.result()
        else:
            log.warning("broker_session_cut_short", what=what, limit_s=limit_s)
    finally:
        task.cancel()
