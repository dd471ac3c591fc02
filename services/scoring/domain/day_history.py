"""The kept days 日账 of one source as they were at one moment: windows and periods as of earlier days."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain.cells import Cells, PackedCells
from services.scoring.domain.days import day_number
from services.scoring.domain.spans import Period

IntTable = NDArray[np.int64]


class KeptTable(NamedTuple):
    """One day or period as it was lent out: dense numbers that nobody changes, or else cells."""

    values: NDArray[Any] | None
    cells: Cells | PackedCells

    def unpacked(self) -> Cells:
        """What is not 0."""
        if self.values is not None:
            return Cells.of(self.values)
        return self.cells.unpack() if isinstance(self.cells, PackedCells) else self.cells

    def add_to(self, total: IntTable, sign: int) -> None:
        """Add it to a flat table of the same size, or take it away with -1."""
        if self.values is None:
            self.unpacked().add_to(total, sign)
        elif sign > 0:
            total += self.values
        else:
            total -= self.values


@dataclass(frozen=True, slots=True)
class DayHistory:
    """Everything that daily buckets kept at one moment; any thread may read it.

    Attributes:
        shape: of every table: (units, columns).
        as_of: number of the day that was the present one.
        whole_from: first day whose table is complete; what lies before was partly forgotten.
        days: tables by day; a day without ratings may be missing.
        periods: tables of calendar periods, with all their days up to ``as_of``.
    """

    shape: tuple[int, int]
    as_of: int
    whole_from: int
    days: Mapping[int, KeptTable]
    periods: Mapping[Period, KeptTable]

    def total(self, first: int, last: int) -> IntTable:
        """The sum of the days ``first`` … ``last``, ends included; zeros if the last is before the first."""
        total = np.zeros(self.shape, dtype=np.int64)
        for day in range(first, last + 1):
            self._add(total, day, 1)
        return total

    def rolling(self, first: int, last: int, length: int) -> Iterator[tuple[int, IntTable]]:
        """The window of ``length`` days as of each day ``first`` … ``last``: the day, and its table.

        The table is one and the same, changed from day to day: copy what is to last.
        """
        total = self.total(first - length + 1, first)
        yield first, total
        for day in range(first + 1, last + 1):
            self._add(total, day, 1)
            self._add(total, day - length, -1)
            yield day, total

    def period(self, period: Period, day: int) -> IntTable:
        """A period's days up to ``day``."""
        table = self.periods.get(period)
        total = np.zeros(self.shape, dtype=np.int64)
        if table is None:
            return total
        table.add_to(total.reshape(-1), 1)
        for later in range(day + 1, min(day_number(period.last), self.as_of) + 1):
            self._add(total, later, -1)
        return total

    def _add(self, total: IntTable, day: int, sign: int) -> None:
        table = self.days.get(day)
        if table is not None:
            table.add_to(total.reshape(-1), sign)
