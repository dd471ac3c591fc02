"""Signals in what the ratings of the primary window say: too alike, too good, too much from one device.

Each is looked at on every level: a county and a city are the sum of what lies below them, as in the lists.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain.buckets import Column, IntTable
from services.scoring.domain.evidence import (
    Evidence,
    Figures,
    FiguresOf,
    Readings,
    days_each,
    share_text,
    total_text,
)
from services.scoring.domain.peers import Peers, capped, groups_of, peers_of
from services.scoring.domain.roster import LevelRoster
from services.scoring.domain.tails import (
    Floats,
    Integers,
    all_alike,
    beta_binomial_tail,
    gap_tail,
    least_unlikely,
    lower_bound,
)

_GRADES = slice(Column.GRADE_1, Column.GRADE_5 + 1)
_GOOD = slice(Column.GRADE_3, Column.GRADE_5 + 1)


def zero_variance(evidence: Evidence) -> Iterator[Readings]:
    """All ratings have one grade, or all are good, where the peers' spread makes that unlikely.

    Statistic: the variance p(1-p) of "good". Chance: that of the beta-binomial of the peers (unit left out)
    for n out of n; where they show no spread either, the rule pack's prior stands in.
    """
    rule = evidence.rules.integrity.zero_variance
    for level in evidence.roster.ranked_levels:
        table = level.aggregate(evidence.window)
        ratings, grades, good = _ratings(table), table[:, _GRADES], _good(table)
        probability = np.ones(len(ratings))
        of = np.full(len(ratings), "", dtype=object)
        # The same grade at last: it says more than "good", so it is the one that is told.
        for name, part in (("good", good), *((f"grade {at + 1}", grades[:, at]) for at in range(5))):
            alike = np.flatnonzero((part == ratings) & (ratings >= rule.min_ratings))
            if alike.size:
                peers = peers_of(level, ratings, part, evidence.rules.prior)
                chance = all_alike(ratings[alike], peers.mu[alike], peers.strength[alike])
                lower = alike[chance < probability[alike]]
                probability[lower] = chance[chance < probability[alike]]
                of[lower] = name
        peers = peers_of(level, ratings, good, evidence.rules.prior)
        share = good / np.maximum(ratings, 1)
        yield Readings(
            signal="zero_variance",
            units=level.units,
            flagged=probability <= rule.probability,
            window_days=days_each(level.units, evidence.window_days),
            statistic=share * (1 - share),
            threshold=np.zeros(len(ratings)),
            expected=peers.mu * (1 - peers.mu),
            probability=probability,
            figures=_alike_figures(ratings, of, peers.mu),
        )


def _alike_figures(ratings: Integers, of: NDArray[np.object_], mu: Floats) -> FiguresOf:
    def figures(at: int) -> Figures:
        return {
            "ratings": total_text(int(ratings[at])),
            "all_of_them": str(of[at]),
            "peers_good": f"{mu[at]:.0%}",
        }

    return figures


def terminal_share(evidence: Evidence) -> Iterator[Readings]:
    """Nearly all ratings come from the window's own terminal, and the peers' do not.

    Statistic: the share's lower confidence bound, against the rule pack's line. Chance: the peers'
    beta-binomial tail. Where the peers use nothing else either, there is nothing to compare with.
    """
    rule = evidence.rules.integrity.terminal_share
    for level in evidence.roster.ranked_levels:
        table = level.aggregate(evidence.window)
        ratings, part = _ratings(table), table[:, Column.TERMINAL]
        peers = peers_of(level, ratings, part, evidence.rules.prior)
        bound = lower_bound(part, ratings, rule.probability)
        judged = (ratings >= rule.min_ratings) & peers.known
        over = np.flatnonzero(judged & (bound > rule.share))
        probability = np.ones(len(ratings))
        probability[over] = beta_binomial_tail(
            part[over], ratings[over], peers.mu[over], peers.strength[over]
        )
        yield Readings(
            signal="terminal_share",
            units=level.units,
            flagged=probability <= rule.probability,
            window_days=days_each(level.units, evidence.window_days),
            statistic=np.where(judged, np.round(bound, 2), 0.0),
            threshold=np.full(len(ratings), rule.share),
            expected=peers.mu,
            probability=probability,
            figures=_share_figures("terminal", part, ratings, peers.mu),
        )


def _share_figures(name: str, part: Integers, total: Integers, mu: Floats) -> FiguresOf:
    def figures(at: int) -> Figures:
        return {
            "ratings": total_text(int(total[at])),
            name: share_text(int(part[at]), int(total[at])),
            f"peers_{name}": f"{mu[at]:.0%}",
        }

    return figures


def off_site_gap(evidence: Evidence) -> Iterator[Readings]:
    """Ratings given at the window are far better than those given out of its sight ("pressure bias").

    Statistic: the difference of the two good shares, against the peers' own difference plus a margin: those
    who rate from afar are everywhere a little less content. Chance: the score test of `gap_tail`.
    """
    rule = evidence.rules.integrity.off_site_gap
    for level in evidence.roster.ranked_levels:
        table = level.aggregate(evidence.window)
        far, far_good = table[:, Column.OFFSITE], table[:, Column.OFFSITE_GOOD]
        near, near_good = _ratings(table) - far, _good(table) - far_good
        usual = _usual_gap(level, (near, near_good), (far, far_good))
        line = np.minimum(usual + rule.margin, 0.99)
        judged = (near >= rule.min_window) & (far >= rule.min_off_site)
        probability = np.ones(len(far))
        probability[judged] = gap_tail(
            (near_good[judged], far_good[judged]), (near[judged], far[judged]), line[judged]
        )
        gap = near_good / np.maximum(near, 1) - far_good / np.maximum(far, 1)
        yield Readings(
            signal="off_site_gap",
            units=level.units,
            flagged=judged & (gap > line) & (probability <= rule.probability),
            window_days=days_each(level.units, evidence.window_days),
            statistic=np.where(judged, np.round(gap, 2), 0.0),
            threshold=np.round(line, 4).astype(np.float64),
            expected=usual,
            probability=probability,
            figures=_gap_figures((near, near_good), (far, far_good), usual),
        )


def _usual_gap(level: LevelRoster, near: tuple[Integers, Integers], far: tuple[Integers, Integers]) -> Floats:
    """The peers' pooled difference of good shares, the unit left out; never below zero."""
    gap = np.zeros(len(near[0]))
    for members, own in groups_of(level):
        shares = []
        for trials, good in (near, far):
            n = np.zeros(len(trials))
            n[members] = capped(trials[members])
            k = np.where(trials > 0, n * good / np.maximum(trials, 1), 0.0)
            rest = n[members].sum() - n[own]
            pooled = (k[members].sum() - k[own]) / np.where(rest > 0, rest, 1.0)
            shares.append(np.where(rest > 0, pooled, np.nan))
        gap[own] = np.maximum(np.nan_to_num(shares[0] - shares[1]), 0.0)
    return gap


