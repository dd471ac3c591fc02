"""Reading entries for people: what is personal or in bulk is told to the audit trail first (ADR 0020).

The word about a read is durable before anything of it is sent, so that nobody reads unseen because something
broke at the right moment. Without the broker there is no word, and so no personal record either.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Final, NamedTuple

from services.archive.application.handlers import Visible, everything, find_event
from services.archive.application.ports import EntryLog, EventQuery, Position, ReadJournal, Snapshot
from services.archive.application.tracing import trace
from services.archive.domain.entries import Entry, Stored
from services.archive.domain.epochs import Numbering
from services.archive.domain.reads import Read, Request
from services.archive.domain.story import Story
from shared.events import (
    EVENTS,
    BatchSequenced,
    CheckpointSigned,
    IdentityUnmasked,
    RecordsRead,
    UnmaskingDecided,
    UnmaskingRequested,
    spec_for_data,
)
from shared.kernel.errors import InvalidValueError
from shared.kernel.ids import UNIT_ID_FORM
from shared.messaging.streams import CASES, FEEDBACK, REGISTRY

PERSONAL: Final = frozenset({FEEDBACK, CASES, REGISTRY})
"""Streams whose events are about single people: pseudonyms, sealed texts, what somebody complained of; who
approved what, who sits on a panel, whom a sanction meets."""
PERSONAL_TYPES: Final = frozenset(
    spec_for_data(each).event_type for each in (UnmaskingRequested, UnmaskingDecided, IdentityUnmasked)
)
"""The same, wherever they are: who wanted to know whose number, and why."""
OWN_WORDS: Final = frozenset(
    spec_for_data(each).event_type for each in (RecordsRead, BatchSequenced, CheckpointSigned)
)
"""What the archive says of itself. A word about reading these would be read next, and so on for ever."""
TYPES: Final = tuple(spec.event_type for spec in EVENTS)
EXPORT_ROWS: Final = 500
"""Entries that an export holds in memory at once; fewer where they are big."""


@dataclass(frozen=True, slots=True)
class Page:
    """Entries of a page, the log that they are of, and where the next page starts; None at the end."""

    entries: list[Entry]
    snapshot: Snapshot
    next: Position | None


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a later page begins, and in which log."""

    snapshot: Snapshot
    after: Position


class Numbered(NamedTuple):
    """An entry with the sequence that the stream itself has for it."""

    sequence: int
    entry: Entry


def _plain(_stream: str) -> Numbering:
    return Numbering()


