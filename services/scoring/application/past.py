"""The past as the fold knows it at one moment: lists, moves, timelines of earlier days. Pure; for threads."""

from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

from services.scoring.domain.days import day_number, day_of
from services.scoring.domain.history import History
from services.scoring.domain.lists import RANKED, ListKey, RankedList
from services.scoring.domain.moves import Move, moves
from services.scoring.domain.outcomes import OutcomeDays
from services.scoring.domain.ranking import Ranker
from services.scoring.domain.roster import LISTED_LEVELS, Roster
from services.scoring.domain.small_groups import LEAST_SHOWN
from services.scoring.domain.spans import Period, Rolling, Span
from services.scoring.domain.timeline import Point, Rosters, timeline
from shared.kernel.errors import InvalidValueError
from shared.kernel.grades import Level
from shared.kernel.units import Unit, UnitRegistry
from shared.rules import RulePack


@dataclass(frozen=True)
class Past:
    """What the fold held when it was asked.

    Attributes:
        registry: the appraised units.
        rules: the rule pack; earlier days are judged by it, too.
        history: the kept days.
        position: sequence of FEEDBACK that all of it is valid at.
        outcomes: what became of cases.
        cases: sequence of CASES that this is valid at.
    """

    registry: UnitRegistry
    rules: RulePack
    history: History
    position: int
    outcomes: OutcomeDays = field(default_factory=OutcomeDays)
    cases: int = 0

    @property
    def today(self) -> date:
        """The present day."""
        return day_of(self.history.as_of)

    @cached_property
    def _rosters(self) -> Rosters:
        return Rosters(self.registry, self.rules)

    def keys(self, day: date) -> list[ListKey]:
        """The lists that can be shown as of ``day``, in the order of publication."""
        return [
            ListKey(level, kind, span)
            for span in self.history.spans(day_number(day))
            for level in LISTED_LEVELS
            for kind in (None, *(self.rules.kinds if level is Level.WINDOW else ()))
        ]

    def check_day(self, day: date, span: Span | None, *, field: str) -> None:
        """Refuse a day that nothing can be shown of.

        Args:
            day: the day asked for.
            span: of which span; None: of any.
            field: the parameter that named the day.

        Raises:
            InvalidValueError: not before today, or too long ago; the message says from when on each span can
                be asked for.
        """
        firsts = {
            Rolling(length): day_of(self.history.first_day(Rolling(length)))
            for length in self.history.lengths
        }
        if isinstance(span, Period):
            first = max(span.first, day_of(self.history.first_day(span)))
            whats = f"the period {span} from {first}"
        else:
            first = min(firsts.values()) if span is None else firsts[Rolling(span.days)]
            whats = ", ".join(f"the window {known} from {start}" for known, start in firsts.items())
        if not first <= day < self.today:
            raise InvalidValueError(
                day.isoformat(),
                f"a business day before today, {self.today}: {whats} on",
                f"choose another day, or leave out {field}",
                field=field,
            )

    def lists(self, span: Span, day: date) -> dict[str, RankedList]:
        """Every list of one span as of ``day``, by key."""
        history, rules, number = self.history, self.rules, day_number(day)
        now = history.at(span, number)
        roster = Roster(self.registry, rules.kinds, day, min_group=rules.prior.min_group)
        before = history.before(span, number, now)
        outcomes = {span: self.outcomes.at(span, number)} if self.outcomes else {}
        return Ranker(roster, rules).rank({span: now}, {span: before}, outcomes)

    def order_before(self, span: Span, day: date) -> dict[str, tuple[str, ...]]:
        """By list of a span as of ``day`` the units that were ranked in what it is compared with, best first.

        Empty where that is kept no more.
        """
        history, rules, number = self.history, self.rules, day_number(day)
        if isinstance(span, Rolling) and number < history.first_day(span):
            return {}
        before = history.before(span, number, history.at(span, number))
        roster = Roster(self.registry, rules.kinds, day, min_group=rules.prior.min_group)
        return {
            key: tuple(row.unit_id for row in found.rows if row.status == RANKED)
            for key, found in Ranker(roster, rules).rank({span: before}, {}).items()
        }

    def moves(self, before: RankedList, after: RankedList, least: int = LEAST_SHOWN) -> list[Move]:
        """What moved in a list between two days, and why; counts of fewer than ``least`` are hidden."""
        key = after.key
        level = next(
            level for level in self._rosters.on(after.as_of).levels if level.level is Level(key.level)
        )
        flow = self.history.flow(key.span, day_number(before.as_of), day_number(after.as_of))
        return moves(before, after, level, flow, least)

    def timeline(self, unit: Unit, window: Rolling, days: int) -> list[Point]:
        """One unit's window as of each of the last ``days`` days, today included, as far as they are kept."""
        history = self.history
        first = max(history.as_of - days + 1, history.first_day(window))
        return timeline(
            history.public,
            self._rosters,
            self.rules,
            unit,
            window.days,
            range(first, history.as_of + 1),
        )
