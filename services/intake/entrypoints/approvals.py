"""The HTTP interface of what takes two people: asking, appealing, deciding, looking."""

from datetime import date
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, FastAPI, Header, Path, Query, Request
from pydantic import BaseModel, Field
from starlette.types import Scope

from services.intake.application.approving import Approvals
from services.intake.application.carrying_out import CarryingOut
from services.intake.application.prepared import KEY_HEADER, RequestFacts
from services.intake.domain.approvals import Actor, Approval, Kind, Pack, Stage
from services.intake.domain.revisions import History
from services.intake.entrypoints.channels import place_of, require_may_revise
from services.intake.entrypoints.http import HttpParts
from services.intake.entrypoints.revision_bodies import naming_nobody
from services.intake.entrypoints.staff_routes import (
    READ_PROBLEMS,
    ActingBody,
    Asked,
    Post,
    Strict,
    add_post,
)
from services.intake.entrypoints.writing import MAX_KEY, problems
from shared.auth.access import principal_of, refusal, requires
from shared.auth.grants import Permission, holds
from shared.auth.principals import Place, Tier
from shared.kernel.clock import Clock, rfc3339
from shared.kernel.errors import InvalidValueError
from shared.kernel.grades import Level
from shared.kernel.ids import is_uuid
from shared.kernel.reasons import (
    ExclusionReason,
    ReinstatementReason,
    RejectionReason,
    RuleChangeReason,
)
from shared.rules import RulePackError, pack_differences, parse_pack

MOST_TARGETS: Final = 10_000
MAX_PAGE: Final = 500

_Id = Annotated[str, Path(description="Id of the request for approval.", max_length=64)]
_EventId = Annotated[str, Path(description="Event id of the rating.", max_length=64)]
_Code = Annotated[str, Path(description="Receipt code, in any case, with or without hyphens.", max_length=64)]
_Key = Annotated[
    str | None,
    Header(
        alias=KEY_HEADER,
        max_length=MAX_KEY,
        description="The same key of the same person again is the same request.",
    ),
]


