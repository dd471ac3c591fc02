"""Rank intervals 名次区间: between which ranks a unit lies with 90 % probability, from all intervals.

A closed form instead of draws: fast enough for every rating, and the same bytes everywhere. Each unit's good
share t is taken as normal with the 5 % and 95 % points that its row shows, on the scale
t**(1/4) - (1-t)**(1/4); on the logit scale, units that have nothing but good ratings come out three times as
far off. If a unit's share is t, each other unit is above it with a chance of its own, so the unit's rank is
close to normal with mean 1 + S(t) and variance V(t), S and V being the sums of p and p(1-p) over the others.
The rank's distribution is the mean of these normals over :data:`NODES` equally likely values of t.

S and V are summed on a grid in whole numbers of 2**-30. Such sums do not depend on order, so units that
changed can be taken out and put in again, and nobody can tell from the result. One unit's rating changes the
sums by a few hundredths of a rank, and so nobody else's whole ranks as a rule: of each unit it is kept by how
much the sums may change before they could (`_room`), and only those are looked at whose room is used up.

Checked against draws of the true Beta posteriors in `tests/unit/scoring/test_rank_intervals.py`.
"""

import math
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
_TARGETS: Final = np.array([[0.05], [0.95]]) * NODES
_HERE: Final = np.array([0, 1])[:, np.newaxis, np.newaxis]
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
_LOOK_BLOCK: Final = 1024
_FEW: Final = 256
_PART: Final = 8
_LATER: Final = np.triu(np.ones((GRID // _PART, GRID // _PART), dtype=bool))
_SHORT: Final = 64
"""Units of a list up to which it takes longer to find out whom to look at than to look at all."""
_MANY: Final = 8
"""One in so many is many: of those who move, and of those whose room lasts."""
_TWICE: Final = 2
_GENTLE: Final = 0.1
"""Change of the sums, in ranks, that most units have room for."""
_DENSITY: Final = 1 / math.sqrt(2 * math.pi)
_ROUNDING: Final = 1e-9
"""More than what rounding can do to a sum of ten chances."""


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
        self._ends = np.zeros((2, 0), dtype=np.int64)
        self._room = np.zeros(0)
        self._in_vain = 0
        """How often in a row nearly everybody's room was used up: it is not measured then."""

    def of(self, low: Floats, high: Floats, ranked: Booleans) -> tuple[Integers, Integers]:
        """The rank intervals among the units that are ``ranked``; 0 for the others. Not to be changed.

        Args:
            low: lower ends of all units' 90 % intervals on the scale 0-100; any number where not ranked.
            high: upper ends.
            ranked: which units count.
        """
        known = len(ranked) == len(self._ranked)
        mean, sd = _normal(low, high)
        if known:
            moved = ((mean != self._mean) | (sd != self._sd)) & (ranked | self._ranked)
            moved |= ranked != self._ranked
            if not moved.any():
                return self._ends[0], self._ends[1]
        else:
            moved = np.ones(len(ranked), dtype=bool)
            self._ends = np.zeros((2, len(ranked)), dtype=np.int64)
        here = np.flatnonzero(ranked)
        ends = np.where(ranked, self._ends, 0)
        if here.size:
            shift = self._sum_up(mean, sd, ranked, moved if known else None)
            if shift is None or here.size != np.count_nonzero(self._ranked):
                self._room = np.zeros(len(ranked))
            elif self._room.any():
                self._room -= self._reached(shift, mean, sd)
            which = here[(self._room[here] <= 0) | moved[here]]
            self._in_vain = self._in_vain + 1 if _MANY * which.size > (_MANY - 1) * here.size else 0
            few = _MANY * np.count_nonzero(moved) < here.size > _SHORT
            gentle = self._in_vain < _TWICE or (shift is not None and shift.max() < _GENTLE)
            self._look(which, mean, sd, ends, here.size, measure=bool(few and gentle))
        self._mean, self._sd, self._ranked, self._ends = mean, sd, ranked.copy(), ends
        return ends[0], ends[1]

    def _look(
        self, which: Integers, mean: Floats, sd: Floats, ends: Integers, units: int, *, measure: bool
    ) -> None:
        """Find the ranks of ``which``, beginning with those that they had; and ``measure`` their room."""
        for first in range(0, which.size, _LOOK_BLOCK):
            block = which[first : first + _LOOK_BLOCK]
            ranks = self._ranks_given_share(mean[block], sd[block])
            ends[:, block], slack = _quantiles(*ranks, ends[:, block], units)
            self._room[block] = _room(*ranks, ends[:, block], slack) if measure else 0

    def _sum_up(self, mean: Floats, sd: Floats, ranked: Booleans, moved: Booleans | None) -> Floats | None:
        """Bring the sums over all ranked units up to date: from what changed, or anew if that is more.

        Args:
            mean: of all units.
            sd: of all units.
            ranked: which units count.
            moved: who of them, or of those who counted last time, changed; None: nothing is known of before.

        Returns:
            By how much either sum changed at each point; None if they were made anew.
        """
        grid = _grid(mean[ranked], sd[ranked])
        if moved is not None and grid == self._grid:
            gone, come = self._ranked & moved, ranked & moved
            if np.count_nonzero(gone) + np.count_nonzero(come) < np.count_nonzero(ranked):
                above, spread = _sums(
                    grid,
                    np.concatenate((self._mean[gone], mean[come])),
                    np.concatenate((self._sd[gone], sd[come])),
                    gone=int(np.count_nonzero(gone)),
                )
                self._above = self._above + above
                self._spread = self._spread + spread
                shift: Floats = np.maximum(np.abs(above), np.abs(spread)) / _ONE
                return shift
        self._grid = grid
        self._above, self._spread = _sums(grid, mean[ranked], sd[ranked])
        return None

    def _reached(self, shift: Floats, mean: Floats, sd: Floats) -> Floats:
        """The most of ``shift`` about those points of the grid that a unit's own nodes lie between."""
        start, step = self._grid
        ends = np.clip((mean + np.multiply.outer(_STEPS[[0, -1]], sd) - start) / step, 0, GRID - 1)
        first, last = np.minimum(ends.astype(np.int64), GRID - 2)
        parts = np.where(_LATER, shift.reshape(-1, _PART).max(axis=1), 0)
        reached: Floats = np.maximum.accumulate(parts, axis=1)[first // _PART, (last + 1) // _PART]
        return reached

    def _ranks_given_share(self, mean: Floats, sd: Floats) -> tuple[Floats, Floats]:
        """Mean and 1/sd of the rank at each node of each unit; shape (nodes, units)."""
        start, step = self._grid
        place = (mean + np.outer(_STEPS, sd) - start) / step
        np.clip(place, 0, GRID - 1, out=place)
        left = np.minimum(place.astype(np.int64), GRID - 2)
        part = place - left
        ends = np.stack((left, left + 1))
        # The unit's own part comes out as it went in: at the grid's points, however coarse they are for it.
        own = ndtr((mean - (start + step * ends)) / sd)
        others = (self._above / _ONE)[ends] - own
        variances = (self._spread / _ONE)[ends] - own * (1 - own)
        ranks: Floats = 1 + others[0] + part * (others[1] - others[0])
        variance: Floats = variances[0] + part * (variances[1] - variances[0])
        return ranks, 1 / np.sqrt(np.maximum(variance, _LEAST_VARIANCE))


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


def _sums(grid: _Grid, mean: Floats, sd: Floats, gone: int = 0) -> tuple[Integers, Integers]:
    """Over the units, at each point: the chance to lie above it, and its variance; in 2**-30.

    The first so many units are ``gone`` and taken away.
    """
    points = grid.points()
    above, spread = np.zeros((2, GRID), dtype=np.int64)
    for first in range(0, len(mean), _BLOCK):
        block = slice(first, first + _BLOCK)
        far = (mean[block, np.newaxis] - points) / sd[block, np.newaxis]
        whole = np.rint(chances(far) * _ONE).astype(np.int64)
        varied = whole * (_ONE - whole) >> _ONE_BITS
        if first < gone:
            for part in (whole, varied):
                np.negative(part[: gone - first], out=part[: gone - first])
        above += whole.sum(axis=0)
        spread += varied.sum(axis=0)
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


def _quantiles(ranks: Floats, inverse_sd: Floats, start: Integers, units: int) -> tuple[Integers, Floats]:
    """The smallest ranks whose summed distribution reaches the targets, shape (2, units).

    ``start`` is where to look first: one unit's rating moves hardly anybody's interval. The distribution
    rises strictly there, so there is one answer, found from wherever one starts.

    Returns:
        The ranks; and how far the distribution there and one rank before is from the target, at least: 0
        where the rank is another than ``start``.
    """
    found = start.copy()
    # At each start and at the rank before it, in one go.
    each = (slice(None), np.newaxis, np.newaxis)
    both = _distribution(ranks[each], inverse_sd[each], start - _HERE)
    above = np.where(start >= units, np.inf, both[0] - _TARGETS)
    below = np.where(start <= 1, np.inf, _TARGETS - both[1])
    slack = np.minimum(above, below)
    wrong = (above < 0) | (below <= 0) | (start < 1) | (start > units)
    if wrong.any():
        slack[wrong] = 0
        end, unit = np.nonzero(wrong)
        found[end, unit] = _bisect(ranks[:, unit], inverse_sd[:, unit], end, units)
    return found, slack


def _room(ranks: Floats, inverse_sd: Floats, ends: Integers, slack: Floats) -> Floats:
    """By how much the sums may change so that the distribution at each end and one before keeps its side.

    Changes of up to D in S and V move z = (rank + 1/2 - R) s, s = 1/sd, by no more than 1.04 D s (1 + |z| s)
    as long as D s**2 <= 1/16 and D s <= 1/8; so |z| then stays above 0.96 |z| - 0.13, and each node's Phi(z)
    moves by at most that times the density there.
    """
    steep = inverse_sd[:, np.newaxis]
    off = np.abs(ends - ranks[:, np.newaxis]) * steep  # of the middle between the two ranks: each is s/2 away
    half = steep / 2
    nearest = np.maximum(0.96 * (off - half) - 0.13, 0)
    density = np.exp(-nearest * nearest / 2) * _DENSITY
    pull = 1.04 * (density * steep * (1 + (off + half) * steep)).sum(axis=0)
    steepest = inverse_sd.max(axis=0)
    allowed = ((slack - _ROUNDING) / np.maximum(pull, _ROUNDING)).min(axis=0)
    room: Floats = np.minimum(allowed, 1 / (16 * steepest * np.maximum(steepest, 2)))
    return room


def _bisect(ranks: Floats, inverse_sd: Floats, end: Integers, units: int) -> Integers:
    """See `_quantiles`; ``end`` says which target of each column.

    One normal's Phi(1) exceeds the low one, and all normals' Phi(-2) together don't; the high one likewise.
    """
    sd, target = 1 / inverse_sd, _TARGETS[end, 0]
    left = np.where(end == 0, (ranks - 2 * sd).min(axis=0), (ranks - sd).max(axis=0))
    right = np.where(end == 0, (ranks + sd).min(axis=0), (ranks + 2 * sd).max(axis=0))
    below: Integers = np.clip(np.floor(left - 0.5), 0, units - 1).astype(np.int64)
    reaching: Integers = np.clip(np.ceil(right - 0.5), 1, units).astype(np.int64)
    # Few are cut into eight each time: numpy takes as long for seven as for one.
    cuts = np.arange(1, 8 if end.size < _FEW else 2)[:, np.newaxis]
    each, columns = (slice(None), np.newaxis), np.arange(end.size)
    while (reaching - below > 1).any():
        if len(cuts) == 1:
            middle = (below + reaching) // 2
            reached = (middle > below) & (_distribution(ranks, inverse_sd, middle) >= target)
            below, reaching = np.where(reached, below, middle), np.where(reached, middle, reaching)
            continue
        middles = below + (reaching - below) * cuts // (len(cuts) + 1)
        short = (middles == below) | (_distribution(ranks[each], inverse_sd[each], middles) < target)
        edges = np.concatenate((below[np.newaxis], middles, reaching[np.newaxis]))
        section = np.count_nonzero(short, axis=0)
        below, reaching = edges[section, columns], edges[section + 1, columns]
    return reaching


def _distribution(ranks: Floats, inverse_sd: Floats, rank: Integers) -> Floats:
    """Number of nodes times the chance of at most ``rank``, with continuity correction."""
    chances = rank + 0.5 - ranks
    chances *= inverse_sd
    ndtr(chances, out=chances)
    total: Floats = chances[0].copy()
    # One after the other, and not `sum`, which adds up in another order for arrays of another shape.
    for chance in chances[1:]:
        total += chance
    return total
