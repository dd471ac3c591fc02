"""Facts about who is appraised, who answers for it, and who sits on panels. Stream ``REGISTRY``, from intake.

A load of the registry is a run of these events with one ``load_id``, ended by ``RegistryLoaded``: a fold
applies none of them before that one, so nothing is ever half loaded (ADR 0033). Names and contacts of people
are in no event: they appear by reference.
"""

from typing import Annotated, Literal

from pydantic import Field

from shared.events.approvals import CredentialField
from shared.events.base import CityCode, CountyCode, DayField, EventData, Ordinal, UnitIdField
from shared.kernel.grades import Level

LoadId = Annotated[str, Field(min_length=1, max_length=64, description="Load that the event is part of.")]
PersonReference = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$",
        description="Opaque reference of a person; name and contact are in the registry's own file.",
    ),
]
OfficeRole = Literal["head", "deputy", "officer", "backup"]


class UnitState(EventData):
    """A unit as the registry has it from the event on."""

    unit_id: Annotated[UnitIdField, Field(description="Opaque id of the unit.")]
    name: Annotated[str, Field(min_length=1, max_length=120, description="Full Chinese name of the office.")]
    level: Annotated[Level, Field(description="province, city, county or window.")]
    kind: Annotated[str, Field(max_length=32, description="Window kind of the rule pack, or 'bureau'.")]
    division: Annotated[str, Field(pattern=r"^[0-9]{6}$", description="Division that it serves.")]
    city: Annotated[CityCode, Field(description="Prefecture, or 'all'.")]
    county: Annotated[CountyCode, Field(description="County, or 'all'.")]
    parent_id: Annotated[UnitIdField | None, Field(description="The unit that manages it.")] = None
    valid_from: Annotated[DayField, Field(description="First day, YYYY-MM-DD.")]
    valid_to: Annotated[DayField | None, Field(description="First day on which it no longer exists.")] = None
    successor: Annotated[
        UnitIdField | None, Field(description="Merged or recoded: the unit that took over on that day.")
    ] = None


class UnitRegistered(EventData):
    """A unit is appraised from ``unit.valid_from`` on."""

    load_id: Annotated[LoadId, Field(description="Load that the event is part of.")]
    unit: Annotated[UnitState, Field(description="The unit from then on.")]
    city: Annotated[CityCode, Field(description="Prefecture, or 'all'.")]
    county: Annotated[CountyCode, Field(description="County, or 'all'.")]


class UnitChanged(EventData):
    """What the registry says of a unit changed: name, place, parent, kind, or its last day."""

    load_id: Annotated[LoadId, Field(description="Load that the event is part of.")]
    unit: Annotated[UnitState, Field(description="From now on.")]
    before: Annotated[UnitState, Field(description="Until now.")]
    changed: Annotated[tuple[str, ...], Field(description="Fields that differ.", max_length=16)]
    city: Annotated[CityCode, Field(description="Prefecture, or 'all'.")]
    county: Annotated[CountyCode, Field(description="County, or 'all'.")]


class UnitMerged(EventData):
    """A unit was merged into another or recoded 合并/改码. Its ratings stay its own, past lists too."""

    load_id: Annotated[LoadId, Field(description="Load that the event is part of.")]
    unit_id: Annotated[UnitIdField, Field(description="Opaque id of the unit.")]
    into: Annotated[UnitIdField, Field(description="The unit that takes over.")]
    on: Annotated[DayField, Field(description="First day of the successor.")]
    city: Annotated[CityCode, Field(description="Prefecture, or 'all'.")]
    county: Annotated[CountyCode, Field(description="County, or 'all'.")]


class DivisionChanged(EventData):
    """A division's row was added, or ended: codes are effective-dated."""

    load_id: Annotated[LoadId, Field(description="Load that the event is part of.")]
    code: Annotated[str, Field(pattern=r"^[0-9]{6}$", description="GB/T 2260.")]
    name: Annotated[str, Field(min_length=1, max_length=64, description="Official name.")]
    level: Annotated[Level, Field(description="province, city, county or window.")]
    parent: Annotated[str | None, Field(pattern=r"^[0-9]{6}$", description="The division above.")] = None
    valid_from: Annotated[DayField, Field(description="First day, YYYY-MM-DD.")]
    valid_to: Annotated[DayField | None, Field(description="First day not any more.")] = None
    city: Annotated[CityCode, Field(description="Prefecture, or 'all'.")]
    county: Annotated[CountyCode, Field(description="County, or 'all'.")]


class ResponsibilityAssigned(EventData):
    """Who answers for a unit from a day on: head 一把手, deputy 分管领导, officer 责任人, backup B 岗."""

    load_id: Annotated[LoadId, Field(description="Load that the event is part of.")]
    unit_id: Annotated[UnitIdField, Field(description="Opaque id of the unit.")]
    role: Annotated[OfficeRole, Field(description="head 一把手, deputy 分管, officer 责任人, backup B 岗.")]
    person: Annotated[PersonReference | None, Field(description="Null: nobody from then on.")] = None
    valid_from: Annotated[DayField, Field(description="First day, YYYY-MM-DD.")]
    city: Annotated[CityCode, Field(description="Prefecture, or 'all'.")]
    county: Annotated[CountyCode, Field(description="County, or 'all'.")]


class AssessorEnrolled(EventData):
    """An assessor 评议员 is on a panel for one year; ballots within the panel's scope are accepted."""

    assessor_hmac: Annotated[
        str, Field(pattern=r"^[a-z0-9]{1,16}\.[0-9a-f]{32}$", description="Pseudonym of the assessor.")
    ]
    panel: Annotated[Level, Field(description="province, city or county.")]
    division: Annotated[
        str, Field(pattern=r"^[0-9]{6}$", description="Whose panel; its subtree is the scope.")
    ]
    year: Annotated[int, Field(ge=2000, le=2999, description="Calendar year of the seat.")]
    group: Annotated[
        Literal["deputy", "cppcc", "notable", "retired", "enterprise"],
        Field(description="人大代表, 政协委员, 社会知名人士, 离退休干部, 企业."),
    ]
    enrolled: Annotated[bool, Field(description="False: taken off the panel again.")] = True
    decided_by: Annotated[CredentialField, Field(description="Who decided; role or credential.")]
    city: Annotated[CityCode, Field(description="Prefecture, or 'all'.")]
    county: Annotated[CountyCode, Field(description="County, or 'all'.")]


class RegistryLoaded(EventData):
    """A load is complete and in force from now on. Of two that build on the same one the first stands."""

    load_id: Annotated[LoadId, Field(description="Load that the event is part of.")]
    number: Annotated[Ordinal, Field(description="1, 2, … without a gap: what the load makes it.")]
    changes: Annotated[int, Field(ge=1, description="Events of the load.")]
    units_hash: Annotated[
        str, Field(pattern=r"^sha256:[0-9a-f]{64}$", description="Of the table of units from now on.")
    ]
    decided_by: Annotated[CredentialField, Field(description="Who decided; role or credential.")]
    city: Annotated[CityCode, Field(description="Always 'all'.")] = "all"
    county: Annotated[CountyCode, Field(description="Always 'all'.")] = "all"
