"""Connecting to the broker: one FastStream broker for each service, with the platform's settings.

The connection reconnects for ever: a service outlives any outage of its broker and says so in ``/readyz``.
"""

import asyncio
import contextlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nats
import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.kernel.errors import TransientError, describe
from shared.kernel.tasks import end, heed_cancellation
from shared.messaging.publisher import BrokerUnavailableError

if TYPE_CHECKING:
    from faststream.nats import NatsBroker

log = structlog.get_logger(__name__)
RECONNECT_WAIT_S = 0.5
PING_INTERVAL_S = 10
PENDING_BYTES = 64 * 1024 * 1024
FIRST_CONNECT_S = 30.0
CLOSED_WITHIN_S = 2.0


class BrokerSettings(BaseSettings):
    """Where the broker is and who we are there; the same variables in every service."""

    model_config = SettingsConfigDict(extra="ignore")

    nats_url: str = Field(default="nats://127.0.0.1:8022", description="Comma-separated server URLs.")
    nats_nkey_seed_file: Path | None = Field(default=None, description="File with this service's NKey seed.")

    def connect_options(self, name: str) -> dict[str, Any]:
        """Keyword arguments for ``nats.connect`` and ``NatsBroker``; the server's monitoring shows ``name``.

        Raises:
            TransientError: the seed file is named but can't be read.
        """
        options: dict[str, Any] = {
            "servers": self.nats_url.split(","),
            "name": f"pingyi-{name}",
            "inbox_prefix": f"_INBOX_{name}",
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": RECONNECT_WAIT_S,
            "ping_interval": PING_INTERVAL_S,
            "pending_size": PENDING_BYTES,
        }
        if self.nats_nkey_seed_file is not None:
            try:
                options["nkeys_seed_str"] = self.nats_nkey_seed_file.read_text().strip()
            except OSError as error:
                raise TransientError(
                    describe(
                        str(self.nats_nkey_seed_file), "a readable NKey seed", f"mount the secret: {error}"
                    )
                ) from error
        return options


async def _on_broker_error(error: Exception) -> None:
    # The library tells of each failed attempt before it makes the next one.
    heed_cancellation()
    # Permission violations reach the client only here: the call itself looks like a timeout.
    log.warning("broker_error", error=str(error), kind=type(error).__name__)


async def _log_disconnected() -> None:
    log.warning("broker_disconnected")


async def _log_reconnected() -> None:
    log.info("broker_reconnected")


def forgive_late_pongs(client: Client) -> None:
    """Let the broker answer a ping of ``client`` after the time limit of whoever waited for it.

    The library then sets the result of a future that the limit has cancelled, and its reading ends over the
    error: connected and deaf, until it has missed three pings of its own, half a minute later.
    """
    process = client._process_pong  # noqa: SLF001 - it has no public way; its version is pinned

    async def forgiving() -> None:
        with contextlib.suppress(asyncio.InvalidStateError):
            await process()
        client._pings_outstanding = 0  # noqa: SLF001 - as above: what comes late has come

    client._process_pong = forgiving  # type: ignore[method-assign]  # noqa: SLF001 - as above


def make_broker(
    settings: BrokerSettings, name: str, *, middlewares: Sequence[Any] = (), inject: bool = True
) -> "NatsBroker":
    """A FastStream broker for the service ``name``; nothing connects before ``await broker.connect()``.

    Without ``inject``, handlers get what their subscriber's decoder gives, as it is: FastStream's injection
    and conversion, half of what it costs to hand over a message, has nothing left to do then.
    """
    from faststream.nats import NatsBroker  # noqa: PLC0415 - 0.16 s that tools with a bare client need not pay
    from faststream.nats.security import NatsNKey  # noqa: PLC0415 - as above

    options = settings.connect_options(name)
    seed = options.pop("nkeys_seed_str", None)
    return NatsBroker(
        **options,
        security=None if seed is None else NatsNKey.from_seed(seed),
        error_cb=_on_broker_error,
        disconnected_cb=_log_disconnected,
        reconnected_cb=_log_reconnected,
        logger=None,
        apply_types=inject,
        middlewares=tuple(middlewares),
        graceful_timeout=5.0,
    )


async def connect(settings: BrokerSettings, name: str, *, timeout_s: float = FIRST_CONNECT_S) -> Client:
    """A bare client, for tools that need no framework (provisioner, CLI).

    Raises:
        BrokerUnavailableError: nobody answered within ``timeout_s``, or the address is none.
    """
    connecting = nats.connect(
        **settings.connect_options(name),
        error_cb=_on_broker_error,
        disconnected_cb=_log_disconnected,
        reconnected_cb=_log_reconnected,
    )
    try:
        client = await asyncio.wait_for(connecting, timeout_s)
    except (TimeoutError, NatsError, OSError, ValueError) as error:
        remedy = f"start the broker or correct NATS_URL ({error!r})"
        raise BrokerUnavailableError(
            describe(
                re.sub(r"//[^@/]*@", "//…@", settings.nats_url),
                f"a nats-server that lets {name} in within {timeout_s:.0f} s",
                remedy,
            )
        ) from error
    forgive_late_pongs(client)
    return client


async def close(client: Client) -> None:
    """Close the connection of :func:`connect` in :data:`CLOSED_WITHIN_S` seconds, whatever the broker does.

    The library waits for a broker that takes nothing, without a bound, and raises where one has gone. Either
    way it leaves the socket open, and has no public way to it; its version is pinned.
    """
    closing = asyncio.create_task(client.close(), name="broker-close")
    try:
        await asyncio.wait({closing}, timeout=CLOSED_WITHIN_S)
    finally:
        await end(closing)
        transport: Any = client._transport  # noqa: SLF001 - as above
        writer = getattr(transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()
