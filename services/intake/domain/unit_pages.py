"""Pages of the unit registry, by keyset: a page starts after an id, so pages never shift."""

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from shared.kernel.errors import InvalidValueError
from shared.kernel.grades import Level
from shared.kernel.units import Unit, UnitRegistry

MAX_PAGE: Final = 1000
_CURSOR_MARK = "u1:"


@dataclass(frozen=True, slots=True)
class UnitFilter:
    """Which units: those of a level, of a kind, directly below a parent; None means any."""

    level: Level | None = None
    kind: str | None = None
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class UnitPage:
    """Units in the order of ids, and the cursor of the next page; None on the last."""

    items: tuple[Unit, ...]
    next_cursor: str | None


def page_of_units(units: UnitRegistry, wanted: UnitFilter, limit: int, cursor: str | None) -> UnitPage:
    """At most `limit` units that match, after `cursor`.

    Raises:
        NotFoundError: the parent isn't a unit.
        InvalidValueError: the cursor isn't one of ours.
    """
    after = "" if cursor is None else _read_cursor(cursor)
    if wanted.parent is not None:
        candidates = units.children(wanted.parent)
    elif wanted.level is not None:
        candidates = units.by_level(wanted.level)
    else:
        candidates = tuple(units)
    items: list[Unit] = []
    for unit in candidates:
        if unit.unit_id <= after or not _matches(unit, wanted):
            continue
        if len(items) == limit:
            return UnitPage(tuple(items), _write_cursor(items[-1].unit_id))
        items.append(unit)
    return UnitPage(tuple(items), None)


def _matches(unit: Unit, wanted: UnitFilter) -> bool:
    return (wanted.level is None or unit.level is wanted.level) and (
        wanted.kind is None or unit.kind == wanted.kind
    )


def _write_cursor(unit_id: str) -> str:
    return base64.urlsafe_b64encode((_CURSOR_MARK + unit_id).encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> str:
    try:
        text = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, UnicodeError, ValueError):
        text = ""
    if not text.startswith(_CURSOR_MARK):
        raise InvalidValueError(
            cursor, "the `next` of a page", "leave it out to start from the first unit", field="cursor"
        )
    return text.removeprefix(_CURSOR_MARK)
