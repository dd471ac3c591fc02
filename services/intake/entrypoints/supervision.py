"""The HTTP interface of supervision: campaigns and visits, spot checks and incidents, panels of assessors."""

from datetime import date
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, FastAPI, Header, Path, Query, Request
from pydantic import AwareDatetime, BaseModel, Field

from services.intake.application.prepared import KEY_HEADER
from services.intake.application.supervising import Supervision, Visit
from services.intake.domain.panels import Seat
from services.intake.domain.submission import whole_ms
from services.intake.domain.supervision import (
    Campaign,
    Coverage,
    Finding,
    Phase,
    Phases,
    Target,
    Trust,
    whole,
)
from services.intake.entrypoints.http import HttpParts
from services.intake.entrypoints.staff_routes import READ_PROBLEMS, ActingBody, Asked, Post, Strict, add_post
from services.intake.entrypoints.writing import MAX_KEY, problems
from shared.auth.access import principal_of, require_within, requires
from shared.auth.grants import Permission
from shared.auth.principals import Place
from shared.events.supervision import IncidentKind, InspectionFinding
from shared.kernel.clock import business_day, rfc3339
from shared.kernel.errors import NotFoundError
from shared.kernel.grades import Level

MOST_VISITS: Final = 500
MOST_ASSESSORS: Final = 1_000

_Campaign = Annotated[str, Path(description="Id of the campaign.", max_length=64)]
_Finding = Annotated[str, Path(description="Event id of the spot check or incident.", max_length=64)]
_Key = Annotated[
    str | None,
    Header(
        alias=KEY_HEADER,
        max_length=MAX_KEY,
        description="The same key of the same person again is the same fact.",
    ),
]
_Evidence = Annotated[
    list[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]],
    Field(description="References to where evidence is filed; never the evidence.", max_length=32),
]
_Issues = Annotated[
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

    campaign_id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    title: Annotated[str, Field(min_length=1, max_length=120)]
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
    team: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,32}$")]
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
    feedback_id: Annotated[str | None, Field(max_length=64)] = None


class VisitsBody(ActingBody):
    """Visits of a campaign."""

    visits: Annotated[list[VisitBody], Field(min_length=1, max_length=MOST_VISITS)]


class InspectionBody(ActingBody):
    """A spot check of a unit."""

    unit_id: Annotated[str, Field(min_length=1, max_length=64)]
    occurred_at: AwareDatetime
    undercover: bool = False
    finding: Annotated[InspectionFinding, Field(description="criticised 通报: no awards that year.")]
    issues: _Issues = Field(default_factory=list)
    evidence: _Evidence = Field(default_factory=list)


class IncidentBody(ActingBody):
    """Something on the veto list happened at a unit."""

    unit_id: Annotated[str, Field(min_length=1, max_length=64)]
    occurred_at: AwareDatetime
    kind: Annotated[IncidentKind, Field(description="责任事故, 严重违纪违法, 犯罪, 群体性上访, 承诺失信.")]
    severity: Literal["ordinary", "major", "severe"]
    evidence: Annotated[_Evidence, Field(min_length=1)]


class VerificationBody(ActingBody):
    """What was found when somebody else looked into it."""

    verification: Literal["verified", "refuted"]
    evidence: _Evidence = Field(default_factory=list)


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

    county: Annotated[str | None, Field(description="Null: the whole campaign.")] = None
    target: int
    done: Annotated[int, Field(description="Households visited, each once.")]
    visits: int
    share: Annotated[float, Field(description="Part of the target, 0 to 1.")]


class CampaignAnswer(BaseModel):
    """A campaign with its coverage."""

    campaign_id: str
    title: str
    phase: Phase
    teams: int
    teams_out: Annotated[int, Field(description="Teams with at least one visit.")]
    cadres: int
    mobilise_from: date
    run_from: date
    consolidate_from: date
    ends: date
    whole: CoverageAnswer
    counties: list[CoverageAnswer]


class CampaignsAnswer(BaseModel):
    """Every campaign."""

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

    assessors: int


class PanelAnswer(BaseModel):
    """Seats of one panel, counted; nobody is named."""

    panel: Level
    division: str
    year: int
    assessors: int
    groups: dict[str, int]


class PanelsAnswer(BaseModel):
    """Every panel."""

    items: list[PanelAnswer]


