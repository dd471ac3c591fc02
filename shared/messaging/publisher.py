"""Publishing single events, with the broker's acknowledgement from a stream that fsyncs."""

from typing import Any, Protocol

from nats.aio.client import Client
from nats.errors import (
    ConnectionClosedError,
    ConnectionReconnectingError,
    NoRespondersError,
    OutboundBufferLimitError,
)
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.errors import APIError, NoStreamResponseError

from shared.events.envelope import Envelope
from shared.events.registry import spec_for_type
from shared.kernel.errors import TransientError, describe

PUBLISH_TIMEOUT_S = 5.0


class BrokerUnavailableError(TransientError):
    """The broker did not acknowledge: the outcome is unknown, and the same id may be sent again."""


class NothingSentError(BrokerUnavailableError):
    """There is no connection, and nothing was sent: the outcome is known."""


class EventPublisher(Protocol):
    """Role: makes an event durable and gives its sequence."""

    async def publish(self, envelope: Envelope[Any], *, city: str = "all", county: str = "all") -> int:
        """Publish under the event's own id, so that repeats are recognised. Returns the stream sequence.

        Raises:
            TransientError: not known to be stored; publish the same envelope again.
        """
        ...


class JetStreamPublisher:
    """Publishes one event at a time through JetStream; for the many low-rate events."""

    def __init__(self, client: Client, *, timeout_s: float = PUBLISH_TIMEOUT_S) -> None:
        """Use ``client``; wait ``timeout_s`` for each acknowledgement."""
        self._client = client
        self._jetstream = client.jetstream(timeout=timeout_s)

    async def publish(self, envelope: Envelope[Any], *, city: str = "all", county: str = "all") -> int:
        """See :meth:`EventPublisher.publish`."""
        spec = spec_for_type(envelope.type)
        if not self._client.is_connected:
            # A publish made now would be buffered and sent after the reconnect, although we said it failed.
            raise NothingSentError(
                describe("the broker connection", "to be up", "retry; it reconnects by itself")
            )
        try:
            ack = await self._jetstream.publish(
                spec.subject_for(city, county),
                envelope.to_json(),
                headers={"Nats-Msg-Id": envelope.id, "Nats-Expected-Stream": spec.stream},
            )
        except (
            NatsTimeoutError,
            NoRespondersError,
            NoStreamResponseError,
            ConnectionClosedError,
            ConnectionReconnectingError,
            OutboundBufferLimitError,
            APIError,
        ) as error:
            raise BrokerUnavailableError(
                describe(
                    f"{spec.name} {envelope.id}",
                    f"an acknowledgement from {spec.stream}",
                    f"retry: {error!r}",
                )
            ) from error
        return ack.seq
