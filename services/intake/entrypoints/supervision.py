"""The HTTP interface of supervision: campaigns and visits, spot checks and incidents, panels of assessors."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, Query, Request
from starlette import types as asgi

from services.intake.application.supervising import Supervision, Visit
from services.intake.domain.panels import Seat
from services.intake.domain.supervision import (
    Campaign,
    Coverage,
    Finding,
    Phases,
    Target,
    Trust,
    whole,
)
from services.intake.entrypoints.http import HttpParts
from services.intake.entrypoints.staff_routes import READ_PROBLEMS, Asked, Post, add_post
from services.intake.entrypoints.supervision_bodies import (
    AssessorsBody,
    CampaignAnswer,
    CampaignBody,
    CampaignId,
    CampaignsAnswer,
    CoverageAnswer,
    EnrolmentAnswer,
    FindingAnswer,
    FindingId,
    FindingsAnswer,
    IncidentBody,
    InspectionBody,
    PanelAnswer,
    PanelsAnswer,
    RequestKey,
    VerificationBody,
    VisitsAnswer,
    VisitsBody,
)
from services.intake.entrypoints.writing import problems
from shared.auth.access import principal_of, require_within, requires
from shared.auth.grants import Permission
from shared.auth.principals import Place, Scope
from shared.kernel.clock import business_day, rfc3339, whole_ms
from shared.kernel.errors import NotFoundError
from shared.kernel.grades import Level


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

        @router.get("/v1/campaigns", summary="Campaigns with their coverage", responses=later)
        async def campaigns(request: Request) -> CampaignsAnswer:
            """List the campaigns in the counties of whoever asks, oldest first, as far as these have come."""
            scope = principal_of(request.scope).scope
            shown = (self._campaign(each, scope) for each in self._supervision.campaigns)
            return CampaignsAnswer(items=[each for each in shown if each is not None])

        @router.get("/v1/campaigns/{campaign_id}", summary="Coverage by county", responses=READ_PROBLEMS)
        async def campaign(campaign_id: CampaignId, request: Request) -> CampaignAnswer:
            """Tell target, done and coverage of each county of whoever asks."""
            return self._shown(self._supervision.campaign(campaign_id), request.scope)

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
        async def panels(request: Request) -> PanelsAnswer:
            """Count the seats of each panel of the own subtree; no assessor is named."""
            scope = principal_of(request.scope).scope
            seats = (each for each in self._supervision.panels if scope.sees(_place_of_panel(each)))
            return PanelsAnswer(items=_panels(seats))

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
            body.actor.credential,
        )
        opened = await self._supervision.open_campaign(campaign, asked.facts)
        return self._shown(opened, asked.scope)

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
        seat = Seat("", Level(body.panel), body.division, body.year, body.group)
        self._require_within(asked, Permission.PANELS_WRITE, _place_of_panel(seat))
        count, changed = await self._supervision.enrol(
            body.numbers, seat, body.actor, asked.facts, enrolled=body.enrolled
        )
        return EnrolmentAnswer(assessors=count, changed=changed)

    def _place(self, unit_id: str) -> Place:
        units = self._parts.units
        return Place.of_unit(units.get(unit_id)) if unit_id in units else Place.of_tokens(None, None)

    def _require_unit(self, asked: Asked[Any], unit_id: str) -> None:
        if unit_id in self._parts.units:  # an unknown one is answered by the use case
            self._require_within(asked, Permission.INSPECTIONS_WRITE, self._place(unit_id))

    @staticmethod
    def _require_within(asked: Asked[Any], permission: Permission, place: Place) -> None:
        require_within(principal_of(asked.scope), permission, place, _not_theirs, asked.scope["path"])

    def _shown(self, campaign: Campaign, request: asgi.Scope) -> CampaignAnswer:
        """What a request may see of a campaign; where that is nothing, there is none."""
        shown = self._campaign(campaign, principal_of(request).scope)
        if shown is None:
            raise self._supervision.missing(campaign.campaign_id)
        return shown

    def _campaign(self, campaign: Campaign, scope: Scope) -> CampaignAnswer | None:
        """A campaign with the coverage of the counties in `scope`; None if it has none there."""
        book, phases = self._supervision.campaigns, campaign.phases
        coverage = book.coverage(
            campaign, lambda target: scope.sees(Place.of_tokens(target.city, target.county))
        )
        if not coverage:
            return None
        return CampaignAnswer(
            campaign_id=campaign.campaign_id,
            title=campaign.title,
            phase=phases.on(business_day(self._parts.clock.now())),
            teams=campaign.teams,
            teams_out=book.teams_out(campaign, coverage),
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


def _place_of_panel(seat: Seat) -> Place:
    city = None if seat.panel is Level.PROVINCE else seat.division[:4]
    return Place.of_tokens(city, seat.division if seat.panel is Level.COUNTY else None)


def _panels(seats: Iterable[Seat]) -> list[PanelAnswer]:
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


async def _record_visits(campaign_id: CampaignId, body: VisitsBody) -> None:
    """Record visits. All or none; the same visit of a team on one day is one."""


async def _record_inspection(body: InspectionBody, *, idempotency_key: RequestKey = None) -> None:
    """Record a spot check. It counts for ladders and vetoes once it is verified."""


async def _record_incident(body: IncidentBody, *, idempotency_key: RequestKey = None) -> None:
    """Record an incident of the veto list. It counts once it is verified."""


async def _verify_finding(finding_id: FindingId, body: VerificationBody) -> None:
    """Verify or refute a finding. By somebody else than who recorded it."""


async def _enrol_assessors(body: AssessorsBody) -> None:
    """Enrol assessors of a panel for a year. Their ballots are accepted within its scope."""
