"""The roles that ladders need others to play."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from services.rectify.domain.ladder_book import LadderBook
from services.rectify.domain.nominations import Nomination
from services.rectify.domain.sanctions import Sanction
from shared.events import Envelope


class StoredSanction(NamedTuple):
    """A sanction as the stream has it; `sequence` of its last event is its ETag."""

    sanction: Sanction
    sequence: int
    correlation_id: str
    event_id: str


class StoredNomination(NamedTuple):
    """A nomination as the stream has it."""

    nomination: Nomination
    sequence: int
    correlation_id: str
    event_id: str


class Outcome(NamedTuple):
    """What became of an event that was to be stored.

    Attributes:
        sequence: where it stands; 0 if somebody else's event came first and nothing was stored.
        repeated: whether it had been stored before.
    """

    sequence: int
    repeated: bool


class LadderStore(Protocol):
    """Role: keeps the events of ladders, and lets one writer at a time go on with each subject."""

    async def sanction(self, sanction_id: str) -> StoredSanction | None:
        """The newest state of a sanction; None if there is none.

        Raises:
            TransientError: the broker is away.
        """
        ...

    async def nomination(self, nomination_id: str) -> StoredNomination | None:
        """The newest state of a nomination; raises like `sanction`."""
        ...

    async def store(self, events: Sequence[tuple[Envelope[Any], int]]) -> list[Outcome]:
        """Append each event if its number is still the last sequence of its subject; 0: there is none yet.

        Raises:
            TransientError: not known to be stored.
        """
        ...


class LadderBooks(Protocol):
    """Role: the book of ladders, once it is complete."""

    def require_caught_up(self) -> LadderBook:
        """The book.

        Raises:
            TransientError: history is still being read.
        """
        ...

    async def reach(self, sequence: int) -> None:
        """Return once everything of REGISTRY that concerns ladders is in the book up to `sequence`."""
        ...
