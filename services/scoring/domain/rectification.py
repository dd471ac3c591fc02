"""The rectification index 整改指数: from counts of cases to a figure from 0 to 100.

A case is worth the shares of the rule pack that it got right: no deadline missed, the citizen's own word, an
answer that lasted. One that is open and overdue has got none of them right. The index is the mean over the
unit's cases and some prior ones, in whole numbers, so that it is exactly what a person gets by hand:

    index = (prior_cases · prior_index + Σ worth) / (prior_cases + cases)

Whoever knows the prior could find from it what became of each of one or two cases. So with fewer cases than
are shown as a number, their mean is rounded to thirds and they count as `few_count_as` cases.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain.outcomes import OutcomeColumn, OutcomeTable
from services.scoring.domain.posterior import POINT_DECIMALS
from shared.rules.case_outcomes import OutcomeRules

_POINT: Final = 10**POINT_DECIMALS
_MILLI: Final = 1_000
_FEW_STEPS: Final = 3
"""The mean of few cases is rounded to so many parts of the whole."""


class Rectified(NamedTuple):
    """How each unit of a level puts right what was complained about.

    Attributes:
        points: the index, 0-100; NaN where no case counts.
        cases: that were settled or are overdue; 0 where their number is not shown.
    """

    points: NDArray[np.float64]
    cases: NDArray[np.int64]


def rectified(table: OutcomeTable, rules: OutcomeRules) -> Rectified:
    """The figures of each row of ``table``."""
    cases = table[:, OutcomeColumn.CASES]
    shares = rules.on_time + rules.confirmed + rules.not_reopened
    worth = (
        rules.on_time * table[:, OutcomeColumn.ON_TIME]
        + rules.confirmed * table[:, OutcomeColumn.CONFIRMED]
        + rules.not_reopened * (cases - table[:, OutcomeColumn.NOT_LASTED])
    )
    most = (rules.on_time + rules.not_reopened) * cases + rules.confirmed * table[:, OutcomeColumn.ASKED]
    shown = cases >= rules.show_from
    # Few cases: their mean in thirds, as one fraction over the same denominator as everything else.
    thirds = (2 * _FEW_STEPS * worth + most) // np.maximum(2 * most, 1)
    worth = np.where(shown, _FEW_STEPS * worth, rules.few_count_as * shares * thirds)
    most = np.where(shown, _FEW_STEPS * most, rules.few_count_as * shares * _FEW_STEPS * (most > 0))
    prior = _FEW_STEPS * shares * rules.prior_cases
    prior_milli = round(rules.prior_index * _MILLI)
    above = prior * prior_milli * (_POINT // _MILLI) + 100 * _POINT * worth
    below = prior + most
    index = (2 * above + below) // (2 * below) / _POINT
    return Rectified(
        points=np.where((cases > 0) & (most > 0), index, np.nan),
        cases=np.where(shown, cases, 0),
    )
