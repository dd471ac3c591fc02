"""Daily buckets 日桶: integer sufficient statistics of every unit and day, and the spans made of them.

One row per unit, one column per :class:`Column`, all integers: weights are in thousandths of a rating, so
that adding and taking away are exact in any order. A day is a number, see `days`.
"""

import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain.day_history import DayHistory, KeptTable
from services.scoring.domain.days import day_number, day_of
from services.scoring.domain.ratings import DIMENSION_COUNT, Place
from services.scoring.domain.spans import Period, PeriodKind, periods_of
from shared.kernel.errors import InvalidValueError
from shared.kernel.grades import Grade, Source

IntTable = NDArray[np.int64]
"""Statistics: shape (units, :data:`WIDTH`), one row per unit in the order of the registry."""

Statistics = Mapping[Source, IntTable]
"""One table for each source that has ratings; always one for the public."""


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
    TERMINAL = 8
    """Plain count of those given on the window's terminal."""
    OFFSITE = 9
    """Plain count of those given away from the window."""
    OFFSITE_GOOD = 10
    """Plain count of the good ones among them."""
    DIMENSIONS = 11
    """First of five pairs, in the order of `Dimension`: how many sub-grades, and their sum."""


WIDTH: Final = Column.DIMENSIONS + 2 * DIMENSION_COUNT
_RATINGS: Final = int(Column.RATINGS)
_WEIGHT: Final = int(Column.WEIGHT)
_GOOD: Final = int(Column.GOOD)
_IS_GOOD: Final = np.array([False, *(Grade(value).is_good for value in range(1, 6))])

HOT_DAYS: Final = 40
"""Days before ``as_of`` whose tables stay as they are; older ones change rarely, and are kept compressed."""
WARM_TABLES: Final = 8
"""Older tables that stay unpacked: a replay of history goes through them one after the other."""
HISTORY_DAYS: Final = 92
"""Days kept beyond the longest window, so that every window can be asked for on each of the last 92 days."""
PERIODS_KEPT_DAYS: Final = 800
"""How long after its end a calendar period can still be restated."""

# One contribution as a number: unit, sign, place, grade, weight.
_WEIGHT_BITS: Final = 10
_GRADE_BITS: Final = 3
_PLACE_BITS: Final = 2
_PLACE_AT: Final = _WEIGHT_BITS + _GRADE_BITS
_SIGN_AT: Final = _PLACE_AT + _PLACE_BITS
_UNIT_AT: Final = _SIGN_AT + 1


class _Table:
    """The table of one day or period, unpacked or compressed."""

    __slots__ = ("_lent", "_packed", "_values")

    def __init__(self, values: NDArray[Any] | None = None, packed: bytes = b"") -> None:
        self._values = values
        self._packed = packed
        self._lent = False

    @property
    def is_packed(self) -> bool:
        return self._values is None

    def values(self, kind: type[np.signedinteger[Any]]) -> NDArray[Any]:
        """The flat numbers, to be read."""
        if self._values is None:
            self._values = np.frombuffer(bytearray(zlib.decompress(self._packed)), dtype=kind)
            self._packed, self._lent = b"", False
        return self._values

    def for_change(self, kind: type[np.signedinteger[Any]]) -> NDArray[Any]:
        """The flat numbers, to be changed in place; nobody who borrowed the table sees it."""
        values = self.values(kind)
        if self._lent:
            self._values, self._lent = values.copy(), False
            values = self._values
        return values

    def lend(self) -> KeptTable:
        """The table as it is now, whatever is added later."""
        self._lent = self._values is not None
        return KeptTable(self._values, self._packed)

    def pack(self) -> bytes:
        """Compress it."""
        if self._values is not None:
            self._packed, self._values = self.packed(), None
        return self._packed

    def packed(self) -> bytes:
        """The compressed numbers; the table stays as it is."""
        return self._packed if self._values is None else zlib.compress(self._values.tobytes(), 1)


