"""What scoring needs of the world: stores of rankings and snapshots, a bus to announce on, dead letters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from services.scoring.application.closing import Settled
from services.scoring.application.fold import Message
from services.scoring.application.published import PublishedList, StoredRankings
from services.scoring.application.told import Told
from services.scoring.domain.announcements import Announcement
from services.scoring.domain.flags import Flags, Notice
from services.scoring.domain.snapshots import Refusal, Snapshot, StreamState
from shared.kernel.errors import PermanentError, TransientError

MOST_KEYS: Final = 1000
"""Entries of one commit: the broker's limit for one atomic batch."""


class StoreConflictError(TransientError):
    """Somebody else wrote to the store since we read it; nothing of ours was written."""


class SnapshotDamagedError(PermanentError):
    """What the store keeps is not what was stored: bytes are missing or others."""


@dataclass(frozen=True, slots=True)
class Revision:
    """A list that changed: its rows, or what it says about itself.

    Attributes:
        list: the list as it is about to be published.
        previous_hash: hash of what was published before; None at first.
        changed: places of the changed rows; none if only its head did.
        items: canonical JSON of those rows.
        gone: ids of units that were shown and are not in the list any more.
        withdrawn: there is no such list any more.
    """

    list: PublishedList
    previous_hash: str | None
    changed: Sequence[int]
    items: Sequence[bytes]
    gone: Sequence[str] = ()
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Announcements:
    """What one publication says on the bus, all of it at one position under one rule pack.

    Attributes:
        position: last sequence of FEEDBACK.
        cases: last sequence of CASES.
    """

    revisions: Sequence[Revision]
    units: Sequence[Announcement]
    periods: Sequence[Settled]
    position: int
    as_of: str
    rules: str
    decided_at: datetime
    cases: int = 0


class RankingStore(Protocol):
    """Role: keeps what is published, and lets only one writer at a time go on."""

    async def load(self) -> StoredRankings:
        """Read everything, and remember its state for the next :meth:`commit`.

        Raises:
            TransientError: the store is away.
        """
        ...

    async def refresh(self, known: StoredRankings) -> StoredRankings:
        """Like :meth:`load`, but read only what was written since ``known`` was loaded or refreshed here.

        Raises:
            TransientError: the store is away.
        """
        ...

    async def commit(self, fenced: Mapping[str, bytes], others: Mapping[str, bytes]) -> None:
        """Write all entries, or none.

        Args:
            fenced: keys that must stand as they were at the last load or commit; at least one. An empty value
                deletes its key.
            others: keys written along with them, or deleted.

        Raises:
            InvalidValueError: nothing is fenced, so that two writers could not be told apart; or more than
                `MOST_KEYS` entries.
            StoreConflictError: a fenced key was written by somebody else; load again.
            TransientError: it is not known whether the entries were written; load again.
        """
        ...


class SnapshotStore(Protocol):
    """Role: keeps the last snapshots, and lets only one writer at a time say which count."""

    async def catalogue(self) -> Sequence[Snapshot]:
        """The snapshots that count, newest first; the next :meth:`save` replaces what was read here.

        What nobody can read is left out and reported.

        Raises:
            TransientError: the store is away.
        """
        ...

    async def read(self, snapshot: Snapshot) -> bytes:
        """The blob of one of them, its size and hash checked.

        Raises:
            SnapshotDamagedError: bytes are missing or others.
            TransientError: the store is away.
        """
        ...

    async def save(self, snapshot: Snapshot, blob: bytes) -> Snapshot:
        """Store ``blob``, then let it count as the newest, then delete what no longer counts.

        Returns:
            The snapshot with its ``blob`` filled in.

        Raises:
            StoreConflictError: somebody else saved since the catalogue was read; nothing counts for this.
            TransientError: not known whether it counts, or there is no room.
        """
        ...


class StreamHistory(Protocol):
    """Role: looks at the stream itself, to tell whether it still says what was folded."""

    async def look(self, position: int) -> StreamState:
        """The stream as it stands, and the message at ``position``.

        Raises:
            TransientError: the broker is away.
        """
        ...


@dataclass(frozen=True, slots=True)
class ArchivedMessage:
    """One message of the stream as the archive kept it.

    Attributes:
        kept: False: it was no event, so that only its hash was kept and ``data`` is empty.
    """

    sequence: int
    subject: str
    data: bytes
    kept: bool = True


class FeedbackArchive(Protocol):
    """Role: remembers every message of the stream, also those that the broker has dropped."""

    async def read(self, after: int, most: int) -> Sequence[ArchivedMessage]:
        """The next messages behind the sequence ``after``, by sequence, at most ``most``.

        Fewer are no sign of the end; none at all says that nothing behind it is archived yet. A sequence that
        was lost is left out.

        Raises:
            TransientError: it is away.
            PermanentError: what it says does not belong together.
        """
        ...


class SnapshotObserver(Protocol):
    """Role: measures leadership and snapshots; every call is cheap and never fails."""

    def leading(self, *, leads: bool) -> None:
        """This replica leads now, or no longer."""
        ...

    def snapshot_saved(self, snapshot: Snapshot, seconds: float) -> None:
        """``snapshot`` counts now; taking and storing it took ``seconds``."""
        ...

    def snapshot_failed(self) -> None:
        """One could not be stored; the next is tried when it is due."""
        ...

    def snapshot_restored(self, snapshot: Snapshot) -> None:
        """The fold began from ``snapshot``."""
        ...

    def snapshot_refused(self, refusal: Refusal) -> None:
        """A snapshot was not used."""
        ...

    def history_changed(self, *, changed: bool) -> None:
        """The stream no longer says what was folded, and nobody has allowed that; or it does again."""
        ...


class RankingEvents(Protocol):
    """Role: tells the platform and the public what changed."""

    async def catch_up(self) -> None:
        """Remember what was said last; before the rankings are read that the next announcements rest on.

        Raises:
            TransientError: no answer.
        """
        ...

    async def told_since(self, sequence: int) -> Told:
        """What was told behind ``sequence``, by whomever.

        Raises:
            TransientError: no answer.
        """
        ...

    async def publish(self, announcements: Announcements) -> int:
        """Make the events durable; the same announcements give the same event ids.

        Returns:
            The sequence of the last one.

        Raises:
            StoreConflictError: somebody else announced revisions since; nothing of this was said.
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


class CaseObserver(Protocol):
    """Role: measures the fold of cases; every call is cheap and never fails."""

    def cases_folded(self, messages: int, lag: int) -> None:
        """``messages`` of CASES were folded, ``lag`` are still to come."""
        ...

    def case_left_out(self) -> None:
        """A message was no event of a case."""
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
