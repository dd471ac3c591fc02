"""The fold: stored messages in, statistics out. The live service and every recomputation use this class.

Two streams: the ratings of FEEDBACK, and beside them what became of cases, from CASES. What the lists say is
a function of both positions and the day.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Protocol

import msgspec

from services.scoring.application.cases import CaseFold, CaseParser
from services.scoring.application.parsing import STATES, RatingParser
from services.scoring.application.past import Past
from services.scoring.application.sections import Sections, write_sections
from services.scoring.domain.books import Books
from services.scoring.domain.buckets import Statistics
from services.scoring.domain.days import day_number, day_of
from services.scoring.domain.evidence import Evidence, days_needed
from services.scoring.domain.ledger import CLOSED_AFTER_DAYS, Ledger, PeriodChange
from services.scoring.domain.lists import RankedList
from services.scoring.domain.outcomes import CaseState, Outcomes, OutcomeTable
from services.scoring.domain.ranking import Ranker
from services.scoring.domain.roster import Roster
from services.scoring.domain.spans import Period, Span
from shared.events import InvalidEventError
from shared.kernel.errors import PermanentError, describe
from shared.kernel.units import UnitRegistry
from shared.rules import RulePack


class Message(Protocol):
    """One message of the FEEDBACK stream: what `shared.messaging.stored.StoredMessage` has, and more."""

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


FORMAT: Final = 5
"""Version of what `Fold.dump` writes; another one is refused."""


class SnapshotUnusableError(PermanentError):
    """A dumped fold can't be taken up: it is damaged, of another version, or of other rules or units."""


class OtherFormatError(SnapshotUnusableError):
    """Another version of scoring dumped it: expected after an update."""