@dataclass(frozen=True, slots=True)
class Reads:
    """The use cases. Each raises ``TransientError``: the store does not answer, or the word can't be kept.

    Attributes:
        numbering: how a stream is numbered in the log.
    """

    entry_log: EntryLog
    journal: ReadJournal
    numbering: Callable[[str], Numbering] = _plain

    async def require_possible(self, query: EventQuery) -> None:
        """Return unless it asks for a type or a unit that there can't be.

        What neither the catalogue nor the form of ids knows is looked for: the log has events of contracts
        that are newer than this version, too, and a value that finds something is never refused.

        Raises:
            InvalidValueError: it does, and nothing in the log has that type or unit.
        """
        kind, unit_id = query.type, query.unit_id
        if not (kind is None or kind in TYPES or await self._any(EventQuery(type=kind))):
            near = " or ".join(get_close_matches(kind, TYPES, n=2, cutoff=0))
            raise InvalidValueError(
                kind, f"a type that there is, such as {near}", "see docs/events.md", field="type"
            )
        well_formed = unit_id is None or UNIT_ID_FORM.fullmatch(unit_id) is not None
        if not (well_formed or await self._any(EventQuery(unit_id=unit_id))):
            raise InvalidValueError(
                unit_id, "the id of a unit: U and six digits", "take it from the registry", field="unit_id"
            )

    async def _any(self, query: EventQuery) -> bool:
        snapshot = Snapshot(await self.entry_log.size(), None)
        entries, _ = await self.entry_log.page(query, snapshot, None, 1)
        return bool(entries)

    async def page(self, request: Request, query: EventQuery, resume: Resume | None, limit: int) -> Page:
        """One page. Going on from ``next`` gives every entry that fits once, whatever arrives meanwhile."""
        if resume is None:
            entries, snapshot, behind = await first_page(self.entry_log, query, limit)
        else:
            snapshot = resume.snapshot
            entries, behind = await self.entry_log.page(query, snapshot, resume.after, limit)
        await self._told(request, entries, snapshot.size)
        return Page(entries, snapshot, behind)

    async def event(self, request: Request, event_id: str, visible: Visible = everything) -> list[Entry]:
        """The entry of an event, then its duplicates.

        Raises:
            NotFoundError: the log has no event of this id, or it is not ``visible``.
        """
        entries = await find_event(self.entry_log, event_id, visible)
        await self._told(request, entries, entries[-1].index + 1)
        return entries

    async def story(self, request: Request, asked: str, visible: Visible = everything) -> Story:
        """The story of an event or a correlation id, as far as ``visible``; a read of personal records.

        Raises:
            NotFoundError: the log has neither.
        """
        story = await trace(self.entry_log, asked, visible)
        await self._tell(request, story.size, len(story.steps))
        return story

    async def export(self, request: Request, query: EventQuery) -> "Export":
        """Begin an export: when this returns, the audit trail has the word that it begins."""
        entries, snapshot, behind = await first_page(self.entry_log, query, EXPORT_ROWS)
        read = self.journal.new_id()
        await self.journal.record(Read(read, request, snapshot.size, "begun", None))
        return Export(self, request, query, read, Page(entries, snapshot, behind))

    async def signed_entries(
        self, request: Request, first: int, end: int, size: int
    ) -> AsyncIterator[Sequence[Stored]]:
        """The entries from index ``first`` up to, not with, ``end`` of a log of ``size``, as they are stored.

        When this returns, the audit trail has the word that somebody takes them away; when they have all been
        read, the word that it has ended. In constant memory.
        """
        read = self.journal.new_id()
        await self.journal.record(Read(read, request, size, "begun", None))
        return self._signed_parts(Read(read, request, size, "ended", None), first, end)

    async def _signed_parts(self, ended: Read, first: int, end: int) -> AsyncIterator[Sequence[Stored]]:
        rows = 0
        async for part in self.entry_log.scan(end - 1, first):
            rows += len(part)
            yield part
        await self.journal.record(replace(ended, rows=rows))

    async def messages(self, request: Request, stream: str, after: int, limit: int) -> list[Numbered]:
        """The next entries of one stream behind its own sequence ``after``, by that.

        Of a stream that went back and was accepted so: what it has now. What it had before is in the log
        under numbers that the stream has given to other messages since.

        Fewer where they are big; empty: nothing behind it is archived yet. Exact bytes by the thousand are
        a read in bulk, whatever they are about: it is told, unless they are the archive's own words alone.
        """
        snapshot = Snapshot(await self.entry_log.size(), None)
        found: list[Numbered] = []
        for first, last, offset in self.numbering(stream).segments:
            if last - offset <= after:
                continue
            behind = Position(-1, max(after + offset, first - 1), None)
            query, most = EventQuery(stream=stream), limit - len(found)
            entries, more = await self.entry_log.page(query, snapshot, behind, most)
            within = [each for each in entries if each.leaf.sequence <= last]
            found += [Numbered(each.leaf.sequence - offset, each) for each in within]
            if len(found) == limit or (more is not None and len(within) == len(entries)):
                break  # full, or cut short before the end of what is numbered so
        if any(_type_of(each.entry) not in OWN_WORDS for each in found):
            await self._tell(request, snapshot.size, len(found))
        return found

    async def leaf(self, request: Request, size: int) -> None:
        """Tell that somebody is given one leaf of a log of ``size`` by its index."""
        await self._tell(request, size, 1)

    async def _told(self, request: Request, entries: Sequence[Entry], size: int) -> None:
        if any(entry.leaf.stream in PERSONAL or _type_of(entry) in PERSONAL_TYPES for entry in entries):
            await self._tell(request, size, len(entries))

    async def _tell(self, request: Request, size: int, rows: int) -> None:
        await self.journal.record(Read(self.journal.new_id(), request, size, "answered", rows))


def _type_of(entry: Entry) -> str | None:
    attributes = entry.leaf.attributes
    return None if attributes is None else attributes.type


async def first_page(
    entry_log: EntryLog, query: EventQuery, limit: int
) -> tuple[list[Entry], Snapshot, Position | None]:
    """Entries of ``query`` in the log as it is now, that log, and where to go on in it."""
    snapshot = Snapshot(await entry_log.size(), None)
    entries, behind = await entry_log.page(query, snapshot, None, limit)
    if behind is not None and query.order == "asc":  # descending, a cursor bounds what is left by itself
        snapshot = Snapshot(snapshot.size, await entry_log.last(query, snapshot.size))
    return entries, snapshot, behind


@dataclass(frozen=True, slots=True)
class Export:
    """All entries of a query in a log of fixed size, a few at a time."""

    reads: Reads
    request: Request
    query: EventQuery
    read: str
    first: Page

    @property
    def size(self) -> int:
        """Entries in the log that it is of."""
        return self.first.snapshot.size

    async def parts(self) -> AsyncIterator[list[Entry]]:
        """The entries in order, in constant memory; at last the word that it has ended, and with how many."""
        part, after, rows = self.first.entries, self.first.next, 0
        while True:
            rows += len(part)
            if part:
                yield part
            if after is None:
                break
            part, after = await self.reads.entry_log.page(self.query, self.first.snapshot, after, EXPORT_ROWS)
        await self.reads.journal.record(Read(self.read, self.request, self.size, "ended", rows))
