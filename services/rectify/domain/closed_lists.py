"""The end of a period: who is named at the top of a closed list, and who at its bottom.

A list is what was published as closed; corrections that come later do not change who was named.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final

from shared.kernel.grades import Level
from shared.kernel.ids import derived_id
from shared.rules.ladders import Ladders
from shared.rules.pack import Lists

PER_CENT: Final = 100.0
_YEAR_DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class RulesOfADay:
    """The rules in force on a day, with the hash of their pack; `lists` says how many a list names."""

    ladders: Ladders
    lists: Lists
    hash: str


RulesOn = Callable[[date], RulesOfADay]


class End(StrEnum):
    """Which end of a list."""

    TOP = "top"
    BOTTOM = "bottom"


@dataclass(frozen=True, slots=True)
class Row:
    """One ranked unit of a closed list; score and interval x100, `n` the sum of weights."""

    unit_id: str
    rank: int
    score: float
    interval_high: float
    n: float


@dataclass(frozen=True, slots=True)
class Place:
    """A unit that is named at one end of a closed list.

    Attributes:
        ranked: how many units have a rank there.
        proposable: of the bottom: whether its score carries a proposed sanction.
        rests_on: ids of the events that the list came in.
    """

    end: End
    unit_id: str
    list: str
    period: str
    list_hash: str
    first: date
    last: date
    closed_on: date
    row: Row
    ranked: int
    proposable: bool
    rests_on: tuple[str, ...]
    correlation_id: str

    @property
    def year(self) -> int:
        """The year whose awards it is about."""
        return int(self.period[:_YEAR_DIGITS])

    @property
    def nomination_id(self) -> str:
        """The id of the nomination that it leads to."""
        return derived_id("nomination", self.list, self.list_hash, self.unit_id)

    @property
    def candidate_id(self) -> str:
        """The id of the candidacy for a talk that it leads to."""
        return derived_id("talk-candidate", self.list, self.list_hash, self.unit_id)


@dataclass(slots=True)
class ClosedList:
    """A closed list, of which the parts come one by one."""

    list: str
    level: Level
    period: str
    list_hash: str
    first: date
    last: date
    closed_on: date
    parts: int
    correlation_id: str
    rows: dict[int, Sequence[Row]] = field(default_factory=dict)
    event_ids: dict[int, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether all its parts are there."""
        return len(self.rows) == self.parts

    @property
    def kind_of_period(self) -> str:
        """Month, quarter or year."""
        if "Q" in self.period:
            return "quarter"
        return "month" if "-" in self.period else "year"

    def places(self, rules: RulesOfADay) -> Iterator[Place]:
        """Whom it names; a unit is never at both ends, the top goes first."""
        if self.kind_of_period not in rules.ladders.award_periods or self.level is Level.PROVINCE:
            return
        ranked = sorted((row for part in self.rows.values() for row in part), key=lambda row: row.rank)
        last_of_top = min(rules.lists.top, len(ranked))
        first_of_bottom = max(last_of_top, len(ranked) - rules.lists.bottom)
        for end, rows in ((End.TOP, ranked[:last_of_top]), (End.BOTTOM, ranked[first_of_bottom:])):
            for row in rows:
                yield Place(
                    end, row.unit_id, self.list, self.period, self.list_hash, self.first, self.last,
                    self.closed_on, row, len(ranked), end is End.BOTTOM and is_poor(row, rules.ladders),
                    tuple(self.event_ids[part] for part in sorted(self.event_ids)), self.correlation_id,
                )  # fmt: skip


def is_poor(row: Row, rules: Ladders) -> bool:
    """Whether a score is poor beyond doubt: P(θ < line) ≥ 0.95, on enough ratings.

    The upper end of the published 90 % interval is the 95 % quantile of θ, so the probability is at least
    0.95 where it lies below the line. It is published rounded to four decimals.
    """
    return row.n >= rules.score_ratings and row.interval_high < rules.score_line * PER_CENT


class ClosedLists:
    """All lists that were closed, and whom they name: a fold over `PeriodClosed`."""

    def __init__(self, rules_on: RulesOn) -> None:
        """`rules_on` gives the rules of a day; a list goes by those of its last day."""
        self._rules_on = rules_on
        self._open: dict[tuple[str, str], ClosedList] = {}
        self._by_unit: dict[str, list[Place]] = {}
        self._done: set[tuple[str, str]] = set()

    def of_unit(self, unit_id: str) -> Sequence[Place]:
        """Where a unit is named, in the order in which the lists were closed."""
        return self._by_unit.get(unit_id, ())

    def take(self, head: ClosedList, part: int, rows: Sequence[Row], event_id: str) -> frozenset[str]:
        """Take one part in; the units that are named once the list is complete."""
        key = (head.list, head.list_hash)
        if key in self._done:
            return frozenset()
        known = self._open.setdefault(key, head)
        known.rows[part], known.event_ids[part] = rows, event_id
        if not known.complete:
            return frozenset()
        del self._open[key]
        self._done.add(key)
        named = tuple(known.places(self._rules_on(known.last)))
        for place in named:
            self._by_unit.setdefault(place.unit_id, []).append(place)
        return frozenset(place.unit_id for place in named)
