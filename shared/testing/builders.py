"""Valid events with sensible defaults: a test states only what it is about.

``feedback_submitted(grade=1)`` gives data, ``envelope_of(data, time=…)`` puts it into its envelope. Every
call of :func:`envelope_of` without an ``event_id`` makes a new id, in a fixed sequence of this process.
"""

from datetime import datetime
from itertools import count
from typing import Any

from shared.events import (
    AlertAcknowledged,
    AlertDelivered,
    AlertDeliveryFailed,
    AlertRaised,
    Envelope,
    EventData,
    FeedbackConflicted,
    FeedbackSubmitted,
    MessageDeadLettered,
    Provenance,
    RankingRevised,
    RankingRow,
    UnitScoreChanged,
    spec_for_data,
)
from shared.kernel.ids import derived_id
from shared.testing.clock import NOON

UNIT = "U000532"
UNIT_NAME = "赣州市章贡区婚姻登记处"
CITY = "3607"
COUNTY = "360702"
_NUMBERS = count(1)


def hmac_of(text: str) -> str:
    """Something of a keyed HMAC's form, the same for the same ``text``."""
    return f"k1.{derived_id('test-hmac', text).replace('-', '')}"


def feedback_submitted(**fields: object) -> FeedbackSubmitted:
    """One rating of a marriage registry in Ganzhou; ``fields`` replace the defaults."""
    return FeedbackSubmitted.model_validate(
        {
            "unit_id": UNIT,
            "level": "window",
            "kind": "marriage",
            "city": CITY,
            "county": COUNTY,
            "grade": 5,
            "source": "public",
            "channel": "qr",
            "verification": "transaction",
            "digest": hmac_of("digest"),
        }
        | fields
    )


def feedback_conflicted(**fields: object) -> FeedbackConflicted:
    """An idempotency key that came twice with different content."""
    return FeedbackConflicted.model_validate(
        {
            "unit_id": UNIT,
            "channel": "terminal",
            "city": CITY,
            "county": COUNTY,
            "first_event_id": derived_id("test-event", "first"),
            "first_digest": hmac_of("first"),
            "other_digest": hmac_of("other"),
        }
        | fields
    )


def ranking_row(**fields: object) -> RankingRow:
    """A ranked row."""
    return RankingRow.model_validate(
        {
            "unit_id": UNIT,
            "name": UNIT_NAME,
            "status": "ranked",
            "rank": 7,
            "score": 91.2,
            "interval_low": 86.0,
            "interval_high": 95.1,
            "ratings": 64,
            "n": 51.4,
            "good": 0.93,
            "band": "undecided",
        }
        | fields
    )


def ranking_revised(**fields: object) -> RankingRevised:
    """A change of one row in the list of the province's marriage registries."""
    return RankingRevised.model_validate(
        {
            "list": "window.marriage.30",
            "level": "window",
            "kind": "marriage",
            "window_days": 30,
            "as_of": NOON.date(),
            "sorted_by": "score",
            "list_hash": f"sha256:{'a' * 64}",
            "positions": {"FEEDBACK": 20_000},
            "units": 99,
            "changed_units": 1,
            "changed": (ranking_row(),),
        }
        | fields
    )


def unit_score_changed(**fields: object) -> UnitScoreChanged:
    """A marriage registry fell from place 7 to 19."""
    return UnitScoreChanged.model_validate(
        {
            "unit_id": UNIT,
            "name": UNIT_NAME,
            "level": "window",
            "kind": "marriage",
            "list": "window.marriage.30",
            "window_days": 30,
            "as_of": NOON.date(),
            "reasons": ("rank",),
            "rank": 19,
            "previous_rank": 7,
            "score": 88.4,
            "previous_score": 91.2,
            "ratings": 66,
        }
        | fields
    )


def alert_raised(**fields: object) -> AlertRaised:
    """A bad review's alert for the console."""
    return AlertRaised.model_validate(
        {
            "rule": "bad_review",
            "severity": "warning",
            "unit_id": UNIT,
            "unit_name": UNIT_NAME,
            "city": CITY,
            "county": COUNTY,
            "title": f"差评：{UNIT_NAME}",
            "body": "收到一条“非常不满意”的评价，请在1个工作日内联系群众。",
            "evidence": (derived_id("test-event", "bad review"),),
            "figures": {"grade": "1"},
            "channels": ("console",),
        }
        | fields
    )


def alert_delivered(**fields: object) -> AlertDelivered:
    """The console took the alert at once."""
    alert = derived_id("test-event", "alert")
    return AlertDelivered.model_validate({"alert_id": alert, "channel": "console", "attempt": 1} | fields)


def alert_delivery_failed(**fields: object) -> AlertDeliveryFailed:
    """The webhook's receiver never answered."""
    alert = derived_id("test-event", "alert")
    return AlertDeliveryFailed.model_validate(
        {"alert_id": alert, "channel": "webhook", "attempts": 6, "reason": "no answer within 5 s"} | fields
    )


def alert_acknowledged(**fields: object) -> AlertAcknowledged:
    """The officer on duty took the alert over."""
    alert = derived_id("test-event", "alert")
    return AlertAcknowledged.model_validate({"alert_id": alert, "by": "duty-officer"} | fields)


def message_dead_lettered(**fields: object) -> MessageDeadLettered:
    """Scoring could not read a message of FEEDBACK."""
    return MessageDeadLettered.model_validate(
        {
            "service": "scoring",
            "consumer": "fold",
            "stream": "FEEDBACK",
            "sequence": 17,
            "message_subject": f"feedback.v1.submitted.{CITY}.{COUNTY}",
            "error": "InvalidEventError",
            "reason": "Got 9 bytes, expected a valid envelope: fix the producer, then replay.",
            "attempts": 1,
            "payload_sha256": "0" * 64,
            "payload_size": 9,
        }
        | fields
    )


def envelope_of(
    data: EventData,
    *,
    event_id: str | None = None,
    time: datetime = NOON,
    received_at: datetime | None = None,
    correlation_id: str = "test-request",
    synthetic: bool = False,
) -> Envelope[Any]:
    """``data`` in the envelope that its registered producer would make; received when it happened."""
    spec = spec_for_data(type(data))
    producer = spec.producers[0]
    return spec.wrap(
        data,
        event_id=event_id or derived_id("test-event", str(next(_NUMBERS))),
        source=getattr(data, "service", "scoring") if producer == "any" else producer,
        subject=str(getattr(data, "unit_id", None) or getattr(data, "alert_id", None) or spec.fact),
        time=time,
        received_at=received_at or time,
        provenance=Provenance(correlation_id=correlation_id),
        synthetic=synthetic,
    )
