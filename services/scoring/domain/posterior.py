"""The empirical-Bayes score: a prior for each peer group, a Beta posterior for each unit.

A unit with k good of n (weighted) ratings gets Beta(mu*M + k, (1-mu)*M + n - k), where its peers say how good
such units usually are (mu) and how alike they are (M, in ratings). Few ratings move the score little, many
move it freely, so neither the top nor the bottom of a list is a lottery of small units.

The prior is computed from integers in a fixed way (sums by `math.fsum`, which no order can change) and
rounded, and scores are whole numbers' ratios from there on: the same versions give the same bytes. The prior
is the method of moments for the beta-binomial, e.g. Kleinman 1973.
"""

import math
from dataclasses import dataclass
from operator import mul
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain.special import betainc, betaincinv
from shared.rules.pack import Bands, Prior

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MILLI: Final = 1000
INTERVAL_TAIL: Final = 0.05
"""Probability left out at either end of the 90 % interval."""
POINT_DECIMALS: Final = 4
"""Decimals of scores and interval ends on the scale 0-100; lists are sorted by the rounded score."""
MU_DECIMALS: Final = 3
STRENGTH_DECIMALS: Final = 1
"""Decimals of a prior, rounded *before* it is used: anybody can compute a score again from what a list says,
and one more rating changes the row of its own unit and, most of the time, no other."""
_PARAMETER_SCALE: Final = 10 ** (MU_DECIMALS + STRENGTH_DECIMALS)
PROBABILITY_DECIMALS: Final = 9
"""Decimals to which a probability is rounded before it decides a band."""

EXCELLENT: Final = "excellent"
UNDECIDED: Final = "undecided"
BELOW: Final = "below"


@dataclass(frozen=True, slots=True)
class GroupPrior:
    """What the peers say about a unit before its own ratings do.

    Attributes:
        mu: mean good share, 0 < mu < 1, rounded.
        strength: M > 0, the weight of the prior in ratings, rounded.
        units: units with ratings that it rests on.
        fallback: why it is the rule pack's prior; None when it was estimated from the peers.
    """

    mu: float
    strength: float
    units: int
    fallback: str | None = None


@dataclass(frozen=True, slots=True)
class Posterior:
    """Scores of several units, in the order that was given.

    Attributes:
        score: posterior mean x100, rounded half up.
        low: lower end of the 90 % interval x100, rounded.
        high: upper end.
        bands: one of `EXCELLENT`, `UNDECIDED`, `BELOW`.
    """

    score: Floats
    low: Floats
    high: Floats
    bands: list[str]


def estimate_prior(weight_milli: Integers, good_milli: Integers, rules: Prior) -> GroupPrior:
    """The prior of one peer group by the method of moments.

    With n, k of each unit that has ratings (N of them), N+ = sum n, mu = sum k / sum n, p = k/n:

        A = sum n (p - mu)**2 / (mu (1 - mu))
        rho = (A - (N-1)) / ((N+ - sum n**2 / N+) - (N-1)),  clamped to [rho_min, rho_max]
        M = 1/rho - 1

    Where that has no answer (fewer than two units, all good or all bad, a zero denominator), the rule pack's
    prior is taken and `GroupPrior.fallback` says why.

    Args:
        weight_milli: n of each unit in thousandths; zero for a unit without ratings.
        good_milli: k of each unit in thousandths.
        rules: the fallback and the clamp.
    """
    rated = weight_milli > 0
    weight, part = weight_milli[rated], good_milli[rated]
    weights: list[int] = weight.tolist()
    goods: list[int] = part.tolist()
    units = len(weights)
    total, good = sum(weights), sum(goods)
    if units < 2:  # noqa: PLR2004 - nothing can differ among fewer than two
        return _fallback(rules, units, "fewer than two units with ratings")
    if good in {0, total}:
        return _fallback(rules, units, "all ratings good" if good else "no rating good")
    # In exact integers, so that "zero" means zero: the denominator times 1000 * total.
    squares = sum(map(mul, weights, weights))
    denominator = total * total - squares - MILLI * (units - 1) * total
    if denominator == 0:
        return _fallback(rules, units, "the spread cannot be estimated: zero denominator")
    mu = good / total
    off = part / weight - mu
    deviations: list[float] = (weight / MILLI * off * off).tolist()
    spread = math.fsum(deviations) / (mu * (1 - mu))
    rho = (spread - (units - 1)) / (denominator / (MILLI * total))
    rho = min(max(rho, rules.rho_min), rules.rho_max)
    return _rounded(mu, 1 / rho - 1, units)


