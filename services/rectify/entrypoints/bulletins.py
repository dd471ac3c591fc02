"""The routes of bulletins 简报: what one says of cases, publishing one, whether a file is a published one."""

from datetime import date
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AfterValidator, BaseModel, Field

from services.rectify.application.bulletins import (
    BulletinStore,
    CasesOfPeriod,
    PublishBulletin,
    ReadCasesOfPeriod,
    Wanted,
    bureau_of,
)
from services.rectify.domain.book import CaseFilter
from services.rectify.domain.bulletins import BulletinNotFoundError, Published, days_of, tokens_of
from services.rectify.domain.period_figures import PeriodFigures
from services.rectify.entrypoints.access import Places
from services.rectify.entrypoints.bodies import Body, Role, one_line
from shared.auth.access import PUBLIC, acting, require_within, requires
from shared.auth.grants import Permission
from shared.auth.principals import Place, Principal
from shared.events import Provenance
from shared.events.base import Instant
from shared.kernel.units import UnitRegistry
from shared.observability.tracing import current_context

MAX_PAGE: Final = 200
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
RegionCode = Annotated[str, Query(pattern=r"^[1-9][0-9]{5}$", description="GB/T 2260 code.")]
Line = AfterValidator(one_line)
_Reader = Annotated[Principal, requires(Permission.BULLETINS_DRAFT)]
_Publisher = Annotated[Principal, requires(Permission.BULLETINS_PUBLISH)]
_ELSEWHERE: Final[dict[int | str, dict[str, Any]]] = {
    404: {"description": "There is no such region, or it is not yours to see."}
}


class ListIn(Body):
    """One list that the bulletin rests on."""

    list: Annotated[str, Field(pattern=r"^[a-z]+\.[a-z_]+\.[0-9A-Z-]{1,16}$")]
    list_hash: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    closed: bool = False


class BulletinIn(Body):
    """A bulletin to publish."""

    region: Annotated[str, Field(pattern=r"^[1-9][0-9]{5}$", description="GB/T 2260 code.")]
    period: Annotated[str, Field(max_length=20), AfterValidator(lambda text: days_of(text) and text)]
    title: Annotated[str, Field(min_length=1, max_length=120), Line]
    issue: Annotated[str, Field(max_length=40), Line] = ""
    issuer: Annotated[str, Field(max_length=60), Line] = ""
    pdf_sha256: Sha256
    html_sha256: Sha256
    figures_sha256: Sha256
    rules: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$", description="Hash of the rule pack.")]
    positions: Annotated[
        dict[Annotated[str, Field(pattern=r"^[A-Z]{1,16}$")], Annotated[int, Field(ge=0, le=2**53)]],
        Field(max_length=8),
    ]
    lists: Annotated[tuple[ListIn, ...], Field(max_length=32)] = ()
    by: Role | None = None


class ListOut(BaseModel):
    """One list that a bulletin rests on."""

    list: str
    list_hash: str
    closed: bool


class BulletinOut(BaseModel):
    """A published bulletin."""

    region: str
    period: str
    first: str
    last: str
    title: str
    issue: str
    issuer: str
    revision: int = Field(description="1, 2, … for each region and period; the highest stands.")
    pdf_sha256: str
    html_sha256: str
    figures_sha256: str
    rules: str | None = Field(description="Hash of the rule pack.")
    positions: dict[str, int]
    lists: tuple[ListOut, ...]
    published_at: Instant
    event_id: str = Field(description="Of BulletinPublished, for the archive.")

    @classmethod
    def of(cls, bulletin: Published) -> "BulletinOut":
        """Render what was published."""
        return cls(**_fields(bulletin))


def _fields(bulletin: Published) -> dict[str, Any]:
    same = (
        "region", "period", "first", "last", "title", "issue", "issuer", "revision", "pdf_sha256",
        "html_sha256", "figures_sha256", "rules", "published_at", "event_id",
    )  # fmt: skip
    return {name: getattr(bulletin, name) for name in same} | {
        "positions": dict(bulletin.positions),
        "lists": tuple(
            ListOut(list=key, list_hash=list_hash, closed=closed) for key, list_hash, closed in bulletin.lists
        ),
    }


class VerifiedOut(BulletinOut):
    """What a file is."""

    form: Literal["pdf", "html"] = Field(description="Which of the two files it is.")
    stands: bool = Field(description="False: a later revision was published for the region and period.")
    standing_revision: int


class BulletinPage(BaseModel):
    """Published bulletins, the last first."""

    items: tuple[BulletinOut, ...]


class CaseFiguresOut(BaseModel):
    """What became of cases in the period."""

    opened: int
    unsettled: int = Field(description="Of the opened, still with something to do.")
    answered: int
    on_time: int = Field(description="Of the answered, no deadline was ever missed.")
    reopened: int = Field(description="Of the answered, refused at least once.")
    closed: int
    confirmed: int = Field(description="Of the closed, by the citizen's own word.")
    median_days: float | None = Field(description="Of the answered; calendar days to the first answer.")


