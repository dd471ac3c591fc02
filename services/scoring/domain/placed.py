"""Placed 名次: the content of a long list, with rows and their JSON made when somebody looks at them.

A unit stands in several lists of a span, and only its ranks differ. Twenty thousand rows with their JSON are
18 MB, for each of two lists of each of some ten spans; the ranks alone are a sixtieth of that.
"""

from collections.abc import Iterator, Sequence
from typing import Final, overload

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain.lists import KnownRows, Row, item_json, unranked_json

UNKNOWN: Final = int(np.iinfo(np.int32).min)
"""Stands for a rank change that nobody can know."""

_Whole = NDArray[np.int64]


def place_row(row: Row, rank: int, best: int, worst: int, moved: int) -> Row:
    """A row with its place in one list; rank 0: it has none."""
    return row.at(rank, best, worst, None if moved == UNKNOWN else moved) if rank else row


def place_item(written: bytes, rank: int, best: int, worst: int, moved: int) -> bytes:
    """The canonical JSON of :func:`place_row`."""
    if not rank:
        return unranked_json(written)
    return item_json(written, rank, best, worst, None if moved == UNKNOWN else moved)


class Placed:
    """One state of a list's content; never changes."""

    __slots__ = ("_written", "bare", "members", "order", "places")

    def __init__(
        self, members: _Whole, rows: Sequence[Row], written: Sequence[bytes], places: _Whole, order: _Whole
    ) -> None:
        """Keep what rows are made from.

        Args:
            members: who is in the list; two states of the same list have the very same array.
            rows: each member's row without its place.
            written: each member's JSON likewise, see `row_json`.
            places: rank, its interval's ends and its change of each member; shape (4, members).
            order: places among the members, in the order of the list.
        """
        self.members = members
        self.order = order.astype(np.int32)
        self.bare = rows
        self._written = written
        self.places = places.astype(np.int32)

    def rows(self, part: slice) -> Iterator[Row]:
        """The rows of a part of the list."""
        here = self.order[part]
        for member, place in zip(here.tolist(), self.places[:, here].T.tolist(), strict=True):
            yield place_row(self.bare[member], *place)

    def items(self, part: slice) -> Iterator[bytes]:
        """Their canonical JSON."""
        here = self.order[part]
        written = self._written
        for member, (rank, best, worst, moved) in zip(
            here.tolist(), self.places[:, here].T.tolist(), strict=True
        ):
            if not rank:
                yield unranked_json(written[member])
            elif moved == UNKNOWN:
                yield item_json(written[member], rank, best, worst, None)
            else:
                yield item_json(written[member], rank, best, worst, moved)

    @property
    def ranked(self) -> int:
        """How many have a rank; they come first."""
        return int(np.count_nonzero(self.places[0]))

    def differs(self, other: "Placed") -> list[bool] | None:
        """Which rows, in the order of this list, are others than the same unit's in ``other``.

        None: the two are not states of the same list.
        """
        if self.members is not other.members:
            return None
        moved = (self.places != other.places).any(axis=0)
        pairs = zip(self.bare, other.bare, strict=True)
        moved |= np.fromiter((new is not old and new != old for new, old in pairs), bool, len(self.bare))
        found: list[bool] = moved[self.order].tolist()
        return found


class PlacedRows(KnownRows):
    """The rows of a list, made anew at each look."""

    __slots__ = ("content",)

    def __init__(self, content: Placed) -> None:
        """Show ``content``."""
        self.content = content

    @property
    def ranked(self) -> int:
        """See `KnownRows.ranked`."""
        return self.content.ranked

    def differs(self, other: Sequence[Row]) -> list[bool] | None:
        """See `KnownRows.differs`; known for another state of the same list."""
        return self.content.differs(other.content) if isinstance(other, PlacedRows) else None

    def __len__(self) -> int:
        """How many units are in the list."""
        return len(self.content.order)

    def __iter__(self) -> Iterator[Row]:
        """The rows in the order of the list."""
        return self.content.rows(slice(None))

    @overload
    def __getitem__(self, place: int) -> Row: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Row]: ...

    def __getitem__(self, place: int | slice) -> Row | Sequence[Row]:
        """One row, or a list of some."""
        if isinstance(place, slice):
            return list(self.content.rows(place))
        at = range(len(self))[place]
        return next(self.content.rows(slice(at, at + 1)))

    def __eq__(self, other: object) -> bool:
        """Whether the rows are equal, one by one."""
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment] # like a list, which it stands for


class PlacedItems(Sequence[bytes]):
    """The canonical JSON of a list's rows, made anew at each look."""

    __slots__ = ("content",)

    def __init__(self, content: Placed) -> None:
        """Show ``content``."""
        self.content = content

    def __len__(self) -> int:
        """How many units are in the list."""
        return len(self.content.order)

    def __iter__(self) -> Iterator[bytes]:
        """The items in the order of the list."""
        return self.content.items(slice(None))

    @overload
    def __getitem__(self, place: int) -> bytes: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[bytes]: ...

    def __getitem__(self, place: int | slice) -> bytes | Sequence[bytes]:
        """One item, or a list of some."""
        if isinstance(place, slice):
            return list(self.content.items(place))
        at = range(len(self))[place]
        return next(self.content.items(slice(at, at + 1)))

    def __eq__(self, other: object) -> bool:
        """Whether the items are equal, one by one."""
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment] # like a list, which it stands for
