"""The registry as the stream makes it: the committed table, and every load on top of it. Pure; a fold."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date

from shared.kernel.ids import UnitId
from shared.kernel.regions import Division, DivisionRegistry
from shared.kernel.unit_tables import units_text
from shared.kernel.units import Unit


@dataclass(frozen=True, slots=True)
class Merge:
    """A unit that was merged into another, or recoded: its successor from the day `on`."""

    unit_id: str
    into: str
    on: date


@dataclass(frozen=True, slots=True)
class Office:
    """Who answers for a unit in a role from a day on; `person` is a reference, None: nobody."""

    unit_id: str
    role: str
    person: str | None
    valid_from: date


Change = Unit | Merge | Office | Division


def units_hash(units: Iterable[Unit]) -> str:
    """What two registries have in common only if they are equal."""
    return f"sha256:{hashlib.sha256(units_text(units).encode()).hexdigest()}"


class RegistryBook:
    """The units in force, who answers for them, and successors; loads that are under way are held back."""

    def __init__(self, base: Iterable[Unit], divisions: Iterable[Division] = ()) -> None:
        """Begin with the committed tables of units and of divisions."""
        self._base = {str(unit.unit_id): unit for unit in base}
        self._base_divisions = {(each.code, each.valid_from): each for each in divisions}
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.number = 0
        self.load_id: str | None = None
        self._units: dict[str, Unit] = dict(self._base)
        self._rows: dict[tuple[str, date], Division] = dict(self._base_divisions)
        self.divisions = DivisionRegistry(self._rows.values())
        """Every division over time."""
        self._offices: dict[tuple[str, str], list[Office]] = {}
        self._pending: dict[str, list[Change]] = {}

    @property
    def units(self) -> tuple[Unit, ...]:
        """Every unit that was ever registered, ordered by id."""
        return tuple(self._units[unit_id] for unit_id in sorted(self._units))

    @property
    def merges(self) -> Mapping[str, Merge]:
        """Successors by the unit that ended."""
        return {
            unit_id: Merge(unit_id, unit.successor, unit.valid_to)
            for unit_id, unit in self._units.items()
            if unit.successor is not None and unit.valid_to is not None
        }

    @property
    def offices(self) -> frozenset[Office]:
        """Every assignment that stands: of two for one unit, role and day the later load's."""
        return frozenset(office for offices in self._offices.values() for office in offices)

    def responsible(self, unit_id: str, on: date) -> dict[str, str]:
        """Reference of the person for each role of a unit on a day; roles without anybody are left out."""
        found: dict[str, str] = {}
        for (unit, role), offices in self._offices.items():
            if unit != unit_id:
                continue
            past = [each for each in offices if each.valid_from <= on]
            if past and past[-1].person is not None:
                found[role] = past[-1].person
        return found

    def part(self, load_id: str, change: Change) -> None:
        """One change of a load; nothing follows from it before the load is complete."""
        self._pending.setdefault(load_id, []).append(change)

    def loaded(self, load_id: str, number: int, changes: int) -> bool:
        """The load is complete: put it in force, unless another was first or parts of it are missing."""
        parts = self._pending.pop(load_id, [])
        if number != self.number + 1 or len(parts) != changes:
            return False
        self.number, self.load_id = number, load_id
        for change in parts:
            self._put(change)
        if any(isinstance(change, Division) for change in parts):
            self.divisions = DivisionRegistry(self._rows.values())
        return True

    def has(self, row: Division) -> bool:
        """Whether that very row is in the table of divisions."""
        return self._rows.get((row.code, row.valid_from)) == row

    def _put(self, change: Change) -> None:
        if isinstance(change, Unit):
            self._units[change.unit_id] = self._still_merged(change)
        elif isinstance(change, Merge):
            ended = self._units.get(change.unit_id)
            if ended is not None:
                successor = UnitId(change.into)
                self._units[change.unit_id] = replace(ended, valid_to=change.on, successor=successor)
        elif isinstance(change, Division):
            self._rows[change.code, change.valid_from] = change
        else:
            offices = self._offices.setdefault((change.unit_id, change.role), [])
            offices[:] = [each for each in offices if each.valid_from != change.valid_from]
            offices.append(change)
            offices.sort(key=lambda each: each.valid_from)

    def _still_merged(self, unit: Unit) -> Unit:
        """`unit` with the successor that it has: changes of old say nothing of it, and took nothing back."""
        before = self._units.get(unit.unit_id)
        if unit.successor is not None or before is None or before.valid_to != unit.valid_to:
            return unit
        return replace(unit, successor=before.successor)
