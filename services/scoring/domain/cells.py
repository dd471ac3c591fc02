"""Cells 格: a table that is mostly zeros, as the places and amounts of its other cells.

A quiet day leaves a few cells in a table of thousands, and what it costs must depend on its ratings, not on
how many units there are. Places ascend and are kept as gaps, so that both columns fit into small integers.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

IntTable = NDArray[np.int64]

_GAP_TYPES: Final = tuple(np.iinfo(kind) for kind in (np.uint8, np.uint16, np.uint32))
_AMOUNT_TYPES: Final = tuple(np.iinfo(kind) for kind in (np.int8, np.int16, np.int32, np.int64))
_FIELDS: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Cells of a flat table; never changed in place, so that it can be lent to anybody.

    Attributes:
        gaps: each cell's place less the place before it; the first has its place itself.
        amounts: what stands there; not 0.
    """

    gaps: NDArray[Any]
    amounts: NDArray[Any]

    @classmethod
    def at(cls, places: IntTable, amounts: IntTable) -> "Cells":
        """Cells at ascending places, none of them twice, whose ``amounts`` are not 0."""
        gaps = places.astype(np.int32)
        gaps[1:] -= gaps[:-1].copy()
        return cls(gaps, amounts)

    @classmethod
    def of(cls, table: NDArray[Any]) -> "Cells":
        """The cells of a flat table that are not 0."""
        places = np.flatnonzero(table)
        return cls.at(places, table[places])

    def __len__(self) -> int:
        """How many there are."""
        return len(self.gaps)

    def places(self) -> IntTable:
        """Where they are, ascending."""
        return self.gaps.cumsum(dtype=np.int64)

    def plus(self, places: IntTable, amounts: IntTable) -> "Cells":
        """These cells and others, whose places may come in any order and several times."""
        if not len(self) and (places[1:] > places[:-1]).all() and amounts.all():
            return Cells.at(places, amounts)
        all_places = np.concatenate((self.places(), places))
        # Stable: what is sorted piece by piece is merged.
        order = np.argsort(all_places, kind="stable")
        all_places = all_places[order]
        first = np.ones(len(order), dtype=np.bool_)
        np.not_equal(all_places[1:], all_places[:-1], out=first[1:])
        starts = np.flatnonzero(first)
        sums = np.add.reduceat(np.concatenate((self.amounts, amounts), dtype=np.int64)[order], starts)
        left = sums != 0
        return Cells.at(all_places[starts][left], sums[left])

    def add_to(self, table: NDArray[Any], sign: int = 1) -> None:
        """Add them to a flat table, or take them away with -1."""
        places = self.places()  # none of them twice
        if sign > 0:
            table[places] += self.amounts
        else:
            table[places] -= self.amounts

    def narrow(self) -> "Cells":
        """The same in the smallest integers that they fit into: about 3 bytes for each cell."""
        if not len(self):
            return NO_CELLS
        gaps = self.gaps.astype(_smallest(_GAP_TYPES, int(self.gaps.max()), 0))
        kind = _smallest(_AMOUNT_TYPES, int(self.amounts.max()), int(self.amounts.min()))
        return Cells(gaps, self.amounts.astype(kind))

    def dump(self) -> tuple[str, bytes, str, bytes]:
        """Types and numbers of both columns; `load` takes them back."""
        cells = self.narrow()
        return cells.gaps.dtype.str, cells.gaps.tobytes(), cells.amounts.dtype.str, cells.amounts.tobytes()

    @classmethod
    def load(cls, dumped: Any, size: int) -> "Cells":  # noqa: ANN401 - checked here
        """Take up what `dump` gave for a table of ``size`` cells.

        Raises:
            ValueError: it is something else, or of a larger table.
            TypeError: likewise.
        """
        if len(dumped) != _FIELDS:
            raise ValueError("no cells")
        gap_type, gaps, amount_type, amounts = dumped
        found = cls(
            np.frombuffer(gaps, _known(gap_type, "u")), np.frombuffer(amounts, _known(amount_type, "i"))
        )
        fits = not len(found) or int(found.gaps.sum()) < size
        if len(found.gaps) != len(found.amounts) or not fits or not found.gaps[1:].all():
            raise ValueError("cells of another table")
        return found


NO_CELLS: Final = Cells(np.zeros(0, dtype=np.uint8), np.zeros(0, dtype=np.int8))


def _smallest(kinds: Iterable["np.iinfo[Any]"], high: int, low: int) -> np.dtype[Any]:
    return next(kind.dtype for kind in kinds if kind.min <= low and high <= kind.max)


def _known(name: str, sort: str) -> np.dtype[Any]:
    kind = np.dtype(name)
    if kind.kind != sort:
        raise ValueError(f"numbers of type {name}")
    return kind
