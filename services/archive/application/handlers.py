"""Reading the log: one function for each use case of the HTTP API."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.archive.application.ports import EntryLog, EventQuery, Position
from services.archive.domain.entries import Entry
from shared.kernel.errors import NotFoundError

STATE_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Page:
    """Entries in the order of the log, and where the next page starts; None at the end."""

    entries: list[Entry]
    next: Position | None


@dataclass(frozen=True, slots=True)
class LogState:
    """The end of the log and the last archived sequence of each stream."""

    size: int
    positions: dict[str, int]


async def list_events(entry_log: EntryLog, query: EventQuery, after: Position | None, limit: int) -> Page:
    """One page. Going on from ``next`` gives every matching entry once, whatever arrives meanwhile.

    Raises:
        LogUnavailableError: the store does not answer, or the query takes too long.
    """
    # One more than asked for tells whether there is another page.
    entries, complete = await entry_log.page(query, after, limit + 1)
    if complete and len(entries) <= limit:
        return Page(entries, None)
    entries = entries[:limit]
    return Page(entries, Position(entries[-1].index, entries[-1].leaf.sequence))


async def read_stream(entry_log: EntryLog, stream: str, after: int, limit: int) -> list[Entry]:
    """The next entries of one stream behind the sequence ``after``, by sequence; empty: none is there yet.

    At most ``limit``; fewer where they are big.

    Raises:
        LogUnavailableError: the store does not answer, or the query takes too long.
    """
    entries, _ = await entry_log.page(EventQuery(stream=stream), Position(0, after), limit)
    return entries


async def find_event(entry_log: EntryLog, event_id: str) -> list[Entry]:
    """The entry of an event, then its duplicates.

    Raises:
        NotFoundError: the log has no event of this id.
        LogUnavailableError: the store does not answer.
    """
    entries = await entry_log.of_event(event_id)
    if not entries:
        raise NotFoundError(
            event_id,
            "the id of an archived event",
            "check the id; an event is archived within seconds of being published",
            field="event_id",
        )
    return entries


async def read_state(entry_log: EntryLog, streams: Sequence[str]) -> LogState:
    """Where the log ends now: size and positions of one moment, unless entries arrive faster than we read.

    Then the positions may be a little older than the size, never newer.

    Raises:
        LogUnavailableError: the store does not answer.
    """
    size = await entry_log.size()
    for _ in range(STATE_ATTEMPTS):
        positions = await entry_log.positions(streams)
        before, size = size, await entry_log.size()
        if size == before:
            break
    return LogState(size, positions)
