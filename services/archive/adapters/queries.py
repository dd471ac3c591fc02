"""Event queries as MongoDB finds, each led by an index: no query of the API scans the collection (ADR 0020).

The conditions that an index holds are bounds on it. What is left is looked up entry by entry, and no page
looks at more than :data:`LOOKED_AT` of them: it ends early instead, with a cursor behind the last one.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from services.archive.adapters import schema
from services.archive.application.ports import EventQuery, Position, Snapshot
from services.archive.domain.entries import WHOLE
from shared.messaging.streams import ARCHIVED, FEEDBACK, STREAMS

LOOKED_AT: Final = 2_000
"""Most entries of one index range that a page looks into for conditions that the index does not hold."""
BEGINNING: Final = datetime(1, 1, 1, tzinfo=UTC)
"""Bound of a query without one: entries without a time (unparseable) are of no unit, region, type or time."""

CITY_DIGITS: Final = 4
"""A county's code begins with its city's (GB/T 2260)."""

Filter = dict[str, Any]

_STREAM_OF: Final = {
    subject.split(".")[0]: spec.name for spec in STREAMS if spec.name in ARCHIVED for subject in spec.subjects
}

_NARROWEST_FIRST: Final = (
    ("correlation_id", schema.CORRELATION),
    ("case_id", schema.CASE),
    ("actor", schema.ACTOR),
    ("unit_id", schema.UNIT),
    ("city", schema.CITY),
    ("type", schema.TYPE),
    ("time", schema.TIME),
    ("stream", schema.STREAM_SEQUENCE),
)


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a page: a range of the index, in the page's order.

    Attributes:
        bounds: conditions on the index's own fields.
        field: what moves within the range: ``time``, ``sequence`` or ``_id``.
    """

    bounds: Filter
    field: str

    @property
    def keys(self) -> Filter:
        """The conditions that the index alone can tell."""
        if self.field != "sequence":
            return self.bounds
        return {name: value for name, value in self.bounds.items() if name != "_id"}


@dataclass(frozen=True, slots=True)
class Plan:
    """The finds of one page, one after the other until it is full.

    Attributes:
        hint: name of the index that all of them use.
        sort: fields and directions, as the index has them.
        segments: what has the cursor's own time, then what is behind it; or one.
        others: conditions that the index does not hold.
    """

    hint: str
    sort: tuple[tuple[str, int], ...]
    segments: tuple[Segment, ...]
    others: Filter

    @property
    def step(self) -> int:
        """1 ascending, -1 descending."""
        return self.sort[0][1]

    @property
    def place(self) -> dict[str, int]:
        """The projection that tells where an entry stands in this order, from the index alone."""
        return {"_id": 0} | {name: 1 for name, _ in self.sort}


def plan(query: EventQuery, snapshot: Snapshot, after: Position | None) -> Plan:
    """How to find a page of ``query`` in ``snapshot`` behind ``after``.

    Within one stream the order of the log is the order of its sequences, so (stream, sequence) serves both.
    """
    lead = _lead(query, snapshot.size, 1 if query.order == "asc" else -1)
    if snapshot.until is not None and lead.field != "_id":
        until = snapshot.until.time if lead.field == "time" else snapshot.until.sequence
        lead = replace(lead, bounds=_narrowed(lead.bounds, lead.field, "$lte", until))
    if after is None:
        return lead.plan(Segment(lead.bounds, lead.field))
    behind = _BEHIND[lead.step]
    if lead.field != "time":
        place = after.sequence if lead.field == "sequence" else after.index
        return lead.plan(Segment(_narrowed(lead.bounds, lead.field, behind, place), lead.field))
    # Two exact ranges rather than one with an $or: thousands of entries may have the same time, as an import
    # of paper forms does, and each page would go through those before its cursor once more.
    same = _narrowed({**lead.bounds, "time": after.time}, "_id", behind, after.index)
    later = _narrowed(lead.bounds, "time", behind, after.time)
    return lead.plan(Segment(same, "_id"), Segment(later, "time"))


def last_of(query: EventQuery, size: int) -> Plan | None:
    """How to find the last entry of the range that leads ``query``; None if the log's size ends it anyway."""
    lead = _lead(query, size, -1)
    return None if lead.field == "_id" else replace(lead.plan(Segment(lead.bounds, lead.field)), others={})


