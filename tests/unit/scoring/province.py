"""A simulated province for the integrity signals: honest units, and ways to spoil some of them. Seeded.

Honest means: uneven volumes with weekends and busy days, shares that differ between units by beta
distributions, people who rate from afar a little less content, two rush hours.
"""

from collections.abc import Sequence
from copy import deepcopy
from datetime import date
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain.buckets import WIDTH, Column, IntTable
from services.scoring.domain.days import day_number
from services.scoring.domain.evidence import Evidence, days_needed
from services.scoring.domain.pace import DayPace
from services.scoring.domain.roster import Roster
from shared.kernel.grades import Level
from shared.kernel.units import Unit, load_units
from shared.rules import load_pack

UNITS: Final = load_units()
AS_OF: Final = date(2026, 11, 20)
RULES: Final = load_pack(None, AS_OF)
ROSTER: Final = Roster(UNITS, RULES.kinds, AS_OF, min_group=RULES.prior.min_group)
WINDOWS: Final = ROSTER.levels[0].units
ROWS: Final = np.array([ROSTER.index[unit.unit_id] for unit in WINDOWS])
DAYS: Final = days_needed(RULES)
MINUTES: Final = 480

_GRADE_SHARES: Final = np.array([0.4, 0.6, 0.15, 0.30, 0.55])
"""Of the bad ones grades 1 and 2, of the good ones grades 3 to 5."""


