"""Roles that the archive needs filled: the stored log and its tree, announcements, the broker's streams."""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal, Protocol

from services.archive.domain.entries import Entry, Stored
from services.archive.domain.reads import Read
from services.archive.domain.subjects import SubjectFilter
from services.archive.domain.tiles import Tile
from shared.events.audit import BatchSequenced, CheckpointSigned
from shared.kernel.errors import PermanentError, TransientError
from shared.messaging.stored import StoredMessage

Order = Literal["asc", "desc"]
Link = Literal["event_id", "correlation_id", "causation_id", "case_id"]
"""What ties entries together."""


class LogUnavailableError(TransientError):
    """The store did not answer, or not in time; what was sent may or may not be stored."""


class HeadMovedError(TransientError):
    """Another writer took the next index, or stored the sequence: read the head again."""


class HeadInconsistentError(PermanentError):
    """What is stored contradicts what was signed or announced: such a head is never signed."""

    http_status: ClassVar[int] = 500
    title: ClassVar[str] = "The log contradicts what was signed"


class AnnouncedElsewhereError(TransientError):
    """Another archive announced in the meantime: read the newest announcement again."""


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Which entries, all conditions together; None means any. Times are of the fact, from <= time < to.

    Attributes:
        since: least index: what is new to whoever has seen the first ``since`` entries of the log.
    """

    unit_id: str | None = None
    subject: SubjectFilter | None = None
    type: str | None = None
    stream: str | None = None
    correlation_id: str | None = None
    case_id: str | None = None
    actor: str | None = None
    city: str | None = None
    county: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    since: int = 0
    order: Order = "asc"


@dataclass(frozen=True, slots=True)
class Position:
    """Where an entry stands in each order that a page can have; ``time`` is None for an unparseable one."""

    index: int
    sequence: int
    time: datetime | None

    @classmethod
    def of(cls, entry: Entry) -> "Position":
        """Where ``entry`` stands."""
        attributes = entry.leaf.attributes
        return cls(entry.index, entry.leaf.sequence, None if attributes is None else attributes.time)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a query answers for: the first ``size`` entries of the log, which never change (ADR 0020).

    Attributes:
        until: the last of those that the query may have to look at, so that later pages need not pass over
            all that has arrived meanwhile; None: no such bound.
    """

    size: int
    until: Position | None


class EntryLog(Protocol):
    """Role: the stored log. Appending is its only change."""

    async def size(self) -> int:
        """Number of durable entries, so the next index.

        Raises as follows, and a permanent error if the log is laid out in another way than this version's.

        Raises:
            LogUnavailableError: the store does not answer.
        """
        ...

    async def positions(self, streams: Collection[str]) -> dict[str, int]:
        """The highest durable sequence of each stream, 0 where there is none. Raises as :meth:`size`."""
        ...

    async def data_hashes(
        self, stream: str, first: int, last: int, *, events_only: bool = False
    ) -> dict[int, bytes]:
        """SHA-256 of what is archived of ``first`` to ``last``, by sequence. Raises as :meth:`size`.

        With ``events_only`` without what could not be parsed, of which the log has the hash alone.
        """
        ...

    async def of_type(self, event_type: str, most: int, *, newest_first: bool = False) -> list[Entry]:
        """The ``most`` first or newest events of a rare type by time, in order of their index.

        Raises as :meth:`size`.
        """
        ...

    async def first_sequence(self, stream: str) -> int:
        """The lowest archived sequence of a stream, 0 if there is none. Raises as :meth:`size`."""
        ...

    async def received_until(self, stream: str, sequence: int) -> datetime | None:
        """When the last archived event at or before ``sequence`` was received. Raises as :meth:`size`."""
        ...

    async def indexes_of(self, event_ids: Collection[str]) -> dict[str, int]:
        """Index of the first entry of each event id that the log has. Raises as :meth:`size`."""
        ...

    async def event_ids(self, first: int, end: int) -> list[str | None]:
        """The event ids of the entries from index ``first`` up to, not with, ``end``, by index.

        None for what could not be parsed; entries that are not stored are left out. Raises as :meth:`size`.
        """
        ...

    def make_ready(self, entries: Sequence[Entry]) -> None:
        """Do what :meth:`append` of just these entries can do before it is their turn."""
        ...

    async def append(self, entries: Sequence[Entry]) -> None:
        """Store ``entries`` in order, durably; returns when the majority has them on disk.

        Raises:
            HeadMovedError: an index or sequence is taken; a first part of ``entries`` may be stored.
            LogUnavailableError: outcome unknown; a first part or all of ``entries`` may be stored.
        """
        ...

    async def last(self, query: EventQuery, size: int) -> Position | None:
        """The last of the entries below ``size`` that ``query`` may have to look at, in its order ascending.

        None if there is none, or if ``size`` is bound enough. Raises as :meth:`size`.
        """
        ...

    async def page(
        self, query: EventQuery, snapshot: Snapshot, after: Position | None, limit: int
    ) -> tuple[list[Entry], Position | None]:
        """At most ``limit`` entries of ``query`` in ``snapshot`` behind ``after``, and where to go on.

        In order of time, then index, where a condition is on unit, actor, city, type or time, else by index.
        None instead of a position: that was the last of them. A page can be shorter than ``limit``, even
        empty, and have more behind it: where entries are big, or few of many fit. Raises as :meth:`size`.
        """
        ...

    async def linked(self, link: Link, values: Collection[str], limit: int) -> list[Entry]:
        """The first ``limit`` entries, by index, that have one of ``values``. Raises as :meth:`size`."""
        ...

    async def of_event(self, event_id: str) -> list[Entry]:
        """The event and its duplicates, by index. Raises as :meth:`size`."""
        ...

    def scan(self, last: int, first: int = 0) -> AsyncIterator[Sequence[Stored]]:
        """All entries from index ``first`` to ``last``, by index, in parts. Raises as :meth:`size`."""
        ...

    async def newest_of_type(self, event_type: str, below: int) -> Entry | None:
        """The last entry, with an index under ``below``, of a type that AUDIT has. Raises as :meth:`size`."""
        ...

    async def distinct_event_ids(self, last: int) -> int:
        """How many different event ids the entries up to index ``last`` have. Raises as :meth:`size`."""
        ...


