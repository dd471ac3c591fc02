"""The cap on unproven ratings 未核验评价: what nothing proves weighs together no more than the proven let it.

A rating without a verified transaction or a one-time token can be invented, one after another, each from a
device of its own and so slowly that nobody notices. So those of one unit in one span weigh together at most
`UnprovenCap.floor_milli`, or the pack's share of what its proven ones weigh, if that is more. Above it all of
them are scaled down alike: n = V + min(U, most), k = V_good + U_good * min(U, most) // U, in thousandths. It
is a function of sums, hence of the set of ratings.
"""

from enum import IntEnum
from typing import Final

import numpy as np

from services.scoring.domain.buckets import WIDTH, Column, IntTable
from shared.rules.unproven import MILLI, UnprovenCap


class Weighed(IntEnum):
    """What one row of a weighed table holds; plain counts as in `Column`."""

    RATINGS = Column.RATINGS
    GRADE_1 = Column.GRADE_1
    GRADE_4 = Column.GRADE_4
    GRADE_5 = Column.GRADE_5
    WEIGHT = Column.GRADE_5 + 1
    """n: sum of weights as they count, in thousandths of a rating."""
    GOOD = WEIGHT + 1
    """k: sum of the weights of good ratings as they count, in thousandths."""
    LEFT_OUT = GOOD + 1
    """Weight of unproven ratings that does not count, in thousandths."""
    DIMENSIONS = LEFT_OUT + 1
    """First of the pairs of the dimensions."""


WEIGHED_WIDTH: Final = Weighed.DIMENSIONS + WIDTH - Column.DIMENSIONS
NO_CAP: Final = UnprovenCap()


def weighed(table: IntTable, cap: UnprovenCap = NO_CAP) -> IntTable:
    """The statistics of units as they count, by the columns of `Weighed`; a table of its own.

    Each unit by itself: counties and cities add up what counts of theirs.

    Args:
        table: as the buckets add them up.
        cap: of the rule pack; it is for the public's ratings, other sources have no transactions.
    """
    unproven, good = table[:, Column.UNPROVEN], table[:, Column.UNPROVEN_GOOD]
    found = np.empty((len(table), WEIGHED_WIDTH), dtype=np.int64)
    found[:, : Weighed.WEIGHT] = table[:, : Column.PROVEN]
    found[:, Weighed.WEIGHT] = table[:, Column.PROVEN] + unproven
    found[:, Weighed.GOOD] = table[:, Column.PROVEN_GOOD] + good
    found[:, Weighed.LEFT_OUT] = 0
    found[:, Weighed.DIMENSIONS :] = table[:, Column.DIMENSIONS :]
    if cap.floor_milli is None:
        return found
    most = np.maximum(cap.floor_milli, table[:, Column.PROVEN] * cap.share_milli // MILLI)
    over = np.flatnonzero(unproven > most)
    some, part, whole = good[over], most[over], unproven[over]
    if len(over) and int(some.max()) * int(part.max()) > np.iinfo(np.int64).max:
        some = some.astype(object)  # Python's integers: the product does not fit into 64 bits
    found[over, Weighed.GOOD] -= good[over] - (some * part // whole).astype(np.int64)
    found[over, Weighed.LEFT_OUT] = unproven[over] - most[over]
    found[over, Weighed.WEIGHT] -= found[over, Weighed.LEFT_OUT]
    return found
