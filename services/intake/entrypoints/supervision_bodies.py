"""Bodies and answers of the routes of supervision."""

from datetime import date
from typing import Annotated, Final, Literal

from fastapi import Header, Path
from pydantic import AwareDatetime, BaseModel, Field

from services.intake.application.prepared import KEY_HEADER
from services.intake.domain.supervision import (
    Phase,
    Trust,
)
from services.intake.entrypoints.revision_bodies import naming_nobody
from services.intake.entrypoints.staff_routes import ActingBody, Strict
from services.intake.entrypoints.writing import MAX_KEY
from shared.events.supervision import IncidentKind, InspectionFinding
from shared.kernel.grades import Level

_EVENT_ID: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
MOST_VISITS: Final = 500
MOST_ASSESSORS: Final = 1_000

CampaignId = Annotated[str, Path(description="Id of the campaign.", max_length=64)]
FindingId = Annotated[str, Path(description="Event id of the spot check or incident.", max_length=64)]
RequestKey = Annotated[
    str | None,
    Header(
        alias=KEY_HEADER,
        max_length=MAX_KEY,
        description="The same key of the same person again is the same fact.",
    ),
]
Evidence = Annotated[
    list[
        Annotated[
            str,
            Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$"),
            naming_nobody("a file's reference", "file it under a number of its own"),
        ]
    ],
    Field(
        description="References to where evidence is filed; never the evidence, and no person's number.",
        max_length=32,
    ),
]
IssuesNamed = Annotated[
    list[
        Literal[
            "privilege_for_gain",
            "unlawful_enforcement",
            "delay",
            "favouritism",
            "withholding",
            "attitude",
            "other",
        ]
    ],
    Field(
        description="特权谋利, 违法执法, 办事拖拉, 人情保·关系保, 克扣冒领, 态度, 其他.",
        max_length=7,
    ),
]


class TargetBody(Strict):
    """Households to visit in one county."""

    county: Annotated[str, Field(pattern=r"^[0-9]{6}$", description="GB/T 2260.")]
    households: Annotated[int, Field(strict=True, ge=1, le=10_000_000)]


class CampaignBody(ActingBody):
    """A visit campaign 百千万."""

    campaign_id: Annotated[
        str,
        Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$", description="No person's number."),
        naming_nobody("a campaign's id", "name the campaign, such as visits-2026"),
    ]
    title: Annotated[
        str,
        Field(
            min_length=1, max_length=120, description="Official title; names no person, and no number of one."
        ),
        naming_nobody("a campaign's official title", "leave the number out"),
    ]
    teams: Annotated[int, Field(strict=True, ge=1, le=100_000)]
    cadres: Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
    targets: Annotated[list[TargetBody], Field(min_length=1, max_length=3_000)]
    mobilise_from: date
    run_from: date
    consolidate_from: date
    ends: Annotated[date, Field(description="Last day.")]


class VisitBody(Strict):
    """One visit."""

    county: Annotated[str, Field(pattern=r"^[0-9]{6}$")]
    team: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9-]{1,32}$", description="Number of the team, never a person's."),
        naming_nobody("a team's number", "number the teams, such as team-12"),
    ]
    target: Literal["household", "enterprise"] = "household"
    whom: Annotated[
        str,
        Field(
            min_length=1,
            max_length=128,
            description="Reference of whom; only its pseudonym is kept.",
            repr=False,
        ),
    ]
    visited_at: AwareDatetime
    feedback_id: Annotated[
        Annotated[str, Field(pattern=_EVENT_ID)] | None,
        Field(description="Event id of the accepted rating that the visit brought, if it did."),
    ] = None


class VisitsBody(ActingBody):
    """Visits of a campaign."""

    visits: Annotated[list[VisitBody], Field(min_length=1, max_length=MOST_VISITS)]


class InspectionBody(ActingBody):
    """A spot check of a unit."""

    unit_id: Annotated[str, Field(min_length=1, max_length=64)]
    occurred_at: AwareDatetime
    undercover: bool = False
    finding: Annotated[InspectionFinding, Field(description="criticised 通报: no awards that year.")]
    issues: IssuesNamed = Field(default_factory=list)
    evidence: Evidence = Field(default_factory=list)


class IncidentBody(ActingBody):
    """Something on the veto list happened at a unit."""

    unit_id: Annotated[str, Field(min_length=1, max_length=64)]
    occurred_at: AwareDatetime
    kind: Annotated[IncidentKind, Field(description="责任事故, 严重违纪违法, 犯罪, 群体性上访, 承诺失信.")]
    severity: Literal["ordinary", "major", "severe"]
    evidence: Annotated[Evidence, Field(min_length=1)]


class VerificationBody(ActingBody):
    """What was found when somebody else looked into it."""

    verification: Literal["verified", "refuted"]
    evidence: Evidence = Field(default_factory=list)


class AssessorsBody(ActingBody):
    """Assessors of one panel."""

    numbers: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=64)]],
        Field(
            min_length=1,
            max_length=MOST_ASSESSORS,
            description="Of their cards; kept as pseudonyms.",
            repr=False,
        ),
    ]
    panel: Literal["province", "city", "county"]
    division: Annotated[str, Field(pattern=r"^[0-9]{6}$", description="Whose panel.")]
    year: Annotated[int, Field(strict=True, ge=2000, le=2999)]
    group: Literal["deputy", "cppcc", "notable", "retired", "enterprise"]
    enrolled: Annotated[bool, Field(description="False: take them off the panel.")] = True


class CoverageAnswer(BaseModel):
    """How far a county, or all of them, has come."""

    county: Annotated[str | None, Field(description="Null: all counties that are shown.")] = None
    target: int
    done: Annotated[int, Field(description="Households visited, each once.")]
    visits: int
    share: Annotated[float, Field(description="Part of the target, 0 to 1.")]


class CampaignAnswer(BaseModel):
    """A campaign with the coverage of the counties that whoever asks may see."""

    campaign_id: str
    title: str
    phase: Phase
    teams: Annotated[int, Field(description="Of the whole campaign.")]
    teams_out: Annotated[int, Field(description="Teams with at least one visit in the counties shown.")]
    cadres: Annotated[int, Field(description="Of the whole campaign.")]
    mobilise_from: date
    run_from: date
    consolidate_from: date
    ends: date
    whole: CoverageAnswer
    counties: list[CoverageAnswer]


class CampaignsAnswer(BaseModel):
    """Campaigns, oldest first."""

    items: list[CampaignAnswer]


class VisitsAnswer(BaseModel):
    """The visits are durable."""

    event_ids: Annotated[list[str], Field(description="In the order of the visits.")]


class FindingAnswer(BaseModel):
    """A spot check or an incident."""

    finding_id: str
    family: str
    unit_id: str
    what: str
    severity: str | None = None
    occurred_at: str
    verification: Trust
    revision: int
    recorded_by: str
    decided_by: str | None = None


class FindingsAnswer(BaseModel):
    """Findings, newest first."""

    items: list[FindingAnswer]


class EnrolmentAnswer(BaseModel):
    """The seats are given, or taken away."""

    assessors: Annotated[int, Field(description="Different numbers in the request.")]
    changed: Annotated[
        int,
        Field(description="Of them, whose seat was not so before; of those to be taken away, who had one."),
    ]


class PanelAnswer(BaseModel):
    """Seats of one panel, counted; nobody is named."""

    panel: Level
    division: str
    year: int
    assessors: int
    groups: dict[str, int]


class PanelsAnswer(BaseModel):
    """Panels, by year and division."""

    items: list[PanelAnswer]
