"""Event queries as MongoDB filters, each led by an index: no query of the API scans the collection."""

from dataclasses import dataclass
from typing import Any, Final

from services.archive.adapters import schema
from services.archive.application.ports import EventQuery, Position
from shared.messaging.streams import ARCHIVED, STREAMS

EVERYWHERE: Final = "all"
BY_INDEX: Final = "_id_"

_STREAM_OF: Final = {
    subject.split(".")[0]: spec.name for spec in STREAMS if spec.name in ARCHIVED for subject in spec.subjects
}

_NARROWEST_FIRST: Final = (
    ("correlation_id", schema.CORRELATION),
    ("unit_id", schema.UNIT),
    ("county", schema.COUNTY),
    ("city", schema.CITY),
    ("type", schema.TYPE),
    ("stream", schema.STREAM_SEQUENCE),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """A find: filter, sort fields (ascending or descending together) and the index that leads it.

    Attributes:
        hint: name of an index; None leaves the choice to the server.
    """

    filter: dict[str, Any]
    sort: list[tuple[str, int]]
    hint: str | None


def plan(query: EventQuery, after: Position | None) -> Plan:
    """How to find ``query`` behind ``after``, in the order of the log.

    Within one stream the order of the log is the order of its sequences, so (stream, sequence) serves both.
    """
    step = 1 if query.order == "asc" else -1
    wanted = _conditions(query)
    index = _leading_index(wanted)
    if index == schema.STREAM_SEQUENCE:
        if after is not None:
            wanted["sequence"] = {"$gt" if step > 0 else "$lt": after.sequence}
        return Plan(wanted, [("sequence", step)], index)
    if after is not None:
        wanted["_id"] = {"$gt" if step > 0 else "$lt": after.index}
    return Plan(wanted, [("_id", step)], index)


def _conditions(query: EventQuery) -> dict[str, Any]:
    wanted: dict[str, Any] = {
        name: value
        for name in ("unit_id", "type", "stream", "correlation_id", "city", "county")
        if (value := getattr(query, name)) is not None
    }
    if query.subject is not None and not query.subject.everything:
        _add_subject(wanted, query)
    time: dict[str, Any] = {}
    if query.start is not None:
        time["$gte"] = query.start
    if query.end is not None:
        time["$lt"] = query.end
    if time:
        wanted["time"] = time
    return wanted


def _add_subject(wanted: dict[str, Any], query: EventQuery) -> None:
    subject = query.subject
    if subject is None:
        return
    exact = subject.exact
    wanted["subject"] = {"$regex": subject.regex} if exact is None else exact
    # Said once more by the fields that have an index; a contradiction rightly finds nothing.
    stream = _STREAM_OF.get(subject.context or "")
    for name, value in (("stream", stream), ("city", subject.city), ("county", subject.county)):
        if value is not None:
            wanted.setdefault(name, value)


def _leading_index(wanted: dict[str, Any]) -> str | None:
    """The index with the fewest entries to look at, as far as the kind of field tells."""
    for name, index in _NARROWEST_FIRST:
        if wanted.get(name, EVERYWHERE) != EVERYWHERE:
            return index
    # A short period is found by time, most of the log by its index; the server tries both.
    return None if "time" in wanted else BY_INDEX