class SupervisionRoutes:
    """Handlers of the routes, bound to the use cases."""

    def __init__(self, parts: HttpParts, supervision: Supervision) -> None:
        """Use these."""
        self._parts = parts
        self._supervision = supervision

    def add_to(self, app: FastAPI) -> None:
        """Add all routes to `app`."""
        posts: tuple[Post[Any], ...] = (
            Post(
                "/v1/campaigns",
                _open_campaign,
                CampaignBody,
                CampaignAnswer,
                self.open,
                "supervision",
                takes=Permission.CAMPAIGNS_WRITE,
                status=201,
                large=True,
            ),
            Post(
                "/v1/campaigns/{campaign_id}/visits",
                _record_visits,
                VisitsBody,
                VisitsAnswer,
                self.visits,
                "supervision",
                takes=Permission.CAMPAIGNS_WRITE,
                large=True,
            ),
            Post(
                "/v1/inspections",
                _record_inspection,
                InspectionBody,
                FindingAnswer,
                self.inspection,
                "supervision",
                takes=Permission.INSPECTIONS_WRITE,
                status=201,
            ),
            Post(
                "/v1/incidents",
                _record_incident,
                IncidentBody,
                FindingAnswer,
                self.incident,
                "supervision",
                takes=Permission.INSPECTIONS_WRITE,
                status=201,
            ),
            Post(
                "/v1/findings/{finding_id}/verification",
                _verify_finding,
                VerificationBody,
                FindingAnswer,
                self.verify,
                "supervision",
                takes=Permission.INSPECTIONS_WRITE,
            ),
            Post(
                "/v1/assessors",
                _enrol_assessors,
                AssessorsBody,
                EnrolmentAnswer,
                self.enrol,
                "supervision",
                takes=Permission.PANELS_WRITE,
                large=True,
            ),
        )
        for post in posts:
            add_post(app, self._parts, post)
        router = APIRouter(tags=["supervision"], dependencies=[requires(Permission.SUPERVISION_READ)])
        self._add_reading(router)
        app.include_router(router)

    def _add_reading(self, router: APIRouter) -> None:
        later = problems(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE)

        @router.get("/v1/campaigns", summary="Every campaign with its coverage", responses=later)
        async def campaigns() -> CampaignsAnswer:
            """List campaigns, oldest first."""
            return CampaignsAnswer(items=[self._campaign(each) for each in self._supervision.campaigns])

        @router.get("/v1/campaigns/{campaign_id}", summary="Coverage by county", responses=READ_PROBLEMS)
        async def campaign(campaign_id: _Campaign) -> CampaignAnswer:
            """Tell target, done and coverage of each county."""
            return self._campaign(self._supervision.campaign(campaign_id))

        @router.get("/v1/findings", summary="Spot checks and incidents, newest first", responses=later)
        async def findings(
            request: Request,
            unit: Annotated[str | None, Query(description="Only of this unit.", max_length=64)] = None,
            family: Annotated[Literal["inspection", "incident"] | None, Query()] = None,
            verification: Annotated[Trust | None, Query()] = None,
            limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        ) -> FindingsAnswer:
            """List findings."""
            found = [
                each
                for each in self._supervision.findings
                if principal_of(request.scope).scope.sees(self._place(each.unit_id))
                and (unit is None or each.unit_id == unit)
                and (family is None or each.family == family)
                and (verification is None or each.trust is verification)
            ]
            return FindingsAnswer(items=[_finding(each) for each in found[::-1][:limit]])

        @router.get("/v1/assessors/panels", summary="Panels of assessors, counted", responses=later)
        async def panels() -> PanelsAnswer:
            """Count the seats of each panel; no assessor is named."""
            return PanelsAnswer(items=_panels(tuple(self._supervision.panels)))

    async def open(self, asked: Asked[CampaignBody]) -> CampaignAnswer:
        """Open a campaign."""
        body = asked.body
        for county in {each.county for each in body.targets}:
            self._require_within(asked, Permission.CAMPAIGNS_WRITE, Place.of_tokens(county[:4], county))
        campaign = Campaign(
            body.campaign_id,
            body.title,
            body.teams,
            body.cadres,
            tuple(Target(each.county, each.county[:4], each.households) for each in body.targets),
            Phases(body.mobilise_from, body.run_from, body.consolidate_from, body.ends),
            body.decided_by,
        )
        return self._campaign(await self._supervision.open_campaign(campaign, asked.facts))

    async def visits(self, asked: Asked[VisitsBody]) -> VisitsAnswer:
        """Record visits."""
        for county in {each.county for each in asked.body.visits}:
            self._require_within(asked, Permission.CAMPAIGNS_WRITE, Place.of_tokens(county[:4], county))
        visits = [
            Visit(each.county, each.team, each.target, each.whom, whole_ms(each.visited_at), each.feedback_id)
            for each in asked.body.visits
        ]
        event_ids = await self._supervision.record_visits(
            asked.path["campaign_id"], visits, asked.body.actor, asked.facts
        )
        return VisitsAnswer(event_ids=event_ids)

    async def inspection(self, asked: Asked[InspectionBody]) -> FindingAnswer:
        """Record a spot check."""
        body = asked.body
        self._require_unit(asked, body.unit_id)
        fields = {
            "undercover": body.undercover,
            "finding": body.finding,
            "issues": body.issues,
            "evidence": body.evidence,
        }
        return _finding(
            await self._supervision.record_inspection(
                body.unit_id, fields, whole_ms(body.occurred_at), body.actor, asked.facts
            )
        )

    async def incident(self, asked: Asked[IncidentBody]) -> FindingAnswer:
        """Record an incident."""
        body = asked.body
        self._require_unit(asked, body.unit_id)
        fields = {"kind": body.kind, "severity": body.severity, "evidence": body.evidence}
        return _finding(
            await self._supervision.record_incident(
                body.unit_id, fields, whole_ms(body.occurred_at), body.actor, asked.facts
            )
        )

    async def verify(self, asked: Asked[VerificationBody]) -> FindingAnswer:
        """Verify or refute a finding."""
        body = asked.body
        finding_id = asked.path["finding_id"]
        for each in self._supervision.findings:
            if each.finding_id == finding_id:
                self._require_unit(asked, each.unit_id)
        return _finding(
            await self._supervision.verify(
                asked.path["finding_id"], Trust(body.verification), body.evidence, body.actor, asked.facts
            )
        )

    async def enrol(self, asked: Asked[AssessorsBody]) -> EnrolmentAnswer:
        """Enrol assessors."""
        body = asked.body
        city, county = (
            (body.division[:4], body.division) if body.panel == "county" else (body.division[:4], None)
        )
        place = Place.of_tokens(None if body.panel == "province" else city, county)
        self._require_within(asked, Permission.PANELS_WRITE, place)
        seat = Seat("", Level(body.panel), body.division, body.year, body.group)
        count = await self._supervision.enrol(
            body.numbers, seat, body.actor, asked.facts, enrolled=body.enrolled
        )
        return EnrolmentAnswer(assessors=count)

    def _place(self, unit_id: str) -> Place:
        units = self._parts.units
        return Place.of_unit(units.get(unit_id)) if unit_id in units else Place.of_tokens(None, None)

    def _require_unit(self, asked: Asked[Any], unit_id: str) -> None:
        if unit_id in self._parts.units:  # an unknown one is answered by the use case
            self._require_within(asked, Permission.INSPECTIONS_WRITE, self._place(unit_id))

    @staticmethod
    def _require_within(asked: Asked[Any], permission: Permission, place: Place) -> None:
        require_within(principal_of(asked.scope), permission, place, _not_theirs, asked.scope["path"])

    def _campaign(self, campaign: Campaign) -> CampaignAnswer:
        book, phases = self._supervision.campaigns, campaign.phases
        coverage = book.coverage(campaign)
        return CampaignAnswer(
            campaign_id=campaign.campaign_id,
            title=campaign.title,
            phase=phases.on(business_day(self._parts.clock.now())),
            teams=campaign.teams,
            teams_out=book.teams_out(campaign),
            cadres=campaign.cadres,
            mobilise_from=phases.mobilise_from,
            run_from=phases.run_from,
            consolidate_from=phases.consolidate_from,
            ends=phases.ends,
            whole=_coverage(None, whole(coverage)),
            counties=[_coverage(county, each) for county, each in coverage.items()],
        )


