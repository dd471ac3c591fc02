"""The fold: stored messages in, statistics out. The live service and every recomputation use this class."""

import hashlib
import zlib
from collections.abc import Callable, Iterable
from datetime import date
from typing import Final, Protocol

import msgspec

from services.scoring.application.parsing import STATES, RatingParser
from services.scoring.application.past import Past
from services.scoring.application.sections import Sections, write_sections
from services.scoring.domain.books import Books
from services.scoring.domain.days import day_number, day_of
from services.scoring.domain.ledger import Ledger
from services.scoring.domain.lists import RankedList
from services.scoring.domain.ranking import Ranker
from services.scoring.domain.roster import Roster
from shared.events import InvalidEventError
from shared.kernel.errors import PermanentError, describe
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
DECISION_PREFIXES: Final = tuple(f"feedback.v1.{fact}." for fact in STATES)

SETTLE_AT: Final = 20_000
"""Contributions that wait before they are added up: each addition has a fixed cost of its own."""

OnInvalid = Callable[[Message, InvalidEventError], None]
OnFolded = Callable[[int], None]


FORMAT: Final = 1
"""Version of what `Fold.dump` writes; another one is refused."""


class SnapshotUnusableError(PermanentError):
    """A dumped fold can't be taken up: it is damaged, of another version, or of other rules or units."""


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
        """Fold messages in the order of the stream; subjects that do not count only move the position.

        Args:
            messages: the stream's messages, none left out.
            on_invalid: told about each message that is no valid rating; the fold goes on after it.
            on_folded: told when each rating that changed something was received (Unix milliseconds).
        """
        parse, fold = self._parser.parse, self._ledger.fold
        for message in messages:
            self.position = message.sequence
            subject = message.subject
            try:
                if subject.startswith(SUBJECT_PREFIX):
                    rating = parse(message.data)
                    if fold(rating):
                        self.revision += 1
                        if on_folded is not None:
                            on_folded(rating.received_ms)
                elif subject.startswith(DECISION_PREFIXES):
                    self.revision += self._ledger.revise(self._parser.parse_decision(message.data))
            except InvalidEventError as error:
                self.revision += 1
                on_invalid(message, error)
        self._ledger.settle(least=SETTLE_AT)

    def books(self) -> Books:
        """The accounts at this position."""
        return self._ledger.books()

    def freeze(self) -> Callable[[], dict[str, RankedList]]:
        """Copy the statistics; the result computes all lists from the copy, in any thread, at any time."""
        spans, before, ranker = self._ledger.spans(), self._ledger.before(), self._ranker
        return lambda: ranker.rank(spans, before)

    def past(self) -> Past:
        """Copy what is known of the kept days, at next to no cost; any thread may ask it, at any time."""
        return Past(self.registry, self.rules, self._ledger.history(), self.position)

    def dump(self) -> bytes:
        """The whole state; the fold must not go on meanwhile. `load` takes it up."""
        head = {
            "format": FORMAT,
            "rules": self.rules.hash,
            "units": registry_hash(self.registry),
            "position": self.position,
            "revision": self.revision,
        }
        return write_sections({"head": head, **self._ledger.dump()})

    @classmethod
    def load(cls, dumped: bytes, registry: UnitRegistry, rules: RulePack) -> "Fold":
        """Take up what `dump` wrote: folding on gives what the dumped fold would have given.

        Raises:
            SnapshotUnusableError: it was not dumped under these units and rules, or is damaged.
        """
        remedy = "use an older snapshot or fold the stream from its beginning"
        try:
            found = Sections(dumped)
            head = found["head"]
            stated = (head["format"], head["rules"], head["units"])
            expected = (FORMAT, rules.hash, registry_hash(registry))
            if stated != expected:
                raise SnapshotUnusableError(describe(stated, f"format, rules and units {expected}", remedy))
            ledger = Ledger.load(found, len(registry), rules.windows)
            fold = cls(registry, rules, day_of(ledger.as_of))
            fold._ledger = ledger
            fold.position, fold.revision = int(head["position"]), int(head["revision"])
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError, AttributeError, zlib.error) as error:
            raise SnapshotUnusableError(
                describe(f"{len(dumped)} bytes ({error!r})", "a whole dump of a fold", remedy)
            ) from error
        return fold

    def lists(self) -> dict[str, RankedList]:
        """All lists at this position, by key."""
        return self.freeze()()


def registry_hash(registry: UnitRegistry) -> str:
    """``sha256:<hex>`` of what the statistics depend on: the units in their order, and where each belongs."""
    lines = (
        f"{unit.unit_id} {unit.level} {unit.kind} {unit.parent_id} {unit.valid_from} {unit.valid_to}"
        for unit in registry
    )
    return f"sha256:{hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}"
