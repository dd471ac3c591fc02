"""How likely a count is without any cause: the upper tail of the Poisson or the negative binomial law."""

from math import exp, fsum, lgamma, log, log1p
from statistics import fmean
from typing import Final

PRIOR_COUNT: Final = 0.5
"""Jeffreys' half event: a place where nothing ever happened is not one where nothing can happen."""
_ENOUGH: Final = 1e-12
_MOST_TERMS: Final = 100_000


def upper_tail(count: int, mean: float, variance: float) -> float:
    """Return P(X >= `count`) of a count with this mean and variance.

    Negative binomial where the variance exceeds the mean (bad days come in clusters), else Poisson. Summed
    upwards from `count`, so that small probabilities keep all their digits.
    """
    if count <= 0:
        return 1.0
    term = exp(_log_mass(count, mean, variance))
    total = term
    for k in range(count, count + _MOST_TERMS):
        term *= _step(k, mean, variance)
        total += term
        if k > mean and term < total * _ENOUGH:
            break
    return min(1.0, total)


def usual(daily: list[int], share_of_day: float) -> tuple[float, float]:
    """Return mean and variance of the count of `share_of_day` days, from the counts of whole days before.

    The mean carries half an event that nobody saw, so that silence before is no certainty.
    """
    days = len(daily)
    mean = (sum(daily) + PRIOR_COUNT) / days
    centre = fmean(daily)
    spread = sum((each - centre) ** 2 for each in daily) / max(1, days - 1)
    # Relative overdispersion stays as it is when the length of the window changes.
    extra = max(0.0, spread - mean) / mean**2
    expected = mean * share_of_day
    return expected, expected + extra * expected**2


def _shape(mean: float, variance: float) -> float | None:
    return None if variance <= mean * (1 + 1e-9) else mean * mean / (variance - mean)


def _log_mass(k: int, mean: float, variance: float) -> float:
    shape = _shape(mean, variance)
    if shape is None:
        return k * log(mean) - mean - lgamma(k + 1)
    # Factor by factor: two gamma functions of a large shape would cancel out all their digits.
    rising = fsum(log((shape + i) * mean / (shape + mean)) for i in range(k))
    return rising - lgamma(k + 1) - shape * log1p(mean / shape)


def _step(k: int, mean: float, variance: float) -> float:
    """The mass of k + 1 over that of k."""
    shape = _shape(mean, variance)
    if shape is None:
        return mean / (k + 1)
    return (k + shape) / (k + 1) * mean / (shape + mean)
