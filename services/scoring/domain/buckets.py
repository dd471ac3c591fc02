"""Daily buckets 日桶: integer sufficient statistics of every unit and day, and the spans made of them.

One row per unit, one column per :class:`Column`, all integers: weights are in thousandths of a rating, so
that adding and taking away are exact in any order. A day is a number, see `days`.
"""

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain.cells import NO_CELLS, Cells, PackedCells
from services.scoring.domain.day_history import DayHistory, KeptTable
from services.scoring.domain.days import day_number, day_of
from services.scoring.domain.ratings import DIMENSION_COUNT, Place
from services.scoring.domain.spans import Period, PeriodKind, period_of, periods_of
from shared.kernel.errors import InvalidValueError
from shared.kernel.grades import Grade, Source

IntTable = NDArray[np.int64]
"""Statistics: shape (units, :data:`WIDTH`), one row per unit in the order of the registry."""

Statistics = Mapping[Source, IntTable]
"""One table for each source that has ratings; always one for the public."""


class Column(IntEnum):
    """What one row holds, before it is weighed (`unproven`). The histogram's column of grade g is g."""

    RATINGS = 0
    """Plain count: decides suppression and is what privacy is measured by."""
    GRADE_1 = 1
    GRADE_2 = 2
    GRADE_3 = 3
    GRADE_4 = 4
    GRADE_5 = 5
    PROVEN = 6
    """Sum of the weights of proven ratings, in thousandths of a rating."""
    PROVEN_GOOD = 7
    """Sum of the weights of the good ones among them (grades 3-5), in thousandths."""
    UNPROVEN = 8
    """Sum of the weights of the others, in thousandths."""
    UNPROVEN_GOOD = 9
    """Sum of the weights of the good ones among those, in thousandths."""
    TERMINAL = 10
    """Plain count of those given on the window's terminal."""
    OFFSITE = 11
    """Plain count of those given away from the window."""
    OFFSITE_GOOD = 12
    """Plain count of the good ones among them."""
    DIMENSIONS = 13
    """First of five pairs, in the order of `Dimension`: how many sub-grades, and their sum."""


WIDTH: Final = Column.DIMENSIONS + 2 * DIMENSION_COUNT
_LEAST_GOOD: Final = min(grade for grade in Grade if grade.is_good)

HOT_DAYS: Final = 31
"""Days before ``as_of`` whose tables stay as they are: late ratings still come. Older ones are kept small."""
WARM_TABLES: Final = 8
"""Older tables that stay unpacked: a replay of history goes through them one after the other."""
HISTORY_DAYS: Final = 92
"""Days kept beyond the longest window, so that every window can be asked for on each of the last 92 days."""
PERIODS_KEPT_DAYS: Final = 800
"""How long after its end a calendar period can still be restated."""
DENSE_FROM: Final = 1 / 8
"""Share of its cells from which a table that is added to is dense; below, cells take less room and time."""
PACK_FROM: Final = 1_000
"""Cells from which it is worth packing them."""

# One contribution as a number: day, unit, sign, proven, place, grade, weight. They sort by day and unit.
_WEIGHT_BITS: Final = 10
_GRADE_BITS: Final = 3
_PLACE_BITS: Final = 2
_UNIT_BITS: Final = 24
_PLACE_AT: Final = _WEIGHT_BITS + _GRADE_BITS
_PROVEN_AT: Final = _PLACE_AT + _PLACE_BITS
_SIGN_AT: Final = _PROVEN_AT + 1
_UNIT_AT: Final = _SIGN_AT + 1
_WEIGHTS: Final = 1 << _WEIGHT_BITS
_GRADES: Final = 1 << _GRADE_BITS
_PLACES: Final = 1 << _PLACE_BITS
_UNITS: Final = 1 << _UNIT_BITS
_REMOVED: Final = 1 << _SIGN_AT
_CONTRIBUTIONS: Final = 1 << _UNIT_AT


