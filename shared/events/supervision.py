"""Facts of supervision: visit campaigns, spot checks, incidents. Stream ``REGISTRY``, producer intake.

Never public. Whom a team visited, who was found at fault and what the evidence says stays outside: events
carry numbers, codes of closed lists and references to evidence. Rectification and the ladders read these.
"""

from typing import Annotated, Literal

from pydantic import Field

from shared.events.approvals import CredentialField
from shared.events.base import CityCode, CountyCode, DayField, EventData, EventIdField, Instant, UnitIdField

EvidenceReference = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$", description="Where the evidence is filed.")
]
CampaignId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]

InspectionFinding = Literal["none", "minor", "serious", "criticised"]
IncidentKind = Literal["liability_accident", "serious_violation", "crime", "group_petition", "broken_promise"]
Verification = Literal["reported", "verified", "refuted"]


class CampaignTarget(EventData):
    """How many households one county is to be visited in."""

    county: Annotated[str, Field(pattern=r"^[0-9]{6}$", description="GB/T 2260 county.")]
    city: Annotated[str, Field(pattern=r"^[0-9]{4}$", description="Its prefecture.")]
    households: Annotated[int, Field(ge=1, le=10_000_000, description="Households to visit.")]


class CampaignOpened(EventData):
    """A visit campaign 百千万: teams, cadres and households, by county, in three phases."""

    campaign_id: Annotated[CampaignId, Field(description="Id of the campaign.")]
    title: Annotated[str, Field(min_length=1, max_length=120, description="Official title; names no person.")]
    teams: Annotated[int, Field(ge=1, le=100_000, description="Teams that go out.")]
    cadres: Annotated[int, Field(ge=1, le=1_000_000, description="Cadres in them.")]
    targets: Annotated[
        tuple[CampaignTarget, ...], Field(min_length=1, max_length=3000, description="By county.")
    ]
    mobilise_from: Annotated[DayField, Field(description="First day of the phase mobilise 动员.")]
    run_from: Annotated[DayField, Field(description="First day of the phase run 实施.")]
    consolidate_from: Annotated[DayField, Field(description="First day of the phase consolidate 巩固.")]
    ends: Annotated[DayField, Field(description="Last day.")]
    decided_by: Annotated[CredentialField, Field(description="Who decided; role or credential.")]
    city: Annotated[CityCode, Field(description="Prefecture, or 'all'.")] = "all"
    county: Annotated[CountyCode, Field(description="County, or 'all'.")] = "all"


class VisitRecorded(EventData):
    """A team visited one household or enterprise. The envelope's ``time`` is when."""

    campaign_id: Annotated[CampaignId, Field(description="Id of the campaign.")]
    team: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,32}$", description="Number of the team.")]
    target: Annotated[Literal["household", "enterprise"], Field(description="Whom.")]
    household_hmac: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9]{1,16}\.[0-9a-f]{32}$",
            description="Pseudonym of whom: a second visit to the same one covers nothing new.",
        ),
    ]
    feedback_id: Annotated[
        EventIdField | None, Field(description="The rating that the visit brought, if it did.")
    ] = None
    recorded_by: Annotated[CredentialField, Field(description="Who took it down; role or credential.")]
    city: Annotated[CityCode, Field(description="Prefecture, or 'all'.")]
    county: Annotated[CountyCode, Field(description="County, or 'all'.")]


class InspectionRecorded(EventData):
    """A spot check of a unit 明察暗访. The envelope's ``time`` is when it took place."""

    unit_id: Annotated[UnitIdField, Field(description="Opaque id of the unit.")]
    undercover: Annotated[bool, Field(description="Unannounced and unrecognised 暗访.")] = False
    finding: Annotated[InspectionFinding, Field(description="criticised 通报: no awards that year.")]
    issues: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,31}$")], ...],
        Field(description="Codes of the issue taxonomy.", max_length=16),
    ] = ()
    evidence: Annotated[
        tuple[EvidenceReference, ...], Field(max_length=32, description="References to evidence.")
    ] = ()
    verification: Annotated[Verification, Field(description="State when it was recorded.")] = "reported"
    recorded_by: Annotated[CredentialField, Field(description="Who took it down; role or credential.")]
    city: Annotated[CityCode, Field(description="Prefecture, or 'all'.")]
    county: Annotated[CountyCode, Field(description="County, or 'all'.")]


class IncidentRecorded(EventData):
    """Something on the veto list 一票否决 happened at a unit. Counts only once it is verified."""

    unit_id: Annotated[UnitIdField, Field(description="Opaque id of the unit.")]
    kind: Annotated[IncidentKind, Field(description="Which point of the veto list.")]
    severity: Annotated[Literal["ordinary", "major", "severe"], Field(description="一般, 重大, 特别重大.")]
    evidence: Annotated[
        tuple[EvidenceReference, ...],
        Field(min_length=1, max_length=32, description="References to evidence."),
    ]
    verification: Annotated[Verification, Field(description="State when it was recorded.")] = "reported"
    recorded_by: Annotated[CredentialField, Field(description="Who took it down; role or credential.")]
    city: Annotated[CityCode, Field(description="Prefecture, or 'all'.")]
    county: Annotated[CountyCode, Field(description="County, or 'all'.")]


class FindingVerified(EventData):
    """A spot check or an incident was looked into by somebody else than who recorded it."""

    finding_id: Annotated[EventIdField, Field(description="InspectionRecorded or IncidentRecorded.")]
    finding: Annotated[Literal["inspection", "incident"], Field(description="Which of the two.")]
    unit_id: Annotated[UnitIdField, Field(description="Opaque id of the unit.")]
    revision: Annotated[int, Field(ge=1, description="1, 2, … for each finding; the highest is in force.")]
    verification: Annotated[Verification, Field(description="From now on.")]
    evidence: Annotated[
        tuple[EvidenceReference, ...], Field(max_length=32, description="References to evidence.")
    ] = ()
    decided_by: Annotated[CredentialField, Field(description="Who decided; role or credential.")]
    occurred_at: Annotated[Instant, Field(description="When the finding is of.")]
    city: Annotated[CityCode, Field(description="Prefecture, or 'all'.")]
    county: Annotated[CountyCode, Field(description="County, or 'all'.")]