class ExclusionsBody(ActingBody):
    """Ratings that shall not count."""

    targets: Annotated[
        list[Annotated[str, Field(max_length=64)]],
        Field(description="Event ids or receipt codes.", min_length=1, max_length=MOST_TARGETS),
    ]
    reason: Annotated[ExclusionReason, Field(description="Why.")]
    import_id: Annotated[
        str | None,
        Field(description="Bulk import that is undone.", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"),
        naming_nobody("an import's id", "take the id that the import was given"),
    ] = None


class OneExclusionBody(ActingBody):
    """Why the rating shall not count."""

    reason: Annotated[ExclusionReason, Field(description="Why.")]


class RulesBody(ActingBody):
    """A rule pack that shall be used."""

    pack: Annotated[
        str,
        Field(description="The pack, TOML; kept for good, comments too.", min_length=1, max_length=131_072),
        naming_nobody("a rule pack", "take it out of the comments"),
    ]
    reason: Annotated[RuleChangeReason, Field(description="Why.")] = RuleChangeReason.POLICY


class RejectionBody(ActingBody):
    """Why it is refused."""

    reason: Annotated[RejectionReason, Field(description="Why.")]


class AppealBody(Strict):
    """The citizen's appeal; nobody has to say more than that."""


class StaffAppealBody(ActingBody):
    """An appeal on a citizen's or a unit's behalf."""

    reason: Annotated[ReinstatementReason, Field(description="Why.")] = ReinstatementReason.APPEAL_UPHELD


class DifferenceAnswer(BaseModel):
    """One value that a proposed pack changes."""

    key: str
    old: str | None = None
    new: str | None = None


class RulesAnswer(BaseModel):
    """A proposed rule pack."""

    version: str
    valid_from: str
    hash: str
    replaces: Annotated[str, Field(description="Hash of the pack that it was compared with.")]
    differences: list[DifferenceAnswer]
    pack: Annotated[str | None, Field(description="The pack itself; only when asked for one.")] = None


class LeftAnswer(BaseModel):
    """Ratings for which nothing was done."""

    state: str
    count: int
    targets: list[str] | None = None


class ApprovalAnswer(BaseModel):
    """A request for approval, and what became of it."""

    approval_id: str
    kind: Kind
    stage: Stage
    reason: str
    requested_by: Annotated[str | None, Field(description="Null: the citizen.")] = None
    level: Level | None = None
    requested_at: str
    expires_at: str
    size: Annotated[int, Field(description="Ratings that it is about.")]
    targets: Annotated[
        list[str] | None, Field(description="Their event ids, until all is carried out; only of one.")
    ] = None
    import_id: str | None = None
    rules: RulesAnswer | None = None
    decided_by: str | None = None
    decided_at: str | None = None
    rejection: str | None = None
    done: Annotated[int | None, Field(description="Ratings for which it was done.")] = None
    left: Annotated[list[LeftAnswer] | None, Field(description="The others, by what they were.")] = None


class ApprovalPageAnswer(BaseModel):
    """One page of requests, newest first."""

    items: list[ApprovalAnswer]
    next: Annotated[str | None, Field(description="Cursor of the next page; null on the last.")] = None


class ApprovalRoutes:
    """Handlers of the routes, bound to the use cases."""

    def __init__(self, parts: HttpParts, approvals: Approvals, work: CarryingOut) -> None:
        """Use these."""
        self._parts = parts
        self._approvals = approvals
        self._work = work
        self._clock: Clock = parts.clock

    def add_to(self, app: FastAPI) -> None:
        """Add all routes to `app`."""
        posts: tuple[Post[Any], ...] = (
            Post(
                "/v1/approvals/exclusions",
                _request_exclusions,
                ExclusionsBody,
                ApprovalAnswer,
                self.exclusions,
                "approvals",
                takes=Permission.FEEDBACK_EXCLUDE,
                large=True,
            ),
            Post(
                "/v1/feedback/{event_id}/exclusion",
                exclude_feedback,
                OneExclusionBody,
                ApprovalAnswer,
                self.one_exclusion,
                "revisions",
                takes=Permission.FEEDBACK_EXCLUDE,
            ),
            Post(
                "/v1/approvals/rules",
                _request_rules,
                RulesBody,
                ApprovalAnswer,
                self.rules,
                "approvals",
                takes=Permission.RULES_CHANGE,
                large=True,
            ),
            Post(
                "/v1/approvals/{approval_id}/approve",
                _approve,
                ActingBody,
                ApprovalAnswer,
                self.approve,
                "approvals",
                takes=Permission.APPROVALS_DECIDE,
            ),
            Post(
                "/v1/approvals/{approval_id}/reject",
                _reject,
                RejectionBody,
                ApprovalAnswer,
                self.reject,
                "approvals",
                takes=Permission.APPROVALS_DECIDE,
            ),
            Post(
                "/v1/receipts/{code}/appeal",
                _appeal,
                AppealBody,
                ApprovalAnswer,
                self.appeal,
                "revisions",
                takes=None,
                empty=True,
            ),
            Post(
                "/v1/feedback/{event_id}/appeal",
                _staff_appeal,
                StaffAppealBody,
                ApprovalAnswer,
                self.staff_appeal,
                "revisions",
                takes=Permission.FEEDBACK_APPEAL,
            ),
        )
        for post in posts:
            add_post(app, self._parts, post)
        router = APIRouter()
        self._add_reading(router)
        app.include_router(router)

    def _add_reading(self, router: APIRouter) -> None:
        @router.get(
            "/v1/approvals",
            tags=["approvals"],
            summary="What was asked for, newest first",
            dependencies=[requires(Permission.APPROVALS_DECIDE)],
            response_model_exclude_none=True,
            responses=problems(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
        )
        async def approvals(
            request: Request,
            stage: Annotated[Stage | None, Query(description="Only these.")] = None,
            kind: Annotated[Kind | None, Query(description="Only these.")] = None,
            import_id: Annotated[str | None, Query(description="Only of this import.", max_length=64)] = None,
            limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="Requests on a page.")] = 100,
            cursor: Annotated[
                str | None, Query(description="The `next` of the page before.", max_length=64)
            ] = None,
        ) -> ApprovalPageAnswer:
            """List requests for approval; texts and lists of ratings are left out."""
            now = self._clock.now()
            found = [
                each
                for each in self._approvals.all()
                if self._is_theirs(each, request.scope)
                and (stage is None or each.stage(now) is stage)
                and (kind is None or each.request.kind is kind)
                and (import_id is None or each.request.import_id == import_id)
            ]
            start = _place_after(found, cursor)
            page = found[start : start + limit]
            more = start + limit < len(found)
            return ApprovalPageAnswer(
                items=[self._answer(each) for each in page],
                next=page[-1].request.approval_id if more and page else None,
            )

        @router.get(
            "/v1/approvals/{approval_id}",
            tags=["approvals"],
            summary="One request for approval",
            dependencies=[requires(Permission.APPROVALS_DECIDE)],
            response_model_exclude_none=True,
            responses=READ_PROBLEMS,
        )
        async def approval(approval_id: _Id, request: Request) -> ApprovalAnswer:
            """Tell all of a request, item by item."""
            found = self._approvals.get(approval_id)
            if not self._is_theirs(found, request.scope):
                raise self._approvals.missing(approval_id)
            return self._answer(found, whole=True)

    async def exclusions(self, asked: Asked[ExclusionsBody]) -> ApprovalAnswer:
        """Ask for exclusions."""
        body = asked.body
        for target in body.targets:
            history = self._history_of(target)
            if history is not None:  # an unknown one is answered below, with all others
                require_may_revise(asked.scope, Permission.FEEDBACK_EXCLUDE, history, self._parts.units)
        approval = await self._approvals.exclude(
            body.targets, body.reason.value, body.actor, asked.facts, body.import_id
        )
        return self._answer(approval)

    async def one_exclusion(self, asked: Asked[OneExclusionBody]) -> ApprovalAnswer:
        """Ask for one."""
        history = self._parts.reviser.history(asked.path["event_id"])
        require_may_revise(asked.scope, Permission.FEEDBACK_EXCLUDE, history, self._parts.units)
        target = history.accepted.event_id
        approval = await self._approvals.exclude(
            (target,), asked.body.reason.value, asked.body.actor, asked.facts, None
        )
        return self._answer(approval)

    async def rules(self, asked: Asked[RulesBody]) -> ApprovalAnswer:
        """Ask for other rules."""
        pack = self._pack(asked.body.pack)
        approval = await self._approvals.propose_rules(
            pack, asked.body.reason.value, asked.body.actor, asked.facts
        )
        return self._answer(approval, whole=True)

    def _pack(self, text: str) -> Pack:
        try:
            new = parse_pack(text, "pack")
        except RulePackError as error:
            raise InvalidValueError(
                f"{len(error.problems)} problems, first {error.problems[0][:200]}",
                "a rule pack that can be used",
                "run `pingyi rules check FILE`, it names all of them",
                field="pack",
            ) from error
        first: date = new.valid_from
        old = self._parts.rules.at(self._clock.now())
        differences = tuple((each.key, each.old, each.new) for each in pack_differences(old, new))
        return Pack(new.version, first.isoformat(), new.hash, text, old.hash, differences)

    async def approve(self, asked: Asked[ActingBody]) -> ApprovalAnswer:
        """Grant."""
        self._require_may_decide(asked)
        return await self._decide(asked.path["approval_id"], asked.body.actor, None, asked.facts)

    async def reject(self, asked: Asked[RejectionBody]) -> ApprovalAnswer:
        """Refuse."""
        self._require_may_decide(asked)
        return await self._decide(
            asked.path["approval_id"], asked.body.actor, asked.body.reason.value, asked.facts
        )

    def _history_of(self, target: str) -> History | None:
        """The rating that an event id or a receipt code names; None for neither."""
        reviser = self._parts.reviser
        try:
            return reviser.history(target) if is_uuid(target) else reviser.history_of_receipt(target)
        except InvalidValueError:
            return None

    def _is_theirs(self, approval: Approval, scope: Scope) -> bool:
        """Whether all that a request is about lies in the subtree of whoever asks; rules are everybody's."""
        principal, request = principal_of(scope), approval.request
        if principal.scope.tier is Tier.PROVINCE or request.pack is not None:
            return True
        if not principal.scope.sees(Place.of_tokens(request.city, request.county)):
            histories = [self._history_of(each) for each in request.targets]
            places = [place_of(each, self._parts.units) for each in histories if each is not None]
            return bool(places) and all(map(principal.scope.sees, places))
        return True

    def _require_may_decide(self, asked: Asked[Any]) -> None:
        """Who could not ask for it cannot decide about it either."""
        approval_id, path = asked.path["approval_id"], asked.scope["path"]
        approval = self._approvals.get(approval_id)
        if not self._is_theirs(approval, asked.scope):
            raise self._approvals.missing(approval_id)
        principal = principal_of(asked.scope)
        if approval.request.pack is not None and not holds(principal, Permission.RULES_CHANGE):
            raise refusal(f"{principal.subject} may not change rules.", path)
        # From above the unit, as far up as may be; never from the bureau that is rated.
        histories = [self._history_of(each) for each in approval.request.targets]
        if any(principal.scope.is_own(place_of(each, self._parts.units)) for each in histories if each):
            raise refusal("Who is rated decides nothing about the ratings.", path)

    async def _decide(
        self, approval_id: str, actor: Actor, reason: str | None, facts: RequestFacts
    ) -> ApprovalAnswer:
        approval = await self._approvals.decide(approval_id, actor, reason, facts)
        if approval.outcomes is None and approval.verdict is not None and approval.verdict.granted:
            self._work.mine(approval_id)
        return self._answer(approval)

    async def appeal(self, asked: Asked[AppealBody]) -> ApprovalAnswer:
        """Appeal as the citizen."""
        history = self._parts.reviser.history_of_receipt(asked.path["code"])
        reason = ReinstatementReason.APPEAL_UPHELD
        return self._answer(await self._approvals.appeal(history, reason, None, asked.facts))

    async def staff_appeal(self, asked: Asked[StaffAppealBody]) -> ApprovalAnswer:
        """Appeal as staff."""
        history = self._parts.reviser.history(asked.path["event_id"])
        require_may_revise(asked.scope, Permission.FEEDBACK_APPEAL, history, self._parts.units)
        body = asked.body
        return self._answer(await self._approvals.appeal(history, body.reason, body.actor, asked.facts))

    def _answer(self, approval: Approval, *, whole: bool = False) -> ApprovalAnswer:
        request, verdict, outcomes = approval.request, approval.verdict, approval.outcomes
        asker = request.requested_by
        return ApprovalAnswer(
            approval_id=request.approval_id,
            kind=request.kind,
            stage=approval.stage(self._clock.now()),
            reason=request.reason,
            requested_by=None if asker is None else asker.credential,
            level=None if asker is None else asker.level,
            requested_at=rfc3339(request.requested_at),
            expires_at=rfc3339(request.expires_at),
            size=approval.size,
            targets=list(request.targets) if whole and request.targets else None,
            import_id=request.import_id,
            rules=None if request.pack is None else _rules(request.pack, whole=whole),
            decided_by=None if verdict is None else verdict.by.credential,
            decided_at=None if verdict is None else rfc3339(verdict.at),
            rejection=None if verdict is None else verdict.reason,
            done=None if outcomes is None else outcomes.done,
            left=None
            if outcomes is None
            else [
                LeftAnswer(state=state, count=len(targets), targets=list(targets) if whole else None)
                for state, targets in outcomes.left.items()
            ],
        )


