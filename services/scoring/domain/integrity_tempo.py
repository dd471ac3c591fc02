"""Signals in when ratings come: more than usual, in several units at once, too fast after one another.

Looked at for each unit's own ratings; only the co-burst is about the places above.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain.days import day_number
from services.scoring.domain.evidence import (
    Evidence,
    Figures,
    FiguresOf,
    Readings,
    days_each,
    total_text,
)
from services.scoring.domain.pace import DAYS
from services.scoring.domain.peers import groups_of
from services.scoring.domain.roster import LevelRoster
from services.scoring.domain.tails import (
    Floats,
    Integers,
    Tail,
    binomial_tail,
    least_unlikely,
    negative_binomial_tail,
    poisson_tail,
)
from shared.kernel.grades import Level
from shared.rules.integrity import BurstRule

_BUSY_RATIO = 3.0
_BUSY_EXTRA = 3.0
"""A peer's day counts for at most so many times its usual number, plus so many, as a sign of a busy day."""
_LEAST_PEER_RATINGS = 3.0
"""Ratings a day among the peers from which on they say how busy a day is."""
_CAUTION = 2.0
"""Standard errors by which the usual number is raised before a run is weighed against it."""
_LEAST_PEER_PAIRS = 5.0
"""Expected pairs among the peers from which on they say how concentrated a day is."""


class Usual(NamedTuple):
    """What is usual for each unit of a level.

    Attributes:
        days: days of the baseline that the unit and the platform existed on.
        mean: ratings a day.
        dispersion: variance beyond Poisson on one day, what is unknown about the mean included.
        error: standard error of the mean.
        run: counts of the run, shape (days, units), today last.
        busy: how much busier than usual each day of the run was among the peers; 1 at least.
    """

    days: Integers
    mean: Floats
    dispersion: Floats
    error: Floats
    run: Integers
    busy: Floats

    @property
    def today(self) -> Integers:
        """Ratings of today."""
        found: Integers = self.run[-1]
        return found

    @property
    def expected_today(self) -> Floats:
        """Ratings that would be usual on a day like today."""
        found: Floats = self.mean * self.busy[-1]
        return found


def usual_of(evidence: Evidence, level: LevelRoster) -> Usual:
    """Each unit's own baseline: the days before the run, drawn a little towards its peers.

    The dispersion is what is left when each day's own business (weekends, holidays) has been taken out.
    With few days or ratings nobody knows the mean well, so its variance is added to that of a day (the
    predictive distribution of a gamma-Poisson).
    """
    rule = evidence.rules.integrity.burst
    daily = evidence.daily[:, evidence.rows_of(level)]
    before, run = daily[: rule.baseline_days], daily[rule.baseline_days :]
    watched = _watched(evidence, level, rule)
    days = watched.sum(axis=0)
    total = (before * watched).sum(axis=0)
    plain = total / np.maximum(days, 1)
    mean, dispersion = np.zeros(len(days)), np.full(len(days), rule.min_dispersion)
    busy = np.ones(daily.shape)
    for members, own in groups_of(level):
        group = total[members].sum() / max(1, days[members].sum())
        mean[own] = (total[own] + rule.peer_days * group) / (days[own] + rule.peer_days)
        busy[:, own] = _busy(daily, plain, members, own)
        usual = plain[own] * busy[: rule.baseline_days, own] * watched[:, own]
        extra = ((before[:, own] - usual) ** 2 - usual) * watched[:, own]
        room = (usual**2).sum(axis=0)
        together = float(extra.sum()) / max(1e-12, float(room.sum()))
        alone = extra.sum(axis=0) / np.maximum(room, 1e-12)
        # Never less than the peers' and the pack's: one unit's few ratings may look regular by chance.
        dispersion[own] = np.maximum(np.maximum(alone, together), rule.min_dispersion)
    mean = np.maximum(mean, 1e-6)
    error = np.sqrt((mean + dispersion * mean**2) / (days + rule.peer_days))
    # A day that is quieter than usual among the peers says nothing about a unit that is open on it.
    quiet_is_usual = np.maximum(busy[rule.baseline_days :], 1.0)
    return Usual(days, mean, dispersion + (error / mean) ** 2, error, run, quiet_is_usual)


def _watched(evidence: Evidence, level: LevelRoster, rule: BurstRule) -> NDArray[np.bool_]:
    """Which days of the baseline count, shape (days, units): from the first rating on, as units exist."""
    rated = np.flatnonzero(evidence.daily[: rule.baseline_days].any(axis=1))
    first = int(rated[0]) if rated.size else rule.baseline_days
    start = evidence.as_of - len(evidence.daily) + 1
    since = np.array([day_number(unit.valid_from) - start for unit in level.units], dtype=np.int64)
    found: NDArray[np.bool_] = np.arange(rule.baseline_days)[:, None] >= np.maximum(since, first)
    return found


