"""Which reads of the log are told to the audit trail."""

from typing import cast

import pytest

from services.archive.application.envelopes import read_attributes
from services.archive.application.ports import EntryLog, EventQuery, Position, Snapshot
from services.archive.application.reading import Reads
from services.archive.domain.entries import Arrival, Entry
from services.archive.domain.leaves import seal
from services.archive.domain.reads import Reader, Request
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
