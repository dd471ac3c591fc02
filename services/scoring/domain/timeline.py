"""Timelines 走势: one unit's rolling window as of each day, with its rank among its peers on that day.

The same numbers as in the lists of those days; but only the unit's own interval is worked out.
"""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain.assessment import PeerPriors
from services.scoring.domain.buckets import Column, IntTable
from services.scoring.domain.day_history import DayHistory
from services.scoring.domain.days import day_of
from services.scoring.domain.figures import share
from services.scoring.domain.lists import RANKED, SUPPRESSED, UNRANKED
from services.scoring.domain.posterior import posterior, scores
from services.scoring.domain.roster import RANKED_LEVELS, LevelRoster, Roster
from services.scoring.domain.small_groups import shown_by_day
from services.scoring.domain.standing import rank_by_score
from services.scoring.domain.tallies import COUNTS, Levels
from services.scoring.domain.unproven import Weighed, weighed
from shared.kernel.units import Unit, UnitRegistry
from shared.rules import RulePack


class Point(NamedTuple):
    """One day of a unit; everything but day and status is None while it is suppressed.

    Attributes:
        day: the day that the window ends on.
        status: as in the list of that day.
        ratings_of_day: ratings of that day alone; None: hidden.
        ratings: plain count of the window.
        good: weighted share of grades 3-5 in it.
        score: as in the list.
        interval_low: lower end of the 90 % interval.
        interval_high: upper end of it.
        band: as in the list.
        rank: in the unit's primary list; None unless ranked.
    """

    day: date
    status: str
    ratings_of_day: int | None = None
    ratings: int | None = None
    good: float | None = None
    score: float | None = None
    interval_low: float | None = None
    interval_high: float | None = None
    band: str | None = None
    rank: int | None = None


class Rosters:
    """The roster of any day; made anew only where a unit comes or goes."""

    def __init__(self, registry: UnitRegistry, rules: RulePack) -> None:
        """Find the days on which the registry changes."""
        self._registry = registry
        self._rules = rules
        ends = {unit.valid_to for unit in registry if unit.valid_to is not None}
        self._changes = sorted({unit.valid_from for unit in registry} | ends)
        self._known: dict[int, Roster] = {}

    def on(self, day: date) -> Roster:
        """A roster with the units of ``day``; its own `as_of` is some day with the same units."""
        stretch = bisect_right(self._changes, day)
        if stretch not in self._known:
            rules = self._rules
            self._known[stretch] = Roster(self._registry, rules.kinds, day, min_group=rules.prior.min_group)
        return self._known[stretch]


class _Day(NamedTuple):
    """What one day says about the unit."""

    day: date
    row: IntTable
    mu: float
    strength: float
    rank: int


def timeline(
    history: DayHistory, rosters: Rosters, rules: RulePack, unit: Unit, length: int, days: range
) -> list[Point]:
    """The unit's window of ``length`` days as of each of the ``days`` on which it existed, oldest first.

    Args:
        history: the public's days.
        rosters: of the same registry and rules.
        rules: thresholds, priors, bands.
        unit: which unit.
        length: of the rolling window, in days.
        days: consecutive day numbers; their windows must be whole in the history.
    """
    found = list(_days(history, rosters, rules, unit, length, days))
    if not found:
        return []
    table = np.array([each.row for each in found])
    weight, good = table[:, Weighed.WEIGHT], table[:, Weighed.GOOD]
    mu, strength = (np.array(each) for each in zip(*((day.mu, day.strength) for day in found), strict=True))
    estimate = posterior(weight, good, mu, strength, rules.bands)
    own = _own_days(history, rosters, unit, range(days.start - length + 1, days.stop))
    by_day = shown_by_day(own.values())
    columns = zip(
        found,
        table[:, Weighed.RATINGS].tolist(),
        share(good, weight),
        estimate.score.tolist(),
        estimate.low.tolist(),
        estimate.high.tolist(),
        estimate.bands,
        strict=True,
    )
    points: list[Point] = []
    for each, ratings, part, score, low, high, band in columns:
        if ratings < rules.suppression.publish_from:
            points.append(Point(each.day, SUPPRESSED))
            continue
        own_ratings = own.get(each.day, 0) if by_day else None
        status, rank = (RANKED, each.rank) if each.rank else (UNRANKED, None)
        points.append(Point(each.day, status, own_ratings, ratings, part, score, low, high, band, rank))
    return points


def _days(
    history: DayHistory, rosters: Rosters, rules: RulePack, unit: Unit, length: int, days: range
) -> Iterator[_Day]:
    level: LevelRoster | None = None
    for number, statistics in history.rolling(days.start, days.stop - 1, length):
        day = day_of(number)
        here = _level(rosters.on(day), unit)
        if here is not level:
            level, priors, place = here, PeerPriors(Levels([here]), rules), _place(here, unit)
            members = _peers(here, unit)
        if place is None:
            continue
        table = level.aggregate(weighed(statistics, rules.unproven))
        priors.update(table[:, COUNTS], np.ones(len(table), dtype=bool))
        rank = 0
        if level.level in RANKED_LEVELS:
            rows = table[members]
            ranked = rows[:, Weighed.RATINGS] >= rules.suppression.rank_from
            weight = rows[:, Weighed.WEIGHT]
            score = scores(weight, rows[:, Weighed.GOOD], *priors.of(members))
            _, ranks = rank_by_score(score, weight, ranked)
            rank = int(ranks[np.searchsorted(members, place)])
        mu, strength = (float(each[0]) for each in priors.of(np.array([place])))
        yield _Day(day, table[place], mu, strength, rank)


def _own_days(history: DayHistory, rosters: Rosters, unit: Unit, days: range) -> dict[date, int]:
    """The unit's ratings of each single day, by day."""
    found: dict[date, int] = {}
    for number in days:
        day = day_of(number)
        level = _level(rosters.on(day), unit)
        place = _place(level, unit)
        if place is not None:
            own = level.owner == place
            found[day] = int(history.total(number, number)[own, Column.RATINGS].sum())
    return found


def _level(roster: Roster, unit: Unit) -> LevelRoster:
    return next(level for level in roster.levels if level.level is unit.level)


def _place(level: LevelRoster, unit: Unit) -> int | None:
    return next((place for place, each in enumerate(level.units) if each.unit_id == unit.unit_id), None)


def _peers(level: LevelRoster, unit: Unit) -> NDArray[np.int64]:
    """Places of the members of the unit's primary list, ascending."""
    return level.kinds.get(unit.kind, np.arange(len(level.units), dtype=np.int64))
