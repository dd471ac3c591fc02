"""Cells 格: a table that is mostly zeros, as the places and amounts of its other cells.

A quiet day leaves a few cells in a table of thousands, and what it costs must depend on its ratings, not on
how many units there are. Places ascend and are kept as gaps, so that both columns pack into small integers.
"""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

IntTable = NDArray[np.int64]

_GAP_TYPES: Final = tuple(np.iinfo(kind) for kind in (np.uint8, np.uint16, np.uint32))
_AMOUNT_TYPES: Final = tuple(np.iinfo(kind) for kind in (np.int8, np.int16, np.int32, np.int64))


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

    def pack(self) -> "PackedCells":
        """The same in less than a byte for each cell, as a rule."""
        if not len(self):
            return PackedCells("|u1", "|i1", zlib.compress(b"", 1))
        gap_type = _smallest(_GAP_TYPES, int(self.gaps.max()), 0)
        amount_type = _smallest(_AMOUNT_TYPES, int(self.amounts.max()), int(self.amounts.min()))
        columns = self.gaps.astype(gap_type).tobytes() + self.amounts.astype(amount_type).tobytes()
        return PackedCells(gap_type.str, amount_type.str, zlib.compress(columns, 1))


class PackedCells(NamedTuple):
    """Cells in the smallest integers that they fit into, compressed.

    Small integers first: compressing a dense table of 20,000 units would take twice the time and the room.

    Attributes:
        gap_type: numpy's name of the integers of the gaps.
        amount_type: of the amounts.
        columns: both columns, by zlib.
    """

    gap_type: str
    amount_type: str
    columns: bytes

    def unpack(self) -> Cells:
        """The cells.

        Raises:
            ValueError: they are damaged.
        """
        gap_type, amount_type = np.dtype(self.gap_type), np.dtype(self.amount_type)
        if (gap_type.kind, amount_type.kind) != ("u", "i"):
            raise ValueError(f"numbers of type {self.gap_type} and {self.amount_type}")
        try:
            columns = zlib.decompress(self.columns)
        except zlib.error as error:
            raise ValueError("cells that can't be unpacked") from error
        count, rest = divmod(len(columns), gap_type.itemsize + amount_type.itemsize)
        if rest:
            raise ValueError("cells of which one is cut off")
        amounts_at = count * gap_type.itemsize
        return Cells(
            np.frombuffer(columns, gap_type, count), np.frombuffer(columns, amount_type, count, amounts_at)
        )

    @classmethod
    def load(cls, dumped: Sequence[Any], size: int) -> "PackedCells":
        """Take up packed cells that were dumped, of a table of ``size`` cells.

        Raises:
            ValueError: they are something else, or of a larger table.
            TypeError: likewise.
        """
        found = cls(*dumped)
        cells = found.unpack()
        if len(cells) and (int(cells.gaps.sum()) >= size or not cells.gaps[1:].all()):
            raise ValueError("cells of another table")
        return found


NO_CELLS: Final = Cells(np.zeros(0, dtype=np.uint8), np.zeros(0, dtype=np.int8))


def _smallest(kinds: Iterable["np.iinfo[Any]"], high: int, low: int) -> np.dtype[Any]:
    return next(kind.dtype for kind in kinds if kind.min <= low and high <= kind.max)
