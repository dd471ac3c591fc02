"""Which reads of the log are told to the audit trail."""

from dataclasses import replace
from typing import cast

import pytest

from services.archive.application.envelopes import read_attributes
from services.archive.application.ports import EntryLog, EventQuery, Position, Snapshot
from services.archive.application.reading import Reads
from services.archive.domain.entries import Arrival, Entry
from services.archive.domain.leaves import seal
from services.archive.domain.reads import Reader, Request
from shared.kernel.errors import InvalidValueError
from shared.messaging.streams import ALERTS, AUDIT, CASES, FEEDBACK, RANKING, REGISTRY
from tests.unit.archive.test_numbered_reads import Journal

REQUEST = Request(Reader("city-auditor", verified=True), "page", "json", {})
WORDS = ("audit.records-read", "audit.batch-sequenced", "audit.checkpoint-signed")


class Holds:
    """The part of an `EntryLog` that such reads use: one entry on each page."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry

    async def size(self) -> int:
        return 1

    async def last(self, _query: EventQuery, _size: int) -> Position | None:
        return None

    async def of_event(self, _event_id: str) -> list[Entry]:
        return [self.entry]

    async def page(
        self, _query: EventQuery, _snapshot: Snapshot, _after: Position | None, _limit: int
    ) -> tuple[list[Entry], Position | None]:
        return [self.entry], None


def holding(stream: str, event_type: str) -> tuple[Reads, Journal]:
    """Reads of a log that holds one event."""
    raw = (
        f'{{"specversion":"1.0","id":"one","source":"/pingyi/x","type":"cn.pingyi.{event_type}.v1",'
        '"correlationid":"one","time":"2026-03-02T04:00:00Z","receivedat":"2026-03-02T04:00:00Z","data":{}}'
    ).encode()
    (entry,) = seal(0, [Arrival(stream, 1, "x.v1.y.all.all", raw, read_attributes(raw))], {})
    journal = Journal()
    return Reads(cast("EntryLog", Holds(entry)), journal), journal


@pytest.mark.parametrize(
    ("stream", "event_type", "told"),
    [
        (FEEDBACK, "feedback.submitted", 1),
        (CASES, "cases.opened", 1),
        (REGISTRY, "registry.panel-drawn", 1),
        (AUDIT, "audit.unmasking-requested", 1),
        (AUDIT, "audit.unmasking-decided", 1),
        (AUDIT, "audit.identity-unmasked", 1),
        (AUDIT, "audit.stream-diverged", 0),
        (RANKING, "ranking.published", 0),
        *((AUDIT, word, 0) for word in WORDS),
    ],
)
async def test_reads_of_what_is_about_people_are_told_wherever_it_stands(
    stream: str, event_type: str, told: int
) -> None:
    reads, journal = holding(stream, event_type)
    await reads.page(REQUEST, EventQuery(), None, 10)
    assert [read.rows for read in journal.reads] == [1] * told
    await reads.event(REQUEST, "one")
    assert [read.rows for read in journal.reads] == [1, 1] * told


@pytest.mark.parametrize(
    ("stream", "event_type", "told"),
    [
        (ALERTS, "alerts.raised", 1),
        (AUDIT, "audit.stream-diverged", 1),
        (AUDIT, "audit.unmasking-decided", 1),
        *((AUDIT, word, 0) for word in WORDS),
    ],
)
async def test_whoever_replays_a_stream_is_told_of_except_for_what_the_log_says_of_itself(
    stream: str, event_type: str, told: int
) -> None:
    reads, journal = holding(stream, event_type)
    assert len(await reads.messages(REQUEST, stream, 0, 10)) == 1
    assert [read.rows for read in journal.reads] == [1] * told


class Finds(Holds):
    """A log with one entry, which a query finds by its type and unit."""

    async def page(
        self, query: EventQuery, _snapshot: Snapshot, _after: Position | None, _limit: int
    ) -> tuple[list[Entry], Position | None]:
        found = self.entry.leaf.attributes
        assert found is not None
        same = query.type in (None, found.type) and query.unit_id in (None, found.unit_id)
        return [self.entry] if same else [], None


@pytest.mark.parametrize(
    ("query", "field", "remedy"),
    [
        (EventQuery(type="cn.pingyi.feedback.submited.v1"), "type", "cn.pingyi.feedback.submitted.v1"),
        (EventQuery(type="FeedbackSubmitted"), "type", "see docs/events.md"),
        (EventQuery(unit_id="U00112"), "unit_id", "U and six digits"),
        (EventQuery(unit_id="东湖区婚姻登记处"), "unit_id", "U and six digits"),
    ],
)
async def test_a_type_or_unit_that_there_cannot_be_is_refused_unless_the_log_has_it(
    query: EventQuery, field: str, remedy: str
) -> None:
    reads, _ = holding(FEEDBACK, "feedback.submitted")
    await reads.require_possible(query)  # whatever it is, this log has it

    log = Finds(cast("Holds", reads.entry_log).entry)
    with pytest.raises(InvalidValueError) as caught:
        await replace(reads, entry_log=cast("EntryLog", log)).require_possible(query)
    assert caught.value.field == field
    assert remedy in str(caught.value)


async def test_known_types_and_ids_of_units_are_taken_whether_or_not_the_log_has_them() -> None:
    reads, _ = holding(FEEDBACK, "feedback.submitted")
    for query in (EventQuery(), EventQuery(type="cn.pingyi.cases.opened.v1"), EventQuery(unit_id="U999999")):
        await replace(reads, entry_log=cast("EntryLog", None)).require_possible(query)