def _busy(daily: Integers, plain: Floats, members: NDArray[np.int64], own: NDArray[np.int64]) -> Floats:
    """Each day's business among the peers of each unit, without it, as a multiple of the usual one.

    So a wedding day is no stuffing. A peer that is stuffed itself counts as :data:`_BUSY_RATIO` says.
    """
    known = plain > 0
    counted = np.where(known, np.minimum(daily, _BUSY_RATIO * plain + _BUSY_EXTRA), 0.0)
    seen = counted[:, members].sum(axis=1)[:, None] - counted[:, own]
    usual = plain[members].sum() - plain[own]
    enough = usual >= _LEAST_PEER_RATINGS
    return np.where(enough, seen / np.where(enough, usual, 1.0), 1.0)


def burst(evidence: Evidence) -> Iterator[Readings]:
    """Far more ratings today than the unit's own baseline, or a run of days that adds up to that.

    A day: negative-binomial tail of today's count. A run: the likelihood-ratio CUSUM of Höhle and Paul 2008
    for a rise by ``run_ratio`` within the last ``run_days``. From any one start its exponential is a
    martingale of mean 1, so it exceeds exp(h) with a chance of at most exp(-h) (Ville), ``run_days`` times
    that from all starts.
    """
    rule = evidence.rules.integrity.burst
    for level in evidence.roster.ranked_levels:
        usual = usual_of(evidence, level)
        judged = usual.days >= rule.min_history_days
        today, expected = usual.today, usual.expected_today
        day = negative_binomial_tail(today, expected, usual.dispersion)
        on_day = judged & (today >= np.maximum(rule.min_ratings, rule.min_ratio * expected))
        on_day &= day <= rule.probability
        score, run_sum = _run(usual, rule)
        chance = np.minimum(1.0, rule.run_days * np.exp(-score))
        in_run = judged & ~on_day & (chance <= rule.probability) & (run_sum >= rule.min_ratings)
        threshold = np.full(len(today), np.log(rule.run_days / rule.probability))
        at = np.flatnonzero(on_day)
        threshold[at] = _least_burst(today[at], expected[at], usual.dispersion[at], rule)
        yield Readings(
            signal="burst",
            units=level.units,
            flagged=on_day | in_run,
            window_days=np.where(in_run, rule.run_days, 1),
            statistic=np.where(in_run, np.round(score, 2), today),
            threshold=np.round(threshold, 2),
            expected=np.where(in_run, np.nan, expected),
            probability=np.where(in_run, chance, day),
            figures=_burst_figures(usual, in_run, run_sum),
        )


def _least_burst(today: Integers, expected: Floats, dispersion: Floats, rule: BurstRule) -> Integers:
    """The smallest count that would have been flagged."""
    least = least_unlikely(
        lambda count: negative_binomial_tail(count, expected, dispersion), today, rule.probability
    )
    others = np.maximum(rule.min_ratings, np.ceil(rule.min_ratio * expected)).astype(np.int64)
    return np.maximum(least, others)


def _run(usual: Usual, rule: BurstRule) -> tuple[Floats, Integers]:
    """The CUSUM, and the ratings of the days that it rests on; as of yesterday if today is still low."""
    size = 1 / usual.dispersion
    score = best = np.zeros(len(usual.mean))
    ratings = best_ratings = np.zeros(len(usual.mean), dtype=np.int64)
    for count, busy in zip(usual.run, usual.busy, strict=True):
        low = (usual.mean + _CAUTION * usual.error) * busy
        high = rule.run_ratio * low
        gain = count * np.log(high * (size + low) / (low * (size + high)))
        gain += size * np.log((size + low) / (size + high))
        goes_on = score + gain > 0
        before, ratings_before = score, ratings
        score = np.where(goes_on, score + gain, 0.0)
        ratings = np.where(goes_on, ratings + count, 0)
        # Today is not over: what it still lacks must not take yesterday's flag down.
        better = score >= before
        best, best_ratings = np.where(better, score, before), np.where(better, ratings, ratings_before)
    return best, best_ratings


def _burst_figures(usual: Usual, in_run: NDArray[np.bool_], run_sum: Integers) -> FiguresOf:
    def figures(at: int) -> Figures:
        found = {
            "form": "run" if in_run[at] else "day",
            "ratings": total_text(int(run_sum[at] if in_run[at] else usual.today[at])),
            "daily_baseline": f"{usual.mean[at]:.2f}",
            "baseline_days": str(int(usual.days[at])),
        }
        return {**found, "peers_busier": f"{usual.busy[-1][at]:.2f}"}

    return figures


