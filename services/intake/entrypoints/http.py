"""The HTTP interface of intake.

The two ways to submit are plain ASGI, served before the app's middlewares and router: FastAPI's typed
endpoints cost twice as much per request. Functions without a body describe them in OpenAPI; errors are
answered by the app's handlers like all others.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from random import Random
from typing import Annotated, Any, Final

from fastapi import APIRouter, FastAPI, Header, Path, Query
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from services.intake.application.errors import RejectedError
from services.intake.application.handlers import Desk, submit_batch, submit_feedback
from services.intake.application.ports import Rules
from services.intake.application.prepared import RequestFacts
from services.intake.application.quotas import OverQuotaError
from services.intake.application.revising import Reviser
from services.intake.domain.accepted import Outcome, Verdict
from services.intake.domain.addresses import TrustedProxies
from services.intake.domain.lines import split_lines
from services.intake.domain.measures import Size
from services.intake.domain.submission import Submission
from services.intake.domain.tokens import MAX_TEXT
from services.intake.domain.unit_pages import MAX_PAGE, UnitFilter, page_of_units
from services.intake.entrypoints.admitting import STORED, Gate, Refuser
from services.intake.entrypoints.answers import (
    BatchAnswer,
    FeedbackAnswer,
    ReceiptAnswer,
    UnitAnswer,
    UnitPageAnswer,
    encode_batch,
    encode_outcome,
    receipt_answer,
)
from services.intake.entrypoints.bodies import (
    TOKEN_HEADER,
    FeedbackBody,
    describe_errors,
    parse_feedback,
    parse_line,
    with_token,
)
from services.intake.entrypoints.channels import (
    IMPORT_HEADER,
    own_lines,
    require_may_import,
    require_may_submit,
)
from services.intake.entrypoints.doors import Doors
from services.intake.entrypoints.reading import headers_of, read_body, read_body_in_time, require_readable
from services.intake.entrypoints.writing import (
    JSON_TYPES,
    MAX_KEY,
    key_of,
    nothing_was_sent,
    over_quota,
    problems,
    provenance,
    rejection,
    send_json,
    unavailable,
)
from services.intake.metrics import IntakeMetrics
from services.intake.settings import Settings
from shared.auth.access import PUBLIC, UNCHECKED, Access, principal_of, require_once, requires
from shared.auth.grants import Permission
from shared.auth.nonces import NoncesUnavailableError
from shared.kernel.clock import Clock
from shared.kernel.errors import InvalidValueError, NotFoundError, TransientError
from shared.kernel.grades import Level
from shared.kernel.scrubbing import scrub
from shared.kernel.units import BUREAU, UnitRegistry
from shared.observability.http import serve_directly
from shared.observability.problem import ProblemError, validation_problem

SINGLE_PATH: Final = "/v1/feedback"
BATCH_PATH: Final = "/v1/feedback/batch"
NDJSON_TYPES: Final = ("application/x-ndjson", "application/ndjson", "application/jsonl")

_IMPORT_ID: Final = re.compile(rb"(?!(?:[._-]*[0-9]){11,}[._-]*[Xx]?$)[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""It goes into events for good: digits alone, as many as a telephone number has, are none."""


@dataclass(frozen=True, slots=True)
class HttpParts:
    """What the interface calls."""

    desk: Desk
    reviser: Reviser
    units: UnitRegistry
    rules: Rules
    proxies: TrustedProxies
    metrics: IntakeMetrics
    settings: Settings
    clock: Clock
    random: Random
    access: Access
    doors: Doors


_SUBMIT_PROBLEMS: Final = problems(
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)


def add_routes(app: FastAPI, parts: HttpParts) -> None:
    """Add intake's routes to `app`, which is complete then."""
    submissions = _Submissions(parts)
    submissions.add_to(app)
    router = APIRouter()
    _add_receipts(router, parts)
    _add_units(router, parts)
    app.include_router(router)
    guarded = parts.access.guarding
    single, batch = (
        guarded(each, Permission.FEEDBACK_SUBMIT, knows_repeats=True)
        for each in (submissions.single, submissions.batch)
    )
    serve_directly(app, {SINGLE_PATH: _gate(single, parts), BATCH_PATH: batch})


