"""What comes in from the bus, by the provisioned durables, typed by event.

Score changes and findings about streams are read by pull loops: most of them need nothing. Order does not
matter: alert ids derive from their causes. So messages are handled side by side; acknowledging, retrying and
dead-lettering is the shared failure policy's work (`FailureHandling`). Ratings are the business of `ratings`,
alerts on their way to receivers that of `deliveries`.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from nats.aio.client import Client

from services.notify.application.handlers import RaiseAlerts
from shared.events import (
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
from shared.messaging.failure import FailureHandling
from shared.messaging.reading import DurableReader
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import AUDIT, DEADLETTER, INTEGRITY, RANKING
from shared.observability.tracing import message_context

D = TypeVar("D", bound=EventData)

RANKING_DURABLE: Final = "notify-ranking"

AUDIT_DURABLE: Final = "notify-audit"

INTEGRITY_DURABLE: Final = "notify-integrity"

DEADLETTER_DURABLE: Final = "notify-deadletter"

PACE_S: Final = 0.4
"""How often messages are fetched while they keep coming."""

DURABLES: Final = (
    (RANKING, RANKING_DURABLE),
    (AUDIT, AUDIT_DURABLE),
    (INTEGRITY, INTEGRITY_DURABLE),
    (DEADLETTER, DEADLETTER_DURABLE),
)
"""(stream, durable) of every consumer that is read here; all must be provisioned."""


_MOVED: Final = spec_for_data(UnitScoreChanged).envelope


def on_rating(raise_alerts: RaiseAlerts) -> Callable[[StoredMessage], Awaitable[None]]:
    """Return what holds a rating against the whole contract, and judges it."""
    return _handler(FeedbackSubmitted, raise_alerts.on_feedback)


def consumers(
    client: Client, raise_alerts: RaiseAlerts, failures: FailureHandling
) -> dict[str, DurableConsumer]:
    """Return the pull loops by what they read."""

    def no_move(message: StoredMessage) -> bool:
        try:
            event = parse_envelope(_MOVED, message.data)
        except InvalidEventError:
            return False  # raised again below, where the failure policy is
        return raise_alerts.lets_move_pass(event)

    return {
        "ranking": _loop(
            DurableReader(client, RANKING, RANKING_DURABLE, pace_s=PACE_S),
            UnitScoreChanged,
            raise_alerts.on_score_changed,
            failures,
            no_move,
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


def _loop(
    reader: DurableReader,
    data: type[D],
    handle: Callable[[Envelope[D]], Awaitable[object]],
    failures: FailureHandling,
    nothing_to_do: Callable[[StoredMessage], bool] | None = None,
) -> DurableConsumer:
    return DurableConsumer(reader, _handler(data, handle), failures, screen=nothing_to_do)


def _handler(
    data: type[D], handle: Callable[[Envelope[D]], Awaitable[object]]
) -> Callable[[StoredMessage], Awaitable[None]]:
    model = spec_for_data(data).envelope
    handle_event = _in_context(handle)

    async def on_message(message: StoredMessage) -> None:
        await handle_event(parse_envelope(model, message.data))

    return on_message


def _in_context(
    handle: Callable[[Envelope[D]], Awaitable[object]],
) -> Callable[[Envelope[D]], Awaitable[None]]:
    """Let `handle` work under the ids of its event."""

    async def handle_event(event: Envelope[D]) -> None:
        with context_of(event):
            await handle(event)

    return handle_event


def context_of(event: Envelope[Any]) -> Any:  # noqa: ANN401 - a context manager of the tracing module
    """Return a context in which logs and new events carry the ids of `event`."""
    return message_context(
        correlation_id=event.correlationid,
        traceparent=event.traceparent,
        causation_id=event.causationid,
        event_id=event.id,
    )
