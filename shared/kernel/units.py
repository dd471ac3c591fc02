"""The registry of appraised units: province department, city and county bureaus, service windows."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Final

from shared.kernel.errors import InvalidValueError, NotFoundError
from shared.kernel.grades import Level
from shared.kernel.ids import UNIT_ID_FORM, UnitId
from shared.kernel.tables import read_date, read_end, read_table

ALL: Final = "all"
"""Stands for the city or county of a unit above that level, as in subjects."""

BUREAU: Final = "bureau"
"""Kind of every unit that is not a window (民政厅, 民政局)."""

COLUMNS: Final = (
    "unit_id", "name", "level", "kind", "division", "city", "county", "parent_id", "valid_from", "valid_to",
)  # fmt: skip
"""Header of ``data/units.csv``."""

OPTIONAL_COLUMNS: Final = ("successor",)
"""What a table may have behind them."""

_PROPOSALS = 3


@dataclass(frozen=True, slots=True)
class Unit:
    """One appraised unit.

    Attributes:
        unit_id: opaque, permanent, ``U`` and six digits.
        name: full Chinese name.
        level: province, city, county or window.
        kind: a key of the rule pack's kinds; `BUREAU` for units that are not windows.
        division: six-digit code of the division it serves, on `regions.LIST_DATE`.
        city: subject token: the first four digits of the city's code, e.g. ``3607``; `ALL` for the province.
        county: subject token: the county's six digits, e.g. ``360721``; `ALL` above county level.
        parent_id: the unit that manages it; None for the province.
        valid_from: first day of existence.
        valid_to: first day no longer in existence; None while it exists.
        successor: the unit that took over on that day, where it was merged or recoded; None: nobody did.
    """

    unit_id: UnitId
    name: str
    level: Level
    kind: str
    division: str
    city: str
    county: str
    parent_id: UnitId | None
    valid_from: date
    valid_to: date | None
    successor: UnitId | None = None

    def exists(self, on: date) -> bool:
        """Tell whether the unit exists on the day `on`."""
        return self.valid_from <= on and (self.valid_to is None or on < self.valid_to)


class UnitRegistry:
    """All units by id; iterates in the order of ids. It does not change; `CurrentUnits` does, as a whole."""

    def __init__(self, units: Iterable[Unit]) -> None:
        """Index `units`.

        Raises:
            InvalidValueError: malformed or repeated id, unknown parent, or a parent that isn't one level up.
        """
        ordered = sorted(units, key=lambda unit: unit.unit_id)
        self._units: dict[str, Unit] = {}
        for unit in ordered:
            if UNIT_ID_FORM.fullmatch(unit.unit_id) is None or unit.unit_id in self._units:
                raise InvalidValueError(
                    unit.unit_id, "an id of its own: U and six digits", "correct the registry"
                )
            self._units[unit.unit_id] = unit
        self._children: dict[str, list[Unit]] = {}
        self._levels: dict[Level, list[Unit]] = {level: [] for level in Level}
        ladder = list(Level)
        for unit in ordered:
            self._levels[unit.level].append(unit)
            if unit.parent_id is None:
                if unit.level is not Level.PROVINCE:
                    raise InvalidValueError(
                        unit.unit_id, "a unit with a parent", "fill parent_id in the registry"
                    )
                continue
            parent = self._units.get(unit.parent_id)
            if parent is None or ladder.index(parent.level) + 1 != ladder.index(unit.level):
                raise InvalidValueError(
                    unit.parent_id,
                    f"the unit directly above {unit.unit_id}",
                    "correct parent_id in the registry",
                )
            self._children.setdefault(unit.parent_id, []).append(unit)
        self._predecessors = _merged_into(ordered)
        self._bureaus = {(unit.city, unit.county): unit for unit in reversed(ordered) if unit.kind == BUREAU}
        self._ids = list(self._units)
        self._by_name = {unit.name: unit.unit_id for unit in ordered}

    def __iter__(self) -> Iterator[Unit]:
        """Iterate over all units, ordered by id."""
        return iter(self._units.values())

    def __len__(self) -> int:
        """Count the units."""
        return len(self._units)

    def __contains__(self, unit_id: object) -> bool:
        """Tell whether a unit has this id."""
        return unit_id in self._units

    def get(self, unit_id: str) -> Unit:
        """Return the unit with this id.

        Raises:
            NotFoundError: no such unit; the message proposes the nearest ids.
        """
        found = self._units.get(unit_id)
        if found is None:
            proposals = ", ".join(f"{near} ({self._units[near].name})" for near in self._near(unit_id))
            known = (
                f"ids run from {self._ids[0]} to {self._ids[-1]}" if self._ids else "the registry is empty"
            )
            remedy = (
                f"did you mean {proposals}?" if proposals else f"look the unit up in the registry ({known})"
            )
            raise NotFoundError(unit_id, "the id of a registered unit", remedy, field="unit_id")
        return found

    def _near(self, wrong: str) -> list[str]:
        """Propose ids for a wrong one, in O(log n): clients can send many of them."""
        text = wrong[:64].strip().upper()
        if text in self._by_name:
            return [self._by_name[text]]
        digits = re.sub(r"[^0-9]", "", text)[-6:]
        if not digits:
            return []
        canonical = f"U{int(digits):06d}"
        if canonical in self._units:
            return [canonical]
        place = bisect_left(self._ids, canonical)
        start = max(0, min(place - 1, len(self._ids) - _PROPOSALS))
        return self._ids[start : start + _PROPOSALS]

    def by_level(self, level: Level, kind: str | None = None) -> tuple[Unit, ...]:
        """Return the units of a level, of one kind if given, ordered by id."""
        return tuple(unit for unit in self._levels[level] if kind is None or unit.kind == kind)

    def children(self, unit_id: str) -> tuple[Unit, ...]:
        """Return the units directly below, ordered by id.

        Raises:
            NotFoundError: no such unit.
        """
        self.get(unit_id)
        return tuple(self._children.get(unit_id, ()))

    def bureau(self, city: str, county: str) -> Unit | None:
        """Return the bureau of a place, by its subject tokens."""
        return self._bureaus.get((city, county))

    def predecessors(self, unit_id: str) -> tuple[Unit, ...]:
        """Return the units that were merged into this one, or recoded to it, ordered by id."""
        return tuple(self._predecessors.get(unit_id, ()))

    def heir(self, unit: Unit, on: date) -> Unit | None:
        """Return the unit that stands for `unit` on a day after it has ended: its successor's, and so on."""
        seen = {unit.unit_id}
        while not unit.exists(on) and unit.successor is not None and unit.successor not in seen:
            seen.add(unit.successor)
            unit = self.get(unit.successor)
        return unit if unit.exists(on) else None

    def subtree(self, unit_id: str) -> tuple[Unit, ...]:
        """Return the unit and everything below it, ordered by id.

        Raises:
            NotFoundError: no such unit.
        """
        found = [self.get(unit_id)]
        for unit in found:
            found.extend(self._children.get(unit.unit_id, ()))
        return tuple(sorted(found, key=lambda unit: unit.unit_id))


