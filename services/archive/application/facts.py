"""What an archived event means for the story of a rating: its stage, a few words, and what it refers to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec

from services.archive.domain.entries import Entry
from shared.events import (
    AlertAcknowledged,
    AlertDelivered,
    AlertDeliveryFailed,
    AlertRaised,
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
    PeriodRestated,
    RankingRevised,
    UnitScoreChanged,
    spec_for_data,
)
from shared.events.unreadable import UNREADABLE
from shared.messaging.streams import CASES, FEEDBACK

Data = Mapping[str, Any]


def type_of(data: type[EventData]) -> str:
    """The CloudEvents type of an event's data."""
    return spec_for_data(data).event_type


SUBMITTED: Final = type_of(FeedbackSubmitted)
RAISED: Final = type_of(AlertRaised)
ACKNOWLEDGED: Final = type_of(AlertAcknowledged)
REVISED: Final = type_of(RankingRevised)
MOVED: Final = type_of(UnitScoreChanged)
RESTATED: Final = type_of(PeriodRestated)
REVISIONS: Final = frozenset(type_of(each) for each in FeedbackRevision.__subclasses__())


class _Envelope(msgspec.Struct):
    data: dict[str, Any]


_decode = msgspec.json.Decoder(_Envelope).decode


@dataclass(frozen=True, slots=True)
class Standing:
    """What a ranking says of a unit; None where it is not shown, or not ranked."""

    list: str
    rank: int | None


def data_of(entry: Entry) -> Data:
    """The event's data; empty if it can't be read."""
    if entry.envelope is None:
        return {}
    try:
        return _decode(entry.envelope).data
    except UNREADABLE:
        return {}


def stage_and_summary(entry: Entry) -> tuple[str, str]:
    """One word and a few words; an event of an unknown contract is named by its type."""
    attributes = entry.leaf.attributes
    kind = "" if attributes is None else attributes.type
    stage, describe = _WORDS.get(kind, ("other", None))
    if entry.leaf.stream == CASES:
        stage, describe = "case", partial(_case, kind)
    elif kind.startswith(_SANCTIONS):
        stage, describe = "sanction", partial(_sanction, kind)
    if describe is None:
        return stage, kind
    try:
        return stage, describe(data_of(entry))
    except (KeyError, TypeError, ValueError, IndexError):
        return stage, kind


def unit_of(entry: Entry) -> str | None:
    """The unit that a rating or a revision of it is in force for, after the event."""
    data = data_of(entry)
    for part in (data.get("corrected"), data.get("target"), data):
        if isinstance(part, dict) and isinstance(part.get("unit_id"), str):
            return str(part["unit_id"])
    return None


def folded_up_to(ranking: Data) -> int:
    """Sequence of FEEDBACK up to which a ranking counts; 0 if it does not say."""
    positions = ranking.get("positions")
    found = positions.get(FEEDBACK) if isinstance(positions, dict) else None
    return found if isinstance(found, int) else 0


def standing_in(ranking: Data, unit_id: str) -> Standing | None:
    """Where a revised ranking shows ``unit_id`` anew; None if it does not."""
    for row in ranking.get("changed") or ():
        if isinstance(row, dict) and row.get("unit_id") == unit_id:
            return Standing(str(ranking.get("list")), row.get("rank"))
    return None


def _rating(data: Data) -> str:
    return f"grade {data['grade']} for {data['unit_id']}, by {data['channel']}, {data['verification']}"


def _revision(data: Data) -> str:
    corrected = data.get("corrected")
    now = f" to grade {corrected['grade']} for {corrected['unit_id']}" if corrected else ""
    return f"revision {data['target_revision']}: {data['reason']}{now}"


def _move(data: Data) -> str:
    moves = [
        f"{name} {_shown(before)} → {_shown(after)}"
        for name in ("rank", "score", "band")
        if (before := data.get(f"previous_{name}")) != (after := data.get(name))
    ]
    return f"{data['name']} in {data['list']}: {', '.join(moves)}"


def _shown(value: object) -> str:
    return "–" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def _alert(data: Data) -> str:
    return f"{data['rule']} ({data['severity']}): {data['title']}"


def _delivery(data: Data) -> str:
    return f"by {data['channel']}, attempt {data['attempt']}"


def _case(kind: str, data: Data) -> str:
    case, fact = data["case"], kind.split(".")[3]
    used = f" {data['clock']} {data['percent']} %" if "clock" in data else ""
    late = ", overdue" if case.get("overdue") else ""
    return f"{fact}{used}, of {data['unit_id']}: {case['status']}{late}"


_SANCTIONS: Final = "cn.pingyi.sanctions."


def _sanction(kind: str, data: Data) -> str:
    fact = kind.split(".")[3]
    state = data.get("sanction")
    if state is None:
        return (
            f"{fact}, of {data['unit_id']}: ladder {data['ladder']}, {data.get('basis') or data['because']}"
        )
    return f"{fact}, of {data['unit_id']}: step {state['step']}, {state['measure']}, {state['status']}"


def _ranking(data: Data) -> str:
    return f"{data['list']}, with FEEDBACK up to {data['positions'][FEEDBACK]}"


_WORDS: Final[Mapping[str, tuple[str, Callable[[Data], str] | None]]] = {
    SUBMITTED: ("received", _rating),
    type_of(FeedbackConflicted): ("conflicted", lambda data: f"the key of {data['first_event_id']} again"),
    type_of(FeedbackCorrected): ("corrected", _revision),
    type_of(FeedbackWithdrawn): ("withdrawn", _revision),
    type_of(FeedbackExcluded): ("excluded", _revision),
    type_of(FeedbackReinstated): ("reinstated", _revision),
    type_of(FeedbackQuarantined): ("quarantined", _revision),
    type_of(FeedbackReleased): ("released", _revision),
    REVISED: ("ranked", _ranking),
    MOVED: ("rank_moved", _move),
    RESTATED: ("restated", lambda data: f"{data['list']}, restatement {data['restatement']}"),
    RAISED: ("alert", _alert),
    type_of(AlertDelivered): ("delivered", _delivery),
    type_of(AlertDeliveryFailed): (
        "undelivered", lambda data: f"by {data['channel']}, {data['attempts']} attempts",
    ),
    ACKNOWLEDGED: ("acknowledged", lambda data: f"alert {data['alert_id']}"),
    type_of(MessageDeadLettered): (
        "dead_lettered", lambda data: f"{data['consumer']} gave up: {data['error']}",
    ),
}  # fmt: skip