def _gate(single: ASGIApp, parts: HttpParts) -> Gate:
    settings = parts.settings
    return Gate(
        single,
        parts.doors.admission,
        Refuser(parts.random, parts.metrics.refused),
        refusals_per_s=settings.refusals_per_s,
        max_body_bytes=settings.max_body_bytes,
        body_timeout_s=settings.body_timeout_s,
        advice=lambda: (
            f"shorten the text to {parts.rules.at(parts.clock.now()).intake.text_max_chars} characters; "
            "send many ratings as a batch"
        ),
    )


class _Submissions:
    """The hot path."""

    def __init__(self, parts: HttpParts) -> None:
        self._parts = parts
        self._settings = parts.settings

    def add_to(self, app: FastAPI) -> None:
        common: dict[str, Any] = {
            "methods": ["POST"],
            "tags": ["feedback"],
            "dependencies": [requires(Permission.FEEDBACK_SUBMIT, knows_repeats=True)],
            "responses": _SUBMIT_PROBLEMS,
        }
        single = APIRoute(
            SINGLE_PATH,
            _describe_single,
            summary="Submit one rating",
            operation_id="submit_feedback",
            status_code=202,
            response_model=FeedbackAnswer,
            **common,
        )
        batch = APIRoute(
            BATCH_PATH,
            _describe_batch,
            summary="Submit up to 10,000 ratings, one on each line",
            operation_id="submit_batch",
            status_code=200,
            response_model=BatchAnswer,
            openapi_extra={
                "requestBody": {
                    "required": True,
                    "content": {
                        NDJSON_TYPES[0]: {
                            "schema": {"type": "string", "description": "FeedbackBody per line"}
                        }
                    },
                }
            },
            **common,
        )
        single.app = self.single
        batch.app = self.batch
        app.router.routes += [single, batch]

    def _facts(
        self,
        scope: Scope,
        headers: Mapping[bytes, bytes],
        address: str | None = None,
        import_id: str | None = None,
    ) -> RequestFacts:
        key = key_of(headers)
        synthetic = headers.get(b"x-synthetic", b"false").lower()
        if synthetic not in {b"true", b"false"}:
            raise InvalidValueError(
                _text(synthetic), "true or false", "leave it out for ratings", field="X-Synthetic"
            )
        return self._parts.desk.preparer.facts(
            provenance(),
            idempotency_key=key,
            address=address,
            synthetic=synthetic == b"true",
            import_id=import_id,
            credential=principal_of(scope).credential_id,
        )

    def _parse_line(self, raw: bytes) -> Submission:
        return parse_line(raw, self._settings.max_body_bytes)

    async def single(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 202 once the rating is durable."""
        headers = headers_of(scope)
        require_readable(headers, JSON_TYPES)
        peer = scope["client"]
        address = self._parts.proxies.client_address(
            peer[0] if peer is not None else None, _text(headers.get(b"x-forwarded-for"))
        )
        facts = self._facts(scope, headers, address)
        # Whole and small enough: the gate has read it.
        raw = await read_body(
            receive, self._settings.max_body_bytes, self._settings.body_timeout_s, "shorten the text"
        )
        outcome = await self._accept(raw, facts, scope, headers.get(b"x-rating-token"))
        await send_json(send, 202, encode_outcome(outcome))

    async def _accept(self, raw: bytes, facts: RequestFacts, scope: Scope, token: bytes | None) -> Outcome:
        """Accept the one rating in `raw`, or raise the answer that it gets instead."""
        path = scope["path"]
        try:
            submission = parse_feedback(raw)
        except ValidationError as error:
            self._parts.metrics.rejected("unknown", "body")
            raise ProblemError(validation_problem(describe_errors(error), path)) from None
        except RejectedError as error:
            self._parts.metrics.rejected("unknown", "body")
            raise rejection(error, path) from error
        try:
            if token is not None:
                submission = with_token(submission, token)
            require_may_submit(scope, submission, self._parts.units)
            if not submission.keyed:  # the header Idempotency-Key is not signed: a forger may send another
                require_once(scope)
            scope[STORED] = True  # also if it fails there, or nobody waits for it any more
            outcome = await submit_feedback(submission, facts, self._parts.desk)
        except OverQuotaError as error:
            scope[STORED] = False
            raise over_quota(error, path) from error
        except RejectedError as error:
            scope[STORED] = False
            raise rejection(error, path) from error
        except TransientError as error:
            scope[STORED] = not nothing_was_sent(error)
            raise self._later(error, path) from error
        scope[STORED] = outcome.verdict is not Verdict.DUPLICATE
        return outcome

    async def batch(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 200 with a result for each line once everything accepted is durable."""
        headers = headers_of(scope)
        require_readable(headers, NDJSON_TYPES)
        # No address: whoever uploads a batch is not who rated, and all its lines would be one cluster.
        import_id = _import_id(headers)
        if import_id is not None:
            require_may_import(scope)
        facts = self._facts(scope, headers, import_id=import_id)
        try:
            async with self._parts.doors.turn(principal_of(scope)):
                answer = await self._accept_batch(scope, receive, facts)
        except TransientError as error:
            raise self._part_later(error, scope["path"]) from error
        await send_json(send, 200, answer)

    async def _accept_batch(self, scope: Scope, receive: Receive, facts: RequestFacts) -> bytes:
        raw = await read_body_in_time(
            receive, self._settings.max_batch_bytes, self._settings.body_timeout_s, "split the batch"
        )
        lines = split_lines(raw, self._settings.max_batch_lines)
        self._parts.metrics.batch(len(lines))
        parse = own_lines(scope, self._parse_line, self._parts.units)
        if scope.get(UNCHECKED, False):
            parse = _once(parse)
        return encode_batch(await submit_batch(lines, facts, self._parts.desk, parse))

    def _later(self, error: TransientError, instance: str) -> ProblemError:
        """A rating that may be in all the same, unless nothing of it was sent."""
        if nothing_was_sent(error):
            again = "Nothing of this request was accepted: send it again after {seconds} s."
        else:
            again = (
                "It may or may not have been accepted: send it again with the same Idempotency-Key "
                "(or client_ref) after {seconds} s; without one, a repeat counts twice."
            )
        return unavailable(error, again, instance, self._parts.random)

    def _part_later(self, error: TransientError, instance: str) -> ProblemError:
        """A batch that failed half-way; each of its lines has a key."""
        again = (
            "Some lines may have been accepted: send the same batch again after {seconds} s, "
            "lines that are in already are recognised."
        )
        return unavailable(error, again, instance, self._parts.random)


def _once(parse: Callable[[bytes], Submission]) -> Callable[[bytes], Submission]:
    """`parse` for a batch of which nobody can say whether it came before: lines are to be recognised."""

    def parse_once(raw: bytes) -> Submission:
        submission = parse(raw)
        if not submission.keyed:
            raise NoncesUnavailableError(
                "Nobody can say at present whether this signed batch came before, and some lines have no "
                "client_ref."
            )
        return submission

    return parse_once


def _import_id(headers: Mapping[bytes, bytes]) -> str | None:
    given = headers.get(b"x-import-id")
    if given is None:
        return None
    known = given.decode("ascii") if _IMPORT_ID.fullmatch(given) is not None else None
    if known is None or scrub(known, mistyped=True) != known:  # it stays in events for good
        raise InvalidValueError(
            Size(f"{len(given)} characters"),
            "1 to 64 letters, digits, dots, hyphens and underscores that are no person's number",
            "leave it out unless the batch is part of a bulk import",
            field=IMPORT_HEADER,
        )
    return known


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


_IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=MAX_KEY,
        description=(
            "The same key again is the same rating. Beside a client_ref it is a second name of the rating: "
            "either finds it, and other content under either is a conflict."
        ),
    ),
]
_BatchKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=MAX_KEY,
        description=(
            "Key of the lines that have no client_ref, together with their place among the lines that aren't "
            "blank; a line with a client_ref goes by that alone."
        ),
    ),
]
_ImportId = Annotated[
    str | None,
    Header(
        alias=IMPORT_HEADER,
        max_length=64,
        description=(
            "Bulk import that the batch is part of; goes into the events, so that it can be undone. Takes a "
            "credential with the channel import."
        ),
    ),
]
_RatingToken = Annotated[
    str | None,
    Header(alias=TOKEN_HEADER, max_length=MAX_TEXT, description="A one-time token, if not in the body."),
]
_Synthetic = Annotated[
    bool, Header(alias="X-Synthetic", description="A probe or drill: goes all the way, is never counted.")
]