class _Table:
    """The table of one day or period: dense where it is in use and well filled, otherwise cells."""

    __slots__ = ("_cells", "_kind", "_lent", "_size", "_values", "is_packed")

    def __init__(
        self, size: int, kind: type[np.signedinteger[Any]], cells: Cells | PackedCells = NO_CELLS
    ) -> None:
        """A flat table of ``size`` numbers with these ``cells``; dense, its numbers are of ``kind``."""
        self._size = size
        self._kind = kind
        self._cells: Cells | PackedCells = cells
        self._values: NDArray[Any] | None = None
        self._lent = False
        self.is_packed = True
        """Whether `pack` would change nothing."""

    def add(self, places: IntTable, amounts: IntTable) -> None:
        """Add amounts, whose places may repeat; nobody who borrowed the table sees it."""
        if self._values is None:
            cells = self.cells()
            if len(cells) + len(places) < self._size * DENSE_FROM:
                self._cells = cells.plus(places, amounts)
                self.is_packed = len(cells) + len(places) < PACK_FROM
                return
            self._values, self._lent = np.zeros(self._size, dtype=self._kind), False
            cells.add_to(self._values)
            self._cells = NO_CELLS
        elif self._lent:
            self._values, self._lent = self._values.copy(), False
        # Amounts of the table's own type: `add.at` takes forty times as long with two.
        np.add.at(self._values, places, amounts.astype(self._kind))
        self.is_packed = False

    def lend(self) -> KeptTable:
        """The table as it is now, whatever is added later."""
        self._lent = self._values is not None
        return KeptTable(self._values, self._cells)

    def add_to(self, total: IntTable, sign: int = 1) -> None:
        """Add it to a flat table of the same size, or take it away with -1."""
        KeptTable(self._values, self._cells).add_to(total, sign)

    def column(self, column: int) -> tuple[IntTable, NDArray[Any]]:
        """Units and what they have in one column, as far as it is not 0."""
        cells = self.cells()
        units, at = np.divmod(cells.places(), WIDTH)
        found = at == column
        return units[found], cells.amounts[found]

    def cells(self) -> Cells:
        """What is not 0; the table stays as it is."""
        return KeptTable(self._values, self._cells).unpacked()

    def packed(self) -> PackedCells:
        """What is not 0, packed; the table stays as it is."""
        return self._cells if isinstance(self._cells, PackedCells) else self.cells().pack()

    def pack(self) -> None:
        """Make it small: what comes later takes longer to add."""
        self._cells, self._values, self.is_packed = self.packed(), None, True