class ReadJournal(Protocol):
    """Role: makes it a fact that somebody read."""

    def new_id(self) -> str:
        """An id for a read; later ones sort behind earlier ones."""
        ...

    async def record(self, read: Read) -> None:
        """Make ``read`` durable; nothing of it may be sent before this returns.

        Raises:
            TransientError: not known to be durable.
        """
        ...


@dataclass(slots=True)
class Row:
    """What the tree needs of one stored entry; no ``type`` if it is unparseable.

    Nor a ``received_at`` then, or if it repeats an earlier entry: what it says was received with that one.

    Not frozen, which would cost as much as reading it; they come by the thousand.
    """

    index: int
    stream: str
    sequence: int
    type: str | None
    received_at: datetime | None
    leaf_hash: bytes


@dataclass(frozen=True, slots=True)
class SignedHead:
    """One stored checkpoint: the signed note, and what it says; ``signed_at`` is aware."""

    size: int
    root: bytes
    note: str
    signed_at: datetime


class TreeStore(Protocol):
    """Role: keeps tiles, checkpoints and cosignatures; adding is its only change.

    Every method raises :class:`LogUnavailableError` when the store does not answer.
    """

    async def rows(self, first: int, end: int) -> list[Row]:
        """Entries from index ``first`` up to, not with, ``end``, as far as they are stored, by index."""
        ...

    async def tiles(self, places: Collection[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        """Full tiles by (level, index), as far as they are stored, whatever somebody made of them."""
        ...

    async def put_tiles(self, tiles: Sequence[Tile]) -> None:
        """Store ``tiles`` durably; those that are stored already are left.

        Raises:
            HeadInconsistentError: another tile is stored in the place of one.
        """
        ...

    async def newest_checkpoint(self, at_most: int | None = None) -> SignedHead | None:
        """The checkpoint of the largest size, of ``at_most`` leaves if given; None if there is none."""
        ...

    async def checkpoint(self, size: int) -> SignedHead | None:
        """The checkpoint of this very size."""
        ...

    async def checkpoints(self, after: int, most: int) -> list[SignedHead]:
        """At most ``most`` checkpoints larger than ``after``, the smallest first."""
        ...

    async def put_checkpoint(self, head: SignedHead) -> None:
        """Store ``head`` durably; the same one again changes nothing.

        Raises:
            HeadInconsistentError: another checkpoint of this size is stored.
        """
        ...

    async def cosignatures(self, first: int, last: int) -> dict[int, list[str]]:
        """The lines of witnesses for checkpoints from size ``first`` to ``last``, by size.

        Each line has its final newline; those of a checkpoint come by the names of the witnesses.
        """
        ...

    async def put_cosignature(self, size: int, witness: str, line: str) -> None:
        """Store a line durably; a witness that signed this checkpoint already keeps its first one."""
        ...


@dataclass(frozen=True, slots=True)
class Announced:
    """An announcement and its sequence in AUDIT."""

    sequence: int
    event: BatchSequenced


@dataclass(frozen=True, slots=True)
class Told:
    """A published checkpoint and its sequence in AUDIT."""

    sequence: int
    event: CheckpointSigned


class Announcements(Protocol):
    """Role: what the log says about itself in AUDIT, and reads there; durable when a call returns.

    Every method raises :class:`~shared.kernel.errors.TransientError` when the broker does not answer; whether
    something was published is not known then.
    """

    async def newest(self) -> Announced | None:
        """The newest :class:`BatchSequenced`; None if the stream holds none."""
        ...

    async def last_sequence(self) -> int:
        """Last sequence of AUDIT, whatever it holds."""
        ...

    def since(self, sequence: int) -> AsyncIterator[Announced]:
        """Every announcement from ``sequence`` in AUDIT on, in order."""
        ...

    async def announce(self, event: BatchSequenced, replaces: int) -> int:
        """Publish, if the newest announcement still has sequence ``replaces`` (0: none); its own sequence.

        Raises:
            AnnouncedElsewhereError: it does not.
        """
        ...

    async def newest_told(self) -> Told | None:
        """The newest :class:`CheckpointSigned`; None if the stream holds none."""
        ...

    def told_since(self, sequence: int) -> AsyncIterator[Told]:
        """Every published checkpoint from ``sequence`` in AUDIT on, in order."""
        ...

    async def tell(self, event: CheckpointSigned, replaces: int) -> int:
        """Publish, as :meth:`announce`."""
        ...


class Leadership(Protocol):
    """Role: says whether this process is the one that may sequence and sign; see :class:`Lease`."""

    @property
    def is_leader(self) -> bool:
        """Whether it is, right now."""
        ...

    def check(self) -> None:
        """Raises :class:`~shared.messaging.lease.NotLeaderError` if it is not."""
        ...


@dataclass(frozen=True, slots=True)
class StreamBounds:
    """First and last sequence of a stream; first is last + 1 when it holds nothing."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class StreamState:
    """What a stream holds, and what it may rightly have dropped.

    Attributes:
        first: lowest sequence; last + 1 when it holds nothing.
        holes: sequences between first and last that it does not have.
        deleted: the lowest of those, as many as the source names.
        max_age_s: after which messages expire at the front; 0 for never.
        makes_room: it drops its oldest messages when it is full, and it is nearly full.
    """

    first: int
    last: int
    holes: int
    deleted: tuple[int, ...]
    max_age_s: float
    makes_room: bool


class StreamSource(Protocol):
    """Role: the broker's streams, read through the archive's durable consumers and by sequence."""

    async def take(self, stream: str, most: int, wait_s: float) -> list[StoredMessage]:
        """The next deliveries; empty when nothing came for ``wait_s`` seconds.

        Raises:
            TransientError: the broker is away.
        """
        ...

    def interruptions(self, stream: str) -> int:
        """How often reading ``stream`` was interrupted; grows before anything behind the gap is delivered."""
        ...

    async def acknowledge(self, message: StoredMessage) -> None:
        """Acknowledge a delivery and all of its stream before it."""
        ...

    async def bounds(self, stream: str) -> StreamBounds:
        """What the stream holds now. Raises as :meth:`take`."""
        ...

    async def fetch(self, stream: str, first: int, last: int) -> list[StoredMessage]:
        """A part of the messages from ``first`` to ``last`` that exist, oldest first.

        Empty only if none of them exists. Raises as :meth:`take`.
        """
        ...

    async def state(self, stream: str) -> StreamState:
        """What the stream holds now, holes included. Raises as :meth:`take`."""
        ...

    def in_stream(self, stream: str, sequence: int) -> int | None:
        """The broker's own number of an archived ``sequence``; None: an accepted history took its place."""
        ...
