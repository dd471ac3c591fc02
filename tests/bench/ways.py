"""Ways to rank by good shares: the platform's own code, and the two that people reach for first."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain.posterior import (
    EXCELLENT,
    MILLI,
    GroupPrior,
    Posterior,
    estimate_prior,
    posterior,
)
from shared.rules.loading import load_pack

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

RULES: Final = load_pack(None, date(2026, 11, 20))
"""The rule pack of a fixed day, so that the figures don't change with the calendar."""
Z: Final = 1.959964
"""Normal quantile of Wilson's two-sided 95 % interval, whose lower end people rank by."""
Z_BAND: Final = 1.281552
"""Normal quantile of a one-sided 90 % bound: the certainty of our bands."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """What one way says about units.

    Attributes:
        score: what it sorts by; more is better.
        excellent: units that it would call excellent.
    """

    score: Floats
    excellent: Flags


Way = Callable[[Floats, Floats, Integers], Assessment]
"""From n, k and the number of each unit's peer group; every n is positive."""


def shrunk(n: Floats, k: Floats, groups: Integers) -> tuple[Posterior, list[GroupPrior]]:
    """The platform's posterior of every unit under the prior of its group; and the priors."""
    weight, good = np.rint(n * MILLI).astype(np.int64), np.rint(k * MILLI).astype(np.int64)
    priors = [
        estimate_prior(weight[groups == group], good[groups == group], RULES.prior)
        for group in range(int(groups.max()) + 1)
    ]
    mu = np.array([prior.mu for prior in priors])[groups]
    strength = np.array([prior.strength for prior in priors])[groups]
    return posterior(weight, good, mu, strength, RULES.bands), priors


def ours(n: Floats, k: Floats, groups: Integers) -> Assessment:
    """Empirical Bayes, by the code that ranks in production."""
    found, _ = shrunk(n, k, groups)
    return Assessment(np.array(found.score), np.array(found.bands) == EXCELLENT)


def raw(n: Floats, k: Floats, _groups: Integers) -> Assessment:
    """The plain share; excellent when it reaches the line."""
    return Assessment(k / n, k / n >= RULES.bands.excellent_line)


def wilson(n: Floats, k: Floats, _groups: Integers) -> Assessment:
    """Wilson's lower bound; excellent when that of our bands' certainty reaches the line."""
    return Assessment(wilson_bound(n, k, Z), wilson_bound(n, k, Z_BAND) >= RULES.bands.excellent_line)


def wilson_bound(n: Floats, k: Floats, z: float) -> Floats:
    """Lower end of Wilson's score interval (Wilson 1927)."""
    share = k / n
    centre = share + z * z / (2 * n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    bound: Floats = (centre - half) / (1 + z * z / n)
    return bound


WAYS: Final[dict[str, Way]] = {"ours": ours, "raw share": raw, "Wilson's lower bound": wilson}
