"""HTTP: the ratings that are held, and decisions about many of them in one request.

An appeal goes the way of every exclusion: ``POST /v1/feedback/{event_id}/reinstatement``.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Final, Protocol

from fastapi import APIRouter, Depends, FastAPI, Header, Query
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from services.intake.application.approving import Approvals
from services.intake.application.errors import (
    KeyReusedError,
    LostRaceError,
    MoveNotOpenError,
    RejectedError,
)
from services.intake.application.prepared import KEY_HEADER, RequestFacts
from services.intake.domain.approvals import Actor
from services.intake.domain.decisions import Decision
from services.intake.domain.quarantine import (
    MAX_PAGE,
    Held,
    HeldCluster,
    HeldFilter,
    read_cursor,
    write_cursor,
)
from services.intake.domain.revisions import History, Move
from services.intake.entrypoints.bodies import describe_errors
from services.intake.entrypoints.channels import acting_reviewer, require_may_revise
from services.intake.entrypoints.http import HttpParts
from services.intake.entrypoints.quarantine_bodies import (
    MOST_AT_ONCE,
    ClusterAnswer,
    ClustersAnswer,
    DecidedAnswer,
    DecisionsAnswer,
    DecisionsBody,
    HeldAnswer,
    HeldPageAnswer,
    parse_decisions,
)
from services.intake.entrypoints.reading import headers_of, read_body_in_time, require_readable
from services.intake.entrypoints.staff_routes import level_of
from services.intake.entrypoints.writing import (
    JSON_TYPES,
    MAX_KEY,
    problems,
    provenance,
    rejection,
    send_json,
    staff_key_of,
    unavailable,
)
from shared.auth.access import principal_of, requires
from shared.auth.grants import Permission
from shared.auth.principals import Place, Principal, Tier
from shared.kernel.errors import InvalidValueError, NotFoundError, TransientError
from shared.kernel.reasons import QuarantineReason
from shared.observability.problem import ProblemError, validation_problem
from shared.observability.withholding import safe_name

PATH: Final = "/v1/quarantine"
DECISIONS_PATH: Final = "/v1/quarantine/decisions"
MAX_BODY_BYTES: Final = 1024 * 1024
AT_ONCE: Final = 64
_READING: Final = problems(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE)
_DECIDING: Final = problems(
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.SERVICE_UNAVAILABLE,
)


class HeldRatings(Protocol):
    """Role: knows which ratings are held; `adapters.sqlite_quarantine` plays it."""

    def page(self, wanted: HeldFilter, after: int, limit: int) -> list[Held]:
        """At most `limit` that match, held after the sequence `after`."""
        ...

    def count(self, wanted: HeldFilter) -> int:
        """How many match."""
        ...

    def clusters(self, wanted: HeldFilter, limit: int) -> list[HeldCluster]:
        """The largest clusters that match."""
        ...


_Reviewer = Annotated[Principal, requires(Permission.FEEDBACK_REVIEW)]
_Unit = Annotated[str | None, Query(description="Only of this unit.", max_length=64)]
_City = Annotated[str | None, Query(description="GB/T 2260 prefecture, 4 digits.", max_length=4)]
_County = Annotated[str | None, Query(description="GB/T 2260 county, 6 digits.", max_length=6)]
_Reason = Annotated[QuarantineReason | None, Query(description="Only held for this reason.")]
_Cluster = Annotated[str | None, Query(description="Only what is held with it.", max_length=64)]


def _theirs(
    actor: _Reviewer,
    unit_id: _Unit = None,
    city: _City = None,
    county: _County = None,
    reason: _Reason = None,
) -> HeldFilter:
    return _narrowed(HeldFilter(unit_id, city, county, reason), actor)


_Theirs = Annotated[HeldFilter, Depends(_theirs)]


def add_quarantine_routes(app: FastAPI, parts: HttpParts, held: HeldRatings, approvals: Approvals) -> None:
    """Add the routes of the review to `app`; exclusions are asked of `approvals`."""
    decisions = _Decisions(parts, held, approvals)
    route = APIRoute(
        DECISIONS_PATH,
        _describe_decisions,
        methods=["POST"],
        dependencies=[requires(Permission.FEEDBACK_REVIEW)],
        tags=["quarantine"],
        summary="Release many held ratings, or ask that they be excluded",
        operation_id="decide_quarantine",
        response_model=DecisionsAnswer,
        responses=_DECIDING,
    )
    route.app = decisions.decide
    app.router.routes.append(route)
    router = APIRouter()
    _add_reading(router, held)
    app.include_router(router)


def _add_reading(router: APIRouter, held: HeldRatings) -> None:
    @router.get(PATH, tags=["quarantine"], summary="The ratings that are held", responses=_READING)
    async def quarantine(
        wanted: _Theirs,
        cluster: _Cluster = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="Ratings on a page.")] = 100,
        cursor: Annotated[
            str | None, Query(description="The `next` of the page before.", max_length=32)
        ] = None,
    ) -> HeldPageAnswer:
        """List held ratings, the longest held first."""
        wanted = replace(wanted, cluster=cluster)
        items = held.page(wanted, read_cursor(cursor), limit + 1)
        more = write_cursor(items[limit - 1].sequence) if len(items) > limit else None
        shown = [HeldAnswer.of(each) for each in items[:limit]]
        return HeldPageAnswer(total=held.count(wanted), items=shown, next=more)

    @router.get(
        f"{PATH}/clusters", tags=["quarantine"], summary="What they are held with", responses=_READING
    )
    async def clusters(
        wanted: _Theirs,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="Clusters on a page.")] = 100,
    ) -> ClustersAnswer:
        """List clusters of held ratings, the largest first."""
        return ClustersAnswer(items=[ClusterAnswer.of(each) for each in held.clusters(wanted, limit)])


def _narrowed(wanted: HeldFilter, actor: Principal) -> HeldFilter:
    """`wanted` within the scope of `actor`.

    Raises:
        NotFoundError: it asks for a place elsewhere.
    """
    scope = actor.scope
    if scope.tier is Tier.PROVINCE:
        return wanted
    asked = (wanted.city or scope.city, wanted.county or scope.county)
    if not scope.sees(Place.of_tokens(*asked)):
        raise NotFoundError(wanted.county or wanted.city, f"{scope} or a code below it", "leave it out")
    return replace(wanted, city=scope.city, county=wanted.county or scope.county)


class _Decisions:
    """Answers requests to decide about many ratings.

    Releasing takes one person: a revision of each, durable on return. Excluding takes two: one request for
    approval about all of them, durable on return.
    """

    def __init__(self, parts: HttpParts, held: HeldRatings, approvals: Approvals) -> None:
        self._parts = parts
        self._held = held
        self._approvals = approvals

    async def decide(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = headers_of(scope)
        raw = await read_body_in_time(
            receive,
            MAX_BODY_BYTES,
            self._parts.settings.body_timeout_s,
            f"name at most {MOST_AT_ONCE} ratings",
        )
        require_readable(headers, JSON_TYPES)
        try:
            body, decision = parse_decisions(raw)
        except ValidationError as error:
            raise ProblemError(validation_problem(describe_errors(error), scope["path"])) from None
        except RejectedError as error:
            raise rejection(error, scope["path"], "The request is not valid") from error
        decision = replace(decision, decided_by=acting_reviewer(scope, decision.decided_by))
        facts = self._parts.desk.preparer.facts(provenance(), idempotency_key=staff_key_of(headers))
        try:
            if decision.move is Move.EXCLUDE:
                answer = await self._ask(body, decision, facts, scope)
            else:
                answer = await self._release(body, decision, facts, scope)
        except TransientError as error:
            again = "Some may have been decided: send the same request again after {seconds} s."
            raise unavailable(error, again, scope["path"], self._parts.random) from error
        await send_json(send, 200, answer.model_dump_json().encode())

    async def _ask(
        self, body: DecisionsBody, decision: Decision, facts: RequestFacts, scope: Scope
    ) -> DecisionsAnswer:
        chosen, more = self._chosen(body, facts, scope)
        results = [self._standing(event_id, scope) for event_id in chosen]
        asked = [each.event_id for each in results if each.outcome == "asked"]
        answer = _summed(results, 0)
        if asked:
            principal = principal_of(scope)
            actor = Actor(principal.subject, level_of(principal))
            named = (body.cluster, body.cursor or "") if body.cluster is not None else sorted(chosen)
            approval = await self._approvals.exclude(
                asked, decision.reason, actor, facts, None, chosen_by=named
            )
            answer.approval_id = approval.request.approval_id
        answer.next = more
        return answer

    def _chosen(
        self, body: DecisionsBody, facts: RequestFacts, scope: Scope
    ) -> tuple[Sequence[str], str | None]:
        """The ratings of a request to exclude, and the cursor of the rest of the cluster."""
        if body.cluster is None:
            return list(dict.fromkeys(body.event_ids or ())), None
        wanted = _narrowed(HeldFilter(cluster=body.cluster), principal_of(scope))
        most = min(MOST_AT_ONCE, self._parts.rules.at(facts.received_at).approvals.max_targets)
        found = self._held.page(wanted, read_cursor(body.cursor), most + 1)
        more = write_cursor(found[most - 1].sequence) if len(found) > most else None
        return [each.event_id for each in found[:most]], more

    def _standing(self, event_id: str, scope: Scope) -> DecidedAnswer:
        """Whether a rating can be excluded."""
        try:
            history = self._parts.reviser.history(event_id)
            require_may_revise(scope, Permission.FEEDBACK_EXCLUDE, history, self._parts.units)
        except (NotFoundError, InvalidValueError):
            return _not_found(event_id)
        if Move.EXCLUDE in history.moves:
            return DecidedAnswer(
                event_id=event_id, outcome="asked", state=history.state, revision=history.number
            )
        return _not_open(history, Move.EXCLUDE)

    async def _release(
        self, body: DecisionsBody, decision: Decision, facts: RequestFacts, scope: Scope
    ) -> DecisionsAnswer:
        remaining = 0
        if body.cluster is not None:
            wanted = _narrowed(HeldFilter(cluster=body.cluster), principal_of(scope))
            chosen = [each.event_id for each in self._held.page(wanted, 0, MOST_AT_ONCE)]
            remaining = self._held.count(wanted) - len(chosen)
        else:
            chosen = list(dict.fromkeys(body.event_ids or ()))
        results: list[DecidedAnswer] = []
        for start in range(0, len(chosen), AT_ONCE):
            some = chosen[start : start + AT_ONCE]
            results += await asyncio.gather(
                *(self._one(event_id, decision, facts, scope) for event_id in some)
            )
        return _summed(results, remaining)

    async def _one(
        self, event_id: str, decision: Decision, facts: RequestFacts, scope: Scope
    ) -> DecidedAnswer:
        reviser = self._parts.reviser
        try:
            history = reviser.history(event_id)
            require_may_revise(scope, Permission.FEEDBACK_REVIEW, history, self._parts.units)
        except (NotFoundError, InvalidValueError):
            return _not_found(event_id)
        try:
            revision = await reviser.revise(history, decision, facts)
        except (MoveNotOpenError, LostRaceError, KeyReusedError):
            return _not_open(reviser.history(event_id), decision.move)
        state = revision.move.leads_to
        return DecidedAnswer(event_id=event_id, outcome="done", state=state, revision=revision.number)


def _not_found(event_id: str) -> DecidedAnswer:
    """Whatever was sent in the place of an id: a number of a person is not repeated."""
    return DecidedAnswer(event_id=safe_name(event_id), outcome="not_found", state=None, revision=None)


def _not_open(history: History, move: Move) -> DecidedAnswer:
    return DecidedAnswer(
        event_id=history.accepted.event_id,
        outcome="already" if history.state is move.leads_to else "not_open",
        state=history.state,
        revision=history.number,
    )


def _summed(results: Sequence[DecidedAnswer], remaining: int) -> DecisionsAnswer:
    counts = Counter(result.outcome for result in results)
    return DecisionsAnswer(
        done=counts["done"],
        asked=counts["asked"],
        already=counts["already"],
        not_open=counts["not_open"],
        not_found=counts["not_found"],
        remaining=remaining,
        results=list(results),
    )


async def _describe_decisions(
    body: DecisionsBody,
    *,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias=KEY_HEADER,
            max_length=MAX_KEY,
            description="The same key with the same decision again changes nothing and gets the same answer.",
        ),
    ] = None,
) -> None:
    """Decide about a whole cluster, or about single ratings; the answer says what became of each.

    To release is done at once. To exclude takes two people: the ratings are held until somebody else has
    approved `approval_id`. At most 10,000 of a cluster in one request: release again while `remaining` is
    more than 0, ask for the exclusion of the others with `next` as the `cursor`.
    """