def _not_theirs() -> NotFoundError:
    return NotFoundError("a place elsewhere", "a unit or division within your scope", "name one of yours")


def _coverage(county: str | None, coverage: Coverage) -> CoverageAnswer:
    return CoverageAnswer(
        county=county,
        target=coverage.target,
        done=coverage.done,
        visits=coverage.visits,
        share=round(coverage.share, 6),
    )


def _finding(finding: Finding) -> FindingAnswer:
    return FindingAnswer(
        finding_id=finding.finding_id,
        family=finding.family,
        unit_id=finding.unit_id,
        what=finding.what,
        severity=finding.severity,
        occurred_at=rfc3339(finding.occurred_at),
        verification=finding.trust,
        revision=finding.revision,
        recorded_by=finding.recorded_by,
        decided_by=finding.decided_by,
    )


def _panels(seats: tuple[Seat, ...]) -> list[PanelAnswer]:
    found: dict[tuple[int, str], PanelAnswer] = {}
    for seat in seats:
        panel = found.setdefault(
            (seat.year, seat.division),
            PanelAnswer(panel=seat.panel, division=seat.division, year=seat.year, assessors=0, groups={}),
        )
        panel.assessors += 1
        panel.groups[seat.group] = panel.groups.get(seat.group, 0) + 1
    return [found[key] for key in sorted(found)]


async def _open_campaign(body: CampaignBody) -> None:
    """Open a visit campaign. Its id is its key: the same one again changes nothing."""


async def _record_visits(campaign_id: _Campaign, body: VisitsBody) -> None:
    """Record visits. All or none; the same visit of a team on one day is one."""


async def _record_inspection(body: InspectionBody, *, idempotency_key: _Key = None) -> None:
    """Record a spot check. It counts for ladders and vetoes once it is verified."""


async def _record_incident(body: IncidentBody, *, idempotency_key: _Key = None) -> None:
    """Record an incident of the veto list. It counts once it is verified."""


async def _verify_finding(finding_id: _Finding, body: VerificationBody) -> None:
    """Verify or refute a finding. By somebody else than who recorded it."""


async def _enrol_assessors(body: AssessorsBody) -> None:
    """Enrol assessors of a panel for a year. Their ballots are accepted within its scope."""
