"""Simulated provinces, where the truth is known: does a list name the right units?

1,188 windows, twelve kinds in 99 counties each. Every window has a true good share, drawn from a Beta
distribution, and a number of ratings, drawn from a lognormal distribution with median 40, as skewed as real
numbers are. A window is truly bad if it is among the worst 5 % of its list.
"""

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from tests.bench.figures import Comparison
from tests.bench.ways import RULES, WAYS, Assessment, Flags, Floats, Integers

REPLICATIONS: Final = 400
SEED: Final = 40
KINDS: Final = 12
UNITS_OF_KIND: Final = 99
UNITS: Final = KINDS * UNITS_OF_KIND
MEDIAN_RATINGS: Final = 40
TRUE_MEAN: Final = 0.88
TRUE_STRENGTH: Final = 25.0
"""Mean and strength of the Beta distribution of true good shares: nine in ten between 0.76 and 0.97."""
ALIKE: Final = 60.0
"""The strength where units are more alike: nine in ten between 0.81 and 0.94."""
SCENARIOS: Final = ((0.5, TRUE_STRENGTH), (1.0, TRUE_STRENGTH), (1.5, TRUE_STRENGTH), (1.0, ALIKE))
"""Spread of the lognormal number of ratings, strength of the true shares."""
NINE_IN_TEN: Final = 1.645
"""Normal quantile of the middle 90 %."""
WORST: Final = 0.05
BOTTOM: Final = 3
TOP: Final = 10

GROUPS: Final[Integers] = np.repeat(np.arange(KINDS), UNITS_OF_KIND)


@dataclass(slots=True)
class _Hits:
    """Shares by way, one value for each replication."""

    values: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in WAYS})

    def add(self, way: str, share: float) -> None:
        self.values[way].append(share)

    def cells(self) -> tuple[str, ...]:
        """Mean and standard error in percent, by way."""
        found = []
        for shares in self.values.values():
            known = np.array([share for share in shares if not np.isnan(share)])
            error = known.std(ddof=1) / np.sqrt(len(known))
            found.append(f"{100 * known.mean():.1f} ± {100 * error:.1f} %")
        return tuple(found)


QUESTIONS: Final = (
    "bottom three of the province are among its worst 5 %",
    "the same, of units with 30 ratings and more",
    "bottom three of a list of 99 are among its worst 5 %",
    "the same, of units with 30 ratings and more",
    "top ten of the province are among its best 5 %",
    "the same, of units with 30 ratings and more",
    "called excellent although truly below 85 %",
    "truly excellent and called so",
)


def measure() -> list[Comparison]:
    """One table for each scenario."""
    return [_table(sigma, strength) for sigma, strength in SCENARIOS]


def _table(sigma: float, strength: float) -> Comparison:
    from scipy.stats import beta as beta_law  # noqa: PLC0415 - seconds that the tests of this module do without

    chance = np.random.default_rng([SEED, int(sigma * 10), int(strength)])
    hits = [_Hits() for _ in QUESTIONS]
    for _ in range(REPLICATIONS):
        truth = draw_truth(chance, strength)
        n, k = draw_ratings(truth, sigma, chance)
        for name, way in WAYS.items():
            found = way(n, k, GROUPS)
            for question, share in zip(hits, _answers(found, truth, n), strict=True):
                question.add(name, share)
    low, high = (MEDIAN_RATINGS * math.exp(side * sigma * NINE_IN_TEN) for side in (-1, 1))
    law = beta_law(TRUE_MEAN * strength, (1 - TRUE_MEAN) * strength)
    worst, best = (float(law.ppf(below)) for below in (0.05, 0.95))
    return Comparison(
        f"Nine in ten units have {low:.0f} to {high:.0f} ratings and are truly {100 * worst:.0f} to "
        f"{100 * best:.0f} % good: mean of {REPLICATIONS} provinces ± standard error",
        ("share", *WAYS),
        tuple((text, *question.cells()) for text, question in zip(QUESTIONS, hits, strict=True)),
    )


def draw_truth(chance: np.random.Generator, strength: float = TRUE_STRENGTH) -> Floats:
    """True good shares."""
    return chance.beta(TRUE_MEAN * strength, (1 - TRUE_MEAN) * strength, UNITS)


def draw_ratings(truth: Floats, sigma: float, chance: np.random.Generator) -> tuple[Floats, Floats]:
    """How many ratings each unit has, at least one, and how many of them are good."""
    n = np.maximum(1, np.rint(chance.lognormal(np.log(MEDIAN_RATINGS), sigma, UNITS))).astype(np.int64)
    return n.astype(float), chance.binomial(n, truth).astype(float)


def _answers(found: Assessment, truth: Floats, n: Floats) -> tuple[float, ...]:
    """To QUESTIONS, in their order; NaN where nobody was called excellent."""
    anybody, ranked = np.ones(UNITS, dtype=np.bool_), n >= RULES.suppression.rank_from
    line = RULES.bands.excellent_line
    return (
        right_share(found.score, truth, anybody),
        right_share(found.score, truth, ranked),
        _bottoms_right(found.score, truth, anybody),
        _bottoms_right(found.score, truth, ranked),
        right_share(-found.score, -truth, anybody, TOP),
        right_share(-found.score, -truth, ranked, TOP),
        _share(truth < line, found.excellent),
        _share(found.excellent, truth >= line),
    )


def right_share(score: Floats, truth: Floats, listed: Flags, named: int = BOTTOM) -> float:
    """Share of the ``named`` lowest of those that are ``listed`` that truly are among the worst of all."""
    places = np.flatnonzero(listed)
    lowest = places[np.argsort(score[places], kind="stable")[:named]]
    worst = round(WORST * len(truth))
    limit = np.partition(truth, worst - 1)[worst - 1]
    return float((truth[lowest] <= limit).mean())


def _bottoms_right(score: Floats, truth: Floats, listed: Flags) -> float:
    """The same of each kind's list; the mean."""
    by_kind = zip(*(np.split(each, KINDS) for each in (score, truth, listed)), strict=True)
    return float(np.mean([right_share(*one) for one in by_kind]))


def _share(which: Flags, among: Flags) -> float:
    return float(which[among].mean()) if among.any() else float("nan")