def _rules(pack: Pack, *, whole: bool) -> RulesAnswer:
    return RulesAnswer(
        version=pack.version,
        valid_from=pack.valid_from,
        hash=pack.hash,
        replaces=pack.replaces,
        differences=[DifferenceAnswer(key=key, old=old, new=new) for key, old, new in pack.differences],
        pack=pack.text if whole else None,
    )


def _place_after(found: list[Approval], cursor: str | None) -> int:
    if cursor is None:
        return 0
    for place, each in enumerate(found):
        if each.request.approval_id == cursor:
            return place + 1
    raise InvalidValueError(cursor, "the `next` of a page of the same list", "begin anew", field="cursor")


async def _request_exclusions(body: ExclusionsBody, *, idempotency_key: _Key = None) -> None:
    """Ask that ratings be excluded. Nothing happens before another person has approved.

    Once approved, each is excluded or left as it is; `GET /v1/approvals/{approval_id}` tells item by item.
    """


async def exclude_feedback(
    event_id: _EventId, body: OneExclusionBody, *, idempotency_key: _Key = None
) -> None:
    """Ask that a rating be excluded. Open while it counts or is held; another person has to approve."""


async def _request_rules(body: RulesBody, *, idempotency_key: _Key = None) -> None:
    """Ask that a rule pack be used. It is validated, and what it changes is shown with the request."""


async def _approve(approval_id: _Id, body: ActingBody) -> None:
    """Approve what somebody else asked for. It is carried out from then on."""


async def _reject(approval_id: _Id, body: RejectionBody) -> None:
    """Refuse what somebody else asked for. Nothing happens, and nobody can approve it any more."""


async def _appeal(code: _Code, body: AppealBody | None = None) -> None:
    """Appeal against an exclusion, as the citizen who holds the receipt. Each exclusion once."""


async def _staff_appeal(event_id: _EventId, body: StaffAppealBody) -> None:
    """Appeal against an exclusion on somebody's behalf. Decided by who had no part in the exclusion."""