def _fallback(rules: Prior, units: int, why: str) -> GroupPrior:
    return _rounded(rules.mu, rules.strength, units, why)


def _rounded(mu: float, strength: float, units: int, why: str | None = None) -> GroupPrior:
    """The prior as it is published and used; rounding must not make it certain, so the ends are kept off."""
    least_mu, least_strength = 10.0**-MU_DECIMALS, 10.0**-STRENGTH_DECIMALS
    return GroupPrior(
        round(min(max(mu, least_mu), 1 - least_mu), MU_DECIMALS),
        round(max(strength, least_strength), STRENGTH_DECIMALS),
        units,
        why,
    )


def posterior(
    weight_milli: Integers, good_milli: Integers, mu: Floats, strength: Floats, rules: Bands
) -> Posterior:
    """Score, interval and band of units, each under the prior of its group.

    Excellent iff P(theta >= line) >= probability, below iff that is <= 1 - probability, else undecided.

    Args:
        weight_milli: n of each unit in thousandths.
        good_milli: k of each unit in thousandths.
        mu: prior mean of each unit's group, rounded as `GroupPrior` is.
        strength: prior strength of each unit's group, in ratings, likewise.
        rules: line and probability of the bands.
    """
    good, total = _parameters(weight_milli, good_milli, mu, strength)
    alpha, beta = good / _PARAMETER_SCALE, (total - good) / _PARAMETER_SCALE
    above = np.round(1 - betainc(alpha, beta, rules.excellent_line), PROBABILITY_DECIMALS)
    not_above = round(1 - rules.probability, PROBABILITY_DECIMALS)
    return Posterior(
        score=scores(weight_milli, good_milli, mu, strength),
        low=_points(betaincinv(alpha, beta, INTERVAL_TAIL)),
        high=_points(betaincinv(alpha, beta, 1 - INTERVAL_TAIL)),
        bands=[
            EXCELLENT if chance >= rules.probability else BELOW if chance <= not_above else UNDECIDED
            for chance in above.tolist()
        ],
    )


def scores(weight_milli: Integers, good_milli: Integers, mu: Floats, strength: Floats) -> Floats:
    """The scores alone, see `posterior`; exact, and rounded half up.

    In whole numbers: with a rounded prior, scores often end in exactly half of the last decimal shown, and
    what a person gets by hand must not depend on how floats round. Good for 4 * 10**8 ratings of one unit.
    """
    good, total = _parameters(weight_milli, good_milli, mu, strength)
    scale = 10**POINT_DECIMALS
    return (2 * 100 * scale * good + total) // (2 * total) / scale


def _parameters(
    weight_milli: Integers, good_milli: Integers, mu: Floats, strength: Floats
) -> tuple[Integers, Integers]:
    """Alpha, and alpha + beta, in ten-thousandths: whole numbers, as mu and M are rounded."""
    mu_milli = np.rint(mu * 10**MU_DECIMALS).astype(np.int64)
    strength_tenths = np.rint(strength * 10**STRENGTH_DECIMALS).astype(np.int64)
    per_milli = _PARAMETER_SCALE // MILLI
    return (
        mu_milli * strength_tenths + per_milli * good_milli,
        10**MU_DECIMALS * strength_tenths + per_milli * weight_milli,
    )


def _points(share: NDArray[np.floating[Any]]) -> Floats:
    return np.round(share.astype(np.float64, copy=False) * 100, POINT_DECIMALS)
