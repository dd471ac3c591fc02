"""Rows as they were read back: checked to be rows at once, understood when somebody looks at them.

A start reads 160,000 rows at 20,000 units, of which nearly all are replaced by the ones that it computes. To
understand each of them would take longer than to compute them.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, overload

import msgspec

from services.scoring.domain.lists import SUPPRESSED, Row
from shared.events.unreadable import UNREADABLE


class _Named(msgspec.Struct):
    """What no row goes without."""

    unit_id: str
    name: str
    status: str


class _RawPage(msgspec.Struct):
    """A page's rows, each as the bytes that it consists of."""

    items: list[msgspec.Raw]


class _NamedPage(msgspec.Struct):
    items: list[_Named]


_raw: Final = msgspec.json.Decoder(_RawPage).decode
_named: Final = msgspec.json.Decoder(_NamedPage).decode
_name: Final = msgspec.json.Decoder(_Named).decode


def read_items(page: bytes) -> list[bytes]:
    """The JSON of each row of a page.

    Raises:
        ValueError: it is no page, or one of them is no row.
    """
    try:
        _named(page)
        return [bytes(item) for item in _raw(page).items]
    except UNREADABLE as error:
        raise ValueError(f"a page that is none of ours: {error}") from error


def statuses(items: Iterable[bytes]) -> dict[str, str]:
    """The status of each unit by its id, from the JSON of rows; a tenth of what understanding them takes."""
    named = map(_name, items)
    return {each.unit_id: each.status for each in named}


class ReadRows(Sequence[Row]):
    """The rows of a list, from what :func:`read_items` read."""

    __slots__ = ("_items", "_rows")

    def __init__(self, items: Sequence[bytes]) -> None:
        """Show ``items``."""
        self._items = items
        self._rows: Sequence[Row] | None = None

    def changed_in(self, rows: Sequence[Row], items: Sequence[bytes]) -> list[int]:
        """Say what `changed_rows` says of ``rows``, whose JSON is ``items``, against these; faster."""
        before = {_name(item).unit_id: item for item in self._items}
        return [
            place
            for place, (row, item) in enumerate(zip(rows, items, strict=True))
            if (known := before.get(row.unit_id)) != item
            # The same row with the columns of another version is no change.
            and (row.status != SUPPRESSED if known is None else _row(known) != row)
        ]

    def __len__(self) -> int:
        """How many units are in the list."""
        return len(self._items)

    def __iter__(self) -> Iterator[Row]:
        """The rows in the order of the list; kept from the first look on."""
        if self._rows is None:
            self._rows = [_row(item) for item in self._items]
        return iter(self._rows)

    @overload
    def __getitem__(self, place: int) -> Row: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Row]: ...

    def __getitem__(self, place: int | slice) -> Row | Sequence[Row]:
        """One row, or a list of some."""
        if self._rows is not None:
            return self._rows[place]
        if isinstance(place, slice):
            return [_row(item) for item in self._items[place]]
        return _row(self._items[place])

    def __eq__(self, other: object) -> bool:
        """Whether the rows are equal, one by one."""
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment] # like a list, which it stands for


def _row(item: bytes) -> Row:
    return Row.parse(json.loads(item))
