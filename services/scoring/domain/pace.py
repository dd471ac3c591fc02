"""Pace 节奏: how closely the public's ratings of one unit follow one another, today and yesterday.

Counted in fixed minutes of event time, so that it is a function of the *set* of ratings: c ratings of one
unit in the same minute are c(c-1)/2 *pairs*. Gaps between neighbours would say the same, but a rating that is
taken out again would need its neighbours.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from services.scoring.domain.buckets import IntTable
from services.scoring.domain.days import DAY_MS, SHANGHAI_MS

BIN_MS: Final = 60_000
BINS_A_DAY: Final = DAY_MS // BIN_MS
DAYS: Final = 2
"""Today and yesterday."""


class DayPace(NamedTuple):
    """One day, all units: how many ratings, and how many pairs of them in the same minute."""

    ratings: IntTable
    pairs: IntTable


class _Day:
    __slots__ = ("bins", "pairs", "ratings")

    def __init__(self, units: int) -> None:
        self.bins: dict[int, int] = {}
        self.ratings = [0] * units
        self.pairs = [0] * units


class Pace:
    """The minutes of the newest days. Memory: about 100 bytes for each minute of a unit with ratings.

    Days after ``as_of`` are kept until they come; those before yesterday are not, whether they are added or
    taken away.
    """

    def __init__(self, units: int, as_of: int) -> None:
        """No ratings yet; ``as_of`` is a day number."""
        self._units = units
        self._days: dict[int, _Day] = {}
        self.first_day = as_of - DAYS + 1
        """Older days are not watched."""

    def advance(self, as_of: int) -> None:
        """Move on to the later day ``as_of``."""
        self.first_day = as_of - DAYS + 1
        self._days = {day: found for day, found in self._days.items() if day >= self.first_day}

    def add(self, unit: int, day: int, occurred_ms: int) -> None:
        """Add one rating on ``day``, the day of ``occurred_ms``."""
        if day < self.first_day:
            return
        found = self._days.get(day)
        if found is None:
            found = self._days[day] = _Day(self._units)
        key = unit * BINS_A_DAY + (occurred_ms + SHANGHAI_MS) % DAY_MS // BIN_MS
        before = found.bins.get(key, 0)
        found.bins[key] = before + 1
        found.ratings[unit] += 1
        found.pairs[unit] += before

    def remove(self, unit: int, day: int, occurred_ms: int) -> None:
        """Take away exactly what `add` added."""
        if day < self.first_day:
            return
        found = self._days[day]
        key = unit * BINS_A_DAY + (occurred_ms + SHANGHAI_MS) % DAY_MS // BIN_MS
        after = found.bins[key] - 1
        if after:
            found.bins[key] = after
        else:
            del found.bins[key]
        found.ratings[unit] -= 1
        found.pairs[unit] -= after

    def days(self) -> tuple[DayPace, ...]:
        """Yesterday and today, in this order; copies."""
        return tuple(self._day(day) for day in range(self.first_day, self.first_day + DAYS))

    def _day(self, day: int) -> DayPace:
        found = self._days.get(day)
        if found is None:
            return DayPace(np.zeros(self._units, dtype=np.int64), np.zeros(self._units, dtype=np.int64))
        return DayPace(np.array(found.ratings, dtype=np.int64), np.array(found.pairs, dtype=np.int64))

    def dump(self) -> dict[int, list[bytes]]:
        """The minutes of each day and their counts; `load` takes them back."""
        return {
            day: [
                np.fromiter(each, dtype=np.int64, count=len(found.bins)).tobytes()
                for each in (found.bins.keys(), found.bins.values())
            ]
            for day, found in self._days.items()
        }

    def load(self, dumped: Mapping[int, Any]) -> None:
        """Take up what `dump` gave.

        Raises:
            ValueError: it is something else, or about other units.
        """
        for day, (keys, counts) in dumped.items():
            places, numbers = np.frombuffer(keys, dtype=np.int64), np.frombuffer(counts, dtype=np.int64)
            units = places // BINS_A_DAY
            if units.size and not 0 <= units.min() <= units.max() < self._units:
                raise ValueError("minutes of a unit that is not there")
            found = self._days[day] = _Day(self._units)
            found.bins = dict(zip(places.tolist(), numbers.tolist(), strict=True))
            ratings, pairs = np.array(found.ratings), np.array(found.pairs)
            np.add.at(ratings, units, numbers)
            np.add.at(pairs, units, numbers * (numbers - 1) // 2)
            found.ratings, found.pairs = ratings.tolist(), pairs.tolist()
