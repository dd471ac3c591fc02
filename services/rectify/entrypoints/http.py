"""The routes of rectify: cases for those who work on them, one's own case for citizens."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response

from services.rectify.application.desk import Desk
from services.rectify.application.handlers import ByHand, CitizensWord, MoveCase, OpenByHand, ReadCases
from services.rectify.application.ports import StoredCase, Texts
from services.rectify.domain.book import CaseFilter
from services.rectify.domain.case import CaseClass, Status
from services.rectify.entrypoints.access import Places
from services.rectify.entrypoints.answers import (
    CaseOut,
    CasePage,
    CitizenOut,
    DetailOut,
    FiguresOut,
    SummaryOut,
    Worklist,
)
from services.rectify.entrypoints.bodies import MoveIn, OpenIn, RefuseIn
from services.rectify.entrypoints.conflicts import CONFLICT
from services.rectify.entrypoints.permitting import only_if, require_move
from services.rectify.entrypoints.positions import parse_cursor, parse_etag
from shared.auth.access import PUBLIC, acting, requires
from shared.auth.grants import Permission
from shared.auth.principals import Principal
from shared.kernel.errors import InvalidValueError
from shared.observability.tracing import current_context

MAX_PAGE: Final = 200

CaseId = Annotated[str, Path(max_length=64, description="Id of the case.")]
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200)]
Code = Annotated[str, Path(max_length=64, description="The code of the rating's receipt.")]


def _filter(  # noqa: PLR0913, PLR0917 - the parameters of a query
    unit_id: Annotated[str | None, Query(max_length=64, description="About it, or assigned to it.")] = None,
    city: Annotated[str | None, Query(pattern="^([0-9]{4}|all)$", description="Of this city.")] = None,
    county: Annotated[str | None, Query(pattern="^([0-9]{6}|all)$", description="Of this county.")] = None,
    status: Annotated[Status | None, Query(description="That stand there.")] = None,
    case_class: Annotated[CaseClass | None, Query(description="Of this class.")] = None,
    handler: Annotated[str | None, Query(max_length=64, description="Of this post or account.")] = None,
    overdue: Annotated[bool | None, Query(description="Where something should have been done.")] = None,
    open: Annotated[bool | None, Query(description="With something to do.")] = None,  # noqa: A002 - its name on the wire
    mine: Annotated[
        bool | None, Query(description="That I, the token's subject, or my unit or bureau answer for.")
    ] = None,
) -> CaseFilter:
    return CaseFilter(unit_id, city, county, status, case_class, handler, overdue, open, mine)


Wanted = Annotated[CaseFilter, Depends(_filter)]


def _answer(stored: StoredCase, response: Response) -> CaseOut:
    response.headers["ETag"] = f'"{stored.sequence}"'
    return CaseOut.of(stored)


_Reader = Annotated[Principal, requires(Permission.CASES_READ)]
_Mover = Annotated[Principal, requires(Permission.CASES_MOVE)]
_Judge = Annotated[Principal, requires(Permission.CASES_JUDGE)]
_Eraser = Annotated[Principal, requires(Permission.IDENTITY_ERASE)]


def make_router(
    desk: Desk, read: ReadCases, move: MoveCase, open_case: OpenByHand, texts: Texts, places: Places
) -> APIRouter:
    """Return the routes under ``/v1/cases``; `places` tell where a case belongs."""
    router = APIRouter(prefix="/v1/cases", tags=["cases"], responses=CONFLICT)

    @router.get("", summary="Cases, the last changed first")
    async def list_cases(
        wanted: Wanted,
        actor: _Reader,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
        cursor: Annotated[str | None, Query(max_length=32, description="From the previous page.")] = None,
    ) -> CasePage:
        found, more = read.page(places.seen_by(actor, wanted), limit=limit, before=parse_cursor(cursor))
        now = desk.now()
        return CasePage(
            items=tuple(SummaryOut.of(case, now) for case in found), next=None if more is None else str(more)
        )

    @router.get("/worklist", summary="What has to be done, what burns first at the top")
    async def worklist(
        wanted: Wanted,
        actor: _Reader,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    ) -> Worklist:
        now = desk.now()
        return Worklist(
            items=tuple(
                SummaryOut.of(case, now) for case in read.worklist(places.seen_by(actor, wanted), limit=limit)
            )
        )

    @router.get("/figures", summary="On time, confirmed, reopened, median days")
    async def figures(wanted: Wanted, actor: _Reader) -> FiguresOut:
        return FiguresOut.of(read.figures(places.seen_by(actor, wanted)))

    @router.post("", summary="Open a case by hand or for a finding", status_code=201)
    async def open_by_hand(
        body: OpenIn, request: Request, response: Response, actor: _Judge, key: Key = None
    ) -> CaseOut:
        if key is None:
            raise InvalidValueError(
                None, "an Idempotency-Key", "send a key of your own, so that a retry opens nothing twice",
                field="Idempotency-Key",
            )  # fmt: skip
        places.require_unit(actor, Permission.CASES_JUDGE, body.unit_id, request.url.path)
        by = acting(actor, body.by, "by", request.url.path)
        context = current_context()
        stored = await open_case(
            ByHand(body.unit_id, body.origin, body.ref, body.reason),
            by=by,
            key=key,
            correlation_id=context.correlation_id or key,
        )
        return _answer(stored, response)

    @router.get("/{case_id}", summary="One case with plan, answer, history and open moves")
    async def get_case(case_id: CaseId, request: Request, response: Response, actor: _Reader) -> DetailOut:
        opened = await read.get(case_id)
        places.require(actor, Permission.CASES_READ, opened.stored.case, request.url.path)
        response.headers["ETag"] = f'"{opened.stored.sequence}"'
        return DetailOut.of_opened(opened)

    @router.post(
        "/{case_id}/moves",
        summary="Move a case",
        description="Idempotent by Idempotency-Key. 409: the case doesn't allow it, or has changed since "
        "the ETag in If-Match; the answer says what is missing and which moves are open, or holds the newer "
        "state.",
    )
    async def move_case(
        case_id: CaseId,
        body: MoveIn,
        request: Request,
        response: Response,
        actor: _Mover,
        key: Key = None,
        if_match: Annotated[str | None, Header(alias="If-Match", max_length=64)] = None,
    ) -> CaseOut:
        stored = await desk.load(case_id)
        require_move(places, actor, body, body.move, stored, request.url.path)
        by = acting(actor, body.by, "by", request.url.path)
        moved = await move(
            case_id,
            body.model_copy(update={"by": by}).asked(),
            by=by,
            key=key,
            if_match=only_if(body, body.move, stored, parse_etag(if_match)),
            traceparent=current_context().traceparent,
        )
        return _answer(moved, response)

    @router.delete("/{case_id}/texts", summary="Erase all texts of a case, for good")
    async def erase_texts(case_id: CaseId, request: Request, actor: _Eraser) -> dict[str, Any]:
        stored = await desk.load(case_id)
        places.require(actor, Permission.IDENTITY_ERASE, stored.case, request.url.path)
        return {"case_id": case_id, "erased": await texts.erase(case_id)}

    return router


def make_citizens_router(word: CitizensWord) -> APIRouter:
    """Return the routes under ``/v1/receipts``: open to whoever holds a code."""
    router = APIRouter(prefix="/v1/receipts", tags=["citizens"], responses=CONFLICT)

    @router.get("/{code}/case", summary="Where one's own case stands", dependencies=[PUBLIC])
    async def own_case(code: Code) -> CitizenOut:
        return CitizenOut.of(await word.look(code))

    @router.post("/{code}/case/confirm", summary="Accept the answer", dependencies=[PUBLIC])
    async def confirm(code: Code, key: Key = None) -> CitizenOut:
        return CitizenOut.of(await word.confirm(code, key=key))

    @router.post(
        "/{code}/case/refuse",
        summary="Don't accept the answer: it is open again",
        dependencies=[PUBLIC],
    )
    async def refuse(code: Code, body: RefuseIn, key: Key = None) -> CitizenOut:
        return CitizenOut.of(await word.refuse(code, body.reason, key=key))

    return router