@dataclass(frozen=True, slots=True)
class _Lead:
    """The index range that a query reads, before it is cut into pages."""

    hint: str
    field: str
    step: int
    bounds: Filter
    others: Filter

    def plan(self, *segments: Segment) -> Plan:
        fields = ("time", "_id") if self.field == "time" else (self.field,)
        return Plan(self.hint, tuple((name, self.step) for name in fields), segments, self.others)


def _lead(query: EventQuery, size: int, step: int) -> _Lead:
    wanted = _conditions(query)
    hint = _leading_index(query, wanted)
    fields = schema.INDEXES.get(hint, ("_id",))
    field = next(name for name in ("time", "sequence", "_id") if name in fields)
    bounds = {name: value for name, value in wanted.items() if name in fields}
    # No `_id` stands beside a sequence in its index; there, what came since the size was read is passed over.
    bounds["_id"] = {"$gte": query.since, "$lt": size} if query.since else {"$lt": size}
    if field == "time":
        bounds = _narrowed(bounds, "time", "$gte", BEGINNING)
    others = {name: value for name, value in wanted.items() if name not in fields}
    return _Lead(hint, field, step, bounds, others)


_BEHIND: Final = {1: "$gt", -1: "$lt"}
_UP_TO: Final = {1: "$lte", -1: "$gte"}
_BEFORE: Final = {1: "$lt", -1: "$gt"}


def cut(segment: Segment, step: int, at: Position) -> tuple[Segment, Position]:
    """``segment`` ended at the entry ``at`` or before it, and where to go on behind that."""
    if segment.field == "time":
        # Exclusive: how many entries have that time is not known.
        before = Position(-1 if step > 0 else schema.MOST_INDEX, at.sequence, at.time)
        return replace(segment, bounds=_narrowed(segment.bounds, "time", _BEFORE[step], at.time)), before
    place = at.sequence if segment.field == "sequence" else at.index
    return replace(segment, bounds=_narrowed(segment.bounds, segment.field, _UP_TO[step], place)), at


def _narrowed(bounds: Filter, field: str, operator: str, value: object) -> Filter:
    """``bounds`` with one more bound on ``field``; of two on the same side the narrower."""
    old: Any = bounds.get(field, {})
    if not isinstance(old, dict):
        return bounds
    sides = ("$gt", "$gte") if operator in {"$gt", "$gte"} else ("$lt", "$lte")
    kept = {name: bound for name, bound in old.items() if name not in sides}
    rivals: list[tuple[Any, str]] = [(bound, name) for name, bound in old.items() if name in sides]
    rivals.append((value, operator))
    lower = operator in {"$gt", "$gte"}
    edge = (max if lower else min)(bound for bound, _ in rivals)
    # Of two equal bounds the exclusive one is the narrower.
    name = min((name for bound, name in rivals if bound == edge), key=len)
    return {**bounds, field: {**kept, name: edge}}


def _conditions(query: EventQuery) -> Filter:
    names = ("unit_id", "type", "stream", "correlation_id", "case_id", "actor", "city", "county")
    wanted: Filter = {name: value for name in names if (value := getattr(query, name)) is not None}
    if query.subject is not None and not query.subject.everything:
        _add_subject(wanted, query)
    time: Filter = {}
    if query.start is not None:
        time["$gte"] = query.start
    if query.end is not None:
        time["$lt"] = query.end
    if time:
        wanted["time"] = time
    if wanted.get("type") == schema.COMMONEST_TYPE:
        wanted.setdefault("stream", FEEDBACK)
    if wanted.get("county", WHOLE) != WHOLE:
        wanted.setdefault("city", wanted["county"][:CITY_DIGITS])
    return wanted


def _add_subject(wanted: Filter, query: EventQuery) -> None:
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


def _leading_index(query: EventQuery, wanted: Filter) -> str:
    """The index with the fewest entries to look at, as far as the kind of field tells."""
    for name, index in _NARROWEST_FIRST:
        if name not in wanted or wanted[name] in schema.NOT_INDEXED.get(name, ()):
            continue
        if query.since and schema.INDEXES[index][1] != "_id":
            break  # what is new since then is at the end of the log, and nowhere in particular by time
        return index
    return schema.BY_INDEX
