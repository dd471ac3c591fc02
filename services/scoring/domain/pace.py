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
DAYS: Final = 2
"""Today and yesterday."""


class DayPace(NamedTuple):
    """One day, all units: how many ratings, and how many pairs of them in the same minute."""

    ratings: IntTable
    pairs: IntTable


class Pace:
    """The minutes of the newest days.

    What comes in is only noted, and added up by :meth:`settle`: a dictionary of minutes would cost each
    rating as much as the rest of the fold. Days after ``as_of`` are kept until they come; those before
    yesterday are not, whether they are added or taken away.

    Memory: 16 bytes for each minute of a unit that has ratings, 40 for each rating that is not settled.
    """

    def __init__(self, units: int, as_of: int) -> None:
        """No ratings yet; ``as_of`` is a day number."""
        self._units = max(1, units)
        self._added: list[int] = []
        self._removed: list[int] = []
        # One number for each minute of a unit: minutes since 1970 times the number of units, plus the unit.
        self._keys: IntTable = np.zeros(0, dtype=np.int64)
        self._counts: IntTable = np.zeros(0, dtype=np.int64)
        self.first_day = as_of - DAYS + 1
        """Older days are not watched."""

    def advance(self, as_of: int) -> None:
        """Move on to the later day ``as_of``."""
        self.settle()
        self.first_day = as_of - DAYS + 1
        watched = self._day_of_keys() >= self.first_day
        self._keys, self._counts = self._keys[watched], self._counts[watched]

    def add(self, unit: int, day: int, occurred_ms: int) -> None:
        """Add one rating on ``day``, the day of ``occurred_ms``."""
        if day >= self.first_day:
            self._added.append(occurred_ms // BIN_MS * self._units + unit)

    def remove(self, unit: int, day: int, occurred_ms: int) -> None:
        """Take away exactly what `add` added."""
        if day >= self.first_day:
            self._removed.append(occurred_ms // BIN_MS * self._units + unit)

    def settle(self, least: int = 1) -> None:
        """Add up what was noted, if it is at least so much; :meth:`days` does it anyway.

        With a ``least`` also only if it is worth sorting what is there already.
        """
        waiting = len(self._added) + len(self._removed)
        if not waiting or waiting < least or (least > 1 and waiting < len(self._keys) // 4):
            return
        keys = np.concatenate((self._keys, _numbers(self._added), _numbers(self._removed)))
        amounts = np.ones(len(keys), dtype=np.int64)
        amounts[: len(self._counts)] = self._counts
        amounts[len(keys) - len(self._removed) :] = -1
        self._added.clear()
        self._removed.clear()
        self._keys, place = np.unique(keys, return_inverse=True)
        self._counts = np.zeros(len(self._keys), dtype=np.int64)
        np.add.at(self._counts, place, amounts)
        left = self._counts != 0
        self._keys, self._counts = self._keys[left], self._counts[left]

    def days(self) -> tuple[DayPace, ...]:
        """Yesterday and today, in this order; copies."""
        self.settle()
        day, unit = self._day_of_keys(), self._keys % self._units
        pairs = self._counts * (self._counts - 1) // 2
        found = []
        for number in range(self.first_day, self.first_day + DAYS):
            at = day == number
            ratings_of, pairs_of = (np.zeros(self._units, dtype=np.int64) for _ in range(2))
            np.add.at(ratings_of, unit[at], self._counts[at])
            np.add.at(pairs_of, unit[at], pairs[at])
            found.append(DayPace(ratings_of, pairs_of))
        return tuple(found)

    def _day_of_keys(self) -> IntTable:
        found: IntTable = (self._keys // self._units * BIN_MS + SHANGHAI_MS) // DAY_MS
        return found

    def dump(self) -> dict[str, Any]:
        """The minutes and their counts; `load` takes them back."""
        self.settle()
        return {"units": self._units, "keys": self._keys.tobytes(), "counts": self._counts.tobytes()}

    def load(self, dumped: Mapping[str, Any]) -> None:
        """Take up what `dump` gave.

        Raises:
            KeyError: it is something else.
            ValueError: likewise, or about other units.
        """
        keys, counts = (np.frombuffer(dumped[name], dtype=np.int64) for name in ("keys", "counts"))
        if dumped["units"] != self._units or len(keys) != len(counts):
            raise ValueError("minutes of other units")
        self._keys, self._counts = keys, counts


def _numbers(values: list[int]) -> IntTable:
    return np.array(values, dtype=np.int64)
