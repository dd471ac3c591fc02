"""The routes of quarterly checks: the figures as they are now, and those that somebody signed."""

from collections.abc import Callable
from datetime import date
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from services.rectify.application.checking import SignCheck
from services.rectify.application.ladder_ports import LadderBooks
from services.rectify.domain.book import CaseBook
from services.rectify.domain.checks import Quarter, RegionCheck, campaigns_in, check_quarter, figures_of
from services.rectify.domain.ladder_book import Campaign
from services.rectify.domain.signed_checks import RegionFigures, SignedCheck
from services.rectify.entrypoints.bodies import Body, Role
from services.rectify.entrypoints.sanctions import CityParam, CountyParam, Reach
from shared.auth.access import acting, requires
from shared.auth.grants import Permission
from shared.auth.principals import Place, Principal
from shared.events import Provenance
from shared.events.base import Instant
from shared.kernel.clock import Clock, business_day
from shared.kernel.units import ALL
from shared.observability.tracing import current_context

MAX_PAGE: Final = 200
QuarterPath = Annotated[str, Path(max_length=8, description="2026Q4")]
_Reader = Annotated[Principal, requires(Permission.SANCTIONS_READ)]
_Signer = Annotated[Principal, requires(Permission.CHECKS_SIGN)]


class RegionCheckOut(BaseModel):
    """What the quarterly check finds in one region."""

    city: str
    county: str
    opened: int
    closed: int
    open: int
    overdue: tuple[str, ...] = Field(description="Cases; at most 200.")
    overdue_count: int
    strikes: int
    unsigned: tuple[str, ...] = Field(description="Proposed sanctions; at most 200.")
    unsigned_count: int
    appeals: int
    nominations: int

    @classmethod
    def of(cls, check: RegionCheck) -> "RegionCheckOut":
        """Render a check."""
        return cls(**{name: getattr(check, name) for name in cls.model_fields})


class CampaignOut(BaseModel):
    """A campaign and where it is today."""

    campaign_id: str
    title: str
    phase: str = Field(description="planned, mobilise 动员, run 实施, consolidate 巩固 or ended.")
    mobilise_from: date
    run_from: date
    consolidate_from: date
    ends: date

    @classmethod
    def of(cls, campaign: Campaign, today: date) -> "CampaignOut":
        """Render a campaign."""
        days = ("campaign_id", "title", "mobilise_from", "run_from", "consolidate_from", "ends")
        return cls(phase=campaign.phase_on(today), **{name: getattr(campaign, name) for name in days})


class CheckOut(BaseModel):
    """The quarterly check of every region in sight, by code, and the quarter's campaigns."""

    quarter: str
    items: tuple[RegionCheckOut, ...]
    campaigns: tuple[CampaignOut, ...]


class SignCheckIn(Body):
    """Stand for the figures of the own division as they are now."""

    by: Role | None = None


class RegionFiguresOut(BaseModel):
    """What was found in one region when the check was signed."""

    city: str
    county: str
    opened: int
    closed: int
    open: int
    overdue: int
    strikes: int
    unsigned: int
    appeals: int
    nominations: int

    @classmethod
    def of(cls, figures: RegionFigures) -> "RegionFiguresOut":
        """Render figures."""
        return cls(**{name: getattr(figures, name) for name in cls.model_fields})


class SignedCheckOut(BaseModel):
    """A signed check."""

    quarter: str
    city: str
    county: str
    by: str
    signed_at: Instant
    revision: int = Field(description="1, 2, … for each quarter and division; the highest stands.")
    event_id: str = Field(description="Of QuarterChecked, for the archive.")
    regions: tuple[RegionFiguresOut, ...]

    @classmethod
    def of(cls, check: SignedCheck) -> "SignedCheckOut":
        """Render a signed check."""
        same = ("quarter", "city", "county", "by", "signed_at", "revision", "event_id")
        fields: dict[str, Any] = {name: getattr(check, name) for name in same}
        return cls(**fields, regions=tuple(RegionFiguresOut.of(each) for each in check.regions))


class SignedChecks(BaseModel):
    """Signed checks that stand, the last signed first."""

    items: tuple[SignedCheckOut, ...]


def make_checks_router(
    sign: SignCheck, clock: Clock, books: LadderBooks, cases: Callable[[], CaseBook], reach: Reach
) -> APIRouter:
    """Return the routes under ``/v1/checks``."""
    router = APIRouter(prefix="/v1/checks", tags=["checks"])

    @router.get("", summary="Signed checks that stand, the last signed first")
    async def list_signed(
        actor: _Reader,
        quarter: Annotated[str | None, Query(max_length=8, description="2026Q4")] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    ) -> SignedChecks:
        found = [
            check
            for check in books.require_caught_up().checks.values()
            if quarter in {None, check.quarter}
            and actor.scope.sees(Place.of_tokens(check.city, check.county))
        ]
        found.sort(key=lambda check: -check.sequence)
        return SignedChecks(items=tuple(SignedCheckOut.of(check) for check in found[:limit]))

    @router.get("/{quarter}", summary="The quarterly check: open, overdue, unsigned, by region")
    async def check(
        quarter: QuarterPath, actor: _Reader, city: CityParam = None, county: CountyParam = None
    ) -> CheckOut:
        wanted, now, book = Quarter.parse(quarter), clock.now(), books.require_caught_up()
        found = check_quarter(wanted, cases(), book, now, reach.sees(actor))
        return CheckOut(
            quarter=quarter,
            items=tuple(
                RegionCheckOut.of(each)
                for each in found
                if (city is None or each.city == city) and (county is None or each.county == county)
            ),
            campaigns=tuple(CampaignOut.of(each, business_day(now)) for each in campaigns_in(wanted, book)),
        )

    @router.post(
        "/{quarter}",
        summary="Sign the check of the own division, with its figures as they are now",
        description="Once the quarter is over. The same figures again change nothing (200); others are the "
        "next revision.",
        status_code=201,
        responses={
            200: {"model": SignedCheckOut, "description": "It was signed before."},
            409: {"description": "The quarter is not over, or somebody else has signed meanwhile."},
        },
    )
    async def sign_check(
        quarter: QuarterPath, body: SignCheckIn, request: Request, response: Response, actor: _Signer
    ) -> SignedCheckOut:
        by = acting(actor, body.by, "by", request.url.path)
        wanted, context = Quarter.parse(quarter), current_context()
        found = check_quarter(wanted, cases(), books.require_caught_up(), clock.now(), reach.sees(actor))
        division = (actor.scope.city or ALL, actor.scope.county or ALL)
        signed, repeated = await sign(
            wanted,
            division,
            tuple(figures_of(each) for each in found),
            by=by,
            provenance=Provenance(
                context.correlation_id or "-".join((quarter, *division)), None, context.traceparent
            ),
        )
        if repeated:
            response.status_code = 200
        return SignedCheckOut.of(signed)

    return router