class DailyBuckets:
    """Statistics of one source by day, and their sums over rolling windows and calendar periods.

    A window of d days on day D is D-d+1 … D. Windows nest, so each day belongs to exactly one *ring*, the
    days that a window has beyond the next shorter one, and a window is the sum of the rings up to its own.

    Contributions wait until :meth:`settle` adds them up all at once. Days after ``as_of`` are kept, but
    belong to nothing before :meth:`advance` comes to them.

    Memory: 84 bytes × units for each of the newest :data:`HOT_DAYS` days and, compressed to about a tenth,
    for all days of the longest window and :data:`HISTORY_DAYS` more.
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
        lengths = [length - before for before, length in zip((0, *windows), windows, strict=False)]
        self._ring_of_age = [ring for ring, days in enumerate(lengths) for _ in range(days)]
        self._as_of = as_of
        self._kept = len(self._ring_of_age) + HISTORY_DAYS
        self._whole_from = as_of - self._kept
        self._days: dict[int, _Table] = {}
        self._rings = [np.zeros(self._size, dtype=np.int64) for _ in windows]
        self._periods: dict[Period, _Table] = {}
        self.touched: Counter[Period] = Counter()
        """How often each period that is kept has changed since the start; grows only."""
        self._waiting: defaultdict[int, list[int]] = defaultdict(list)
        self._dimensions: list[tuple[int, int, int, bytes]] = []

    @property
    def as_of(self) -> int:
        """The day that the windows end on."""
        return self._as_of

    @property
    def waiting(self) -> int:
        """Contributions that are not settled yet."""
        return sum(map(len, self._waiting.values()))

    def add(
        self, unit: int, day: int, grade: int, place: int, weight_milli: int, dimensions: bytes | None = None
    ) -> None:
        """Add one rating of ``unit`` on ``day``; its weight is at most a whole one."""
        code = unit << _UNIT_AT | place << _PLACE_AT | grade << _WEIGHT_BITS | weight_milli
        self._waiting[day].append(code)
        if dimensions is not None:
            self._dimensions.append((day, unit, 1, dimensions))

    def remove(
        self, unit: int, day: int, grade: int, place: int, weight_milli: int, dimensions: bytes | None = None
    ) -> None:
        """Take away exactly what `add` added."""
        code = unit << _UNIT_AT | place << _PLACE_AT | grade << _WEIGHT_BITS | weight_milli
        self._waiting[day].append(code | 1 << _SIGN_AT)
        if dimensions is not None:
            self._dimensions.append((day, unit, -1, dimensions))

    def settle(self) -> None:
        """Add up what waits: each contribution goes into its day, its ring and its periods."""
        if not self._waiting:
            return
        changes = {day: _changes(codes) for day, codes in self._waiting.items()}
        for day, unit, sign, dimensions in self._dimensions:
            places, amounts = changes[day]
            base = unit * WIDTH + Column.DIMENSIONS
            for number, grade in enumerate(dimensions):
                if grade:
                    places.append(np.array((base + 2 * number, base + 2 * number + 1)))
                    amounts.append(np.array((sign, sign * grade)))
        self._waiting.clear()
        self._dimensions.clear()
        for day, (places, amounts) in changes.items():
            self._apply(day, np.concatenate(places), np.concatenate(amounts))
        self._pack_old()

    def _apply(self, day: int, places: IntTable, amounts: IntTable) -> None:
        age = self._as_of - day
        if age <= self._kept:
            table = self._days.get(day)
            if table is None:
                table = self._days[day] = _Table(np.zeros(self._size, dtype=np.int32))
            np.add.at(table.for_change(np.int32), places, amounts)
        if age < 0:
            return
        if age < len(self._ring_of_age):
            np.add.at(self._rings[self._ring_of_age[age]], places, amounts)
        for period in periods_of(day_of(day)):
            if self._keeps(period):
                np.add.at(self._period(period).for_change(np.int64), places, amounts)
                self.touched[period] += 1

    def _keeps(self, period: Period) -> bool:
        return day_number(period.last) >= self._as_of - PERIODS_KEPT_DAYS

    def _period(self, period: Period) -> _Table:
        table = self._periods.get(period)
        if table is None:
            table = self._periods[period] = _Table(np.zeros(self._size, dtype=np.int64))
        return table

    def _pack_old(self) -> None:
        """Compress old tables, all but the few that were used last."""
        limit = self._as_of - HOT_DAYS
        old = [table for day, table in self._days.items() if day < limit and not table.is_packed]
        old += [
            table
            for period, table in self._periods.items()
            if day_number(period.last) < limit and not table.is_packed
        ]
        for table in old[: max(0, len(old) - WARM_TABLES)]:
            table.pack()

    def advance(self, as_of: int) -> None:
        """Let the windows end on the later day ``as_of`` and forget days that are no longer kept.

        Raises:
            InvalidValueError: ``as_of`` lies before the present one; days may have been forgotten.
        """
        if as_of < self._as_of:
            raise InvalidValueError(
                as_of, f"a day number from {self._as_of}", "fold the stream again for an earlier day"
            )
        self.settle()
        before, self._as_of = self._as_of, as_of
        for day, table in list(self._days.items()):
            old, new = self._ring_at(before - day), self._ring_at(as_of - day)
            if old != new:
                values = table.values(np.int32)
                if old is not None:
                    self._rings[old] -= values
                if new is not None:
                    self._rings[new] += values
            if before < day <= as_of:
                for period in periods_of(day_of(day)):
                    if self._keeps(period):
                        self._period(period).for_change(np.int64)[:] += table.values(np.int32)
            if as_of - day > self._kept:
                del self._days[day]
        self._whole_from = max(self._whole_from, as_of - self._kept)
        self._periods = {period: table for period, table in self._periods.items() if self._keeps(period)}
        self._pack_old()

    def _ring_at(self, age: int) -> int | None:
        return self._ring_of_age[age] if 0 <= age < len(self._ring_of_age) else None

    def windows(self) -> dict[int, IntTable]:
        """The statistics of every window, by its length in days; copies."""
        self.settle()
        total = np.zeros(self._size, dtype=np.int64)
        found: dict[int, IntTable] = {}
        for length, ring in zip(self._lengths, self._rings, strict=True):
            total = total + ring
            found[length] = total.reshape(-1, WIDTH)
        return found

    def windows_before(self) -> dict[int, IntTable]:
        """The same as of the day before ``as_of``, with what is known today; copies."""
        found = self.windows()
        today = self._day(self._as_of)
        return {length: found[length] - today + self._day(self._as_of - length) for length in self._lengths}

    def _day(self, day: int) -> IntTable:
        table = self._days.get(day)
        if table is None:
            return np.zeros((self._size // WIDTH, WIDTH), dtype=np.int64)
        return table.values(np.int32).reshape(-1, WIDTH).astype(np.int64)

    def period(self, period: Period) -> IntTable:
        """The statistics of a calendar period up to ``as_of``; a copy, zeros where there is nothing."""
        self.settle()
        table = self._periods.get(period)
        if table is None:
            return np.zeros((self._size // WIDTH, WIDTH), dtype=np.int64)
        return table.values(np.int64).reshape(-1, WIDTH).copy()

    def day(self, day: int) -> IntTable:
        """The statistics of one kept day, by its number; a copy."""
        self.settle()
        return self._day(day).copy()

    def history(self) -> DayHistory:
        """All that is kept as it is now, to be looked back at in any thread; costs next to nothing."""
        self.settle()
        return DayHistory(
            shape=(self._size // WIDTH, WIDTH),
            as_of=self._as_of,
            whole_from=self._whole_from,
            days={day: table.lend() for day, table in self._days.items()},
            periods={period: table.lend() for period, table in self._periods.items()},
        )

    def counts(self, first: int, last: int) -> IntTable:
        """Plain counts of the days ``first`` … ``last``, shape (days, units); a copy."""
        self.settle()
        found = np.zeros((last - first + 1, self._size // WIDTH), dtype=np.int64)
        for day in range(first, last + 1):
            table = self._days.get(day)
            if table is not None:
                found[day - first] = table.values(np.int32)[_RATINGS::WIDTH]
        return found

    def dump(self) -> dict[str, Any]:
        """Everything, as numbers and bytes; `load` takes it back."""
        self.settle()
        return {
            "as_of": self._as_of,
            "lengths": list(self._lengths),
            "size": self._size,
            "whole_from": self._whole_from,
            "rings": [ring.tobytes() for ring in self._rings],
            "days": {day: table.packed() for day, table in self._days.items()},
            "periods": [
                (str(period.kind), period.year, period.number, table.packed())
                for period, table in self._periods.items()
            ],
        }

    @classmethod
    def load(cls, dumped: Mapping[str, Any]) -> "DailyBuckets":
        """Take up what `dump` gave.

        Raises:
            KeyError: it is something else.
            ValueError: likewise.
        """
        size, lengths = dumped["size"], tuple(dumped["lengths"])
        found = cls(size // WIDTH, lengths, dumped["as_of"])
        found._rings = [np.frombuffer(bytearray(ring), dtype=np.int64) for ring in dumped["rings"]]
        if any(len(ring) != size for ring in found._rings):
            raise ValueError("a ring of another size")
        # What an older version dumped had no more than the days of the longest window.
        found._whole_from = dumped.get("whole_from", found._as_of - len(found._ring_of_age))
        found._days = {day: _Table(packed=packed) for day, packed in dumped["days"].items()}
        found._periods = {
            Period(PeriodKind(kind), year, number): _Table(packed=packed)
            for kind, year, number, packed in dumped["periods"]
        }
        found.touched.update(found._periods.keys())  # whoever restarts must look at all of them
        return found


def _changes(codes: Iterable[int]) -> tuple[list[IntTable], list[IntTable]]:
    """What contributions to one day change: places in the flat table, and by how much."""
    code = np.array(codes, dtype=np.int64)
    weight = code & ((1 << _WEIGHT_BITS) - 1)
    grade = code >> _WEIGHT_BITS & ((1 << _GRADE_BITS) - 1)
    place = code >> _PLACE_AT & ((1 << _PLACE_BITS) - 1)
    sign = 1 - 2 * (code >> _SIGN_AT & 1)
    base = (code >> _UNIT_AT) * WIDTH
    good = _IS_GOOD[grade]
    weight *= sign
    places = [base + _RATINGS, base + grade, base + _WEIGHT, base[good] + _GOOD]
    amounts = [sign, sign, weight, weight[good]]
    far = place == Place.OFF_SITE
    for where, column in (
        (place == Place.TERMINAL, Column.TERMINAL),
        (far, Column.OFFSITE),
        (far & good, Column.OFFSITE_GOOD),
    ):
        places.append(base[where] + column)
        amounts.append(sign[where])
    return places, amounts
