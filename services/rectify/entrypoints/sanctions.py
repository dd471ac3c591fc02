"""The routes of sanctions and nominations."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, FastAPI, Header, Path, Query, Request, Response

from services.rectify.application.ladder_ports import LadderBooks
from services.rectify.application.sanctioning import (
    SanctionChangedError,
    Sanctioning,
    no_nomination,
    no_sanction,
)
from services.rectify.domain.nominations import Nomination, NominationStatus
from services.rectify.domain.sanctions import Sanction, SanctionStatus, Why
from services.rectify.entrypoints.conflicts import with_newer
from services.rectify.entrypoints.positions import parse_cursor, parse_etag
from services.rectify.entrypoints.sanction_answers import (
    AppealIn,
    ConfirmIn,
    DecideIn,
    NominationList,
    NominationOut,
    RejectIn,
    SanctionDetailOut,
    SanctionMove,
    SanctionOut,
    SanctionPage,
    SignIn,
    StrikeOut,
    newest_first,
)
from shared.auth.access import acting, require_within, requires
from shared.auth.grants import Permission, Verdict, judge
from shared.auth.principals import Place, Principal
from shared.kernel.grades import Level
from shared.kernel.units import ALL, UnitRegistry
from shared.observability.tracing import current_context

MAX_PAGE: Final = 200

SanctionId = Annotated[str, Path(max_length=64, description="Id of the sanction.")]
NominationId = Annotated[str, Path(max_length=64, description="Id of the nomination.")]
IfMatch = Annotated[str | None, Header(alias="If-Match", max_length=64)]
CityParam = Annotated[str | None, Query(pattern="^([0-9]{4}|all)$", description="Of this city.")]
CountyParam = Annotated[str | None, Query(pattern="^([0-9]{6}|all)$", description="Of this county.")]

_Reader = Annotated[Principal, requires(Permission.SANCTIONS_READ)]
_Signer = Annotated[Principal, requires(Permission.SANCTIONS_SIGN)]
_Appellant = Annotated[Principal, requires(Permission.SANCTIONS_APPEAL)]
_Confirmer = Annotated[Principal, requires(Permission.NOMINATIONS_CONFIRM)]
_LOST: Final[dict[int | str, dict[str, Any]]] = {
    409: {"description": "It does not allow that as it stands, or somebody was faster."}
}


@dataclass(frozen=True, slots=True)
class _Filter:
    """Where; None: anywhere."""

    unit_id: str | None
    city: str | None
    county: str | None

    def has(self, city: str, county: str) -> bool:
        """Whether a place is meant."""
        return self.city in {None, city} and self.county in {None, county}


def _filter(
    unit_id: Annotated[str | None, Query(max_length=64, description="About this unit.")] = None,
    city: CityParam = None,
    county: CountyParam = None,
) -> _Filter:
    return _Filter(unit_id, city, county)


_Where = Annotated[_Filter, Depends(_filter)]


class _Call:
    """What the requests that move a sanction have in common."""

    def __init__(self, request: Request, response: Response, if_match: IfMatch = None) -> None:
        self.request, self.response, self.if_match = request, response, if_match


_CallOf = Annotated[_Call, Depends()]


def install_sanction_errors(app: FastAPI) -> None:
    """Answer a lost race with the newer state beside the problem."""

    async def on_changed(request: Request, error: Exception) -> Response:
        if not isinstance(error, SanctionChangedError):  # pragma: no cover - registered for it
            raise error
        out = SanctionOut.of_stored(error.stored, error.stored.sanction.proposed_at)
        state = out.model_dump(mode="json", exclude={"open_moves"})
        return with_newer(error, request.url.path, {"sanction": state}, out.etag)

    app.add_exception_handler(SanctionChangedError, on_changed)


class Reach:
    """Where sanctions and nominations belong, and so who may see and decide them."""

    def __init__(self, units: UnitRegistry) -> None:
        """`units` say where each of them is."""
        self._units = units

    def place(self, unit_id: str, city: str, county: str) -> Place:
        """Where a unit is."""
        if unit_id in self._units:
            return Place.of_unit(self._units.get(unit_id))
        return Place.of_tokens(city, county, unit_id)

    def sees(self, actor: Principal) -> Callable[[str, str, str], bool]:
        """Tells whether `actor` may see what is about a unit, given city, county and unit."""

        def look(city: str, county: str, unit_id: str) -> bool:
            return (
                judge(actor, Permission.SANCTIONS_READ, self.place(unit_id, city, county)) is Verdict.GRANTED
            )

        return look

    def require(self, actor: Principal, permission: Permission, sanction: Sanction, path: str) -> None:
        """Return if `actor` may do it.

        Raises:
            SanctionNotFoundError: none of theirs to know of.
            ProblemError: 403, they see it, but it is not theirs to do.
        """
        place = self.place(sanction.unit_id, sanction.city, sanction.county)
        require_within(actor, permission, place, lambda: no_sanction(sanction.sanction_id), path)

    def require_word(self, actor: Principal, nomination: Nomination, level: Level, path: str) -> None:
        """Return if `actor` may speak for `level`: for what comes from one level below; raises likewise."""
        own = self.place(nomination.unit_id, nomination.city, nomination.county)
        below = {
            Level.COUNTY: own,
            Level.CITY: Place(Level.COUNTY, nomination.city, nomination.county),
            Level.PROVINCE: Place(Level.CITY, nomination.city, ALL),
        }.get(level, own)
        place = own if own.level is below.level else below
        require_within(
            actor,
            Permission.NOMINATIONS_CONFIRM,
            place,
            lambda: no_nomination(nomination.nomination_id),
            path,
        )


def make_sanctions_router(sanctioning: Sanctioning, books: LadderBooks, reach: Reach) -> APIRouter:
    """Return the routes under ``/v1/sanctions`` and ``/v1/nominations``."""
    router = APIRouter(prefix="/v1", tags=["sanctions"], responses=_LOST)
    _add_sanctions(router, sanctioning, books, reach)
    _add_nominations(router, sanctioning, books, reach)
    return router


def _add_sanctions(router: APIRouter, sanctioning: Sanctioning, books: LadderBooks, reach: Reach) -> None:
    @router.get("/sanctions", summary="Sanctions, the last changed first")
    async def list_sanctions(
        actor: _Reader,
        at: _Where,
        status: Annotated[SanctionStatus | None, Query(description="That stand there.")] = None,
        ground: Annotated[Why | None, Query(description="For this.")] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
        cursor: Annotated[str | None, Query(max_length=32, description="From the previous page.")] = None,
    ) -> SanctionPage:
        sees, before = reach.sees(actor), parse_cursor(cursor)
        found = newest_first(
            [
                (sanction, kept)
                for sanction, kept in books.require_caught_up().sanctions(at.unit_id)
                if at.has(sanction.city, sanction.county)
                and (status is None or sanction.status is status)
                and (ground is None or sanction.ground is ground)
                and (before is None or kept.sequence < before)
                and sees(sanction.city, sanction.county, sanction.unit_id)
            ]
        )
        now = sanctioning.now()
        return SanctionPage(
            items=tuple(SanctionOut.of(sanction, kept.sequence, now) for sanction, kept in found[:limit]),
            next=str(found[limit - 1][1].sequence) if len(found) > limit else None,
        )

    @router.get("/sanctions/{sanction_id}", summary="One sanction and the strikes that it rests on")
    async def get_sanction(
        sanction_id: SanctionId, request: Request, response: Response, actor: _Reader
    ) -> SanctionDetailOut:
        stored = await sanctioning.sanction(sanction_id)
        reach.require(actor, Permission.SANCTIONS_READ, stored.sanction, request.url.path)
        book = books.require_caught_up()
        strikes = [book.strike(each) for each in stored.sanction.strikes]
        out = SanctionOut.of_stored(stored, sanctioning.now())
        response.headers["ETag"] = out.etag
        return SanctionDetailOut(
            **out.model_dump(),
            counted=tuple(StrikeOut.of(strike) for strike in strikes if strike is not None),
        )

    async def move(
        sanction_id: str, body: SanctionMove, call: _Call, actor: Principal, permission: Permission
    ) -> SanctionOut:
        path = call.request.url.path
        stored = await sanctioning.sanction(sanction_id)
        reach.require(actor, permission, stored.sanction, path)
        who = acting(actor, body.by, "by", path)
        after = await sanctioning.ask(
            sanction_id,
            body.asked(who),
            by=who,
            if_match=parse_etag(call.if_match),
            traceparent=current_context().traceparent,
        )
        out = SanctionOut.of_stored(after, sanctioning.now())
        call.response.headers["ETag"] = out.etag
        return out

    @router.post("/sanctions/{sanction_id}/signature", summary="Sign a proposal: it is in force")
    async def sign(sanction_id: SanctionId, body: SignIn, call: _CallOf, actor: _Signer) -> SanctionOut:
        return await move(sanction_id, body, call, actor, Permission.SANCTIONS_SIGN)

    @router.post("/sanctions/{sanction_id}/rejection", summary="Refuse to sign: the strike falls away")
    async def reject(sanction_id: SanctionId, body: RejectIn, call: _CallOf, actor: _Signer) -> SanctionOut:
        return await move(sanction_id, body, call, actor, Permission.SANCTIONS_SIGN)

    @router.post("/sanctions/{sanction_id}/appeal", summary="Appeal, for the unit that it is about")
    async def appeal(
        sanction_id: SanctionId, body: AppealIn, call: _CallOf, actor: _Appellant
    ) -> SanctionOut:
        return await move(sanction_id, body, call, actor, Permission.SANCTIONS_APPEAL)

    @router.post("/sanctions/{sanction_id}/decision", summary="Decide an appeal; never who signed")
    async def decide(sanction_id: SanctionId, body: DecideIn, call: _CallOf, actor: _Signer) -> SanctionOut:
        return await move(sanction_id, body, call, actor, Permission.SANCTIONS_SIGN)


def _add_nominations(router: APIRouter, sanctioning: Sanctioning, books: LadderBooks, reach: Reach) -> None:
    @router.get("/nominations", summary="Nominations, by list and rank")
    async def list_nominations(
        actor: _Reader,
        at: _Where,
        period: Annotated[str | None, Query(max_length=8, description="2026Q4 or 2026.")] = None,
        status: Annotated[NominationStatus | None, Query(description="That stand there.")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    ) -> NominationList:
        sees = reach.sees(actor)
        found = [
            nomination
            for nomination, _ in books.require_caught_up().nominations(at.unit_id)
            if at.has(nomination.city, nomination.county)
            and (period is None or nomination.period == period)
            and (status is None or nomination.status is status)
            and sees(nomination.city, nomination.county, nomination.unit_id)
        ]
        found.sort(key=lambda each: (each.period, each.list, each.rank, each.unit_id))
        return NominationList(items=tuple(NominationOut.of(each) for each in found[:limit]))

    @router.post("/nominations/{nomination_id}/confirmation", summary="One level's word for a nomination")
    async def confirm(
        nomination_id: NominationId, body: ConfirmIn, request: Request, actor: _Confirmer
    ) -> NominationOut:
        stored = await sanctioning.nomination(nomination_id)
        nomination, own = stored.nomination, actor.scope.tier.value
        spoken = any(each.at_level.value == own for each in nomination.confirmations)
        level = Level(own) if spoken or nomination.awaits is None else nomination.awaits
        reach.require_word(actor, nomination, level, request.url.path)
        who = acting(actor, body.by, "by", request.url.path)
        after = await sanctioning.confirm(
            stored, by=who, level=level, traceparent=current_context().traceparent
        )
        return NominationOut.of_stored(after)
