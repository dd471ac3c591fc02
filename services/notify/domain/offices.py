"""Who answers for a unit, as the registry's loads say: a fold of the REGISTRY stream (ADR 0033)."""

from bisect import insort
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from typing import Final

HEAD: Final = "head"
DEPUTY: Final = "deputy"
OFFICER: Final = "officer"
BACKUP: Final = "backup"
ROLES: Final = (HEAD, DEPUTY, OFFICER, BACKUP)


@dataclass(frozen=True, slots=True, order=True)
class Assignment:
    """From `valid_from` on `person` has the role; None: nobody."""

    valid_from: date
    number: int
    person: str | None


class Offices:
    """Responsible people by unit and role; a load counts when it is complete, and not before."""

    def __init__(self) -> None:
        """Start empty."""
        self._by_role: defaultdict[tuple[str, str], list[Assignment]] = defaultdict(list)
        self._pending: defaultdict[str, list[tuple[str, str, str | None, date]]] = defaultdict(list)
        self._parts: defaultdict[str, int] = defaultdict(int)
        self._number = 0

    def part(self, load_id: str) -> None:
        """Count one event of a load, whatever it says."""
        self._parts[load_id] += 1

    def assigned(self, load_id: str, unit_id: str, role: str, person: str | None, valid_from: date) -> None:
        """Take one assignment in; it follows `part`."""
        self._pending[load_id].append((unit_id, role, person, valid_from))

    def loaded(self, load_id: str, number: int, changes: int) -> bool:
        """The load is complete: put it in force, unless another one was first or parts are missing."""
        pending, parts = self._pending.pop(load_id, []), self._parts.pop(load_id, 0)
        if number != self._number + 1 or parts != changes:
            return False
        self._number = number
        for unit_id, role, person, valid_from in pending:
            insort(self._by_role[unit_id, role], Assignment(valid_from, number, person), key=_order)
        return True

    def person(self, unit_id: str, role: str, day: date) -> str | None:
        """Reference of who has a role of a unit on a day."""
        past = [each for each in self._by_role.get((unit_id, role), ()) if each.valid_from <= day]
        return past[-1].person if past else None


def _order(assignment: Assignment) -> tuple[date, int]:
    return assignment.valid_from, assignment.number
