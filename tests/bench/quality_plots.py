"""The plots of docs/ranking.md, drawn from one simulated province."""

from typing import Any, Final

import numpy as np
from scipy.stats import betabinom

from services.scoring.domain.posterior import BELOW, EXCELLENT, UNDECIDED, GroupPrior
from services.scoring.domain.rank_intervals import rank_intervals
from tests.bench import simulation
from tests.bench.drawing import BLUE, GREEN, INK, MUTED, ORANGE, plot
from tests.bench.ways import RULES, Flags, Floats, shrunk

SEED: Final = 7
SIGMA: Final = 1.0
FEW, MANY = RULES.suppression.publish_from, RULES.suppression.rank_from
LIMITS: Final = (0.95, 0.998)
_BAND_COLOURS: Final = {EXCELLENT: GREEN, UNDECIDED: MUTED, BELOW: ORANGE}


def draw() -> None:
    """Write funnel, shrinkage and rank intervals to docs/images."""
    chance = np.random.default_rng(SEED)
    truth = simulation.draw_truth(chance)
    n, k = simulation.draw_ratings(truth, SIGMA, chance)
    _funnel(n, k)
    one = simulation.GROUPS == 0
    _shrinkage(n[one], k[one])
    _rank_intervals(n[one], k[one])


def funnel_limits(n: int, prior: GroupPrior, inside: float) -> tuple[float, float]:
    """Lower and upper good share that a unit like its peers keeps with probability ``inside``.

    Beta-binomial quantiles, interpolated between whole numbers (Spiegelhalter 2005, appendix). Where
    even all ratings good, or none, are no rarer than that, the limit is 1 or 0: nothing lies beyond.
    """
    alpha, beta = prior.mu * prior.strength, (1 - prior.mu) * prior.strength
    tail = (1 - inside) / 2
    return _lower_limit(n, alpha, beta, tail), 1 - _lower_limit(n, beta, alpha, tail)


def _lower_limit(n: int, alpha: float, beta: float, tail: float) -> float:
    law = betabinom(n, alpha, beta)
    whole = float(law.ppf(tail))
    return max(0.0, float((whole - (law.cdf(whole) - tail) / law.pmf(whole)) / n))


def _funnel(n: Floats, k: Floats) -> None:
    _, (prior,) = shrunk(n, k, np.zeros(len(n), dtype=np.int64))
    sizes = np.unique(np.geomspace(1, n.max(), 120).astype(int))
    share = k / n
    lines = {inside: np.array([funnel_limits(size, prior, inside) for size in sizes]) for inside in LIMITS}
    with plot("ranking-funnel", 8, 4.4) as axes:
        outside = [_outside(n, share, sizes, lines[inside]) for inside in LIMITS]
        for which, colour, label in (
            (~outside[0], MUTED, "like its peers"),
            (outside[0] & ~outside[1], BLUE, "beyond the 95 % limits"),
            (outside[1], ORANGE, "beyond the 99.8 % limits"),
        ):
            axes.scatter(
                n[which], 100 * share[which], s=11, color=colour, linewidths=0, alpha=0.75,
                label=f"{label} ({which.sum():,})",
            )  # fmt: skip
        for inside, style in zip(LIMITS, ("--", "-"), strict=True):
            for side in range(2):
                axes.plot(sizes, 100 * lines[inside][:, side], style, color=INK, linewidth=1)
            axes.annotate(
                f"{100 * inside:g} %", (sizes[-1], 100 * lines[inside][-1, 0]), xytext=(4, -3),
                textcoords="offset points", fontsize=8, annotation_clip=False,
            )  # fmt: skip
        axes.axhline(100 * prior.mu, color=INK, linewidth=0.8, alpha=0.5)
        _log_counts(axes)
        axes.set(
            title=f"{len(n):,} units: the fewer ratings, the wilder the share",
            xlabel="ratings", ylabel="good ratings, %", ylim=(-3, 103),
        )  # fmt: skip
        axes.legend(loc="lower right")


def _outside(n: Floats, share: Floats, sizes: np.ndarray[Any, Any], limits: Floats) -> Flags:
    low, high = (np.interp(n, sizes, limits[:, side]) for side in range(2))
    found: Flags = (n >= sizes[0]) & ((share < low) | (share > high))
    return found


def _shrinkage(n: Floats, k: Floats) -> None:
    found, (prior,) = shrunk(n, k, np.zeros(len(n), dtype=np.int64))
    share, score = 100 * k / n, np.array(found.score)
    with plot("ranking-shrinkage", 8, 4.6) as axes:
        for which, colour, label in (
            (n >= MANY, BLUE, f"{MANY} ratings and more"),
            ((n >= FEW) & (n < MANY), GREEN, f"{FEW} to {MANY - 1} ratings"),
            (n < FEW, ORANGE, f"fewer than {FEW} ratings"),
        ):
            axes.plot(
                [[0.0], [1.0]] * np.ones(int(which.sum())), [share[which], score[which]],
                color=colour, linewidth=0.9, alpha=0.6, marker="o", markersize=3,
            )  # fmt: skip
            axes.plot([], [], color=colour, marker="o", markersize=4, label=f"{label} ({which.sum()} units)")
        axes.plot([-0.12, 1.02], [100 * prior.mu] * 2, color=INK, linewidth=0.9, linestyle="--")
        axes.annotate(
            f"peers' mean {100 * prior.mu:.1f}", (1.04, 100 * prior.mu), va="center", fontsize=9,
            annotation_clip=False,
        )  # fmt: skip
        axes.set_xticks([0, 1], ["plain share of good ratings", "score"])
        axes.grid(visible=False, axis="x")
        axes.set(
            title="One list: few ratings move to the peers' mean, many stay where they are",
            xlim=(-0.12, 1.25), ylim=(min(share) - 9, 101.5), ylabel="of 100",
        )  # fmt: skip
        axes.legend(loc="lower center")


def _rank_intervals(n: Floats, k: Floats) -> None:
    found, _ = shrunk(n, k, np.zeros(len(n), dtype=np.int64))
    ranked = np.flatnonzero(n >= MANY)
    ranked = ranked[np.argsort(-np.array(found.score)[ranked], kind="stable")]
    low, high = rank_intervals(np.array(found.low)[ranked], np.array(found.high)[ranked])
    places = np.arange(1, len(ranked) + 1)
    bands = np.array(found.bands)[ranked]
    with plot("ranking-rank-intervals", 8, 4.4) as axes:
        for band, colour in _BAND_COLOURS.items():
            which = bands == band
            axes.vlines(places[which], low[which], high[which], color=colour, linewidth=3.2, alpha=0.55)
            axes.scatter(
                places[which], places[which], s=16, color=colour, zorder=3, label=f"{band} ({which.sum()})"
            )
        ticks = [1, *range(10, len(ranked) + 1, 10)]
        axes.set_xticks(ticks)
        axes.set_yticks(ticks)
        axes.grid(visible=False, axis="x")
        axes.set(
            title=f"One list of {len(ranked)} ranked units: ranks that are possible with 90 % probability",
            xlabel="rank", ylabel="rank interval", xlim=(0, len(ranked) + 1),
            ylim=(len(ranked) + 1, 0),
        )  # fmt: skip
        axes.legend(loc="upper right", title="band")


def _log_counts(axes: Any) -> None:  # noqa: ANN401 - matplotlib is not looked into
    axes.set_xscale("log")
    ticks = [1, 3, 10, 30, 100, 300, 1000]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