def co_burst(evidence: Evidence) -> Iterator[Readings]:
    """More windows of one county or city rise today than chance, or a busy day everywhere, would explain.

    Statistic: the number of rising windows. Chance: binomial, with the share of rising windows elsewhere,
    or the nominal one if that is larger.
    """
    rule, burst_rule = evidence.rules.integrity.co_burst, evidence.rules.integrity.burst
    windows = next(level for level in evidence.roster.ranked_levels if level.level is Level.WINDOW)
    usual = usual_of(evidence, windows)
    judged = usual.days >= burst_rule.min_history_days
    tail = negative_binomial_tail(usual.today, usual.expected_today, usual.dispersion)
    rises = judged & (usual.today >= rule.unit_min_ratings) & (tail <= rule.unit_probability)
    rows = evidence.rows_of(windows)
    for level in evidence.roster.ranked_levels:
        if level is windows:
            continue
        owner = level.owner[rows]
        size = len(level.units)
        has = np.bincount(owner[judged & (owner >= 0)], minlength=size)
        rising = np.bincount(owner[rises & (owner >= 0)], minlength=size)
        elsewhere = (rises.sum() - rising) / np.maximum(judged.sum() - has, 1)
        chance = np.clip(np.maximum(elsewhere, rule.unit_probability), 0, 0.99)
        probability = binomial_tail(rising, has, chance)
        flagged = (rising >= rule.min_units) & (probability <= rule.probability)
        threshold = np.full(size, float(rule.min_units))
        at = np.flatnonzero(flagged)
        least = least_unlikely(_least_rising(has[at], chance[at]), rising[at], rule.probability)
        threshold[at] = np.maximum(rule.min_units, least)
        yield Readings(
            signal="co_burst",
            units=level.units,
            flagged=flagged,
            window_days=days_each(level.units, 1),
            statistic=rising.astype(np.float64),
            threshold=threshold,
            expected=has * chance,
            probability=probability,
            figures=_place_figures(level, rising, has),
        )


def _least_rising(has: Integers, chance: Floats) -> Tail:
    return lambda count: binomial_tail(count, has, chance)


def _place_figures(level: LevelRoster, rising: Integers, has: Integers) -> FiguresOf:
    def figures(at: int) -> Figures:
        unit = level.units[at]
        return {
            "place": unit.division,
            "level": str(level.level),
            "rising_units": str(int(rising[at])),
            "units": str(int(has[at])),
        }

    return figures


def seconds_between(evidence: Evidence) -> Iterator[Readings]:
    """Ratings of one unit follow one another too fast, today or yesterday.

    Statistic: pairs of ratings within the same minute. Of n ratings, n(n-1)/2 pairs, each shares a minute
    with the chance concentration/open_minutes; more where the peers' day was more concentrated than that.
    Chance: Poisson tail.
    """
    rule = evidence.rules.integrity.seconds_between
    for level in evidence.roster.ranked_levels:
        rows = evidence.rows_of(level)
        ratings, pairs, expected = [], [], []
        for day in evidence.pace:
            n, found = day.ratings[rows], day.pairs[rows]
            ratings.append(n)
            pairs.append(found)
            even = n * (n - 1) / 2 * (rule.concentration / rule.open_minutes)
            expected.append(even * _concentrated(level, found, even))
        tails = np.stack([poisson_tail(each, mean) for each, mean in zip(pairs, expected, strict=True)])
        enough = [
            (n >= rule.min_ratings) & (k >= rule.min_pairs) for n, k in zip(ratings, pairs, strict=True)
        ]
        tails = np.where(np.stack(enough), tails, 1.0)
        worst = np.argmin(tails, axis=0)
        everyone = np.arange(len(rows))
        n, k = np.stack(ratings)[worst, everyone], np.stack(pairs)[worst, everyone]
        mean, tail = np.stack(expected)[worst, everyone], tails[worst, everyone]
        flagged = tail <= rule.probability
        threshold = np.full(len(rows), float(rule.min_pairs))
        at = np.flatnonzero(flagged)
        threshold[at] = np.maximum(
            rule.min_pairs, least_unlikely(_least_pairs(mean[at]), k[at], rule.probability)
        )
        yield Readings(
            signal="seconds_between",
            units=level.units,
            flagged=flagged,
            window_days=days_each(level.units, DAYS),
            statistic=k.astype(np.float64),
            threshold=threshold,
            expected=mean,
            probability=tail,
            figures=_pace_figures(n, k),
        )


def _least_pairs(mean: Floats) -> Tail:
    return lambda count: poisson_tail(count, mean)


def _concentrated(level: LevelRoster, pairs: Integers, even: Floats) -> Floats:
    """How much more concentrated the peers' day was than the rule pack expects, the unit left out."""
    factor = np.ones(len(pairs))
    for members, own in groups_of(level):
        seen, usual = pairs[members].sum() - pairs[own], even[members].sum() - even[own]
        factor[own] = np.where(
            usual >= _LEAST_PEER_PAIRS, np.maximum(1.0, seen / np.maximum(usual, _LEAST_PEER_PAIRS)), 1.0
        )
    return factor


def _pace_figures(ratings: Integers, pairs: Integers) -> FiguresOf:
    def figures(at: int) -> Figures:
        return {
            "ratings_of_the_day": total_text(int(ratings[at])),
            "pairs_within_a_minute": total_text(int(pairs[at])),
        }

    return figures