async def _describe_single(
    body: FeedbackBody,
    *,
    idempotency_key: _IdempotencyKey = None,
    x_rating_token: _RatingToken = None,
    x_synthetic: _Synthetic = False,
) -> None:
    """Accept a rating: 202 only after it is on disk, the broker's or, while that is away, intake's own.

    The same key with the same content gives the same receipt (`duplicate: true`), with other content 409.
    A one-time token and a client_ref are such keys, too; a client_ref is the same rating in a batch. Where
    too much comes from one device, address, channel or token, the answer is 429 with the quota's name and
    `Retry-After`.
    """


async def _describe_batch(
    *, idempotency_key: _BatchKey = None, x_import_id: _ImportId = None, x_synthetic: _Synthetic = False
) -> None:
    """Accept the good lines and report the others by number; the same batch again adds nothing.

    Each line needs a `client_ref`, or the batch an `Idempotency-Key`: then repeat it with its lines in the
    same order; blank lines don't matter. After a 503 send the same batch again.
    """


def _add_receipts(router: APIRouter, parts: HttpParts) -> None:
    @router.get(
        "/v1/receipts/{code}",
        tags=["feedback"],
        dependencies=[PUBLIC],
        summary="What a receipt stands for",
        responses=problems(
            HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE
        ),
    )
    async def receipt(
        code: Annotated[str, Path(description="In any case, with or without hyphens.", max_length=64)],
    ) -> ReceiptAnswer:
        """Look an accepted rating up; whoever has the code may see this, so it names no person."""
        history = parts.reviser.history_of_receipt(code)
        try:
            unit = parts.units.get(history.unit_id)
        except NotFoundError:
            unit = None
        return receipt_answer(history, unit)


