"""The fold: stored messages in, statistics out. The live service and every recomputation use this class."""

from collections.abc import Callable, Iterable
from datetime import date
from typing import Final, Protocol

from services.scoring.application.parsing import RatingParser
from services.scoring.domain.books import Books
from services.scoring.domain.buckets import day_number
from services.scoring.domain.ledger import Ledger
from services.scoring.domain.lists import RankedList
from services.scoring.domain.ranking import Ranker
from services.scoring.domain.roster import Roster
from shared.events import InvalidEventError
from shared.kernel.units import UnitRegistry
from shared.rules import RulePack


class Message(Protocol):
    """One message of the FEEDBACK stream: what `shared.messaging.reading.StoredMessage` has, and more."""

    @property
    def subject(self) -> str:
        """Where it was published."""
        ...

    @property
    def data(self) -> bytes:
        """The body."""
        ...

    @property
    def sequence(self) -> int:
        """Its sequence in the stream."""
        ...


SUBJECT_PREFIX: Final = "feedback.v1.submitted."

OnInvalid = Callable[[Message, InvalidEventError], None]
OnFolded = Callable[[int], None]


class Fold:
    """The state of scoring at one position of the stream, under one rule pack."""

    def __init__(self, registry: UnitRegistry, rules: RulePack, as_of: date) -> None:
        """Start with no ratings; windows end on the day ``as_of``."""
        self.registry = registry
        self.rules = rules
        self.position = 0
        """Sequence of the last message folded; 0: none."""
        self.revision = 0
        """Grows with every change of the statistics, the books or the day, and with every invalid message."""
        self._ranker = self._ranker_for(as_of)
        self._parser = RatingParser(self._ranker.roster.index, rules)
        self._ledger = Ledger(len(registry), rules.windows, day_number(as_of))

    def _ranker_for(self, as_of: date) -> Ranker:
        roster = Roster(self.registry, self.rules.kinds, as_of, min_group=self.rules.prior.min_group)
        return Ranker(roster, self.rules)

    @property
    def as_of(self) -> date:
        """The day that the windows end on."""
        return self._ranker.roster.as_of

    def advance(self, as_of: date) -> None:
        """Move the windows on to ``as_of``; an earlier or the same day changes nothing."""
        if as_of > self.as_of:
            self._ledger.advance(day_number(as_of))
            self._ranker = self._ranker_for(as_of)
            self.revision += 1

    def take(
        self, messages: Iterable[Message], on_invalid: OnInvalid, on_folded: OnFolded | None = None
    ) -> None:
        """Fold messages in the order of the stream; other subjects than ratings only move the position.

        Args:
            messages: the stream's messages, none left out.
            on_invalid: told about each message that is no valid rating; the fold goes on after it.
            on_folded: told when each rating that changed something was received (Unix milliseconds).
        """
        parse, fold = self._parser.parse, self._ledger.fold
        for message in messages:
            self.position = message.sequence
            if not message.subject.startswith(SUBJECT_PREFIX):
                continue
            try:
                rating = parse(message.data)
            except InvalidEventError as error:
                self.revision += 1
                on_invalid(message, error)
                continue
            if fold(rating):
                self.revision += 1
                if on_folded is not None:
                    on_folded(rating.received_ms)

    def books(self) -> Books:
        """The accounts at this position."""
        return self._ledger.books()

    def freeze(self) -> Callable[[], dict[str, RankedList]]:
        """Copy the statistics; the result computes all lists from the copy, in any thread, at any time."""
        windows, ranker = self._ledger.windows(), self._ranker
        return lambda: ranker.rank(windows)

    def lists(self) -> dict[str, RankedList]:
        """All lists at this position, by key."""
        return self.freeze()()
