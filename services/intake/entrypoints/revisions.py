"""The HTTP interface for what becomes of a rating: four moves, and the state that they lead to.

The two others, corrections and exclusions, take two people: see `approvals`.

Plain ASGI behind described routes, like the ways to submit: whatever writes reads its body in one way, with
bounds on size and time.
"""

from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, FastAPI, Header, Path, Request
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from services.intake.application.errors import RejectedError
from services.intake.application.prepared import KEY_HEADER
from services.intake.domain.decisions import Decision
from services.intake.domain.revisions import History, Move
from services.intake.entrypoints.answers import RevisionAnswer, StateAnswer, revision_answer, state_answer
from services.intake.entrypoints.bodies import describe_errors
from services.intake.entrypoints.channels import acting_reviewer, require_may_revise
from services.intake.entrypoints.http import HttpParts
from services.intake.entrypoints.reading import headers_of, read_body, require_readable
from services.intake.entrypoints.revision_bodies import (
    QuarantineBody,
    ReinstatementBody,
    ReleaseBody,
    WithdrawalBody,
    parse_decision,
)
from services.intake.entrypoints.writing import (
    JSON_TYPES,
    MAX_KEY,
    nothing_was_sent,
    problems,
    provenance,
    rejection,
    send_json,
    staff_key_of,
    unavailable,
)
from shared.auth.access import PUBLIC, requires
from shared.auth.grants import Permission
from shared.kernel.errors import TransientError
from shared.observability.problem import ProblemError, validation_problem

_PROBLEMS: Final = problems(
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_OF_READING: Final = (HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE)

PERMISSIONS: Final = {
    Move.REINSTATE: Permission.FEEDBACK_EXCLUDE,
    Move.QUARANTINE: Permission.FEEDBACK_REVIEW,
    Move.RELEASE: Permission.FEEDBACK_REVIEW,
}
"""What each move takes; a withdrawal takes the receipt's code, which only the citizen has."""

_EventId = Annotated[str, Path(description="Event id of the rating.", max_length=64)]
_Code = Annotated[str, Path(description="Receipt code, in any case, with or without hyphens.", max_length=64)]
_Key = Annotated[
    str | None,
    Header(
        alias=KEY_HEADER,
        max_length=MAX_KEY,
        description="The same key for the same rating again is the same request, and gets the same answer.",
    ),
]


def add_revision_routes(app: FastAPI, parts: HttpParts) -> None:
    """Add the routes that revise ratings, and the one that tells a rating's state, to `app`."""
    revisions = _Revisions(parts)
    for move, path, describe in _ROUTES:
        permission = PERMISSIONS.get(move)
        route = APIRoute(
            path,
            describe,
            dependencies=[PUBLIC if permission is None else requires(permission)],
            methods=["POST"],
            tags=["revisions"],
            summary=(describe.__doc__ or "").partition(".")[0],
            operation_id=f"{move.value}_feedback",
            status_code=202,
            response_model=RevisionAnswer,
            responses=_PROBLEMS,
        )
        route.app = revisions.taking(move)
        app.router.routes.append(route)
    router = APIRouter()
    _add_state(router, parts)
    app.include_router(router)


class _Revisions:
    """Answers requests to revise a rating: 202 once the revision is durable."""

    def __init__(self, parts: HttpParts) -> None:
        self._parts = parts
        self._settings = parts.settings

    def taking(self, move: Move) -> ASGIApp:
        """The application that answers requests for `move`."""

        async def revise(scope: Scope, receive: Receive, send: Send) -> None:
            await self._revise(move, scope, receive, send)

        return revise

    async def _revise(self, move: Move, scope: Scope, receive: Receive, send: Send) -> None:
        headers = headers_of(scope)
        raw = await read_body(
            receive, self._settings.max_body_bytes, self._settings.body_timeout_s, "send the listed fields"
        )
        if not raw and move is Move.WITHDRAW:
            raw = b"{}"  # the code says it all
        else:
            require_readable(headers, JSON_TYPES)
        decision = _read(move, raw, scope["path"])
        if move in PERMISSIONS:
            decision = replace(decision, decided_by=acting_reviewer(scope, decision.decided_by))
        facts = self._parts.desk.preparer.facts(provenance(), idempotency_key=staff_key_of(headers))
        try:
            history = self._history(scope["path_params"])
            if (permission := PERMISSIONS.get(move)) is not None:
                require_may_revise(scope, permission, history, self._parts.units)
            revision = await self._parts.reviser.revise(history, decision, facts)
        except TransientError as error:
            raise self._later(error, scope["path"]) from error
        body = revision_answer(history.accepted.event_id, revision).model_dump_json().encode()
        await send_json(send, 202, body)

    def _history(self, path: dict[str, str]) -> History:
        if "code" in path:
            return self._parts.reviser.history_of_receipt(path["code"])
        return self._parts.reviser.history(path["event_id"])

    def _later(self, error: TransientError, instance: str) -> ProblemError:
        doubt = "Nothing was" if nothing_was_sent(error) else "It may or may not have been"
        again = f"{doubt} accepted: send the same request with the same {KEY_HEADER} after {{seconds}} s."
        return unavailable(error, again, instance, self._parts.random)


def _read(move: Move, raw: bytes, instance: str) -> Decision:
    try:
        return parse_decision(move, raw)
    except ValidationError as error:
        raise ProblemError(validation_problem(describe_errors(error), instance)) from None
    except RejectedError as error:
        raise rejection(error, instance, "The request is not valid") from error


async def _withdraw(code: _Code, body: WithdrawalBody | None = None, *, idempotency_key: _Key = None) -> None:
    """Take a rating back, as the citizen who holds its receipt. Final; open while the rating counts."""


async def _reinstate(event_id: _EventId, body: ReinstatementBody, *, idempotency_key: _Key = None) -> None:
    """Let an excluded rating count again. Open while it is excluded."""


async def _quarantine(event_id: _EventId, body: QuarantineBody, *, idempotency_key: _Key = None) -> None:
    """Hold a suspicious rating. Open while it counts; it does not until somebody has decided."""


async def _release(event_id: _EventId, body: ReleaseBody, *, idempotency_key: _Key = None) -> None:
    """Let a held rating count again. Open while it is held."""


_ROUTES: Final = (
    (Move.WITHDRAW, "/v1/receipts/{code}/withdrawal", _withdraw),
    (Move.REINSTATE, "/v1/feedback/{event_id}/reinstatement", _reinstate),
    (Move.QUARANTINE, "/v1/feedback/{event_id}/quarantine", _quarantine),
    (Move.RELEASE, "/v1/feedback/{event_id}/release", _release),
)


def _add_state(router: APIRouter, parts: HttpParts) -> None:
    @router.get(
        "/v1/feedback/{event_id}/state",
        tags=["revisions"],
        summary="What became of a rating, and what can be done to it next",
        dependencies=[requires(Permission.FEEDBACK_READ)],
        responses={status.value: _PROBLEMS[status.value] for status in _OF_READING},
    )
    async def state(event_id: _EventId, request: Request) -> StateAnswer:
        """Tell a rating's state; it says nothing of what the rating is about."""
        history = parts.reviser.history(event_id)
        require_may_revise(request.scope, Permission.FEEDBACK_READ, history, parts.units)
        return state_answer(history)
