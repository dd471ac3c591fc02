"""What comes in from the bus: feedback and the findings of supervision, each in order. The leader's work.

Order matters here: what becomes of a rating, or of a finding, must not be read before the thing itself.
"""

from functools import partial
from typing import Any, Final

import msgspec
from nats.aio.client import Client

from services.rectify.application.findings import FollowFindings
from services.rectify.application.following import FollowFeedback
from services.rectify.entrypoints.in_order import InOrder
from services.rectify.entrypoints.outstanding import JetStreamOutstanding
from shared.events import Envelope, FeedbackSubmitted, parse_event
from shared.events.unreadable import UNREADABLE
from shared.kernel.grades import Grade
from shared.messaging.failure import FailureHandling
from shared.messaging.reading import DurableReader
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import FEEDBACK, REGISTRY
from shared.observability.tracing import message_context

FEEDBACK_DURABLE: Final = "rectify-feedback"
FINDINGS_DURABLE: Final = "rectify-findings"
PACE_S: Final = 0.4
SUBMITTED: Final = "feedback.v1.submitted."
FOLLOWED: Final = tuple(
    f"feedback.v1.{fact}." for fact in ("corrected", "withdrawn", "excluded", "reinstated")
)
"""Subjects of what becomes of ratings and may change a case."""


class _Data(msgspec.Struct):
    grade: int


class _Head(msgspec.Struct):
    """The least of a rating that says whether it matters here."""

    data: _Data


_head = msgspec.json.Decoder(_Head).decode


def durables() -> tuple[tuple[str, str], ...]:
    """(stream, durable) of every consumer that is read here; all must be provisioned."""
    return ((FEEDBACK, FEEDBACK_DURABLE), (REGISTRY, FINDINGS_DURABLE))


def feedback_loop(client: Client, follow: FollowFeedback, failures: FailureHandling) -> InOrder:
    """FEEDBACK to `FollowFeedback`."""

    async def on_message(message: StoredMessage) -> None:
        event = parse_event(message.data)
        with _context(event):
            if isinstance(event.data, FeedbackSubmitted):
                await follow.on_submitted(event)
            else:
                await follow.on_revised(event)

    return InOrder(
        partial(DurableReader, client, FEEDBACK, FEEDBACK_DURABLE, pace_s=PACE_S),
        JetStreamOutstanding(client, FEEDBACK, FEEDBACK_DURABLE),
        on_message,
        failures,
        matters=matters,
    )


def findings_loop(client: Client, follow: FollowFindings, failures: FailureHandling) -> InOrder:
    """Findings of REGISTRY to `FollowFindings`."""

    async def on_message(message: StoredMessage) -> None:
        event = parse_event(message.data)
        with _context(event):
            await follow(event)

    return InOrder(
        partial(DurableReader, client, REGISTRY, FINDINGS_DURABLE, pace_s=PACE_S),
        JetStreamOutstanding(client, REGISTRY, FINDINGS_DURABLE),
        on_message,
        failures,
    )


def _context(event: Envelope[Any]) -> Any:  # noqa: ANN401 - a context manager of the tracing module
    return message_context(
        correlation_id=event.correlationid,
        traceparent=event.traceparent,
        causation_id=event.causationid,
        event_id=event.id,
    )


def matters(message: StoredMessage) -> bool:
    """Whether a message may concern a case: most ratings are good. What can't be read needs a closer look."""
    if not message.subject.startswith(SUBMITTED):
        return message.subject.startswith(FOLLOWED)
    try:
        grade = _head(message.data).data.grade
    except UNREADABLE:
        return True
    return not Grade.FAIR <= grade <= Grade.VERY_SATISFIED
