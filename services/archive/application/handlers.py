"""Reading the log: one function for each use case of the HTTP API."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.archive.application.ports import EntryLog
from services.archive.domain.entries import Entry
from shared.kernel.errors import NotFoundError

STATE_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class LogState:
    """The end of the log and the last archived sequence of each stream."""

    size: int
    positions: dict[str, int]


Visible = Callable[[Entry], bool]
"""Tells whether an entry is for the eyes of whoever asks."""


def everything(_entry: Entry) -> bool:
    """Of somebody who may see the whole log."""
    return True


async def find_event(entry_log: EntryLog, event_id: str, visible: Visible = everything) -> list[Entry]:
    """The entry of an event, then its duplicates.

    Raises:
        NotFoundError: the log has no event of this id, or none that is ``visible``: both sound the same.
        LogUnavailableError: the store does not answer.
    """
    entries = [each for each in await entry_log.of_event(event_id) if visible(each)]
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
