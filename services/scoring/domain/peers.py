"""What the peers of each unit say, the unit itself left out.

A unit must not be measured by itself: a city with 331,910 ratings, all of them good, would make "all good"
the average of its group. So each unit gets the prior of `posterior.estimate_prior` over its peers without
it, in closed form: every sum that the estimate needs loses that unit's term. And no unit speaks for more
ratings than the median one has, so that a few large ones can't hide one another.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain.roster import LevelRoster
from services.scoring.domain.tails import Floats, Integers
from shared.rules.pack import Prior

_NOTHING: Final = 1e-9
"""Less than this is zero, but for rounding."""


class Peers(NamedTuple):
    """The peers' beta distribution of a share, for each unit of a level.

    Attributes:
        mu: mean.
        strength: in ratings.
        known: whether the peers gave an estimate; otherwise it is the rule pack's prior.
        units: peers with ratings.
    """

    mu: Floats
    strength: Floats
    known: NDArray[np.bool_]
    units: Floats


def groups_of(level: LevelRoster) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """For each peer group the places of all its members, and of the units that are compared with them."""
    names = np.array(level.peers)
    return [(members, np.flatnonzero(names == name)) for name, members in level.groups.items()]


def capped(trials: Integers) -> Floats:
    """For how many ratings each of some peers speaks."""
    rated = trials[trials > 0]
    return np.minimum(trials, float(np.median(rated))) if rated.size else trials.astype(np.float64)


def peers_of(level: LevelRoster, trials: Integers, part: Integers, rules: Prior) -> Peers:
    """Estimate how the share part/trials is spread among the peers of each unit of ``level``."""
    mu = np.full(len(trials), rules.mu)
    strength = np.full(len(trials), rules.strength)
    known, units = np.zeros(len(trials), dtype=bool), np.zeros(len(trials))
    for members, own in groups_of(level):
        n = np.zeros(len(trials))
        n[members] = capped(trials[members])
        k = np.where(trials > 0, n * part / np.maximum(trials, 1), 0.0)
        used = np.where(trials > 0, n / np.maximum(trials, 1), 0.0)
        estimate = _without_self(n, k, used, members, own, rules)
        good = own[estimate.known]
        mu[good], strength[good] = estimate.mu[estimate.known], estimate.strength[estimate.known]
        known[good] = True
        units[own] = estimate.units
    return Peers(mu, strength, known, units)


def _without_self(
    n: Floats, k: Floats, used: Floats, members: NDArray[np.int64], own: NDArray[np.int64], rules: Prior
) -> Peers:
    """`posterior.estimate_prior` from sums, without each of ``own``.

    Where only the part ``used`` of a unit's ratings speaks, its share varies less than that many ratings
    would: the sampling variance, N-1 in the original, becomes sum(used) - sum(n * used) / sum(n).
    """
    rated = (n > 0).astype(np.float64)
    terms = np.stack((n, k, k * k / np.where(n > 0, n, 1.0), n * n, rated, used, n * used))
    sums = terms[:, members].sum(axis=1)[:, None] - terms[:, own]
    total, good, squares, sizes, units, parts, weighted = sums
    possible = (units > 1 + _NOTHING) & (good > _NOTHING) & (total - good > _NOTHING)
    total = np.where(possible, total, 1.0)
    mu = np.where(possible, good / total, rules.mu)
    spread = (squares - good * good / total) / (mu * (1 - mu))
    sampling = parts - weighted / total
    room = (total - sizes / total) - sampling
    possible &= room > _NOTHING
    rho = (spread - sampling) / np.where(possible, room, 1.0)
    rho = np.clip(rho, rules.rho_min, rules.rho_max)
    return Peers(mu, 1 / rho - 1, possible, units)
