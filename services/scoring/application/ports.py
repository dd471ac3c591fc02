"""What scoring needs of the world: a store of published rankings, a bus to announce on, dead letters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.scoring.application.fold import Message
from services.scoring.application.published import PublishedList, StoredRankings
from services.scoring.domain.announcements import Announcement
from services.scoring.domain.flags import Flags, Notice
from shared.kernel.errors import TransientError


class StoreConflictError(TransientError):
    """Somebody else wrote the rankings since we read them; nothing of ours was written."""


@dataclass(frozen=True, slots=True)
class Revision:
    """A list whose rows changed.

    Attributes:
        list: the list as it is about to be published.
        previous_hash: hash of what was published before; None at first.
        changed: places of the changed rows.
        items: canonical JSON of those rows.
    """

    list: PublishedList
    previous_hash: str | None
    changed: Sequence[int]
    items: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Announcements:
    """What one publication says on the bus, all of it at one position under one rule pack."""

    revisions: Sequence[Revision]
    units: Sequence[Announcement]
    position: int
    as_of: str
    rules: str
    decided_at: datetime


class RankingStore(Protocol):
    """Role: keeps what is published, and lets only one writer at a time go on."""

    async def load(self) -> StoredRankings:
        """Read everything, and remember its state for the next :meth:`commit`.

        Raises:
            TransientError: the store is away.
        """
        ...

    async def commit(self, fenced: Mapping[str, bytes], others: Mapping[str, bytes]) -> None:
        """Write all entries, or none.

        Args:
            fenced: keys that must stand as they were at the last load or commit; at least one.
            others: keys written along with them.

        Raises:
            InvalidValueError: nothing is fenced, so that two writers could not be told apart.
            StoreConflictError: a fenced key was written by somebody else; load again.
            TransientError: it is not known whether the entries were written; load again.
        """
        ...


class RankingEvents(Protocol):
    """Role: tells the platform and the public what changed."""

    async def publish(self, announcements: Announcements) -> None:
        """Make the events durable; the same announcements give the same event ids.

        Raises:
            TransientError: not known to be stored; publish again.
        """
        ...


class DeadLetterClerk(Protocol):
    """Role: files messages that are no ratings."""

    async def file(self, message: Message, error: BaseException) -> None:
        """Write the dead letter; the same message gives the same letter.

        Raises:
            TransientError: not known to be stored; file it again.
        """
        ...


class FoldObserver(Protocol):
    """Role: measures; every call is cheap and never fails."""

    def folded(self, messages: int, lag: int) -> None:
        """``messages`` were folded, ``lag`` are still to come."""
        ...

    def dead_lettered(self) -> None:
        """A message was no rating."""
        ...

    def computed(self, seconds: float) -> None:
        """All lists were computed in ``seconds``."""
        ...

    def published(self, lists: int, units: int, stored: StoredRankings, latencies_s: Sequence[float]) -> None:
        """``lists`` and news about ``units`` went out; ratings became visible after ``latencies_s``."""
        ...


class FlagStore(Protocol):
    """Role: keeps what is flagged, out of the public's sight, and lets only one writer at a time go on."""

    async def load(self) -> Flags:
        """Read what is flagged, and remember its state for the next :meth:`commit`.

        Raises:
            TransientError: the store is away.
        """
        ...

    async def commit(self, flags: Flags) -> None:
        """Replace what was there at the last load or commit.

        Raises:
            StoreConflictError: somebody else wrote meanwhile; load again.
            TransientError: it is not known whether it was written; load again.
        """
        ...


class FlagEvents(Protocol):
    """Role: tells those who may know what is flagged, and what no longer is."""

    async def publish(self, notices: Sequence[Notice]) -> None:
        """Make the events durable, in order; the same notice gives the same event.

        Raises:
            TransientError: not known to be stored; publish all of them again.
        """
        ...


class WatchObserver(Protocol):
    """Role: measures the watch over integrity; every call is cheap and never fails."""

    def examined(self, seconds: float, flags: Flags) -> None:
        """All units were examined in ``seconds``; ``flags`` stand now."""
        ...
