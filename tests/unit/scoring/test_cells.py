"""Cells against dense tables, and daily buckets of which some are cells, some dense, some packed."""

import zlib
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.domain.buckets import (
    DENSE_FROM,
    HOT_DAYS,
    PACK_FROM,
    WARM_TABLES,
    WIDTH,
    Column,
    DailyBuckets,
    IntTable,
)
from services.scoring.domain.cells import NO_CELLS, Cells, PackedCells
from services.scoring.domain.day_history import DayHistory
from services.scoring.domain.days import day_number, day_of
from services.scoring.domain.spans import periods_of

SIZE = 70_000
AMOUNTS = st.one_of(st.integers(-3, 3), st.sampled_from([127, 128, -129, 40_000, -40_000, 2**40]))
CHANGES = st.lists(st.tuples(st.one_of(st.integers(0, 20), st.integers(0, SIZE - 1)), AMOUNTS), max_size=12)

UNITS = 1_200
WINDOWS = (7, 30, 90, 365)
AS_OF = day_number(date(2026, 3, 4))


def columns(changes: Sequence[tuple[int, int]]) -> tuple[IntTable, IntTable]:
    places, amounts = np.array(changes, dtype=np.int64).reshape(-1, 2).T
    return places, amounts


def dense(cells: Cells) -> IntTable:
    table = np.zeros(SIZE, dtype=np.int64)
    cells.add_to(table)
    return table


@given(st.lists(CHANGES, max_size=4))
def test_cells_hold_what_a_dense_table_would(batches: list[list[tuple[int, int]]]) -> None:
    cells, table = NO_CELLS, np.zeros(SIZE, dtype=np.int64)
    for changes in batches:
        places, amounts = columns(changes)
        cells = cells.plus(places, amounts)
        np.add.at(table, places, amounts)
        for form in (cells, PackedCells.load(tuple(cells.pack()), SIZE).unpack(), Cells.of(table)):
            assert (dense(form) == table).all()
            assert list(form.places()) == list(np.flatnonzero(table))
        cells = cells.pack().unpack()
    taken_away = table.copy()
    cells.add_to(taken_away, -1)
    assert not taken_away.any()


def test_packed_cells_take_less_than_a_byte_each() -> None:
    cells = Cells.of(np.arange(SIZE) % 4 * 800)
    packed = cells.pack()
    assert len(packed.columns) < len(cells)
    assert (dense(packed.unpack()) == dense(cells)).all()


@pytest.mark.parametrize(
    "dumped",
    [
        (),
        ("|u1", "|i1"),
        ("|u1", "|i1", b"\1\1"),
        ("|u1", "|i1", zlib.compress(b"\1\1\1")),
        ("<u4", "|i1", zlib.compress(b"\1\1")),
        ("<f8", "|i1", zlib.compress(b"\0" * 9)),
        ("|O", "|i1", zlib.compress(b"\0" * 9)),
        ("|i1", "|u1", zlib.compress(b"\1\1")),
        ("nothing", "|i1", zlib.compress(b"\1\1")),
        ("|u1", "|i1", "text"),
        (1, 2, 3),
        None,
        ("<u4", "|i1", zlib.compress(SIZE.to_bytes(4, "little") + b"\1")),
        ("|u1", "|i1", zlib.compress(b"\5\0\1\1\1\1")),
    ],
    ids=str,
)
def test_what_are_no_cells_of_the_table_is_refused(dumped: Any) -> None:  # noqa: ANN401 - anything may be found
    with pytest.raises((ValueError, TypeError)):
        PackedCells.load(dumped, SIZE)


class Plain:
    """The statistics of a few days as they are defined: one dense table for each."""

    def __init__(self) -> None:
        self.days: dict[int, IntTable] = {}

    def add(self, unit: int, day: int, grade: int, sign: int) -> None:
        row = self.days.setdefault(day, np.zeros((UNITS, WIDTH), dtype=np.int64))[unit]
        row[[Column.RATINGS, grade, Column.TERMINAL]] += sign
        weight, good = (
            (Column.PROVEN, Column.PROVEN_GOOD) if unit % 3 else (Column.UNPROVEN, Column.UNPROVEN_GOOD)
        )
        row[weight] += sign * 800
        row[good] += sign * 800 * (grade >= 3)

    def total(self, first: int, last: int) -> IntTable:
        found = np.zeros((UNITS, WIDTH), dtype=np.int64)
        for day, table in self.days.items():
            if first <= day <= last:
                found += table
        return found

    def require(self, buckets: DailyBuckets) -> None:
        as_of = buckets.as_of
        for length, table in buckets.windows().items():
            assert (table == self.total(as_of - length + 1, as_of)).all()
        for length, table in buckets.windows_before().items():
            assert (table == self.total(as_of - length, as_of - 1)).all()
        for day in range(as_of - HOT_DAYS - WARM_TABLES - 5, as_of + 1):
            assert (buckets.day(day) == self.total(day, day)).all()
        for period in periods_of(day_of(as_of)):
            assert (buckets.period(period) == self.total(day_number(period.first), as_of)).all()
        first = as_of - 60
        counts = buckets.counts(first, as_of)
        for day in range(first, as_of + 1):
            assert (counts[day - first] == self.total(day, day)[:, Column.RATINGS]).all()
        self.require_past(buckets.history())

    def require_past(self, history: DayHistory) -> None:
        first, last = history.as_of - 20, history.as_of
        for day, table in history.rolling(first, last, 30):
            assert (table == self.total(day - 29, day)).all()
        period = periods_of(day_of(last))[1]
        assert (history.period(period, last - 3) == self.total(day_number(period.first), last - 3)).all()


def test_days_are_the_same_as_cells_dense_and_packed() -> None:
    """From a few ratings a day to many, back and forth in time, taken up from dumps, with tables lent out."""
    random, plain = np.random.default_rng(1), Plain()
    buckets = DailyBuckets(UNITS, WINDOWS, AS_OF)
    most = int(UNITS * WIDTH * DENSE_FROM)
    assert most > PACK_FROM  # so that all three forms come up
    sizes = [3, most // 20, most // 2, 2 * most, 5]
    lent: list[tuple[DayHistory, IntTable]] = []

    def lend() -> None:
        lent.append((buckets.history(), plain.total(buckets.as_of - 29, buckets.as_of)))

    for step in range(3):
        # The days next to one another are of different sizes, and each of them is added to twice.
        for back, ratings in zip(
            [*range(0, 60, 2 + step), *range(0, 60, 3 + step)], sizes * 12, strict=False
        ):
            day = buckets.as_of - back
            units = random.integers(0, UNITS, ratings).tolist()
            for unit, grade in zip(units, random.integers(1, 6, ratings).tolist(), strict=True):
                buckets.add(unit, day, grade, 1, 800, proven=unit % 3 > 0)
                plain.add(unit, day, grade, 1)
                if ratings < sizes[1]:  # some are taken away again
                    buckets.settle()
                    buckets.remove(unit, day, grade, 1, 800, proven=unit % 3 > 0)
                    plain.add(unit, day, grade, -1)
            if back % 6 == 0:
                lend()
        plain.require(buckets)
        buckets = DailyBuckets.load(buckets.dump())
        plain.require(buckets)
        lend()
        buckets.advance(buckets.as_of + 9)
        plain.require(buckets)
    for history, total in lent:
        (_, table), *_ = history.rolling(history.as_of, history.as_of, 30)
        assert (table == total).all()
