"""One way for every route that writes something else than a rating: bounded body, facts, handler, answer.

Plain ASGI behind described routes, like the revisions: the body is read with bounds on size and time, errors
name field, value, expectation and remedy, and an outcome that isn't known is a 503 with a pause.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Final, Generic, TypeVar

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from services.intake.application.errors import RejectedError
from services.intake.application.prepared import KEY_HEADER, RequestFacts
from services.intake.domain.approvals import Actor
from services.intake.entrypoints.bodies import describe_errors, refuse_repeats
from services.intake.entrypoints.http import HttpParts
from services.intake.entrypoints.reading import headers_of, read_body, read_body_in_time, require_readable
from services.intake.entrypoints.revision_bodies import NamesNobody
from services.intake.entrypoints.writing import (
    JSON_TYPES,
    nothing_was_sent,
    problems,
    provenance,
    rejection,
    send_json,
    staff_key_of,
    unavailable,
)
from shared.auth.access import PUBLIC, acting, principal_of, refusal, requires
from shared.auth.grants import Permission
from shared.auth.principals import Principal, Tier
from shared.kernel.errors import TransientError
from shared.kernel.grades import Level
from shared.observability.problem import ProblemError, validation_problem

Credential = Annotated[
    str,
    NamesNobody,
    Field(
        description="Role or credential that acts, such as city-3607-reviewer; never a person's name.",
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$",
    ),
]
WRITE_PROBLEMS: Final = problems(
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
READ_PROBLEMS: Final = problems(
    HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE
)


class Strict(BaseModel):
    """A body without fields that nobody knows."""

    model_config = ConfigDict(extra="forbid")


class ActingBody(Strict):
    """Who acts: whoever asks. The body may repeat it, and name nobody else."""

    decided_by: Credential | None = None
    level: Annotated[Level, Field(description="Level that they act at: their own, or a lower one.")] = (
        Level.COUNTY
    )

    @property
    def actor(self) -> Actor:
        """Who acts, as a value; filled in from the proof before a handler sees the body."""
        if self.decided_by is None:  # pragma: no cover - a defect of the route
            raise RuntimeError("a body was handed on before whoever asks was written into it")
        return Actor(self.decided_by, self.level)


_LEVELS: Final = tuple(Level)
"""The highest first."""

B = TypeVar("B", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Asked(Generic[B]):
    """A request, read: its body, facts of its arrival, parameters of its path; whose, says `scope`."""

    body: B
    facts: RequestFacts
    path: Mapping[str, str]
    scope: Scope


@dataclass(frozen=True, slots=True)
class Post(Generic[B]):
    """A route that takes a JSON body.

    Attributes:
        takes: what whoever asks has to hold; None: it is public.
        describe: its signature and docstring are the description; its first sentence is the summary.
        handle: gives the answer; raises what the app's error handlers answer.
        tag: names its group of routes, which also is its share when more comes than can be done.
        large: whether the body may be as large as a batch; then it waits in the line of batches.
        empty: whether no body at all means an empty object.
        knows_repeats: whether it recognises whatever came before, see `shared.auth.access.requires`.
    """

    path: str
    describe: Callable[..., Awaitable[None]]
    body: type[B]
    answer: type[BaseModel]
    handle: Callable[[Asked[B]], Awaitable[BaseModel]]
    tag: str
    takes: Permission | None = field(kw_only=True)
    status: int = 202
    large: bool = False
    empty: bool = False
    knows_repeats: bool = False


def add_post(app: FastAPI, parts: HttpParts, post: Post[B]) -> None:
    """Add the route `post` to `app`."""
    summary = (post.describe.__doc__ or "").partition(".")[0]
    route = APIRoute(
        post.path,
        post.describe,
        methods=["POST"],
        dependencies=[
            PUBLIC if post.takes is None else requires(post.takes, knows_repeats=post.knows_repeats)
        ],
        tags=[post.tag],
        summary=summary,
        operation_id=post.describe.__name__.strip("_"),
        status_code=post.status,
        response_model=post.answer,
        responses=WRITE_PROBLEMS,
    )
    route.app = _taking(parts, post)
    app.router.routes.append(route)


def _taking(parts: HttpParts, post: Post[B]) -> ASGIApp:
    settings = parts.settings
    limit = settings.max_batch_bytes if post.large else settings.max_body_bytes

    async def take(scope: Scope, raw: bytes) -> bytes:
        headers = headers_of(scope)
        if not raw and post.empty:
            raw = b"{}"
        else:
            require_readable(headers, JSON_TYPES)
        body = _parse(post.body, raw, scope["path"])
        if isinstance(body, ActingBody):
            _act_in_own_name(body, scope)
        facts = parts.desk.preparer.facts(provenance(), idempotency_key=staff_key_of(headers))
        try:
            said = await post.handle(Asked(body, facts, scope["path_params"], scope))
        except RejectedError as error:
            raise rejection(error, scope["path"], "The request is not valid") from error
        return said.model_dump_json(exclude_none=True).encode()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        advice = "send the listed fields"
        try:
            if post.large:
                async with parts.doors.turn(principal_of(scope)):
                    raw = await read_body_in_time(receive, limit, settings.body_timeout_s, advice)
                    said = await take(scope, raw)
            else:
                raw = await read_body(receive, limit, settings.body_timeout_s, advice)
                with parts.doors.place(post.tag, scope["path"]):
                    said = await take(scope, raw)
        except TransientError as error:
            raise _later(parts, error, scope["path"]) from error
        await send_json(send, post.status, said)

    return answer


def _parse(body: type[B], raw: bytes, instance: str) -> B:
    try:
        parsed = body.model_validate_json(raw)
        refuse_repeats(raw)
    except ValidationError as error:
        raise ProblemError(validation_problem(describe_errors(error), instance)) from None
    except RejectedError as error:
        raise rejection(error, instance, "The request is not valid") from error
    return parsed


def _act_in_own_name(body: ActingBody, scope: Scope) -> None:
    """Let nobody act in another's name, nor above the own tier; who has a high one may act at a lower."""
    principal = principal_of(scope)
    body.decided_by = acting(principal, body.decided_by, "decided_by", scope["path"])
    own = level_of(principal)
    if _LEVELS.index(body.level) < _LEVELS.index(own):
        if "level" in body.model_fields_set:
            raise refusal(
                f"level names the {body.level}, whoever asks is of the {own}.", scope["path"], "actor"
            )
        body.level = own


def level_of(principal: Principal) -> Level:
    """The level that somebody acts at unless they say a lower one."""
    return Level.WINDOW if principal.scope.tier is Tier.UNIT else Level(principal.scope.tier.value)


def _later(parts: HttpParts, error: TransientError, instance: str) -> ProblemError:
    doubt = "Nothing was" if nothing_was_sent(error) else "It may or may not have been"
    again = f"{doubt} taken down: send the same request with the same {KEY_HEADER} after {{seconds}} s."
    return unavailable(error, again, instance, parts.random)
