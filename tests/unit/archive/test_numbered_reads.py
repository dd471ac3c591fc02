"""A stream read from the log in its own numbers, whatever was decided about it."""

from collections.abc import Sequence
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from services.archive.application.ports import EntryLog, EventQuery, Position, Snapshot
from services.archive.application.reading import Numbered, Reads
from services.archive.domain.entries import Entry, Kind, Leaf
from services.archive.domain.epochs import Accepted, Numbering
from services.archive.domain.reads import Read, Reader, Request
from shared.messaging.streams import RANKING

REQUEST = Request(Reader("scoring", verified=False), "page", "ndjson", {})


class Kept:
    """The part of an `EntryLog` that such reads use: some sequences, on pages that may be cut short."""

    def __init__(self, sequences: Sequence[int], cut: int) -> None:
        self.sequences = sequences
        self.cut = cut

    async def size(self) -> int:
        return len(self.sequences)

    async def page(
        self, query: EventQuery, _snapshot: Snapshot, after: Position, limit: int
    ) -> tuple[list[Entry], Position | None]:
        assert query.stream == RANKING
        assert limit > 0
        behind = [each for each in self.sequences if each > after.sequence]
        page = behind[: min(limit, self.cut)]
        leaves = [Leaf(Kind.UNPARSEABLE, RANKING, each, "ranking", None, None, b"") for each in page]
        entries = [Entry(leaf.sequence - 1, leaf, None, b"") for leaf in leaves]
        return entries, Position.of(entries[-1]) if len(page) < len(behind) else None


class Journal:
    """Plays `ReadJournal`."""

    def __init__(self) -> None:
        self.reads: list[Read] = []

    def new_id(self) -> str:
        return "read"

    async def record(self, read: Read) -> None:
        self.reads.append(read)


async def read_all(reads: Reads, limit: int) -> list[Numbered]:
    found: list[Numbered] = []
    while part := await reads.messages(REQUEST, RANKING, found[-1].sequence if found else 0, limit):
        assert len(part) <= limit
        found += part
    return found


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 15)), max_size=5),
    st.integers(1, 12),
    st.integers(1, 12),
)
async def test_every_message_that_the_stream_has_comes_once_under_its_own_number(
    histories: list[tuple[int, int]], limit: int, cut: int
) -> None:
    """The stream grows, goes back, is accepted, grows again …; the log counts on."""
    decisions: list[Accepted] = []
    archived = last = 0
    for grown, back in histories:
        archived, last = archived + grown, last + grown
        if back:
            last = max(0, last - back)
            decisions.append(Accepted(last, archived - last))
    numbering = Numbering.after(decisions)
    kept = Kept(range(1, archived + 1), cut)
    journal = Journal()
    reads = Reads(cast("EntryLog", kept), journal, lambda _: numbering)
    found = await read_all(reads, limit)
    assert sum(read.rows or 0 for read in journal.reads) == len(found), "every one is told"
    assert all(read.rows for read in journal.reads), "that nothing follows is not told"
    assert [each.sequence for each in found] == list(range(1, last + 1))
    assert [each.entry.leaf.sequence for each in found] == [
        numbering.archived_as(number) for number in range(1, last + 1)
    ]


async def test_a_reader_at_the_fork_is_not_told_that_nothing_follows() -> None:
    """Scoring asks from one before, so that an answer with that one alone would be no answer."""
    numbering = Numbering.after([Accepted(10, 20)])
    kept = Kept(range(1, 36), 100)
    reads = Reads(cast("EntryLog", kept), Journal(), lambda _: numbering)
    found = await reads.messages(REQUEST, RANKING, 9, 5)
    assert [(each.sequence, each.entry.leaf.sequence) for each in found] == [
        (10, 10), (11, 31), (12, 32), (13, 33), (14, 34),
    ]  # fmt: skip
