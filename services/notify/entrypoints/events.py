"""What comes in from the bus: FastStream subscribers on the provisioned durables, typed by event.

Order does not matter to any of them: alert ids derive from their causes and outcomes from alerts. So a batch
of messages is handled side by side; acknowledging, retrying and dead-lettering is the shared failure policy's
work (`AckPolicy.MANUAL`).
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from faststream import AckPolicy
from faststream.message import StreamMessage
from faststream.nats import JStream, NatsBroker, PullSub

from services.notify.application.handlers import DeliverAlert, RaiseAlerts
from shared.events import (
    AlertRaised,
    Envelope,
    EventData,
    FeedbackSubmitted,
    UnitScoreChanged,
    parse_envelope,
    spec_for_data,
)
from shared.messaging.failure import current_attempt
from shared.observability.tracing import message_context

INBOX_PREFIX: Final = b"_INBOX_notify."
"""The only inboxes that our broker user may subscribe to; pull subscribers ignore the connection's prefix."""

FEEDBACK_BATCH: Final = 500
RANKING_BATCH: Final = 50
DELIVERY_BATCH: Final = 20
"""Deliveries under way at once in one channel; they must end within the consumer's ack wait together."""

PULL_TIMEOUT_S: Final = 5.0
"""Limit of one empty pull, not a delay: the broker answers as soon as there is a message."""


def durables(channels: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return (stream, durable) of every consumer that `subscribe` reads; all must be provisioned."""
    return (
        ("FEEDBACK", "notify-feedback"),
        ("RANKING", "notify-ranking"),
        *(("ALERTS", f"notify-deliver-{name}") for name in channels),
    )


def subscribe(broker: NatsBroker, raise_alerts: RaiseAlerts, deliver: Mapping[str, DeliverAlert]) -> None:
    """Register every subscriber; `deliver` is by name of channel. Call it before the broker starts."""

    async def on_feedback(event: Envelope[FeedbackSubmitted]) -> None:
        """Raise an alert for a bad review."""
        await raise_alerts.on_feedback(event)

    async def on_score_changed(event: Envelope[UnitScoreChanged]) -> None:
        """Raise alerts for a lost rank or another band."""
        with _context_of(event):
            await raise_alerts.on_score_changed(event)

    _subscriber(broker, FeedbackSubmitted, "notify-feedback", FEEDBACK_BATCH)(on_feedback)
    _subscriber(broker, UnitScoreChanged, "notify-ranking", RANKING_BATCH)(on_score_changed)
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
