"""Tallies 汇总: one level's statistics in one span, kept up to date by what changed in the registry's."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain.buckets import IntTable
from services.scoring.domain.roster import LevelRoster
from services.scoring.domain.unproven import WEIGHED_WIDTH

Places = NDArray[np.int64]
"""Places of units in a registry or a level, ascending, each once."""


class Change(NamedTuple):
    """What is different from the last look.

    Attributes:
        places: of the units whose rows changed.
        amounts: by how much.
        table: the rows of all units as they are now; to be read only, until the next look.
    """

    places: Places
    amounts: IntTable
    table: IntTable


class Watch:
    """The statistics of all units as they were last time: says what is different now."""

    def __init__(self, units: int, width: int = WEIGHED_WIDTH) -> None:
        """Begin with no ratings, in tables of so many columns."""
        self._width = width
        self._known: IntTable = np.zeros((units, width), dtype=np.int64)

    def look(self, statistics: IntTable | None) -> Change:
        """What changed since the last look; None: no ratings.

        Raises:
            ValueError: a table of another shape.
        """
        if statistics is None:
            statistics = np.zeros_like(self._known)
        if statistics.shape != self._known.shape:
            raise ValueError(f"statistics of shape {statistics.shape}, expected {self._known.shape}")
        different = np.flatnonzero(statistics.reshape(-1) != self._known.reshape(-1)) // self._width
        places = different[np.flatnonzero(np.diff(different, prepend=-1))]
        amounts = statistics[places] - self._known[places]
        self._known[places] = statistics[places]
        return Change(places, amounts, self._known)


class Tally:
    """The statistics of one level's units; a bureau's are those of its whole subtree."""

    def __init__(self, level: LevelRoster, width: int = WEIGHED_WIDTH) -> None:
        """Begin with no ratings, in tables of so many columns."""
        self._owner = level.owner
        self._part = _part(level)
        size = len(level.units) if self._part is None else 0
        self.table: IntTable = np.zeros((size, width), dtype=np.int64)
        """Shape (units of the level, columns); to be read only, and only after the first :meth:`add`."""

    def add(self, change: Change) -> Places:
        """Take in what changed in the registry's statistics; the level's places concerned."""
        owners = self._owner[change.places]
        owned = owners >= 0
        if self._part is None:
            np.add.at(self.table, owners[owned], change.amounts[owned])
        else:
            self.table = change.table[self._part]
        return np.unique(owners[owned]) if self._part is None else owners[owned]


def _part(level: LevelRoster) -> slice | None:
    """Where the level's units stand in the registry, if each is there for itself, one after the other.

    Their statistics are that part of the registry's then, and need no table of their own.
    """
    own = np.flatnonzero(level.owner >= 0)
    units = len(level.units)
    if units == 0 or len(own) != units or not np.array_equal(level.owner[own], np.arange(units)):
        return None
    return slice(int(own[0]), int(own[0]) + units) if own[-1] - own[0] == units - 1 else None