def _merged_into(units: Iterable[Unit]) -> dict[str, list[Unit]]:
    found: dict[str, list[Unit]] = {}
    for unit in units:
        if unit.successor is not None:
            found.setdefault(unit.successor, []).append(unit)
    return found


class CurrentUnits(UnitRegistry):
    """The registry in force: what is loaded into a running platform replaces it, as a whole.

    Between two steps of an event loop it never changes, so that whoever asks within one gets answers that fit
    together.
    """

    def __init__(self, units: Iterable[Unit]) -> None:
        """Begin with these, which no load has made."""
        super().__init__(units)
        self.number = 0
        """Number of the load that they are of; 0: of none that is known."""

    def take_up(self, number: int, units: Iterable[Unit]) -> bool:
        """Be the registry of the load `number` from now on; False: it is that already.

        Raises:
            InvalidValueError: see `UnitRegistry`; nothing has changed then.
        """
        if number == self.number:
            return False
        fresh = UnitRegistry(units)
        changed = tuple(fresh) != tuple(self)
        vars(self).update(vars(fresh))
        self.number = number
        return changed


def load_units(path: Path | None = None) -> UnitRegistry:
    """Read the committed registry, once a process, or `path` in the same form.

    Raises:
        InvalidValueError: malformed table or inconsistent registry.
        OSError: `path` cannot be read.
    """
    return _committed() if path is None else _read(path)


@cache
def _committed() -> UnitRegistry:
    return _read(None)


def _read(path: Path | None) -> UnitRegistry:
    return UnitRegistry(
        Unit(
            unit_id=UnitId(row["unit_id"]),
            name=row["name"],
            level=Level(row["level"]),
            kind=row["kind"],
            division=row["division"],
            city=row["city"],
            county=row["county"],
            parent_id=UnitId(row["parent_id"]) if row["parent_id"] else None,
            valid_from=read_date(row["valid_from"]),
            valid_to=read_end(row["valid_to"]),
            successor=UnitId(row["successor"]) if row["successor"] else None,
        )
        for row in read_table("units.csv", COLUMNS, path, optional=OPTIONAL_COLUMNS)
    )
