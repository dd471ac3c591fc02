"""The HTTP API of the audit log: read and verify, nothing else."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from services.archive.application import handlers
from services.archive.application.ports import EntryLog
from services.archive.application.reading import Reads
from services.archive.application.verifying import Verification, VerificationBusyError
from services.archive.domain import reads as told
from services.archive.entrypoints import answers
from services.archive.entrypoints.cursors import decode_cursor, encode_cursor
from services.archive.entrypoints.exports import MEDIA_TYPES, Form, export_response
from services.archive.entrypoints.parameters import Asked, asked, in_words
from services.archive.entrypoints.readers import narrowed, reader_of, visible_to
from shared.auth.access import PUBLIC, refusal, requires
from shared.auth.grants import Permission, holds
from shared.auth.principals import Principal
from shared.kernel.errors import InvalidValueError
from shared.messaging.streams import ARCHIVED
from shared.observability.negotiation import preferred
from shared.observability.problem import MEDIA_TYPE, Problem, ProblemError, urn

MAX_LIMIT: Final = 500
DEFAULT_LIMIT: Final = 100
MAX_CURSOR: Final = 512
BUSY: Final = 429
JSON: Final = "application/json"

_PROBLEM: Final[dict[str, Any]] = {"content": {MEDIA_TYPE: {"schema": {"type": "object"}}}}
PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    422: {"description": "A parameter is not valid; the answer names it.", **_PROBLEM},
    503: {"description": "MongoDB or the broker is away, or the query takes too long.", **_PROBLEM},
}
_FORMS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {kind: {"schema": {"type": "string"}} for kind in MEDIA_TYPES.values()}}
}


def _path_of(request: Request) -> str:
    return request.url.path


_Path = Annotated[str, Depends(_path_of)]


class _Pages:
    """How much, from where on, and in which form."""

    def __init__(
        self,
        request: Request,
        limit: Annotated[
            int | None,
            Query(ge=1, le=MAX_LIMIT, description=f"Most items of the page; {DEFAULT_LIMIT} if left out."),
        ] = None,
        cursor: Annotated[
            str | None, Query(max_length=MAX_CURSOR, description="`next` of the page before.")
        ] = None,
        form: Annotated[
            Literal["json", "csv", "ndjson"] | None,
            Query(
                alias="format",
                description="json: a page. csv, ndjson: all that match, streamed. Left out: what the header "
                "Accept prefers, else json.",
            ),
        ] = None,
    ) -> None:
        wanted = preferred(request.headers.get("accept", ""), JSON, MEDIA_TYPES.values())
        by_accept: dict[str, Form] = {MEDIA_TYPES[each]: each for each in ("csv", "ndjson")}
        self.export: Form | None = by_accept.get(wanted) if form is None else None if form == "json" else form
        if self.export is not None and (limit is not None or cursor is not None):
            name, value = ("limit", limit) if limit is not None else ("cursor", cursor)
            raise InvalidValueError(
                value, f"no {name} with {self.export}", "leave it out: an export has everything", field=name
            )
        self.limit = DEFAULT_LIMIT if limit is None else limit
        self.cursor = cursor


_Who = Annotated[Principal, requires(Permission.RECORDS_READ)]


def make_router(entry_log: EntryLog, reads: Reads, verification: Verification) -> APIRouter:
    """The routes on ``entry_log`` and ``verification``."""
    router = APIRouter(prefix="/v1", responses=PROBLEMS)

    @router.get("/events", tags=["events"], response_model=answers.PageAnswer, responses=_FORMS)
    async def list_events(
        who: _Who, wanted: Annotated[Asked, Depends(asked)], pages: Annotated[_Pages, Depends()], path: _Path
    ) -> Response:
        """List events that meet all conditions, a page at a time, or export all of them.

        Pages are in order of time, then index, where a condition is on unit, region, type, actor or time;
        else in the order of the log. All pages, and an export, are of the log as it was at the first of them:
        its `size` entries never change, so nothing is skipped or repeated while events arrive.
        `since=<size>` gives what arrived later, in the order of the log. A page may be shorter than `limit`,
        even empty; the end is `next: null`. Reads of people's records, and exports, are archived themselves.
        Whoever is not of the province gets what is of their own city or county.
        """
        await reads.require_possible(wanted.query)
        query, reader = narrowed(wanted.query, wanted.words.get("region"), who), reader_of(who)
        if pages.export is not None:
            if not holds(who, Permission.RECORDS_EXPORT):
                raise refusal(f"{who.subject} may read records and not export them.", path)
            request = told.Request(reader, "export", pages.export, wanted.words)
            return export_response(await reads.export(request, query), pages.export)
        resume = None if pages.cursor is None else decode_cursor(pages.cursor, query)
        request = told.Request(reader, "page", "json", wanted.words)
        page = await reads.page(request, query, resume, pages.limit)
        cursor = None if page.next is None else encode_cursor(page.snapshot, page.next, query)
        return answers.page_response(page, cursor)

    @router.get(
        "/events/{event_id}",
        tags=["events"],
        response_model=answers.EventAnswer,
        responses={404: {"description": "No such event is archived.", **_PROBLEM}},
    )
    async def find_event(event_id: str, who: _Who) -> Response:
        """Return one event by its id, with any later message that carried the same id."""
        request = told.Request(reader_of(who), "event", "json", in_words({"event_id": event_id}))
        return answers.event_response(await reads.event(request, event_id, visible_to(who)))

    @router.get("/head", tags=["log"], dependencies=[PUBLIC])
    async def read_head() -> answers.StateAnswer:
        """Return the end of the log: its index, and the last sequence of each stream."""
        return answers.state_answer(await handlers.read_state(entry_log, ARCHIVED))

    @router.get(
        "/verify",
        tags=["log"],
        dependencies=[requires(Permission.LOG_VERIFY)],
        responses={BUSY: {"description": "Another verification runs; see Retry-After.", **_PROBLEM}},
    )
    async def verify(
        against: Annotated[
            Literal["sample", "stream"],
            Query(description="Compare a sample of each stream's messages with the log, or all of them."),
        ] = "sample",
    ) -> answers.VerifyAnswer:
        """Read the whole log and check it: indexes, hashes, fields, and the broker's streams."""
        try:
            return answers.verify_answer(await verification.run(against))
        except VerificationBusyError as error:
            seconds = str(round(error.retry_after_s or 1))
            problem = Problem(urn("busy"), "Another verification runs", BUSY, str(error), "/v1/verify")
            raise ProblemError(problem, {"Retry-After": seconds}) from error

    return router