class GroupOut(CaseFiguresOut):
    """The same of one city, county or window below the region."""

    group: str = Field(description="Code of the division, or id of the unit.")


class CasesOut(BaseModel):
    """What a bulletin says of cases, before small groups are hidden."""

    region: str
    first: date
    last: date
    positions: dict[str, int]
    whole: CaseFiguresOut
    below: tuple[GroupOut, ...]

    @classmethod
    def of(cls, region: str, first: date, last: date, found: CasesOfPeriod) -> "CasesOut":
        """Render the figures."""
        return cls(
            region=region,
            first=first,
            last=last,
            positions={"CASES": found.position},
            whole=CaseFiguresOut(**_figures(found.whole)),
            below=tuple(GroupOut(group=name, **_figures(each)) for name, each in found.below),
        )


def _figures(figures: PeriodFigures) -> dict[str, Any]:
    return {name: getattr(figures, name) for name in CaseFiguresOut.model_fields}


def make_bulletins_router(
    store: BulletinStore,
    publish: PublishBulletin,
    read_cases: ReadCasesOfPeriod,
    places: Places,
    units: UnitRegistry,
) -> APIRouter:
    """Return the routes under ``/v1/bulletins``."""
    router = APIRouter(prefix="/v1/bulletins", tags=["bulletins"])

    def require(actor: Principal, permission: Permission, region: str, path: str) -> None:
        bureau_of(region, units)
        require_within(actor, permission, Place.of_tokens(*tokens_of(region)), lambda: _none(region), path)

    @router.get("/cases", summary="What a bulletin says of cases", responses=_ELSEWHERE)
    async def cases_of_period(
        region: RegionCode,
        first: Annotated[date, Query(description="First day, Asia/Shanghai.")],
        last: Annotated[date, Query(description="Last day.")],
        request: Request,
        actor: _Reader,
    ) -> CasesOut:
        require(actor, Permission.BULLETINS_DRAFT, region, request.url.path)
        city, county = (None if token == "all" else token for token in tokens_of(region))  # noqa: S105 - a subject's
        seen = places.seen_by(actor, CaseFilter(city=city, county=county))
        return CasesOut.of(region, first, last, read_cases(region, first, last, seen))

    @router.post(
        "",
        summary="Publish a bulletin",
        description="The same files again change nothing (200); others for the same region and period are "
        "its next revision.",
        status_code=201,
        responses={**_ELSEWHERE, 200: {"model": BulletinOut, "description": "It was published before."}},
    )
    async def publish_bulletin(
        body: BulletinIn, request: Request, response: Response, actor: _Publisher
    ) -> BulletinOut:
        require(actor, Permission.BULLETINS_PUBLISH, body.region, request.url.path)
        by = acting(actor, body.by, "by", request.url.path)
        context = current_context()
        published, repeated = await publish(
            _wanted(body),
            by=by,
            provenance=Provenance(context.correlation_id or body.pdf_sha256, None, context.traceparent),
        )
        if repeated:
            response.status_code = 200
        return BulletinOut.of(published)

    @router.get("", summary="Published bulletins, the last first", dependencies=[PUBLIC])
    async def list_bulletins(
        region: Annotated[
            str | None, Query(pattern=r"^[1-9][0-9]{5}$", description="Of this division.")
        ] = None,
        period: Annotated[str | None, Query(max_length=20, description="Of this period.")] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    ) -> BulletinPage:
        found = store.require_caught_up().newest(region, period)
        return BulletinPage(items=tuple(BulletinOut.of(each) for each, _ in zip(found, range(limit))))  # noqa: B905 - the shorter one ends it

    @router.get("/files/{sha256}", summary="Whether a file is a published one", dependencies=[PUBLIC])
    async def verify(
        sha256: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="Of the whole file.")],
    ) -> VerifiedOut:
        found = store.require_caught_up().verify(sha256)
        return VerifiedOut(
            **_fields(found.bulletin),
            form=found.form,
            stands=found.standing.revision == found.bulletin.revision,
            standing_revision=found.standing.revision,
        )

    return router


def _wanted(body: BulletinIn) -> Wanted:
    same = (
        "region", "period", "title", "issue", "issuer", "pdf_sha256", "html_sha256", "figures_sha256",
        "rules", "positions",
    )  # fmt: skip
    return Wanted(
        **{name: getattr(body, name) for name in same},
        lists=tuple((each.list, each.list_hash, each.closed) for each in body.lists),
    )


def _none(region: str) -> BulletinNotFoundError:
    return BulletinNotFoundError(region, "the code of a division", "look it up", field="region")
