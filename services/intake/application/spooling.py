"""The spool's role, and what it holds: messages that are promised and not in the stream yet."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.intake.domain.accepted import Accepted
from services.intake.domain.revisions import Revision
from services.intake.domain.spooled import Kind
from shared.kernel.errors import TransientError, describe
from shared.messaging.group_commit import Outgoing


class SpoolUnavailableError(TransientError):
    """The spool can't take it; nothing of the call is promised."""


class SpoolDoubtError(SpoolUnavailableError):
    """Writing failed half-way: the spool may or may not have it, and the same ids may be sent again."""


class SpoolFullError(SpoolUnavailableError):
    """The spool, or its disk, has no room; nothing of the call was written."""

    def __init__(self, what: str, expected: str) -> None:
        """Word the message."""
        super().__init__(describe(what, expected, "retry later; see the runbook 'The spool is full'"))


@dataclass(frozen=True, slots=True)
class Kinship:
    """What a message is and what it belongs to.

    Attributes:
        about: receipt of the rating that it is, revises or conflicts with.
        record_id: its vault record; None without one.
        former: receipts that the rating would have under former keys of ids; it may be in the stream by one.
    """

    kind: Kind
    about: bytes
    record_id: str | None = None
    former: tuple[bytes, ...] = ()


Classify = Callable[[bytes], Kinship | None]
"""Reads the kinship of a message's payload; None for what can't be spooled."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One message on its way into the spool.

    Attributes:
        record: payload of its vault record where that is not in the vault yet.
        uncertain: the broker may have it already: it was sent, and the answer did not come.
    """

    message: Outgoing
    kinship: Kinship
    record: bytes | None = None
    uncertain: bool = False

    @property
    def size(self) -> int:
        """Bytes that it takes, without the file's own."""
        return len(self.message.payload) + len(self.record or b"")


@dataclass(frozen=True, slots=True)
class Kept:
    """One message in the spool.

    Attributes:
        row: its place; rows are drained in their order.
        sound: whether it reads as it was written.
    """

    row: int
    entry: Entry
    spooled_at: datetime
    sound: bool = True


class Spool(Protocol):
    """Role: keeps messages on this machine's disk until the broker has them. One process owns it."""

    @property
    def depth(self) -> int:
        """Messages that wait."""
        ...

    async def keep(self, entries: Sequence[Entry]) -> list[int]:
        """Make `entries` durable in one transaction; their rows.

        Raises:
            SpoolUnavailableError: it can't; nothing is promised.
            PublishOverloadedError: too many wait for its disk.
        """
        ...

    def find(self, receipts: Iterable[bytes]) -> Mapping[bytes, Accepted]:
        """The waiting ratings among `receipts`; their sequence is the row, negated."""
        ...

    def revisions(self, receipt: bytes) -> tuple[Revision, ...]:
        """The waiting revisions of a rating, by number; their sequence is the row, negated."""
        ...

    def rating(self, receipt: bytes) -> Kept | None:
        """The waiting rating with `receipt`."""
        ...

    def read(self, row: int) -> Kept | None:
        """What waits at `row`."""
        ...

    async def oldest(self, most: int) -> list[Kept]:
        """The messages that are next, in order.

        Raises:
            SpoolUnavailableError: they can't be read now.
        """
        ...

    async def done(self, rows: Sequence[int]) -> None:
        """Forget `rows`: the stream has them.

        Raises:
            SpoolUnavailableError: they may come again, which is recognised.
        """
        ...

    async def set_aside(self, row: int, reason: str) -> None:
        """Take `row` out of the order and keep it for a person to look at.

        Raises:
            SpoolUnavailableError: it stays where it is.
        """
        ...

    async def erase_record(self, record_id: str) -> bool:
        """Destroy a vault record that waits here; whether there was one.

        Raises:
            SpoolUnavailableError: not known to be erased.
        """
        ...
