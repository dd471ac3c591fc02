"""What comes in from the bus, by the provisioned durables, typed by event.

Ratings, score changes and findings about streams are read by pull loops: most of them need nothing. Most
ratings were judged already when their consumer brings them, by `EarlyRaising` beside the fold that counts
them. Of others only grade and time are looked at, unless a rule may fire on it: then, and where they can't be
read, a rating is held against the whole contract. To check that of all others is for scoring, which counts
them. Order does not matter: alert ids derive from their causes. So messages are handled side by side;
acknowledging, retrying and dead-lettering is the shared failure policy's work (`FailureHandling`). Alerts on
their way to receivers are `deliveries`' business.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

import msgspec
from nats.aio.client import Client

from services.notify.application.early import EarlyRaising, Verdict
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
from shared.messaging.streams import AUDIT, DEADLETTER, FEEDBACK, INTEGRITY, RANKING
from shared.observability.tracing import message_context

D = TypeVar("D", bound=EventData)

FEEDBACK_DURABLE: Final = "notify-feedback"

RANKING_DURABLE: Final = "notify-ranking"

AUDIT_DURABLE: Final = "notify-audit"

INTEGRITY_DURABLE: Final = "notify-integrity"

DEADLETTER_DURABLE: Final = "notify-deadletter"

PACE_S: Final = 0.4
"""How often messages are fetched while they keep coming."""

RATINGS_PACE_S: Final = 1.0
"""The same for ratings: by then they are judged, and what is left is to acknowledge them."""

DURABLES: Final = (
    (FEEDBACK, FEEDBACK_DURABLE),
    (RANKING, RANKING_DURABLE),
    (AUDIT, AUDIT_DURABLE),
    (INTEGRITY, INTEGRITY_DURABLE),
    (DEADLETTER, DEADLETTER_DURABLE),
)
"""(stream, durable) of every consumer that is read here; all must be provisioned."""


_MOVED: Final = spec_for_data(UnitScoreChanged).envelope


class _Graded(msgspec.Struct):
    grade: Annotated[int, msgspec.Meta(ge=1, le=5)]


class _Rating(msgspec.Struct):
    """The least of a rating that says whether any rule could fire on it."""

    receivedat: Annotated[datetime, msgspec.Meta(tz=True)]
    data: _Graded


_glance = msgspec.json.Decoder(_Rating).decode


def early_raising(raise_alerts: RaiseAlerts) -> EarlyRaising:
    """Return what judges the ratings that the fold reads, exactly as the consumer of ratings does."""
    return EarlyRaising(raise_alerts.is_quiet, _handler(FeedbackSubmitted, raise_alerts.on_feedback))


def no_concern(raise_alerts: RaiseAlerts, early: EarlyRaising) -> Callable[[StoredMessage], bool]:
    """Return what tells whether a rating can be passed by; what it can't judge needs handling."""

    def passes(message: StoredMessage) -> bool:
        known = early.verdict(message.sequence)
        if known is Verdict.TOLD:
            return True
        if known is Verdict.UNKNOWN:
            try:
                rating = _glance(message.data)
            except msgspec.MsgspecError:
                return False
            if not raise_alerts.is_quiet(rating.data.grade, rating.receivedat):
                return False
        raise_alerts.count_quiet_review()
        return True

    return passes


def consumers(
    client: Client, raise_alerts: RaiseAlerts, failures: FailureHandling, early: EarlyRaising
) -> dict[str, DurableConsumer]:
    """Return the pull loops by what they read."""

    def no_move(message: StoredMessage) -> bool:
        try:
            event = parse_envelope(_MOVED, message.data)
        except InvalidEventError:
            return False  # raised again below, where the failure policy is
        return raise_alerts.lets_move_pass(event)

    return {
        "feedback": DurableConsumer(
            DurableReader(client, FEEDBACK, FEEDBACK_DURABLE, pace_s=RATINGS_PACE_S),
            early.settle,
            failures,
            screen=no_concern(raise_alerts, early),
        ),
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
