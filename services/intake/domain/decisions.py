"""What somebody decided about a rating: the move, the reason, and for a correction the fields that change."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from services.intake.domain.acceptance import Issue
from services.intake.domain.revisions import Move
from shared.kernel.clock import business_day, rfc3339
from shared.kernel.errors import NotFoundError
from shared.kernel.units import UnitRegistry


@dataclass(frozen=True, slots=True)
class Changes:
    """What a correction puts in force; None leaves a field as it is.

    Attributes:
        dimensions: all sub-grades by name; empty takes them out.
    """

    unit_id: str | None = None
    grade: int | None = None
    dimensions: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """A request to revise a rating, parsed but not yet judged.

    Attributes:
        reason: code of the move's closed list, see `shared.kernel.reasons`.
        decided_by: role or credential; None for the citizen.
        changes: of a correction.
        requested_by: who had asked for it, where it takes two people.
        approval_id: the approval that it rests on.
        cluster: what a rating is held with; no part of what decides "same or different".
    """

    move: Move
    reason: str
    decided_by: str | None = None
    changes: Changes | None = None
    requested_by: str | None = None
    approval_id: str | None = None
    cluster: str | None = None

    def canonical(self) -> bytes:
        """One spelling of the request's own fields: equal content gives equal bytes, other content others."""
        parts = [_part("move", self.move.value), _part("reason", self.reason)]
        if self.decided_by is not None:
            parts.append(_part("decided_by", self.decided_by))
        if self.requested_by is not None:
            parts.append(_part("requested_by", self.requested_by))
        if self.approval_id is not None:
            parts.append(_part("approval_id", self.approval_id))
        changes = self.changes
        if changes is not None:
            if changes.unit_id is not None:
                parts.append(_part("unit_id", changes.unit_id))
            if changes.grade is not None:
                parts.append(_part("grade", str(changes.grade)))
            if changes.dimensions is not None:
                given = changes.dimensions
                parts.append(_part("dimensions", ",".join(f"{name}={given[name]}" for name in sorted(given))))
        return "".join(parts).encode("utf-8", "surrogatepass")


def issue_of_unit(unit_id: str, occurred_at: datetime, units: UnitRegistry) -> Issue | None:
    """What keeps `unit_id` from being the unit that was rated at `occurred_at`."""
    try:
        unit = units.get(unit_id)
    except NotFoundError as error:
        return Issue("unit_id", error.value, error.expected, error.remedy)
    if unit.exists(business_day(occurred_at)):
        return None
    until = f" to {unit.valid_to} (exclusive)" if unit.valid_to else ""
    heir = units.heir(unit, business_day(occurred_at))
    since = "" if heir is None else f", its successor is {heir.unit_id} ({heir.name})"
    return Issue(
        "unit_id",
        unit_id,
        f"a unit that exists on the day of the rating ({rfc3339(occurred_at)}); {unit_id} exists from "
        f"{unit.valid_from}{until}{since}",
        "name the unit that existed then" if heir is None else f"name {heir.unit_id}",
    )


def _part(name: str, value: str) -> str:
    return f"{name}[{len(value)}]={value};"