class DailyBuckets:
    """Statistics of one source by day, and their sums over rolling windows and calendar periods.

    A window of d days on day D is D-d+1 … D. Windows nest, so each day belongs to exactly one *ring*, the
    days that a window has beyond the next shorter one, and a window is the sum of the rings up to its own.

    Contributions wait until :meth:`settle` adds them up all at once. Days after ``as_of`` are kept, but
    belong to nothing before :meth:`advance` comes to them.

    Memory: of each day of the longest window and of :data:`HISTORY_DAYS` more about a byte for each cell
    that is not 0; of the newest :data:`HOT_DAYS` days 92 bytes × units where they are well filled.
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
        self._waiting = array("q")
        self._dimensions: list[tuple[int, int, bytes]] = []

    @property
    def as_of(self) -> int:
        """The day that the windows end on."""
        return self._as_of

    @property
    def waiting(self) -> int:
        """Contributions that are not settled yet."""
        return len(self._waiting)

    def add(
        self,
        unit: int,
        day: int,
        grade: int,
        place: int,
        weight_milli: int,
        dimensions: bytes | None = None,
        *,
        proven: bool,
    ) -> None:
        """Add one rating of ``unit`` on ``day``; its weight is at most a whole one."""
        # Products and sums: Python does them in half the time of shifts.
        what = ((proven * _PLACES + place) * _GRADES + grade) * _WEIGHTS + weight_milli
        self._waiting.append((day * _UNITS + unit) * _CONTRIBUTIONS + what)
        if dimensions is not None:
            self._dimensions.append((day << _UNIT_BITS | unit, 1, dimensions))

    def remove(
        self,
        unit: int,
        day: int,
        grade: int,
        place: int,
        weight_milli: int,
        dimensions: bytes | None = None,
        *,
        proven: bool,
    ) -> None:
        """Take away exactly what `add` added."""
        what = ((proven * _PLACES + place) * _GRADES + grade) * _WEIGHTS + weight_milli
        self._waiting.append((day * _UNITS + unit) * _CONTRIBUTIONS + _REMOVED + what)
        if dimensions is not None:
            self._dimensions.append((day << _UNIT_BITS | unit, -1, dimensions))

    def settle(self) -> None:
        """Add up what waits: each contribution goes into its day, its ring and its periods.

        All of it at once, because each step over a column costs the same for one contribution as for a
        hundred: days with few ratings would be dear if each were taken by itself.
        """
        if not self._waiting:
            return
        day, places, amounts = _changes(np.frombuffer(self._waiting, dtype=np.int64), self._dimensions)
        self._waiting, self._dimensions = array("q"), []
        for number, at in _by_day(day):
            if self._as_of - number <= self._kept:
                table = self._days.get(number)
                if table is None:
                    table = self._days[number] = _Table(self._size, np.int32)
                table.add(places[at], amounts[at])
        # Days ascend, so those of a ring or of a period lie side by side.
        past = day[: np.searchsorted(day, self._as_of, "right")]
        for ring, first, last in zip(self._rings, (0, *self._lengths), self._lengths, strict=False):
            at = slice(*np.searchsorted(past, (self._as_of - last, self._as_of - first), "right"))
            np.add.at(ring, places[at], amounts[at])
        for period, at in _by_period(past):
            if self._keeps(period):
                self._period(period).add(places[at], amounts[at])
                self.touched[period] += 1
        self._pack_old()

    def _keeps(self, period: Period) -> bool:
        return day_number(period.last) >= self._as_of - PERIODS_KEPT_DAYS

    def _period(self, period: Period) -> _Table:
        table = self._periods.get(period)
        if table is None:
            table = self._periods[period] = _Table(self._size, np.int64)
        return table

    def _pack_old(self) -> None:
        """Make old tables small, all but the few that were used last."""
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
                if old is not None:
                    table.add_to(self._rings[old], -1)
                if new is not None:
                    table.add_to(self._rings[new])
            if before < day <= as_of:
                for period in periods_of(day_of(day)):
                    if self._keeps(period):
                        cells = table.cells()
                        self._period(period).add(cells.places(), cells.amounts)
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
        for length, total in found.items():
            flat = total.reshape(-1)
            for day, sign in ((self._as_of, -1), (self._as_of - length, 1)):
                if day in self._days:
                    self._days[day].add_to(flat, sign)
        return found

    def _dense(self, table: _Table | None) -> IntTable:
        found = np.zeros(self._size, dtype=np.int64)
        if table is not None:
            table.add_to(found)
        return found.reshape(-1, WIDTH)

    def period(self, period: Period) -> IntTable:
        """The statistics of a calendar period up to ``as_of``; a copy, zeros where there is nothing."""
        self.settle()
        return self._dense(self._periods.get(period))

    def day(self, day: int) -> IntTable:
        """The statistics of one kept day, by its number; a copy."""
        self.settle()
        return self._dense(self._days.get(day))

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
                units, ratings = table.column(Column.RATINGS)
                found[day - first, units] = ratings
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
            TypeError: likewise.
            ValueError: likewise.
        """
        size, lengths = dumped["size"], tuple(dumped["lengths"])
        found = cls(size // WIDTH, lengths, dumped["as_of"])
        found._rings = [np.frombuffer(bytearray(ring), dtype=np.int64) for ring in dumped["rings"]]
        if any(len(ring) != size for ring in found._rings):
            raise ValueError("a ring of another size")
        found._whole_from = dumped["whole_from"]
        found._days = {
            day: _Table(size, np.int32, PackedCells.load(cells, size))
            for day, cells in dumped["days"].items()
        }
        found._periods = {
            Period(PeriodKind(kind), year, number): _Table(size, np.int64, PackedCells.load(cells, size))
            for kind, year, number, cells in dumped["periods"]
        }
        found.touched.update(found._periods.keys())  # whoever restarts must look at all of them
        return found


def _by_day(days: IntTable) -> Iterator[tuple[int, slice]]:
    """Each day of an ascending column, and where it stands."""
    start = 0
    for end in (*(np.flatnonzero(days[1:] != days[:-1]) + 1).tolist(), len(days)):
        if start < end:
            yield int(days[start]), slice(start, end)
        start = end


def _by_period(days: IntTable) -> Iterator[tuple[Period, slice]]:
    """Each calendar period that an ascending column of days touches, and where its days stand."""
    for kind in PeriodKind:
        start = 0
        while start < len(days):
            period = period_of(kind, day_of(int(days[start])))
            end = int(np.searchsorted(days, day_number(period.last), "right"))
            yield period, slice(start, end)
            start = end


def _changes(
    codes: IntTable, dimensions: Sequence[tuple[int, int, bytes]]
) -> tuple[IntTable, IntTable, IntTable]:
    """What contributions change, summed by day and cell: days ascending, places in a flat table, amounts."""
    code = np.sort(codes)
    row = code >> _UNIT_AT  # day and unit together
    first = np.ones(len(row), dtype=np.bool_)
    np.not_equal(row[1:], row[:-1], out=first[1:])
    starts = np.flatnonzero(first)
    rows = row[starts]
    weight = code & ((1 << _WEIGHT_BITS) - 1)
    grade = code >> _WEIGHT_BITS & ((1 << _GRADE_BITS) - 1)
    place = code >> _PLACE_AT & ((1 << _PLACE_BITS) - 1)
    sign = 1 - 2 * (code >> _SIGN_AT & 1)
    good, far = grade >= _LEAST_GOOD, place == Place.OFF_SITE
    weight *= sign
    proven = weight * (code >> _PROVEN_AT & 1)
    unproven = weight - proven
    width = WIDTH if dimensions else int(Column.DIMENSIONS)  # most ratings have no sub-grades
    sums = np.zeros((len(rows), width), dtype=np.int64)
    for column, amounts in (
        (Column.RATINGS, sign),
        *((each, sign * (grade == each)) for each in range(Column.GRADE_1, Column.GRADE_5 + 1)),
        (Column.PROVEN, proven),
        (Column.PROVEN_GOOD, proven * good),
        (Column.UNPROVEN, unproven),
        (Column.UNPROVEN_GOOD, unproven * good),
        (Column.TERMINAL, sign * (place == Place.TERMINAL)),
        (Column.OFFSITE, sign * far),
        (Column.OFFSITE_GOOD, sign * (far & good)),
    ):
        sums[:, column] = np.add.reduceat(amounts, starts)
    if dimensions:
        rated, signs, grades = zip(*dimensions, strict=True)
        at = np.searchsorted(rows, np.array(rated, dtype=np.int64))
        given = np.frombuffer(b"".join(grades), dtype=np.uint8).reshape(-1, DIMENSION_COUNT).astype(np.int64)
        signed = np.array(signs, dtype=np.int64)[:, np.newaxis]
        np.add.at(sums[:, Column.DIMENSIONS :: 2], at, signed * (given > 0))
        np.add.at(sums[:, Column.DIMENSIONS + 1 :: 2], at, signed * given)
    cells = np.flatnonzero(sums)
    of_row = cells // width
    row_of_cell = rows[of_row]
    places = (row_of_cell & ((1 << _UNIT_BITS) - 1)) * WIDTH + (cells - of_row * width)
    return row_of_cell >> _UNIT_BITS, places, sums.reshape(-1)[cells]
