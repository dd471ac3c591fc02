"""The HTTP API of the audit log: read and verify, nothing else."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Path, Query, Response

from services.archive.application import handlers
from services.archive.application.forks import Forks
from services.archive.application.ports import EntryLog, EventQuery, Order
from services.archive.application.verifying import Verification, VerificationBusyError
from services.archive.domain.subjects import SubjectFilter
from services.archive.entrypoints import answers
from services.archive.entrypoints.cursors import decode_cursor, encode_cursor
from shared.kernel.clock import parse_rfc3339
from shared.kernel.errors import InvalidValueError
from shared.messaging.streams import ARCHIVED
from shared.observability.problem import MEDIA_TYPE, Problem, ProblemError, urn

MAX_LIMIT: Final = 500
DEFAULT_LIMIT: Final = 100
BUSY: Final = 429

_PROBLEM: Final[dict[str, Any]] = {"content": {MEDIA_TYPE: {"schema": {"type": "object"}}}}
PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    422: {"description": "A parameter is not valid; the answer names it.", **_PROBLEM},
    503: {"description": "MongoDB or the broker is away, or the query takes too long.", **_PROBLEM},
}

Text = Annotated[str | None, Query(min_length=1, max_length=256)]


@dataclass(frozen=True, slots=True)
class _Region:
    """City and county as the subjects have them: GB/T 2260 with 4 and 6 digits, or 'all'."""

    city: str | None
    county: str | None


def _region(
    city: Annotated[
        str | None, Query(pattern=r"^(\d{4}|all)$", description="Prefecture, 4 digits, with its counties.")
    ] = None,
    county: Annotated[str | None, Query(pattern=r"^(\d{6}|all)$", description="County, 6 digits.")] = None,
) -> _Region:
    return _Region(city, county)


@dataclass(frozen=True, slots=True)
class _Period:
    start: datetime | None
    end: datetime | None


def _period(
    start: Annotated[
        str | None, Query(alias="from", description="Earliest time of the fact, RFC 3339 with offset.")
    ] = None,
    end: Annotated[
        str | None, Query(alias="to", description="Time before which the fact was, RFC 3339 with offset.")
    ] = None,
) -> _Period:
    first, last = _moment("from", start), _moment("to", end)
    if first is not None and last is not None and first > last:
        raise InvalidValueError(
            start, f"a time not after `to`, which is {end}", "swap the two or correct one", field="from"
        )
    return _Period(first, last)


def _moment(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_rfc3339(text)
    except InvalidValueError as error:
        # A '+' that was not escaped arrives as a blank: the commonest mistake with times in addresses.
        remedy = "write + as %2B in an address" if " " in text else error.remedy
        raise InvalidValueError(text, error.expected, remedy, field=name) from error


@dataclass(frozen=True, slots=True)
class _Message:
    subject: SubjectFilter | None
    type: str | None
    stream: str | None


def _message(
    subject: Annotated[Text, Query(description="NATS subject, with * and > as wildcards.")] = None,
    event_type: Annotated[Text, Query(alias="type", description="CloudEvents type.")] = None,
    stream: Annotated[Text, Query(description="Archived stream.")] = None,
) -> _Message:
    if stream is not None and stream not in ARCHIVED:
        raise InvalidValueError(
            stream, f"one of {', '.join(ARCHIVED)}", "name an archived stream", field="stream"
        )
    return _Message(None if subject is None else SubjectFilter.parse(subject), event_type, stream)


def _query(
    region: Annotated[_Region, Depends(_region)],
    period: Annotated[_Period, Depends(_period)],
    message: Annotated[_Message, Depends(_message)],
    unit_id: Annotated[Text, Query(description="Unit that the event is about.")] = None,
    correlation_id: Annotated[Text, Query(description="Correlation id of the first request.")] = None,
    order: Annotated[Order, Query(description="asc: oldest entry first; desc: newest first.")] = "asc",
) -> EventQuery:
    return EventQuery(
        unit_id=unit_id,
        subject=message.subject,
        type=message.type,
        stream=message.stream,
        correlation_id=correlation_id,
        city=region.city,
        county=region.county,
        start=period.start,
        end=period.end,
        order=order,
    )


def make_router(entry_log: EntryLog, verification: Verification, forks: Forks) -> APIRouter:
    """The routes on ``entry_log``, ``verification`` and ``forks``."""
    router = APIRouter(prefix="/v1", responses=PROBLEMS)

    @router.get("/events", tags=["events"], response_model=answers.PageAnswer)
    async def list_events(
        query: Annotated[EventQuery, Depends(_query)],
        limit: Annotated[
            int, Query(ge=1, le=MAX_LIMIT, description="Most items of the page.")
        ] = DEFAULT_LIMIT,
        cursor: Annotated[str | None, Query(max_length=256, description="`next` of the page before.")] = None,
    ) -> Response:
        """List events that meet all conditions, in the order in which they were archived.

        That order (by index) never changes and new events come last, so paging neither skips nor repeats
        anything while events arrive. A page may be shorter than ``limit``; the end is ``next: null``.
        """
        after = None if cursor is None else decode_cursor(cursor, query)
        page = await handlers.list_events(entry_log, query, after, limit)
        return answers.page_response(page, None if page.next is None else encode_cursor(page.next, query))

    @router.get(
        "/events/{event_id}",
        tags=["events"],
        response_model=answers.EventAnswer,
        responses={404: {"description": "No such event is archived.", **_PROBLEM}},
    )
    async def find_event(event_id: str) -> Response:
        """Return one event by its id, with any later message that carried the same id."""
        return answers.event_response(await handlers.find_event(entry_log, event_id))

    @router.get("/head", tags=["log"])
    async def read_head() -> answers.StateAnswer:
        """Return the end of the log: its index, and the last sequence of each stream."""
        return answers.state_answer(await handlers.read_state(entry_log, ARCHIVED))

    @router.get(
        "/streams/{stream}/fork",
        tags=["log"],
        responses={409: {"description": "The stream is archived: there is nothing to decide.", **_PROBLEM}},
    )
    async def find_fork(stream: Annotated[str, Path(description="Archived stream.")]) -> answers.ForkAnswer:
        """Tell up to where a refused stream and the log agree, and what accepting it would mean.

        Reads both up to there. `pingyi audit accept` shows it and makes the decision.
        """
        if stream not in ARCHIVED:
            raise InvalidValueError(
                stream, f"one of {', '.join(ARCHIVED)}", "name an archived stream", field="stream"
            )
        return answers.fork_answer(await forks.find(stream))

    @router.get(
        "/verify",
        tags=["log"],
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
