"""The fold: stored messages in, statistics out. The live service and every recomputation use this class."""

import hashlib
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Protocol

import msgspec

from services.scoring.application.parsing import STATES, RatingParser
from services.scoring.application.past import Past
from services.scoring.application.sections import Sections, write_sections
from services.scoring.domain.books import Books
from services.scoring.domain.buckets import Statistics
from services.scoring.domain.days import day_number, day_of
from services.scoring.domain.evidence import Evidence, days_needed
from services.scoring.domain.ledger import CLOSED_AFTER_DAYS, Ledger, PeriodChange
from services.scoring.domain.lists import RankedList
from services.scoring.domain.ranking import Ranker
from services.scoring.domain.roster import Roster
from services.scoring.domain.spans import Period, Span
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
        return Ranker(roster_on(self.registry, self.rules, as_of), self.rules)

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

    def freeze(self, periods: Iterable[Period] = ()) -> "FrozenFold":
        """Copy the statistics, also of the closed ``periods``, to compute lists from at any time."""
        return FrozenFold(
            self.registry,
            self.rules,
            self._ranker,
            self._ledger.spans(),
            self._ledger.before(),
            {
                period: (
                    self._ledger.period(period),
                    self._ledger.period(period.before),
                    self._ledger.late_in(period),
                )
                for period in periods
            },
        )

    def open_periods(self) -> tuple[Period, ...]:
        """The periods that are still open on the day ``as_of``."""
        return self._ledger.open_periods()

    def closed_changes(self) -> dict[Period, PeriodChange]:
        """See `Ledger.closed_changes`."""
        return self._ledger.closed_changes()

    def forget_causes(self, changes: Mapping[Period, PeriodChange]) -> None:
        """See `Ledger.forget_causes`."""
        self._ledger.forget_causes(changes)

    def evidence(self) -> Evidence:
        """What the integrity signals look at: a copy, to be examined in any thread."""
        return Evidence(
            self._ranker.roster,
            self.rules,
            self._ledger.windows()[self.rules.windows.primary_days],
            self._ledger.daily_ratings(days_needed(self.rules)),
            self._ledger.pace(),
        )

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

    def lists(self, wanted: Collection[Span] | None = None) -> dict[str, RankedList]:
        """The lists of the ``wanted`` spans (None: of all) at this position, by key."""
        return self.freeze().lists(wanted)


@dataclass(frozen=True, slots=True)
class FrozenFold:
    """The statistics at one position, to be worked on in another thread while the fold goes on.

    Attributes:
        closed: by closed period its statistics, those of the period before, and how many ratings it missed.
    """

    registry: UnitRegistry
    rules: RulePack
    ranker: Ranker
    spans: Mapping[Span, Statistics]
    before: Mapping[Span, Statistics]
    closed: Mapping[Period, tuple[Statistics, Statistics, int]]

    def lists(self, wanted: Collection[Span] | None = None) -> dict[str, RankedList]:
        """All lists of the rolling windows and of the open periods, by key; of the ``wanted`` ones only."""
        return self.ranker.rank(self.spans, self.before, wanted=wanted)

    def closed_lists(self, period: Period) -> dict[str, RankedList]:
        """All lists of a closed period, by key: as of the last day on which it was open, as known now.

        So whoever folds the same events up to that day gets the same bytes.
        """
        statistics, before, _ = self.closed[period]
        ranker = Ranker(roster_on(self.registry, self.rules, last_open_day(period)), self.rules)
        return ranker.rank({period: statistics}, {period: before})


def roster_on(registry: UnitRegistry, rules: RulePack, as_of: date) -> Roster:
    """The roster of a day under one rule pack."""
    return Roster(registry, rules.kinds, as_of, min_group=rules.prior.min_group)


def last_open_day(period: Period) -> date:
    """The last day on which late ratings and corrections still changed the period."""
    return period.last + timedelta(days=CLOSED_AFTER_DAYS)


def registry_hash(registry: UnitRegistry) -> str:
    """``sha256:<hex>`` of what the statistics depend on: the units in their order, and where each belongs."""
    lines = (
        f"{unit.unit_id} {unit.level} {unit.kind} {unit.parent_id} {unit.valid_from} {unit.valid_to}"
        for unit in registry
    )
    return f"sha256:{hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}"
