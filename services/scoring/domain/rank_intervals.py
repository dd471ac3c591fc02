"""Rank intervals 名次区间: between which ranks a unit lies with 90 % probability, from all intervals.

A closed form instead of draws: fast enough for every rating, and the same bytes everywhere. Each unit's good
share t is taken as normal with the 5 % and 95 % points that its row shows, on the scale
t**(1/4) - (1-t)**(1/4); on the logit scale, units that have nothing but good ratings come out three times as
far off. If a unit's share is t, each other unit is above it with a chance of its own, so the unit's rank is
close to normal with mean 1 + S(t) and variance V(t), S and V being the sums of p and p(1-p) over the others.
The rank's distribution is the mean of these normals over :data:`NODES` equally likely values of t.

S and V are summed on a grid in whole numbers of 2**-30. Such sums do not depend on order, so units that
changed can be taken out and put in again, and nobody can tell from the result.

Checked against draws of the true Beta posteriors in `tests/unit/scoring/test_rank_intervals.py`.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain.special import ndtr, ndtri

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

NODES: Final = 10
"""Nodes in a unit's own distribution. Ten: the middles of the first and the last tenth are its 5 % and 95 %
points themselves, so that a unit among many gets exactly the ranks of the two ends of its interval."""
GRID: Final = 256
"""Points at which the sums over all units are known; between them they are interpolated."""

_SHARES: Final = (np.arange(NODES) + 0.5) / NODES
_STEPS: Final = ndtri(_SHARES)
_LOW_TARGET: Final = 0.05 * NODES
_HIGH_TARGET: Final = 0.95 * NODES
_TAIL_SD: Final = float(ndtri(0.95))
_ONE_BITS: Final = 30
_ONE: Final = 1 << _ONE_BITS
_LEAST_SD: Final = 1e-6
_LEAST_VARIANCE: Final = 1e-9
_CERTAIN_SD: Final = 6.5
"""Phi(-6.5) is a twentieth of the 2**-30 in which chances are added up."""
_REACH_SD: Final = 4.0
_GRID_ROUNDING: Final = 32.0
"""The grid's ends are multiples of 1/32, so that it stays the same when a unit at an end moves a little."""
_BLOCK: Final = 2048


class _Grid(NamedTuple):
    """Equidistant points on the scale of `_straighten`."""

    start: float
    step: float

    def points(self) -> Floats:
        return np.float64(self.start) + np.float64(self.step) * np.arange(GRID)


def rank_intervals(low: Floats, high: Floats) -> tuple[Integers, Integers]:
    """The 5 % and 95 % quantiles of each unit's rank among all that are given; 1 is best.

    Args:
        low: lower ends of the units' 90 % intervals on the scale 0-100.
        high: upper ends.

    Returns:
        Best and worst rank, whole numbers from 1 to the number of units, in the order of the units.
    """
    return RankIntervals().of(low, high, np.ones(len(low), dtype=bool))


class RankIntervals:
    """`rank_intervals` of one list that changes a little at a time; remembers, and gives the same numbers."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._ranked = np.zeros(0, dtype=bool)
        self._mean = self._sd = np.zeros(0)
        self._grid = _Grid(0.0, 0.0)
        self._above = self._spread = np.zeros(GRID, dtype=np.int64)
        self._best = self._worst = np.zeros(0, dtype=np.int64)

    def of(self, low: Floats, high: Floats, ranked: Booleans) -> tuple[Integers, Integers]:
        """The rank intervals among the units that are ``ranked``; 0 for the others. Not to be changed.

        Args:
            low: lower ends of all units' 90 % intervals on the scale 0-100; any number where not ranked.
            high: upper ends.
            ranked: which units count.
        """
        known = len(ranked) == len(self._ranked)
        mean, sd = _normal(low, high)
        if known and _equal(ranked, self._ranked, mean, self._mean, sd, self._sd):
            return self._best, self._worst
        here = np.flatnonzero(ranked)
        if here.size:
            self._sum_up(mean, sd, ranked, known=known)
        best, worst = np.zeros((2, len(ranked)), dtype=np.int64)
        starts = (self._best, self._worst) if known else (best, worst)
        for first in range(0, here.size, _BLOCK):
            block = here[first : first + _BLOCK]
            ranks, inverse_sd = self._ranks_given_share(mean[block], sd[block])
            best[block], worst[block] = (
                _quantile(ranks, inverse_sd, target, start[block], here.size)
                for target, start in zip((_LOW_TARGET, _HIGH_TARGET), starts, strict=True)
            )
        self._mean, self._sd, self._ranked = mean, sd, ranked.copy()
        self._best, self._worst = best, worst
        return best, worst

    def _sum_up(self, mean: Floats, sd: Floats, ranked: Booleans, *, known: bool) -> None:
        """Bring the sums over all ranked units up to date: from what changed, or anew if that is more."""
        grid = _grid(mean[ranked], sd[ranked])
        if known and grid == self._grid:
            moved = (mean != self._mean) | (sd != self._sd)
            gone = self._ranked & (moved | ~ranked)
            come = ranked & (moved | ~self._ranked)
            if np.count_nonzero(gone) + np.count_nonzero(come) < np.count_nonzero(ranked):
                old = _sums(grid, self._mean[gone], self._sd[gone])
                new = _sums(grid, mean[come], sd[come])
                self._above = self._above - old[0] + new[0]
                self._spread = self._spread - old[1] + new[1]
                return
        self._grid = grid
        self._above, self._spread = _sums(grid, mean[ranked], sd[ranked])

    def _ranks_given_share(self, mean: Floats, sd: Floats) -> tuple[Floats, Floats]:
        """Mean and 1/sd of the rank at each node of each unit; shape (nodes, units)."""
        start, step = self._grid
        place = (mean + np.outer(_STEPS, sd) - start) / step
        np.clip(place, 0, GRID - 1, out=place)
        left = np.minimum(place.astype(np.int64), GRID - 2)
        part = place - left
        above, spread = self._above / _ONE, self._spread / _ONE
        # The unit's own part comes out as it went in: at the grid's points, however coarse they are for it.
        own = [ndtr((mean - (start + step * point)) / sd) for point in (left, left + 1)]
        others = [above[left + end] - chance for end, chance in enumerate(own)]
        variances = [spread[left + end] - chance * (1 - chance) for end, chance in enumerate(own)]
        ranks: Floats = 1 + others[0] + part * (others[1] - others[0])
        variance: Floats = variances[0] + part * (variances[1] - variances[0])
        return ranks, 1 / np.sqrt(np.maximum(variance, _LEAST_VARIANCE))


def _equal(*pairs: NDArray[np.generic]) -> bool:
    return all(np.array_equal(new, old) for new, old in zip(pairs[::2], pairs[1::2], strict=True))


def _normal(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of units with these 5 % and 95 % points, on the scale of `_straighten`."""
    ends = _straighten(low / 100), _straighten(high / 100)
    return (ends[0] + ends[1]) / 2, np.maximum((ends[1] - ends[0]) / (2 * _TAIL_SD), _LEAST_SD)


