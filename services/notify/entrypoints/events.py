"""What comes in from the bus, by the provisioned durables, typed by event.

Ratings come at the highest rate and mostly need nothing, so a pull loop looks at them; everything else has a
FastStream subscriber. Order does not matter to any of them: alert ids derive from their causes and outcomes
from alerts. So a batch of messages is handled side by side; acknowledging, retrying and dead-lettering is the
shared failure policy's work for both (`AckPolicy.MANUAL`, `FailureHandling`).
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from faststream import AckPolicy
from faststream.message import StreamMessage
from faststream.nats import JStream, NatsBroker, PullSub
from nats.aio.client import Client

from services.notify.application.handlers import DeliverAlert, RaiseAlerts
from shared.events import (
    AlertRaised,
    Envelope,
    EventData,
    FeedbackSubmitted,
    InvalidEventError,
    StreamDiverged,
    UnitScoreChanged,
    parse_envelope,
    spec_for_data,
)
from shared.messaging.consuming import DurableConsumer
from shared.messaging.failure import FailureHandling, current_attempt
from shared.messaging.reading import DurableReader, StoredMessage
from shared.messaging.streams import FEEDBACK
from shared.observability.tracing import message_context

INBOX_PREFIX: Final = b"_INBOX_notify."
"""The only inboxes that our broker user may subscribe to; pull subscribers ignore the connection's prefix."""

FEEDBACK_DURABLE: Final = "notify-feedback"

RANKING_BATCH: Final = 50
AUDIT_BATCH: Final = 10
DELIVERY_BATCH: Final = 50
"""Deliveries under way at once in one channel; they must end within the consumer's ack wait together."""

PULL_TIMEOUT_S: Final = 5.0
"""Limit of one empty pull, not a delay: the broker answers as soon as there is a message."""


def durables(channels: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return (stream, durable) of every consumer that is read here; all must be provisioned."""
    return (
        (FEEDBACK, FEEDBACK_DURABLE),
        ("RANKING", "notify-ranking"),
        ("AUDIT", "notify-audit"),
        *(("ALERTS", f"notify-deliver-{name}") for name in channels),
    )


def feedback_consumer(
    client: Client, raise_alerts: RaiseAlerts, failures: FailureHandling
) -> DurableConsumer:
    """Return the loop that raises alerts for bad reviews.

    Every message is held against the whole contract, also those that need no alert: pydantic takes 5 us for
    it, less than any framework needs to hand a message over, and an invalid rating is never just passed by.
    """

    def nothing_to_do(message: StoredMessage) -> bool:
        try:
            event = parse_envelope(Envelope[FeedbackSubmitted], message.data)
        except InvalidEventError:
            return False  # raised again below, where the failure policy is
        return raise_alerts.lets_pass(event)

    async def on_feedback(message: StoredMessage) -> None:
        await raise_alerts.on_feedback(parse_envelope(Envelope[FeedbackSubmitted], message.data))

    reader = DurableReader(client, FEEDBACK, FEEDBACK_DURABLE)
    return DurableConsumer(reader, on_feedback, failures, screen=nothing_to_do)


def subscribe(broker: NatsBroker, raise_alerts: RaiseAlerts, deliver: Mapping[str, DeliverAlert]) -> None:
    """Register every subscriber; `deliver` is by name of channel. Call it before the broker starts."""

    async def on_score_changed(event: Envelope[UnitScoreChanged]) -> None:
        """Raise alerts for a lost rank or another band."""
        with _context_of(event):
            await raise_alerts.on_score_changed(event)

    async def on_stream_diverged(event: Envelope[StreamDiverged]) -> None:
        """Raise an alert because a stream and the archive differ, or agree again."""
        with _context_of(event):
            await raise_alerts.on_stream_diverged(event)

    _subscriber(broker, UnitScoreChanged, "notify-ranking", RANKING_BATCH)(on_score_changed)
    _subscriber(broker, StreamDiverged, "notify-audit", AUDIT_BATCH)(on_stream_diverged)
    for name, handler in deliver.items():
        _subscriber(broker, AlertRaised, f"notify-deliver-{name}", DELIVERY_BATCH)(_delivery(handler))


def _delivery(handler: DeliverAlert) -> Callable[..., Awaitable[None]]:
    async def on_alert_raised(event: Envelope[AlertRaised]) -> None:
        """Deliver an alert through one channel."""
        with _context_of(event):
            await handler(event, current_attempt())

    return on_alert_raised


def _context_of(event: Envelope[Any]) -> Any:  # noqa: ANN401 - a context manager of the tracing module
    return message_context(
        correlation_id=event.correlationid,
        traceparent=event.traceparent,
        causation_id=event.causationid,
        event_id=event.id,
    )


def _subscriber(broker: NatsBroker, data: type[EventData], durable: str, batch: int) -> Any:  # noqa: ANN401 - FastStream's decorator
    spec = spec_for_data(data)
    model = spec.envelope

    async def decode(message: StreamMessage[Any]) -> Envelope[Any]:
        # Straight from bytes to the model, instead of to a dict first; and the error says what was expected.
        return parse_envelope(model, message.body)

    return broker.subscriber(
        f"{spec.context}.v{spec.major}.{spec.fact}.>",
        stream=JStream(spec.stream, declare=False),
        durable=durable,
        pull_sub=PullSub(batch_size=batch, timeout=PULL_TIMEOUT_S),
        ack_policy=AckPolicy.MANUAL,
        inbox_prefix=INBOX_PREFIX,
        decoder=decode,
    )
