"""Tail probabilities, vectorised over units: how likely is so much, or more, without any cause?

Closed forms from `scipy.special` throughout; `scipy.stats` sums over supports of hundreds of thousands.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain.special import betainc, betaincinv, betaln, gammainc, gammaln, log_ndtr

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Tail = Callable[[Integers], Floats]
"""Chance of at least so many, for each unit."""

EXACT_UP_TO: Final = 2000
"""Ratings up to which a beta-binomial tail is summed term by term."""


def poisson_tail(at_least: Integers, mean: Floats) -> Floats:
    """P(X >= at_least) of a Poisson variable."""
    return np.where(at_least > 0, gammainc(np.maximum(at_least, 1), mean), 1.0)


def binomial_tail(at_least: Integers, trials: Integers, chance: Floats) -> Floats:
    """P(X >= at_least) of a binomial variable."""
    inside = np.clip(at_least, 1, np.maximum(trials, 1))
    tail = betainc(inside, np.maximum(trials, 1) - inside + 1, chance)
    return np.where(at_least <= 0, 1.0, np.where(at_least > trials, 0.0, tail))


def negative_binomial_tail(at_least: Integers, mean: Floats, dispersion: Floats) -> Floats:
    """P(X >= at_least), X with that mean and the variance mean + dispersion * mean**2."""
    size = 1 / dispersion
    return np.where(at_least > 0, betainc(np.maximum(at_least, 1), size, mean / (mean + size)), 1.0)


def beta_binomial_tail(at_least: Integers, trials: Integers, mu: Floats, strength: Floats) -> Floats:
    """P(X >= at_least) of X ~ Binomial(trials, p), p ~ Beta(mu*strength, (1-mu)*strength).

    Exact up to `EXACT_UP_TO` trials. Beyond, X/trials is taken for a beta variable of the same mean and
    variance, with a continuity correction: there the spread of p outweighs that of the trials.
    """
    found = np.ones(len(trials))
    exact = (trials <= EXACT_UP_TO) & (at_least > 0) & (at_least <= trials)
    found[exact] = _summed(at_least[exact], trials[exact], mu[exact], strength[exact])
    large = (trials > EXACT_UP_TO) & (at_least > 0)
    n, m = trials[large], strength[large]
    matched = n * (m + 1) / (n + m) - 1
    above = (at_least[large] - 0.5) / n
    found[large] = betainc((1 - mu[large]) * matched, mu[large] * matched, np.clip(1 - above, 0, 1))
    found[at_least > trials] = 0.0
    return found


def _summed(at_least: Integers, trials: Integers, mu: Floats, strength: Floats) -> Floats:
    terms = trials - at_least + 1
    if not terms.size:
        return np.zeros(0)
    starts = np.concatenate(([0], np.cumsum(terms)[:-1]))
    unit = np.repeat(np.arange(len(terms)), terms)
    k = at_least[unit] + np.arange(int(terms.sum())) - starts[unit]
    n, a, b = trials[unit], (mu * strength)[unit], ((1 - mu) * strength)[unit]
    fixed = gammaln(trials + 1) - betaln(mu * strength, (1 - mu) * strength)
    fixed -= gammaln(trials + strength)
    logs = gammaln(k + a) + gammaln(n - k + b) - gammaln(k + 1) - gammaln(n - k + 1) + fixed[unit]
    summed: Floats = np.add.reduceat(np.exp(logs), starts)
    return np.minimum(summed, 1.0)


def all_alike(trials: Integers, mu: Floats, strength: Floats) -> Floats:
    """P(X = trials) of the beta-binomial: that every single rating is of the kind with the mean share mu."""
    a = mu * strength
    return np.exp(gammaln(a + trials) - gammaln(a) + gammaln(strength) - gammaln(strength + trials))


def gap_tail(good: tuple[Integers, Integers], trials: tuple[Integers, Integers], gap: Floats) -> Floats:
    """One-sided score test that p1 - p2 is no more than ``gap``; Farrington and Manning 1990.

    The variance is taken at the likeliest p1, p2 that differ by just ``gap``.

    Args:
        good: good ratings of the first and of the second kind.
        trials: ratings of either, at least one each.
        gap: -1 < gap < 1.
    """
    p1, p2 = good[0] / trials[0], good[1] / trials[1]
    theta = trials[1] / trials[0]
    a = 1 + theta
    b = -(1 + theta + p1 + theta * p2 + gap * (theta + 2))
    c = gap**2 + gap * (2 * p1 + theta + 1) + p1 + theta * p2
    d = -p1 * gap * (1 + gap)
    v = (b / (3 * a)) ** 3 - b * c / (6 * a**2) + d / (2 * a)
    u = np.sqrt(np.maximum((b / (3 * a)) ** 2 - c / (3 * a), 0)) * np.where(v >= 0, 1, -1)
    cubed = np.where(u == 0, 1.0, u**3)
    w = (np.pi + np.arccos(np.clip(np.where(u == 0, 0.0, v / cubed), -1, 1))) / 3
    q1 = np.clip(2 * u * np.cos(w) - b / (3 * a), np.maximum(gap, 0), np.minimum(1, 1 + gap))
    q2 = np.clip(q1 - gap, 0, 1)
    variance = q1 * (1 - q1) / trials[0] + q2 * (1 - q2) / trials[1]
    excess = p1 - p2 - gap
    # No variance is left only where the data say exactly p1 = 1 and p2 = 0, or p1 - p2 = gap at an edge.
    z = np.where(variance > 0, excess / np.sqrt(np.where(variance > 0, variance, 1)), np.sign(excess) * 40)
    return np.exp(log_ndtr(-z))


def lower_bound(part: Integers, trials: Integers, probability: float) -> Floats:
    """The share that is exceeded with the confidence 1 - probability; Clopper and Pearson 1934."""
    inside = np.maximum(part, 1)
    bound = betaincinv(inside, np.maximum(trials - inside, 0) + 1, probability)
    return np.where(part > 0, bound, 0.0)


def least_unlikely(tail: Tail, high: Integers, probability: float) -> Integers:
    """The smallest k of each unit with tail(k) <= probability.

    Args:
        tail: falls with k.
        high: some k of each unit for which it holds.
        probability: the limit.
    """
    low, above = np.zeros_like(high), high.copy()
    while (low < above).any():
        middle = (low + above) // 2
        holds = tail(middle) <= probability
        above = np.where(holds, middle, above)
        low = np.where(holds, low, middle + 1)
    return above