class Province:
    """The statistics of one day; every unit of `WINDOWS` at its place in `ROWS`."""

    def __init__(self, seed: int, *, busy_today: float = 1.0) -> None:
        """Simulate `DAYS` days that end on `AS_OF`; today is ``busy_today`` times as busy everywhere."""
        self.random = np.random.default_rng(seed)
        size = len(WINDOWS)
        self.volume = self.random.lognormal(np.log(1.33), 1.0, size)
        self.good = self.random.beta(0.9 * 25, 0.1 * 25, size)
        self.terminal = self.random.beta(9.0, 6.0, size)
        self.gap = np.clip(self.random.normal(0.05, 0.03, size), 0, 0.2)
        self.daily = np.zeros((DAYS, len(UNITS)), dtype=np.int64)
        self.tables = np.zeros((DAYS, len(UNITS), WIDTH), dtype=np.int64)
        self.minutes = np.zeros((2, len(UNITS), MINUTES), dtype=np.int64)
        for day in range(DAYS):
            weekend = (day_number(AS_OF) - DAYS + 1 + day) % 7 in {2, 3}
            level = (0.15 if weekend else 1.3) * self.random.lognormal(0, 0.15)
            noise = self.random.gamma(8, 1 / 8, size)
            mean = self.volume * level * noise * (busy_today if day == DAYS - 1 else 1.0)
            self.rate(ROWS, day, self.random.poisson(mean))

    def rate(self, rows: NDArray[np.int64], day: int, counts: NDArray[np.int64]) -> None:
        """Honest ratings of some units on one day."""
        place = np.searchsorted(ROWS, rows)
        far = self.random.binomial(counts, (1 - self.terminal[place]) * 0.5)
        terminal = self.random.binomial(counts - far, np.minimum(1, self.terminal[place] * 1.1))
        good = self.random.binomial(counts - far, self.good[place])
        far_good = self.random.binomial(far, np.clip(self.good[place] - self.gap[place], 0, 1))
        self.add(rows, day, counts, good + far_good, terminal=terminal, far=far, far_good=far_good)
        if day >= DAYS - 2:
            for row, count in zip(rows.tolist(), counts.tolist(), strict=True):
                if count:
                    self.at_minutes(row, day, self.rush(count))

    def rush(self, count: int) -> NDArray[np.int64]:
        """Minutes of a day with a rush in the morning and one in the afternoon."""
        centre = np.where(self.random.random(count) < 0.6, 120, 330)
        rush = self.random.normal(centre, 60)
        found = np.where(self.random.random(count) < 0.7, rush, self.random.uniform(0, MINUTES, count))
        return found.clip(0, MINUTES - 1).astype(np.int64)

    def add(
        self,
        rows: NDArray[np.int64],
        day: int,
        counts: NDArray[np.int64],
        good: NDArray[np.int64],
        *,
        terminal: NDArray[np.int64] | int = 0,
        far: NDArray[np.int64] | int = 0,
        far_good: NDArray[np.int64] | int = 0,
        best_only: bool = False,
    ) -> None:
        """Any ratings; good ones are spread over grades 3 to 5 unless ``best_only``."""
        table = self.tables[day]
        table[rows, Column.RATINGS] += counts
        bad = counts - good
        ones = self.random.binomial(bad, _GRADE_SHARES[0])
        table[rows, Column.GRADE_1] += ones
        table[rows, Column.GRADE_2] += bad - ones
        if best_only:
            table[rows, Column.GRADE_5] += good
        else:
            table[rows, 3:6] += self.random.multinomial(good, _GRADE_SHARES[2:])
        table[rows, Column.TERMINAL] += terminal
        table[rows, Column.OFFSITE] += far
        table[rows, Column.OFFSITE_GOOD] += far_good
        self.daily[day, rows] += counts

    def at_minutes(self, row: int, day: int, minutes: NDArray[np.int64]) -> None:
        """When today's or yesterday's ratings of a unit came."""
        np.add.at(self.minutes[day - (DAYS - 2), row], minutes, 1)

    def clear(self, units: Sequence[Unit]) -> NDArray[np.int64]:
        """Forget everything about some units; their rows."""
        rows = np.array([ROSTER.index[unit.unit_id] for unit in units])
        self.tables[:, rows] = 0
        self.daily[:, rows] = 0
        self.minutes[:, rows] = 0
        return rows

    @property
    def window(self) -> IntTable:
        """The statistics of the primary window."""
        found: IntTable = self.tables[-RULES.windows.primary_days :].sum(axis=0)
        return found

    def evidence(self) -> Evidence:
        pace = tuple(DayPace(each.sum(axis=1), (each * (each - 1) // 2).sum(axis=1)) for each in self.minutes)
        return Evidence(ROSTER, RULES, self.window, self.daily, pace)


@cache
def _simulated(seed: int) -> Province:
    return Province(seed)


def honest(seed: int) -> Province:
    """A province to spoil: what `Province(seed)` gives, simulated once for all who ask for it."""
    return deepcopy(_simulated(seed))


def windows_of(city: str) -> list[Unit]:
    """The windows of one city, e.g. ``3607``."""
    return [unit for unit in UNITS.by_level(Level.WINDOW) if unit.city == city]


def an_hour(province: Province, row: int, count: int) -> None:
    """Stuff a window: ``count`` best grades within one hour of today."""
    rows, counts = np.array([row]), np.array([count])
    province.add(rows, DAYS - 1, counts, counts, best_only=True)
    province.at_minutes(row, DAYS - 1, 60 + province.random.integers(0, 60, count))


def a_perfect_city(province: Province, city: str, ratings: int) -> None:
    """Report ``ratings`` good ones and no other for a city, spread over its windows and the window's days."""
    units = windows_of(city)
    rows = province.clear(units)
    days = RULES.windows.primary_days
    counts = province.random.multinomial(ratings, np.full(len(rows) * days, 1 / (len(rows) * days)))
    for day, of_day in enumerate(counts.reshape(days, len(rows))):
        province.add(rows, DAYS - days + day, of_day, of_day, far=of_day // 3, far_good=of_day // 3)


def a_terminal_only(province: Province, unit: Unit, a_day: int) -> None:
    """Make all of a window's ratings come from its terminal."""
    rows = province.clear([unit])
    for day in range(DAYS):
        counts = np.array([a_day])
        good = province.random.binomial(counts, 0.92)
        province.add(rows, day, counts, good, terminal=counts)


def under_pressure(province: Province, unit: Unit, near_a_day: int, far_a_day: int) -> None:
    """Let people rate 97 % good under the staff's eyes, and 60 % good from afar."""
    rows = province.clear([unit])
    for day in range(DAYS):
        near, far = np.array([near_a_day]), np.array([far_a_day])
        far_good = province.random.binomial(far, 0.60)
        good = province.random.binomial(near, 0.97) + far_good
        province.add(rows, day, near + far, good, terminal=near // 2, far=far, far_good=far_good)


def a_county_rises(province: Province, county: str, windows: int, ratings: int) -> None:
    """Give some windows of one county ``ratings`` more today."""
    units = [unit for unit in UNITS.by_level(Level.WINDOW) if unit.county == county][:windows]
    rows = np.array([ROSTER.index[unit.unit_id] for unit in units])
    counts = np.full(len(rows), ratings)
    province.add(rows, DAYS - 1, counts, province.random.binomial(counts, 0.95))


def a_run(province: Province, unit: Unit, a_day: int) -> None:
    """Add ``a_day`` ratings on each day of the last week."""
    rows = np.array([ROSTER.index[unit.unit_id]])
    for day in range(DAYS - RULES.integrity.burst.run_days, DAYS):
        counts = np.array([a_day])
        province.add(rows, day, counts, province.random.binomial(counts, 0.95))


def a_share(province: Province, unit: Unit, good: float, a_day: int) -> None:
    """Make a window far better or worse than its peers."""
    rows = province.clear([unit])
    for day in range(DAYS):
        counts = np.array([a_day])
        province.add(rows, day, counts, province.random.binomial(counts, good))


def printed_tokens(province: Province, unit: Unit, ratings: int, days: int, *, seen_after: int) -> None:
    """Best grades that a window gives itself over ``days`` days, of which ``seen_after`` have passed."""
    rows = np.array([ROSTER.index[unit.unit_id]])
    a_day = province.random.multinomial(ratings, np.full(days, 1 / days))
    for passed, count in enumerate(a_day[:seen_after]):
        day, counts = DAYS - seen_after + passed, np.array([count])
        province.add(rows, day, counts, counts, far=counts, far_good=counts, best_only=True)
        if day >= DAYS - 2:
            province.at_minutes(int(rows[0]), day, province.random.integers(0, MINUTES, count))
