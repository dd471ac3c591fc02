"""Valid events with sensible defaults: a test states only what it is about.

``feedback_submitted(grade=1)`` gives data, ``envelope_of(data, time=…)`` puts it into its envelope. Every
call of :func:`envelope_of` without an ``event_id`` makes a new id, in a fixed sequence of this process; but
a revision's id belongs to its target and number, as intake gives it.
"""

from datetime import date, datetime
from itertools import count
from typing import Any, TypeVar

from shared.events import (
    AlertAcknowledged,
    AlertDelivered,
    AlertDeliveryFailed,
    AlertRaised,
    BatchSequenced,
    CheckpointSigned,
    CountedFields,
    Envelope,
    EventData,
    FeedbackConflicted,
    FeedbackCorrected,
    FeedbackExcluded,
    FeedbackQuarantined,
    FeedbackReinstated,
    FeedbackReleased,
    FeedbackRevision,
    FeedbackSubmitted,
    FeedbackWithdrawn,
    MessageDeadLettered,
    PeriodClosed,
    PeriodRestated,
    Provenance,
    RankingRevised,
    RankingRow,
    RecordsRead,
    StreamDiverged,
    StreamHistoryAccepted,
    UnitFlagged,
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


def batch_sequenced(**fields: object) -> BatchSequenced:
    """The order of the log's first seven entries."""
    return BatchSequenced.model_validate(
        {
            "origin": "pingyi.archive/360000",
            "first_index": 0,
            "size": 7,
            "runs": [{"stream": "FEEDBACK", "first": 1, "last": 7}],
            "root": "07" * 32,
        }
        | fields
    )


def checkpoint_signed(**fields: object) -> CheckpointSigned:
    """A checkpoint over the log's first seven entries; its signature is none."""
    return CheckpointSigned.model_validate(
        {
            "origin": "pingyi.archive/360000",
            "size": 7,
            "root": "07" * 32,
            "note": "pingyi.archive/360000\n7\n…\n\n— pingyi.archive/360000 …\n",
            "previous_size": 0,
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


def counted_fields(**fields: object) -> CountedFields:
    """The counted fields of a rating as :func:`feedback_submitted` makes it."""
    return CountedFields.model_validate(
        {
            "unit_id": UNIT,
            "grade": 5,
            "source": "public",
            "channel": "qr",
            "verification": "transaction",
            "occurred_at": NOON,
            "received_at": NOON,
        }
        | fields
    )


def feedback_corrected(**fields: object) -> FeedbackCorrected:
    """Somebody had pressed 5 and meant 1."""
    corrected = counted_fields(grade=1)
    return _revision(FeedbackCorrected, {"reason": "mistyped", "corrected": corrected} | fields)


def feedback_withdrawn(**fields: object) -> FeedbackWithdrawn:
    """The citizen took a rating back, without a word."""
    return _revision(FeedbackWithdrawn, {"reason": "unstated", "decided_by": None} | fields)


def feedback_excluded(**fields: object) -> FeedbackExcluded:
    """A rating by somebody who had not been served."""
    return _revision(FeedbackExcluded, {"reason": "no_service"} | fields)


def feedback_reinstated(**fields: object) -> FeedbackReinstated:
    """The appeal against an exclusion was right."""
    return _revision(FeedbackReinstated, {"reason": "appeal_upheld", "target_revision": 2} | fields)


def feedback_quarantined(**fields: object) -> FeedbackQuarantined:
    """One rating of a sudden many is held."""
    return _revision(FeedbackQuarantined, {"reason": "burst"} | fields)


def feedback_released(**fields: object) -> FeedbackReleased:
    """A held rating was sound."""
    return _revision(FeedbackReleased, {"reason": "found_genuine", "target_revision": 2} | fields)


_R = TypeVar("_R", bound=FeedbackRevision)


def _revision(kind: type[_R], fields: dict[str, object]) -> _R:
    return kind.model_validate(
        {
            "target_id": derived_id("test-event", "target"),
            "target_revision": 1,
            "target": counted_fields(),
            "city": CITY,
            "county": COUNTY,
            "decided_by": "city-reviewer",
            "digest": hmac_of("revision"),
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


def period_closed(**fields: object) -> PeriodClosed:
    """November's list of the province's marriage registries, with one row."""
    return PeriodClosed.model_validate(
        {
            "list": "window.marriage.2026-11",
            "level": "window",
            "kind": "marriage",
            "period": "2026-11",
            "first": date(2026, 11, 1),
            "last": date(2026, 11, 30),
            "closed_on": date(2026, 12, 31),
            "sorted_by": "score",
            "list_hash": f"sha256:{'a' * 64}",
            "positions": {"FEEDBACK": 20_000},
            "units": 1,
            "late_missed": 0,
            "part": 1,
            "parts": 1,
            "items": (ranking_row(),),
        }
        | fields
    )


def period_restated(**fields: object) -> PeriodRestated:
    """A withdrawal changed one row of November's list after its close."""
    return PeriodRestated.model_validate(
        {
            "list": "window.marriage.2026-11",
            "period": "2026-11",
            "list_hash": f"sha256:{'b' * 64}",
            "closed_hash": f"sha256:{'a' * 64}",
            "restatement": 1,
            "positions": {"FEEDBACK": 21_000},
            "changed_units": 1,
            "changed": (ranking_row(),),
            "causes": (derived_id("feedback-revision", derived_id("test-event", "target"), "1"),),
        }
        | fields
    )


def unit_flagged(**fields: object) -> UnitFlagged:
    """A marriage registry got 61 ratings where 18 would be usual."""
    return UnitFlagged.model_validate(
        {
            "unit_id": UNIT,
            "name": UNIT_NAME,
            "signal": "burst",
            "raised": True,
            "window_days": 7,
            "as_of": NOON.date(),
            "statistic": 61.0,
            "threshold": 36.0,
            "expected": 18.4,
            "figures": {"ratings": "61"},
        }
        | fields
    )


def stream_diverged(**fields: object) -> StreamDiverged:
    """Three archived ratings are gone from the middle of FEEDBACK."""
    return StreamDiverged.model_validate(
        {
            "stream": "FEEDBACK",
            "kind": "lost_in_stream",
            "raised": True,
            "first": 120,
            "last": 122,
            "sequences": 3,
            "stream_first": 1,
            "stream_last": 5000,
            "archived_last": 5000,
        }
        | fields
    )


def stream_history_accepted(**fields: object) -> StreamHistoryAccepted:
    """RANKING went back from 1,000 to 500, of which 480 are as archived."""
    return StreamHistoryAccepted.model_validate(
        {
            "stream": "RANKING",
            "fork": 480,
            "archived_last": 1000,
            "offset": 520,
            "stream_last": 500,
            "decided_by": "platform-duty",
            "reason": "a block file was damaged; rankings can be derived again",
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


def records_read(**fields: object) -> RecordsRead:
    """Somebody looked at one page of a unit's ratings."""
    return RecordsRead.model_validate(
        {
            "read": derived_id("test-read", "page"),
            "actor": "city-auditor",
            "verified": False,
            "what": "page",
            "format": "json",
            "conditions": {"unit_id": UNIT},
            "size": 27_800,
            "stage": "answered",
            "rows": 100,
        }
        | fields
    )


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
        event_id=event_id or _id_of(data),
        source=getattr(data, "service", "scoring") if producer == "any" else producer,
        subject=_subject_of(data) or spec.fact,
        time=time,
        received_at=received_at or time,
        provenance=Provenance(correlation_id=correlation_id),
        synthetic=synthetic,
    )


def _id_of(data: EventData) -> str:
    if isinstance(data, FeedbackRevision):
        return derived_id("feedback-revision", data.target_id, str(data.target_revision))
    return derived_id("test-event", str(next(_NUMBERS)))


def _subject_of(data: EventData) -> str | None:
    """What ``data`` is about, as its producer says it in the envelope."""
    if isinstance(data, FeedbackRevision):
        return data.target.unit_id
    names = ("unit_id", "alert_id", "list")
    return next((str(getattr(data, name)) for name in names if getattr(data, name, None)), None)
