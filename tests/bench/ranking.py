"""Ranking: every list of one window after one more rating, beside the same without memory and a bare sort.

Processor time of one thread: the work is arithmetic alone, and whoever shares the machine is not part of it.
"""

import gc
import time
from collections.abc import Callable
from datetime import date
from statistics import median

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain.buckets import WIDTH, Column, IntTable, Statistics
from services.scoring.domain.lists import RankedList, changed_rows
from services.scoring.domain.ranking import Ranker
from services.scoring.domain.roster import Roster
from services.scoring.domain.spans import Rolling, Span
from shared.kernel.grades import Level, Source
from shared.kernel.ids import UnitId
from shared.kernel.units import Unit, UnitRegistry, load_units
from shared.rules import load_pack
from tests.bench.figures import Bound, Figure, Goal, Section, Series

DAY = date(2026, 11, 20)
RULES = load_pack(None, DAY)
SPAN: Span = Rolling(30)
GOALS_MS = {1_188: 10.0, 20_000: 150.0}
RATINGS_IN_A_ROUND = 20
MEDIAN_RATINGS = 60
FORGETFUL = "a ranker that remembers nothing"
BARE = "numpy: mean grade and argsort"


async def measure(rounds: int) -> Section:
    """Rank after each of some ratings, with both sizes of the province."""
    section = Section("Re-ranking after one more rating, every list of one window, processor time", [])
    for windows, goal_ms in GOALS_MS.items():
        _one_size(windows, Goal(Bound.AT_MOST, goal_ms), rounds, section)
    return section


def _one_size(windows: int, goal: Goal, rounds: int, section: Section) -> None:
    scene = _Scene(windows)
    ours: list[float] = []
    hashed: list[float] = []
    forgetful: list[float] = []
    bare: list[float] = []
    for _ in range(rounds):
        ranked, with_hashes = scene.rank_after_each_rating()
        ours.append(ranked)
        hashed.append(with_hashes)
        forgetful.append(_milliseconds(scene.rank_from_nothing))
        bare.append(_milliseconds(scene.sort_by_mean))
    scene.require_equal_bytes()
    name = f"{windows:,} windows"
    section.figures += [
        Figure(name, "ms", Series(tuple(ours)), Series(tuple(forgetful)), FORGETFUL, goal),
        Figure(name, "ms", Series(tuple(ours)), Series(tuple(bare)), BARE),
        Figure(f"{name}, with the lists' hashes", "ms", Series(tuple(hashed)), Series(tuple(bare)), BARE),
    ]
    section.checks.append(
        f"{windows:,} windows in {len(scene.lists)} lists: after {scene.ratings} ratings all bytes are those "
        f"of a ranker that remembers nothing; a rating changed {scene.rows_changed:,.0f} rows (median)"
    )


