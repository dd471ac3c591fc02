"""Small groups 小群体: which counts may be shown without telling what single raters said (DOMAIN §7, k = 5).

Two lists tell how many good and bad ratings a unit has on two days, hence what entered less what left.
Whoever is then shown one of the two knows the other. So the two are shown together or not at all, and a total
only beside all its parts. What stays hidden is as uncertain as it is for a reader of the lists alone.
Auditors see every count.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from services.scoring.domain.buckets import Column, IntTable
from services.scoring.domain.posterior import MILLI

LEAST_SHOWN: Final = 5
"""k: a count of fewer people's ratings is not shown."""
WEIGHT_DECIMALS: Final = 2


class Contribution(NamedTuple):
    """Ratings that entered or left a window; None: hidden.

    Attributes:
        ratings: how many.
        good: of grades 3-5.
        bad: of grades 1-2.
        mean_weight: what one of them weighs on average, 0-1, before the cap on unproven ratings.
    """

    ratings: int | None = None
    good: int | None = None
    bad: int | None = None
    mean_weight: float | None = None


HIDDEN: Final = Contribution()


class Exchange(NamedTuple):
    """What one unit's window gained and lost; `left` is None where nothing can leave."""

    entered: Contribution
    left: Contribution | None

    @property
    def hides(self) -> bool:
        """Whether any count is hidden."""
        return self.entered.ratings is None


def exchange(entered: IntTable, left: IntTable | None, least: int = LEAST_SHOWN) -> Exchange:
    """What may be shown of one unit's rows of statistics; shape (columns,) each.

    Args:
        entered: statistics of what the window gained.
        left: of what it lost; None if it can't lose anything.
        least: a count of fewer is not shown; 0: every count is.
    """
    sides = [_count(entered)] + ([] if left is None else [_count(left)])
    good = min(side.good or 0 for side in sides) >= least
    bad = min(side.bad or 0 for side in sides) >= least
    shown = [
        Contribution(
            side.ratings if good and bad else None,
            side.good if good else None,
            side.bad if bad else None,
            side.mean_weight if good and bad else None,
        )
        for side in sides
    ]
    return Exchange(shown[0], None if left is None else shown[1])


def hidden_exchange(*, can_leave: bool) -> Exchange:
    """Nothing is shown: the unit is not published on both days."""
    return Exchange(HIDDEN, HIDDEN if can_leave else None)


def shown_by_day(counts: Iterable[int]) -> bool:
    """Whether counts of single days may stand beside the totals of windows over these days.

    All or none: among totals, one hidden day could be found by subtraction. Days without ratings hide nobody.
    """
    return not any(0 < count < LEAST_SHOWN for count in counts)


def _count(row: IntTable) -> Contribution:
    bad = int(np.sum(row[Column.GRADE_1 : Column.GRADE_3]))
    ratings = int(row[Column.RATINGS])
    weight = int(row[Column.PROVEN] + row[Column.UNPROVEN])
    mean_weight = round(weight / MILLI / ratings, WEIGHT_DECIMALS) if ratings else None
    return Contribution(ratings, ratings - bad, bad, mean_weight)
