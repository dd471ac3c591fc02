"""What the integrity signals look at, and what they find."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain.buckets import IntTable
from services.scoring.domain.days import day_number
from services.scoring.domain.pace import DayPace
from services.scoring.domain.roster import LevelRoster, Roster
from services.scoring.domain.tails import Floats
from shared.kernel.units import Unit
from shared.rules.pack import RulePack

FEWEST: Final = 5
"""Smaller groups of ratings are not told apart (k = 5)."""
FEWEST_IN_ALL: Final = 10
"""Fewer ratings are not told of at all."""

Figures = Mapping[str, str]
FiguresOf = Callable[[int], Figures]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The public's statistics as the signals need them; a copy, all of one moment.

    Attributes:
        roster: units, levels and peers on the day.
        rules: the rule pack.
        window: statistics of the primary window, one row for each unit of the registry.
        daily: plain counts, shape (days, units of the registry), oldest day first, today last; as many days
            as `days_needed` says.
        pace: yesterday and today.
    """

    roster: Roster
    rules: RulePack
    window: IntTable
    daily: IntTable
    pace: tuple[DayPace, ...]

    @property
    def as_of(self) -> int:
        """Today's day number."""
        return day_number(self.roster.as_of)

    @property
    def window_days(self) -> int:
        """Length of the primary window."""
        return self.rules.windows.primary_days

    def rows_of(self, level: LevelRoster) -> NDArray[np.int64]:
        """Each unit's own row in `window` and `daily`: what was said of it alone, not of those below."""
        index = self.roster.index
        return np.array([index[unit.unit_id] for unit in level.units], dtype=np.int64)


def days_needed(rules: RulePack) -> int:
    """Days of counts that the signals look back on, today included."""
    return rules.integrity.burst.baseline_days + rules.integrity.burst.run_days


class Readings(NamedTuple):
    """One signal's numbers of several units.

    Attributes:
        signal: its name in the contract.
        units: the units; all arrays are in their order.
        flagged: whether the line is crossed.
        window_days: days that were looked at.
        statistic: what was compared; 0 where there is too little to judge by.
        threshold: the line; meaningful where it is crossed.
        expected: what would be usual; NaN where that says nothing.
        probability: chance of such a number without any cause.
        figures: the numbers behind it, for the unit at a place.
    """

    signal: str
    units: tuple[Unit, ...]
    flagged: NDArray[np.bool_]
    window_days: NDArray[np.int64]
    statistic: Floats
    threshold: Floats
    expected: Floats
    probability: Floats
    figures: FiguresOf


def days_each(units: tuple[Unit, ...], days: int) -> NDArray[np.int64]:
    """The same number of days for each unit."""
    return np.full(len(units), days, dtype=np.int64)


def total_text(ratings: int) -> str:
    """How many ratings there were in all, as it may be told."""
    return str(ratings) if ratings >= FEWEST_IN_ALL else f"<{FEWEST_IN_ALL}"


def share_text(part: int, total: int) -> str:
    """A share in per cent as it may be told; neither a small part nor a small rest can be worked out."""
    if total < FEWEST_IN_ALL:
        return "too few"
    if part < FEWEST:
        return f"<{FEWEST / total:.0%}"
    if total - part < FEWEST:
        return f">{1 - FEWEST / total:.0%}"
    return f"{part / total:.0%}"