def _add_units(router: APIRouter, parts: HttpParts) -> None:
    @router.get(
        "/v1/units",
        tags=["units"],
        dependencies=[PUBLIC],
        summary="The appraised units",
        responses=problems(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY),
    )
    async def units(
        level: Annotated[Level | None, Query(description="province, city, county or window.")] = None,
        kind: Annotated[str | None, Query(description="Window kind of the rule pack, or 'bureau'.")] = None,
        parent: Annotated[str | None, Query(description="Only units directly below this one.")] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="Units on a page.")] = 100,
        cursor: Annotated[str | None, Query(description="The `next` of the page before.")] = None,
    ) -> UnitPageAnswer:
        """List units in the order of their ids."""
        if kind is not None and kind != BUREAU:
            parts.rules.at(parts.clock.now()).kind_label(kind)
        page = page_of_units(parts.units, UnitFilter(level, kind, parent), limit, cursor)
        items = [UnitAnswer.of(unit, parts.units) for unit in page.items]
        return UnitPageAnswer(items=items, next=page.next_cursor)

    @router.get(
        "/v1/units/{unit_id}",
        tags=["units"],
        dependencies=[PUBLIC],
        summary="One unit",
        responses=problems(HTTPStatus.NOT_FOUND),
    )
    async def unit(unit_id: Annotated[str, Path(description="Such as U000112.")]) -> UnitAnswer:
        """Describe a unit; for an unknown id the answer proposes similar ones."""
        return UnitAnswer.of(parts.units.get(unit_id), parts.units)
