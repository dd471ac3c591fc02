"""Figures of a unit beside its score: shares, index 指数, the five dimensions 五比, composite 综合得分.

Ratios of counts are rounded half up in whole numbers, so that they are exactly what a person gets by hand.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain.buckets import IntTable
from services.scoring.domain.posterior import POINT_DECIMALS
from services.scoring.domain.unproven import Weighed
from shared.kernel.grades import Dimension

SHARE_DECIMALS: Final = 6
DIMENSION_DECIMALS: Final = 3
_HIGHEST_INDEX: Final = 100
_GRADE_STEPS: Final = np.arange(5)


def share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> list[float | None]:
    """Part of whole, 0-1; None where there is nothing (a rule pack can give ratings no weight at all)."""
    return _ratios(part, whole, SHARE_DECIMALS)


def grade_index(table: IntTable) -> list[float | None]:
    """Each row's mean grade on the scale 0-100, ``25 * sum((g - 1) * count) / ratings``; None without any."""
    steps = table[:, Weighed.GRADE_1 : Weighed.GRADE_5 + 1] @ _GRADE_STEPS
    return _ratios(
        _HIGHEST_INDEX * steps, (len(_GRADE_STEPS) - 1) * table[:, Weighed.RATINGS], POINT_DECIMALS
    )


def dimension_means(table: IntTable, least: int) -> list[dict[str, float] | None]:
    """Mean sub-grade of each dimension that has at least ``least`` of them, by name; None: there is none."""
    found: list[dict[str, float] | None] = [None] * len(table)
    for number, dimension in enumerate(Dimension):
        column = Weighed.DIMENSIONS + 2 * number
        counts, sums = table[:, column], table[:, column + 1]
        places = np.flatnonzero(counts >= least)
        for place, mean in zip(
            places.tolist(), _ratios(sums[places], counts[places], DIMENSION_DECIMALS), strict=True
        ):
            if mean is not None:
                found[place] = {**(found[place] or {}), str(dimension): mean}
    return found


def composites(weights: Mapping[str, float], parts: Mapping[str, NDArray[np.float64]]) -> list[float | None]:
    """``sum(weight * value) / sum(weight)`` of each unit over the parts that it has, rounded.

    Args:
        weights: by part; a part without a weight does not count.
        parts: values of all units by part, NaN where a unit has none.

    Returns:
        One for each unit; None where no part with a weight is there.
    """
    size = len(next(iter(parts.values())))
    total, divisor = np.zeros((2, size))
    for part, weight in weights.items():
        if part in parts and weight > 0:
            there = ~np.isnan(parts[part])
            total[there] += weight * parts[part][there]
            divisor[there] += weight
    values: list[float] = np.round(total / np.where(divisor > 0, divisor, 1), POINT_DECIMALS).tolist()
    return [value if has else None for value, has in zip(values, (divisor > 0).tolist(), strict=True)]


def _ratios(part: NDArray[np.int64], whole: NDArray[np.int64], decimals: int) -> list[float | None]:
    """Part/whole rounded half up to so many decimals; None where whole is 0."""
    scale = 10**decimals
    divisor = np.maximum(whole, 1)
    rounded: NDArray[Any] = (2 * scale * part + divisor) // (2 * divisor) / scale
    values: list[float] = rounded.tolist()
    return [value if there else None for value, there in zip(values, whole.tolist(), strict=True)]
