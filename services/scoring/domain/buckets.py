"""Daily buckets 日桶: integer sufficient statistics of every unit and day, and rolling windows of them.

One row per unit, eight columns (:class:`Column`), all integers: weights are in thousandths of a rating, so
that adding and taking away are exact in any order. A day is a number of days since 1970-01-01 in
Asia/Shanghai; :func:`day_number` and :func:`day_of_ms` convert.
"""

from array import array
from datetime import date
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shared.kernel.clock import SHANGHAI
from shared.kernel.errors import InvalidValueError
from shared.kernel.grades import Grade

IntTable = NDArray[np.int64]
"""Statistics: shape (units, :data:`WIDTH`), one row per unit in the order of the registry."""

DAY_MS: Final = 86_400_000
_SHANGHAI_MS: Final = int(SHANGHAI.utcoffset(None).total_seconds()) * 1000
_EPOCH: Final = date(1970, 1, 1).toordinal()


class Column(IntEnum):
    """What one row holds. The histogram's column of grade g is g."""

    RATINGS = 0
    """Plain count: decides suppression and is what privacy is measured by."""
    GRADE_1 = 1
    GRADE_2 = 2
    GRADE_3 = 3
    GRADE_4 = 4
    GRADE_5 = 5
    WEIGHT = 6
    """n: sum of weights, in thousandths of a rating."""
    GOOD = 7
    """k: sum of the weights of good ratings (grades 3-5), in thousandths."""


WIDTH: Final = len(Column)
_RATINGS: Final = int(Column.RATINGS)
_WEIGHT: Final = int(Column.WEIGHT)
_GOOD: Final = int(Column.GOOD)
_IS_GOOD: Final = (False, *(Grade(value).is_good for value in range(1, 6)))


def day_number(day: date) -> int:
    """Days from 1970-01-01 to ``day``."""
    return day.toordinal() - _EPOCH


def day_of_ms(moment_ms: int) -> int:
    """Day number, in Asia/Shanghai, of a Unix time in milliseconds."""
    return (moment_ms + _SHANGHAI_MS) // DAY_MS


class DailyBuckets:
    """Statistics by day, and their sums over rolling windows that end on one day (``as_of``).

    A window of d days on day D is D-d+1 … D. Windows nest, so each day belongs to exactly one *ring*, the
    days that a window has beyond the next shorter one: adding touches one day and one ring, and a window is
    the sum of the rings up to its own.

    Memory: one dense table for each day that has ratings and lies in the longest window (or after
    ``as_of``); 64 bytes × units × days, 30 MB for 1,299 units and 365 days.
    """

    def __init__(self, units: int, windows: tuple[int, ...], as_of: int) -> None:
        """``windows`` are lengths in days, ascending; ``as_of`` is a day number.

        Raises:
            InvalidValueError: no windows, or not ascending.
        """
        if not windows or list(windows) != sorted(set(windows)) or windows[0] < 1:
            raise InvalidValueError(windows, "ascending lengths in days", "correct windows.days")
        self._size = units * WIDTH
        self._lengths = windows
        self._ring_of_age = [ring for ring, days in enumerate(self._ring_lengths()) for _ in range(days)]
        self._days: dict[int, array[int]] = {}
        self._as_of = as_of
        self._rings = self._empty_rings()

    def _ring_lengths(self) -> list[int]:
        return [length - before for before, length in zip((0, *self._lengths), self._lengths, strict=False)]

    def _empty_rings(self) -> list["array[int]"]:
        return [self._empty() for _ in self._lengths]

    def _empty(self) -> "array[int]":
        return array("q", bytes(8 * self._size))

    @property
    def as_of(self) -> int:
        """The day that the windows end on."""
        return self._as_of

    def add(self, unit: int, day: int, grade: int, weight_milli: int, sign: int = 1) -> None:
        """Add one rating of ``unit`` on ``day`` (``sign`` 1) or take away exactly what was added (-1).

        Days before the longest window are ignored in both directions: no window reaches them again. Days
        after ``as_of`` wait in their bucket until :meth:`advance` comes to them.
        """
        age = self._as_of - day
        if age >= len(self._ring_of_age):
            return
        table = self._days.get(day)
        if table is None:
            table = self._days[day] = self._empty()
        base = unit * WIDTH
        _add(table, base, grade, weight_milli, sign)
        if age >= 0:
            _add(self._rings[self._ring_of_age[age]], base, grade, weight_milli, sign)

    def advance(self, as_of: int) -> None:
        """Let the windows end on the later day ``as_of`` and forget the days that no window reaches any more.

        Raises:
            InvalidValueError: ``as_of`` lies before the present one; days may have been forgotten.
        """
        if as_of < self._as_of:
            raise InvalidValueError(
                as_of, f"a day number from {self._as_of}", "fold the stream again for an earlier day"
            )
        self._as_of = as_of
        reach = len(self._ring_of_age)
        self._days = {day: table for day, table in self._days.items() if as_of - day < reach}
        self._rings = self._empty_rings()
        for day, table in self._days.items():
            if day <= as_of:
                ring = np.frombuffer(self._rings[self._ring_of_age[as_of - day]], dtype=np.int64)
                ring += np.frombuffer(table, dtype=np.int64)

    def windows(self) -> dict[int, IntTable]:
        """The statistics of every window, by its length in days; copies."""
        total = np.zeros(self._size, dtype=np.int64)
        found: dict[int, IntTable] = {}
        for length, ring in zip(self._lengths, self._rings, strict=True):
            total = total + np.frombuffer(ring, dtype=np.int64)
            found[length] = total.reshape(-1, WIDTH)
        return found


def _add(table: "array[int]", base: int, grade: int, weight_milli: int, sign: int) -> None:
    table[base + _RATINGS] += sign
    table[base + grade] += sign
    table[base + _WEIGHT] += sign * weight_milli
    if _IS_GOOD[grade]:
        table[base + _GOOD] += sign * weight_milli