class _Scene:
    """A province with ratings, yesterday's and today's, and a ranker that has ranked them once."""

    def __init__(self, windows: int) -> None:
        self._random = np.random.default_rng(windows)
        self._units = tuple(_province(windows))
        self._places = [place for place, unit in enumerate(self._units) if unit.level is Level.WINDOW]
        self._table = self._ratings()
        self._before: dict[Span, Statistics] = {SPAN: {Source.PUBLIC: self._ratings()}}
        roster = Roster(UnitRegistry(self._units), RULES.kinds, DAY, min_group=RULES.prior.min_group)
        self._forget: Callable[[], Ranker] = lambda: Ranker(roster, RULES)
        self._ranker = self._forget()
        self._changed: list[int] = []
        self.ratings = 0
        self.lists = self._rank(self._ranker)

    @property
    def rows_changed(self) -> float:
        """Rows of the list of all windows that one rating changed, the median of all ratings."""
        return median(self._changed)

    def rank_after_each_rating(self) -> tuple[float, float]:
        """Median time to rank after each of a round's ratings, without and with the hashes; milliseconds."""
        times: list[float] = []
        hashed: list[float] = []
        for _ in range(RATINGS_IN_A_ROUND):
            self._one_more_rating()
            known = self.lists["window.all.30"].rows
            gc.collect()
            started = time.thread_time()
            self.lists = self._rank(self._ranker)
            times.append((time.thread_time() - started) * 1000)
            for found in self.lists.values():
                assert found.hash
            hashed.append((time.thread_time() - started) * 1000)
            self._changed.append(len(changed_rows(self.lists["window.all.30"].rows, known)))
        return median(times), median(hashed)

    def rank_from_nothing(self) -> dict[str, RankedList]:
        """The same statistics with a ranker just made."""
        return self._rank(self._forget())

    def sort_by_mean(self) -> NDArray[np.int64]:
        """The least that a ranking of all windows could be: the mean grade of each, and one sort."""
        ratings = self._table[self._places]
        grades = ratings[:, Column.GRADE_1 : Column.GRADE_5 + 1] @ np.arange(1, 6)
        return np.argsort(-grades / np.maximum(ratings[:, Column.RATINGS], 1), kind="stable")

    def require_equal_bytes(self) -> None:
        """Fail unless what the ranker remembers is right."""
        fresh = self.rank_from_nothing()
        if {key: found.hash for key, found in fresh.items()} != {
            key: found.hash for key, found in self.lists.items()
        }:
            raise AssertionError("a ranker that remembers gave other bytes than one that does not")

    def _rank(self, ranker: Ranker) -> dict[str, RankedList]:
        return ranker.rank({SPAN: {Source.PUBLIC: self._table}}, self._before)

    def _one_more_rating(self) -> None:
        place = self._random.choice(self._places)
        self._table = self._table.copy()  # as a fold gives its statistics
        good = int(self._random.random() < RULES.prior.mu)
        _add(self._table, place, good=good, bad=1 - good)
        self.ratings += 1

    def _ratings(self) -> IntTable:
        table = np.zeros((len(self._units), WIDTH), dtype=np.int64)
        counts = np.maximum(1, self._random.lognormal(np.log(MEDIAN_RATINGS), 0.8, len(self._places)))
        for place, count in zip(self._places, counts.astype(int).tolist(), strict=True):
            good = int(self._random.binomial(count, self._random.beta(12.75, 2.25)))
            _add(table, place, good=good, bad=count - good)
            _add(table, place, good=good // 2, bad=(count - good) // 2, proven=False)
        return table


def _add(table: IntTable, place: int, *, good: int, bad: int, proven: bool = True) -> None:
    """Add ratings of one unit: grade 5 or 1, verified or on site."""
    row = table[place]
    row[Column.RATINGS] += good + bad
    row[Column.GRADE_5] += good
    row[Column.GRADE_1] += bad
    weight = 1000 if proven else 400
    row[Column.PROVEN if proven else Column.UNPROVEN] += weight * (good + bad)
    row[Column.PROVEN_GOOD if proven else Column.UNPROVEN_GOOD] += weight * good


def _province(windows: int) -> UnitRegistry:
    """The committed registry, or the same bureaus with so many windows spread over counties and kinds."""
    committed = load_units()
    if windows == len(committed.by_level(Level.WINDOW)):
        return committed
    counties, kinds = committed.by_level(Level.COUNTY), tuple(RULES.kinds)
    made = (
        Unit(
            unit_id=UnitId(f"U{100_000 + number}"),
            name=f"{county.name}{RULES.kinds[kind]}{number}",
            level=Level.WINDOW,
            kind=kind,
            division=county.division,
            city=county.city,
            county=county.county,
            parent_id=county.unit_id,
            valid_from=county.valid_from,
            valid_to=None,
        )
        for number in range(windows)
        for county in (counties[number % len(counties)],)
        for kind in (kinds[number // len(counties) % len(kinds)],)
    )
    return UnitRegistry([*(unit for unit in committed if unit.level is not Level.WINDOW), *made])


def _milliseconds(work: Callable[[], object]) -> float:
    gc.collect()
    started = time.thread_time()
    work()
    return (time.thread_time() - started) * 1000
