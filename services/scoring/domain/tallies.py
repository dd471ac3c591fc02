"""Tallies 汇总: one level's statistics in one span, kept up to date by what changed in the registry's."""

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain.buckets import WIDTH, IntTable
from services.scoring.domain.roster import LevelRoster

Places = NDArray[np.int64]
"""Places of units in a registry or a level, ascending, each once."""


class Watch:
    """The statistics of all units as they were last time: says what is different now."""

    def __init__(self, units: int, width: int = WIDTH) -> None:
        """Begin with no ratings, in tables of so many columns."""
        self._width = width
        self._known: IntTable = np.zeros((units, width), dtype=np.int64)

    def look(self, statistics: IntTable | None) -> tuple[Places, IntTable]:
        """Places of the units whose rows changed since the last look, and by how much; None: no ratings.

        Raises:
            ValueError: a table of another shape.
        """
        if statistics is None:
            statistics = np.zeros_like(self._known)
        if statistics.shape != self._known.shape:
            raise ValueError(f"statistics of shape {statistics.shape}, expected {self._known.shape}")
        different = np.flatnonzero(statistics.reshape(-1) != self._known.reshape(-1)) // self._width
        places = np.unique(different)
        amounts = statistics[places] - self._known[places]
        self._known[places] = statistics[places]
        return places, amounts


class Tally:
    """The statistics of one level's units; a bureau's are those of its whole subtree."""

    def __init__(self, level: LevelRoster, width: int = WIDTH) -> None:
        """Begin with no ratings, in tables of so many columns."""
        self._owner = level.owner
        self.table: IntTable = np.zeros((len(level.units), width), dtype=np.int64)
        """Shape (units of the level, columns); to be read only."""

    def add(self, places: Places, amounts: IntTable) -> Places:
        """Add ``amounts`` to the units that own the registry's ``places``; the level's places concerned."""
        owners = self._owner[places]
        owned = owners >= 0
        np.add.at(self.table, owners[owned], amounts[owned])
        return np.unique(owners[owned])
