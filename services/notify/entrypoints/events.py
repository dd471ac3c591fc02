"""What comes in from the bus, by the provisioned durables, typed by event.

What comes at a high rate is read by pull loops: ratings and score changes, which mostly need nothing, and
alerts for a channel that answers at once. Channels that wait for somebody else's machine have FastStream
subscribers. Order does not matter to any of them: alert ids derive from their causes and outcomes from
alerts. So a batch of messages is handled side by side; acknowledging, retrying and dead-lettering is the
shared failure policy's work for both (`AckPolicy.MANUAL`, `FailureHandling`).
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

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
    MessageDeadLettered,
    StreamDiverged,
    UnitFlagged,
    UnitScoreChanged,
    parse_envelope,
    spec_for_data,
)
from shared.messaging.consuming import DurableConsumer
from shared.messaging.failure import FailureHandling, current_attempt
from shared.messaging.reading import DurableReader, StoredMessage
from shared.messaging.streams import ALERTS, AUDIT, DEADLETTER, FEEDBACK, INTEGRITY, RANKING
from shared.observability.tracing import message_context

D = TypeVar("D", bound=EventData)

INBOX_PREFIX: Final = b"_INBOX_notify."
"""The only inboxes that our broker user may subscribe to; pull subscribers ignore the connection's prefix."""

FEEDBACK_DURABLE: Final = "notify-feedback"

RANKING_DURABLE: Final = "notify-ranking"

AUDIT_DURABLE: Final = "notify-audit"

INTEGRITY_DURABLE: Final = "notify-integrity"

DEADLETTER_DURABLE: Final = "notify-deadletter"

INSTANT: Final = frozenset({"console"})
"""Channels that answer at once: hundreds of alerts may be under way, all of them end within the ack wait."""

PACE_S: Final = 0.4
"""How often messages are fetched while they keep coming; an alert passes two such loops within a second."""

DELIVERY_BATCH: Final = 50
"""Deliveries under way at once in the others; they must end within the consumer's ack wait together."""

PULL_TIMEOUT_S: Final = 5.0
"""Limit of one empty pull, not a delay: the broker answers as soon as there is a message."""


def durables(channels: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return (stream, durable) of every consumer that is read here; all must be provisioned."""
    return (
        (FEEDBACK, FEEDBACK_DURABLE),
        (RANKING, RANKING_DURABLE),
        (AUDIT, AUDIT_DURABLE),
        (INTEGRITY, INTEGRITY_DURABLE),
        (DEADLETTER, DEADLETTER_DURABLE),
        *((ALERTS, _delivery_durable(name)) for name in channels),
    )


def consumers(
    client: Client, raise_alerts: RaiseAlerts, deliver: Mapping[str, DeliverAlert], failures: FailureHandling
) -> dict[str, DurableConsumer]:
    """Return the pull loops by what they read; `deliver` is by name of channel.

    Every message is held against the whole contract, also those that need no alert: pydantic takes 5 us for
    it, less than any framework needs to hand a message over, and an invalid one is never just passed by.
    """
    loops = {
        "feedback": _loop(
            DurableReader(client, FEEDBACK, FEEDBACK_DURABLE, pace_s=PACE_S),
            FeedbackSubmitted,
            raise_alerts.on_feedback,
            failures,
            raise_alerts.lets_pass,
        ),
        "ranking": _loop(
            DurableReader(client, RANKING, RANKING_DURABLE, pace_s=PACE_S),
            UnitScoreChanged,
            raise_alerts.on_score_changed,
            failures,
            raise_alerts.lets_move_pass,
        ),
        "audit": _loop(
            DurableReader(client, AUDIT, AUDIT_DURABLE, pace_s=PACE_S),
            StreamDiverged,
            raise_alerts.on_stream_diverged,
            failures,
        ),
        "integrity": _loop(
            DurableReader(client, INTEGRITY, INTEGRITY_DURABLE, pace_s=PACE_S),
            UnitFlagged,
            raise_alerts.on_unit_flagged,
            failures,
        ),
        "deadletter": _loop(
            DurableReader(client, DEADLETTER, DEADLETTER_DURABLE, pace_s=PACE_S),
            MessageDeadLettered,
            raise_alerts.on_dead_letter,
            failures,
        ),
    }
    for name in INSTANT & deliver.keys():
        reader = DurableReader(client, ALERTS, _delivery_durable(name), pace_s=PACE_S)
        loops[f"deliver-{name}"] = _loop(reader, AlertRaised, _delivery(deliver[name]), failures)
    return loops


def subscribe(broker: NatsBroker, deliver: Mapping[str, DeliverAlert]) -> None:
    """Register the other channels' subscribers; `deliver` is by name. Call it before the broker starts."""
    for name in deliver.keys() - INSTANT:
        subscriber = _subscriber(broker, AlertRaised, _delivery_durable(name), DELIVERY_BATCH)
        subscriber(_in_context(_delivery(deliver[name])))


def _delivery_durable(channel: str) -> str:
    return f"notify-deliver-{channel}"


def _loop(
    reader: DurableReader,
    data: type[D],
    handle: Callable[[Envelope[D]], Awaitable[object]],
    failures: FailureHandling,
    lets_pass: Callable[[Envelope[D]], bool] | None = None,
) -> DurableConsumer:
    model = spec_for_data(data).envelope
    handle_event = _in_context(handle)

    def nothing_to_do(message: StoredMessage) -> bool:
        try:
            event = parse_envelope(model, message.data)
        except InvalidEventError:
            return False  # raised again below, where the failure policy is
        return lets_pass is not None and lets_pass(event)

    async def on_message(message: StoredMessage) -> None:
        await handle_event(parse_envelope(model, message.data))

    return DurableConsumer(reader, on_message, failures, screen=nothing_to_do if lets_pass else None)


def _delivery(handler: DeliverAlert) -> Callable[[Envelope[AlertRaised]], Awaitable[None]]:
    async def on_alert_raised(event: Envelope[AlertRaised]) -> None:
        """Deliver an alert through one channel."""
        await handler(event, current_attempt())

    return on_alert_raised


def _in_context(
    handle: Callable[[Envelope[D]], Awaitable[object]],
) -> Callable[[Envelope[D]], Awaitable[None]]:
    """Let `handle` work under the ids of its event."""

    async def handle_event(event: Envelope[D]) -> None:
        with _context_of(event):
            await handle(event)

    return handle_event


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