class Fold:
    """The state of scoring at one position of the stream, under one rule pack."""

    def __init__(
        self, registry: UnitRegistry, rules: RulePack, as_of: date, cases: CaseFold | None = None
    ) -> None:
        """Start with no ratings; windows end on the day ``as_of``.

        Args:
            registry: the appraised units.
            rules: the rule pack.
            as_of: last day of the windows.
            cases: of a fold of the same registry that is given up: cases do not depend on the rules.
        """
        self.registry = registry
        self.rules = rules
        self.position = 0
        """Sequence of the last message folded; 0: none."""
        self.revision = 0
        """Grows with every change of the statistics, the books or the day, and with every invalid message."""
        self._ranker = self._ranker_for(as_of)
        self._parser = RatingParser(self._ranker.roster.index, rules)
        self._ledger = Ledger(len(registry), rules.windows, day_number(as_of))
        if cases is None:
            cases = CaseFold(Outcomes(len(registry), rules.windows.days, day_number(as_of)))
        else:
            cases.outcomes.under(rules.windows.days, day_number(as_of))
        self.cases = cases
        """What became of cases; changed by :meth:`take_cases` alone."""

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
            self.cases.outcomes.advance(day_number(as_of))
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
                    if fold(rating := parse(message.data)):
                        self.revision += 1
                        if on_folded is not None:
                            on_folded(rating.received_ms)
                elif subject.startswith(DECISION_PREFIXES):
                    self.revision += self._ledger.revise(self._parser.parse_decision(message.data))
            except InvalidEventError as error:
                self.revision += 1
                on_invalid(message, error)
        self._ledger.settle(least=SETTLE_AT)

    @property
    def case_parser(self) -> CaseParser:
        """Takes the messages of CASES apart for :meth:`take_cases`."""
        return CaseParser(self._ranker.roster.index)

    def take_cases(self, states: Iterable[CaseState | None], position: int, anchor: str = "") -> None:
        """Take in what the messages of CASES behind the last ones say, up to ``position``.

        Args:
            states: what each says; None: nothing.
            position: sequence of the last of them.
            anchor: its `message_hash`.
        """
        self.revision += self.cases.take(states, position, anchor)

    def books(self) -> Books:
        """The accounts at this position."""
        return self._ledger.books()

    def freeze(self, periods: Iterable[Period] = ()) -> "FrozenFold":
        """Copy the statistics, also of the closed ``periods``, to compute lists from at any time."""
        outcomes, closed = self.cases.outcomes, tuple(periods)
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
                for period in closed
            },
            outcomes.spans(self._ledger.open_periods()),
            {period: outcomes.period(period) for period in closed},
        )

    def open_periods(self) -> tuple[Period, ...]:
        """The periods that are still open on the day ``as_of``."""
        return self._ledger.open_periods()

    def closed_changes(self) -> dict[Period, PeriodChange]:
        """See `Ledger.closed_changes`; what became of cases counts like what became of ratings."""
        changes, outcomes = self._ledger.closed_changes(), self.cases.outcomes
        for period, times in outcomes.touched().items():
            known = changes.get(period, PeriodChange(0, ()))
            changes[period] = PeriodChange(known.times + times, known.causes + outcomes.causes(period))
        return changes

    def forget_causes(self, changes: Mapping[Period, PeriodChange]) -> None:
        """See `Ledger.forget_causes`."""
        self._ledger.forget_causes(changes)
        for period, change in changes.items():
            self.cases.outcomes.forget_causes(period, change.causes)

    def late_in(self, period: Period) -> int:
        """How many ratings of a period have come too late to count, up to this position."""
        return self._ledger.late_in(period)

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
        return Past(
            self.registry,
            self.rules,
            self._ledger.history(),
            self.position,
            self.cases.outcomes.days(),
            self.cases.position,
        )

    def dump(self) -> bytes:
        """The whole state; the fold must not go on meanwhile. `load` takes it up."""
        head = {
            "format": FORMAT,
            "rules": self.rules.hash,
            "units": registry_hash(self.registry),
            "position": self.position,
            "revision": self.revision,
        }
        return write_sections({"head": head, "cases": self.cases.dump(), **self._ledger.dump()})

    @classmethod
    def load(cls, dumped: bytes, registry: UnitRegistry, rules: RulePack) -> "Fold":
        """Take up what `dump` wrote: folding on gives what the dumped fold would have given.

        Raises:
            OtherFormatError: another version dumped it.
            SnapshotUnusableError: it was not dumped under these units and rules, or is damaged.
        """
        remedy = "use an older snapshot or fold the stream from its beginning"
        try:
            found = Sections(dumped)
            head = found["head"]
            if head["format"] != FORMAT:
                raise OtherFormatError(describe(f"format {head['format']}", f"format {FORMAT}", remedy))
            stated = (head["rules"], head["units"])
            expected = (rules.hash, registry_hash(registry))
            if stated != expected:
                raise SnapshotUnusableError(describe(stated, f"rules and units {expected}", remedy))
            ledger = Ledger.load(found, len(registry), rules.windows)
            cases = CaseFold.load(found["cases"], len(registry), rules.windows.days)
            if cases.outcomes.as_of != ledger.as_of:
                raise ValueError("cases and ratings of different days")
            fold = cls(registry, rules, day_of(ledger.as_of))
            fold._ledger, fold.cases = ledger, cases
            fold.position, fold.revision = int(head["position"]), int(head["revision"])
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError, AttributeError) as error:
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
        outcomes: what became of cases, by span; empty: there are none.
        closed_outcomes: the same of the closed periods.
    """

    registry: UnitRegistry
    rules: RulePack
    ranker: Ranker
    spans: Mapping[Span, Statistics]
    before: Mapping[Span, Statistics]
    closed: Mapping[Period, tuple[Statistics, Statistics, int]]
    outcomes: Mapping[Span, OutcomeTable]
    closed_outcomes: Mapping[Span, OutcomeTable]

    def lists(self, wanted: Collection[Span] | None = None) -> dict[str, RankedList]:
        """All lists of the rolling windows and of the open periods, by key; of the ``wanted`` ones only."""
        return self.ranker.rank(self.spans, self.before, self.outcomes, wanted=wanted)

    def closed_lists(self, period: Period) -> dict[str, RankedList]:
        """All lists of a closed period, by key: as of the last day on which it was open, as known now.

        So whoever folds the same events up to that day gets the same bytes.
        """
        statistics, before, _ = self.closed[period]
        ranker = Ranker(roster_on(self.registry, self.rules, last_open_day(period)), self.rules)
        return ranker.rank({period: statistics}, {period: before}, self.closed_outcomes)


def roster_on(registry: UnitRegistry, rules: RulePack, as_of: date) -> Roster:
    """The roster of a day under one rule pack."""
    return Roster(registry, rules.kinds, as_of, min_group=rules.prior.min_group)


def last_open_day(period: Period) -> date:
    """The last day on which late ratings and corrections still changed the period."""
    return period.last + timedelta(days=CLOSED_AFTER_DAYS)


def registry_hash(registry: UnitRegistry) -> str:
    """``sha256:<hex>`` of what the statistics depend on: the units in their order, and where each belongs.

    Not their names: a snapshot serves after a unit was renamed. What a list depends on is `Roster.hash`.
    """
    lines = (
        f"{unit.unit_id} {unit.level} {unit.kind} {unit.parent_id} {unit.valid_from} {unit.valid_to}"
        for unit in registry
    )
    return f"sha256:{hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}"