def _gap_figures(near: tuple[Integers, Integers], far: tuple[Integers, Integers], usual: Floats) -> FiguresOf:
    def figures(at: int) -> Figures:
        return {
            "window_ratings": total_text(int(near[0][at])),
            "window_good": share_text(int(near[1][at]), int(near[0][at])),
            "off_site_ratings": total_text(int(far[0][at])),
            "off_site_good": share_text(int(far[1][at]), int(far[0][at])),
            "peers_gap": f"{usual[at]:.0%}",
        }

    return figures


class _Funnel(NamedTuple):
    level: LevelRoster
    ratings: Integers
    good: Integers
    peers: Peers
    judged: NDArray[np.bool_]


def funnel(evidence: Evidence) -> Iterator[Readings]:
    """The good share lies outside of the funnel's outer limits around the peers' mean; Spiegelhalter 2005.

    The limits are quantiles of the beta-binomial with the peers' mean and spread (unit left out), so they
    narrow with the number of ratings down to how much such units differ. Statistic: the good share. Of so
    many honest units some lie outside of any limits: those are drawn so far out that ``most_false_units`` of
    all that are judged do. Fewer peers than a group needs can't tell how much units differ.
    """
    rule = evidence.rules.integrity.funnel
    found = []
    for level in evidence.roster.ranked_levels:
        table = level.aggregate(evidence.window)
        ratings, good = _ratings(table), _good(table)
        peers = peers_of(level, ratings, good, evidence.rules.prior)
        judged = (ratings >= rule.min_ratings) & peers.known
        judged &= peers.units >= evidence.rules.prior.min_group - 1
        found.append(_Funnel(level, ratings, good, peers, judged))
    number = max(1, sum(int(each.judged.sum()) for each in found))
    tail = min((1 - rule.limit) / 2, rule.most_false_units / (2 * number))
    for each in found:
        yield _outside(evidence, each, tail)


def _outside(evidence: Evidence, part: _Funnel, least: float) -> Readings:
    """One level against limits that leave out ``least`` on either side."""
    _, ratings, good, peers, judged = part
    rule = evidence.rules.integrity.funnel
    share = good / np.maximum(ratings, 1)
    high = share > peers.mu
    extreme, mean = np.where(high, good, ratings - good), np.where(high, peers.mu, 1 - peers.mu)
    probability = np.ones(len(ratings))
    probability[judged] = beta_binomial_tail(
        extreme[judged], ratings[judged], mean[judged], peers.strength[judged]
    )
    at = np.flatnonzero(probability <= least)
    limits = []
    for tail in (least, (1 - rule.limit) / 2, (1 - rule.warning) / 2):
        limits.append(np.zeros(len(ratings)))
        limits[-1][at] = _limit(tail, ratings[at], mean[at], peers.strength[at], high[at])
    return Readings(
        signal="funnel",
        units=part.level.units,
        flagged=probability <= least,
        window_days=days_each(part.level.units, evidence.window_days),
        statistic=np.where(ratings >= rule.min_ratings, share, 0.0),
        threshold=limits[0],
        expected=peers.mu,
        probability=probability,
        figures=_funnel_figures(_share_figures("good", good, ratings, peers.mu), limits[1], limits[2]),
    )


def _funnel_figures(shares: FiguresOf, outer: Floats, inner: Floats) -> FiguresOf:
    def figures(at: int) -> Figures:
        return {**shares(at), "outer_limit": f"{outer[at]:.0%}", "inner_limit": f"{inner[at]:.0%}"}

    return figures


def _limit(
    probability: float, ratings: Integers, mean: Floats, strength: Floats, high: NDArray[np.bool_]
) -> Floats:
    """The first share outside, above (``high``) or below the mean."""
    least = least_unlikely(lambda k: beta_binomial_tail(k, ratings, mean, strength), ratings, probability)
    return np.where(high, least, ratings - least) / np.maximum(ratings, 1)


def _ratings(table: IntTable) -> Integers:
    return table[:, Column.RATINGS]


def _good(table: IntTable) -> Integers:
    found: Integers = table[:, _GOOD].sum(axis=1)
    return found
