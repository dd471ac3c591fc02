"""Tallies 汇总: the units' statistics in one span, kept up to date by what changed in the registry's.

What is worked out for units costs little more for some than for one, so all levels are taken at once: their
units stand one level after the other, and a place is a number among all of them.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain.buckets import WIDTH, Column, IntTable
from services.scoring.domain.roster import LevelRoster
from services.scoring.domain.unproven import NO_CAP, WEIGHED_WIDTH, Weighed, weighed
from shared.rules.unproven import UnprovenCap

Places = NDArray[np.int64]
"""Places of units in a registry or in `Levels`, ascending, each once."""

COUNTS: Final = [Weighed.RATINGS, Weighed.WEIGHT, Weighed.GOOD]
"""Columns that priors and scores depend on; nothing else is kept of the past."""
COUNTED: Final = [Column.RATINGS, Column.PROVEN, Column.PROVEN_GOOD, Column.UNPROVEN, Column.UNPROVEN_GOOD]
"""What those are made of."""


class Levels:
    """The units of several levels, and whose ratings in the registry are theirs.

    Attributes:
        each: the levels.
        starts: place of each level's first unit.
        units: all units, by place.
        own: by place, where the unit stands in the registry; -1 where others' ratings count for it, too.
        sums: by place, the number among those that others' ratings count for; -1: only its own do.
        summed: how many such units there are.
        groups: places of the members of every peer group, by the name that lists give it.
        lists: level, kind, places of the units and names of their peer groups, of every list.
    """

    def __init__(self, levels: Sequence[LevelRoster]) -> None:
        """Lay the levels out."""
        self.each = tuple(levels)
        self.units = tuple(unit for level in levels for unit in level.units)
        self.starts = list(accumulate((len(level.units) for level in levels), initial=0))[:-1]
        self._owners = np.stack(
            [
                np.where(level.owner >= 0, level.owner + start, -1)
                for level, start in zip(levels, self.starts, strict=True)
            ]
        ).astype(np.int32)
        counted, where = self._owners[self._owners >= 0], np.nonzero(self._owners >= 0)[1]
        alone = np.bincount(counted, minlength=len(self.units)) == 1
        self.own = np.full(len(self.units), -1, dtype=np.int32)
        self.own[counted] = where
        self.own[~alone] = -1
        self.summed = int(np.count_nonzero(~alone))
        self.sums = np.full(len(self.units), -1, dtype=np.int32)
        self.sums[~alone] = np.arange(self.summed)
        each = list(zip(levels, self.starts, strict=True))
        self.groups = {
            f"{level.level}.{group}": members + start
            for level, start in each
            for group, members in level.groups.items()
        }
        self.lists = [
            (level, kind, members + start, _groups_of(level, members))
            for level, start in each
            for kind, members in ((None, np.arange(len(level.units))), *level.kinds.items())
        ]

    def __len__(self) -> int:
        """How many units there are on all levels."""
        return len(self.units)

    def spread(self, places: Places, amounts: IntTable) -> "Change":
        """What changed in the registry, as what changed for the units whose ratings they are."""
        owners = self._owners[:, places]
        owned = owners >= 0
        targets = owners[owned].astype(np.int64)
        order = np.argsort(targets, kind="stable")
        targets = targets[order]
        starts = np.flatnonzero(np.diff(targets, prepend=-1))
        if not starts.size:
            return NOTHING
        return Change(targets[starts], np.add.reduceat(amounts[np.nonzero(owned)[1][order]], starts))


class Change(NamedTuple):
    """What is different from the last look.

    Attributes:
        places: of the units whose statistics changed.
        amounts: by how much, by the columns of `Weighed`.
    """

    places: Places
    amounts: IntTable


def _groups_of(level: LevelRoster, members: Places) -> list[str]:
    """Names of the peer groups of a list's units."""
    return [f"{level.level}.{peers}" for peers in sorted({level.peers[place] for place in members.tolist()})]


NOTHING: Final = Change(np.zeros(0, dtype=np.int64), np.zeros((0, WEIGHED_WIDTH), dtype=np.int64))


class Tally:
    """One source's statistics as they were last time: says what is different now.

    The registry's are kept as they come, so that only what changed need be weighed; and in half the room as
    long as they fit into it, which they do up to two million ratings of one unit.
    """

    def __init__(
        self, levels: Levels, units: int, cap: UnprovenCap = NO_CAP, columns: Sequence[int] | None = None
    ) -> None:
        """Begin with no ratings.

        Args:
            levels: whose statistics are wanted.
            units: of the registry.
            cap: how unproven ratings are weighed.
            columns: those that count, of `Column`; the others are taken for 0. None: all.
        """
        self._levels = levels
        self._cap = cap
        self._columns = columns
        width = WIDTH if columns is None else len(columns)
        self._known: NDArray[np.signedinteger[Any]] = np.zeros((units, width), dtype=np.int32)
        self._sums: IntTable = np.zeros((levels.summed, WEIGHED_WIDTH), dtype=np.int64)

    def look(self, statistics: IntTable | None) -> Change:
        """What changed since the last look; None: there are no ratings.

        Raises:
            ValueError: a table of another shape.
        """
        known = self._known
        if statistics is None:
            statistics = np.zeros((len(known), WIDTH), dtype=np.int64)
        if statistics.shape != (len(known), WIDTH):
            raise ValueError(f"statistics of shape {statistics.shape}, expected {(len(known), WIDTH)}")
        now = statistics if self._columns is None else statistics[:, self._columns]
        different = np.flatnonzero(now.reshape(-1) != known.reshape(-1)) // known.shape[1]
        places = different[np.flatnonzero(np.diff(different, prepend=-1))]
        if not places.size:
            return NOTHING
        rows, before = now[places], known[places]
        if rows.max() > np.iinfo(known.dtype).max:
            self._known = known.astype(np.int64)
        self._known[places] = rows
        amounts = self._weighed(rows)
        if before.any():
            amounts -= self._weighed(before)
        change = self._levels.spread(places, amounts)
        sums = self._levels.sums[change.places]
        self._sums[sums[sums >= 0]] += change.amounts[sums >= 0]
        return change

    def rows(self, places: Places) -> IntTable:
        """The statistics of the units at these places of the levels as of the last look."""
        own = self._levels.own[places]
        alone = own >= 0
        found = np.empty((len(places), WEIGHED_WIDTH), dtype=np.int64)
        found[alone] = self._weighed(self._known[own[alone]])
        found[~alone] = self._sums[self._levels.sums[places[~alone]]]
        return found

    def _weighed(self, rows: NDArray[np.signedinteger[Any]]) -> IntTable:
        if self._columns is None:
            return weighed(rows.astype(np.int64), self._cap)
        wide = np.zeros((len(rows), WIDTH), dtype=np.int64)
        wide[:, self._columns] = rows
        return weighed(wide, self._cap)