def _straighten(share: Floats) -> Floats:
    """A scale from -1 to 1 on which Betas of any shape, also those that lean on 0 or 1, are nearly normal."""
    return np.sqrt(np.sqrt(share)) - np.sqrt(np.sqrt(1 - share))


def _grid(mean: Floats, sd: Floats) -> _Grid:
    start = np.floor((mean - _REACH_SD * sd).min() * _GRID_ROUNDING) / _GRID_ROUNDING
    end = np.ceil((mean + _REACH_SD * sd).max() * _GRID_ROUNDING) / _GRID_ROUNDING
    return _Grid(float(start), float((end - start) / (GRID - 1)))


def _sums(grid: _Grid, mean: Floats, sd: Floats) -> tuple[Integers, Integers]:
    """Over the units, at each point: the chance to lie above it, and its variance; in 2**-30."""
    points = grid.points()
    above, spread = np.zeros((2, GRID), dtype=np.int64)
    for first in range(0, len(mean), _BLOCK):
        block = slice(first, first + _BLOCK)
        far = (mean[block, np.newaxis] - points) / sd[block, np.newaxis]
        whole = np.rint(chances(far) * _ONE).astype(np.int64)
        above += whole.sum(axis=0)
        spread += (whole * (_ONE - whole) >> _ONE_BITS).sum(axis=0)
    return above, spread


def chances(far: Floats) -> Floats:
    """The normal distribution at each of many points; where it is certain in 2**-30, just 0 or 1.

    Looking first which points are near pays only if few are: units with many ratings.
    """
    near = np.flatnonzero(np.abs(far) < _CERTAIN_SD)
    if 2 * near.size > far.size:
        every: Floats = ndtr(far)
        return every
    chances = (far > 0).astype(np.float64)
    chances.reshape(-1)[near] = ndtr(far.reshape(-1)[near])
    return chances


def _quantile(ranks: Floats, inverse_sd: Floats, target: float, start: Integers, units: int) -> Integers:
    """The smallest rank whose summed distribution reaches ``target``.

    ``start`` is where to look first: one unit's rating moves hardly anybody's interval. The distribution
    rises strictly there, so there is one answer, found from wherever one starts.
    """
    found = start.copy()
    reached = (start >= units) | (_distribution(ranks, inverse_sd, start) >= target)
    not_before = (start <= 1) | (_distribution(ranks, inverse_sd, start - 1) < target)
    todo = np.flatnonzero(~reached | ~not_before | (start < 1) | (start > units))
    if todo.size:
        found[todo] = _bisect(ranks[:, todo], inverse_sd[:, todo], target, units)
    return found


def _bisect(ranks: Floats, inverse_sd: Floats, target: float, units: int) -> Integers:
    """See `_quantile`. One normal's Phi(1) exceeds the target, and all normals' Phi(-2) together don't."""
    sd = 1 / inverse_sd
    if target < NODES / 2:
        left, right = (ranks - 2 * sd).min(axis=0), (ranks + sd).min(axis=0)
    else:
        left, right = (ranks - sd).max(axis=0), (ranks + 2 * sd).max(axis=0)
    below: Integers = np.clip(np.floor(left - 0.5), 0, units - 1).astype(np.int64)
    reaching: Integers = np.clip(np.ceil(right - 0.5), 1, units).astype(np.int64)
    while (reaching - below > 1).any():
        middle = (below + reaching) // 2
        reached = (middle > below) & (_distribution(ranks, inverse_sd, middle) >= target)
        reaching = np.where(reached, middle, reaching)
        below = np.where(reached, below, middle)
    return reaching


def _distribution(ranks: Floats, inverse_sd: Floats, rank: Integers) -> Floats:
    """Number of nodes times the chance of at most ``rank``, with continuity correction."""
    chances = ndtr((rank + 0.5 - ranks) * inverse_sd)
    total: Floats = chances[0].copy()
    # One after the other, and not `sum`, which adds up in another order for arrays of another shape.
    for chance in chances[1:]:
        total += chance
    return total
