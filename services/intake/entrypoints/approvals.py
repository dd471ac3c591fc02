"""The HTTP interface of what takes two people: asking, appealing, deciding, looking."""

from datetime import date
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, FastAPI, Header, Path, Query, Request
from starlette.types import Scope

from services.intake.application.approving import Approvals
from services.intake.application.carrying_out import CarryingOut
from services.intake.application.prepared import KEY_HEADER, RequestFacts
from services.intake.domain.approvals import Actor, Approval, Kind, Pack, Stage
from services.intake.domain.revisions import History
from services.intake.entrypoints.approval_bodies import (
    AppealBody,
    ApprovalAnswer,
    ApprovalPageAnswer,
    CorrectionBody,
    ExclusionsBody,
    OneExclusionBody,
    RejectionBody,
    RulesBody,
    StaffAppealBody,
    approval_answer,
)
from services.intake.entrypoints.channels import place_of, require_may_revise
from services.intake.entrypoints.http import HttpParts
from services.intake.entrypoints.staff_routes import (
    READ_PROBLEMS,
    ActingBody,
    Asked,
    Post,
    add_post,
)
from services.intake.entrypoints.writing import MAX_KEY, problems
from shared.auth.access import principal_of, refusal, requires
from shared.auth.grants import Permission, holds
from shared.auth.principals import Place, Tier
from shared.kernel.clock import Clock
from shared.kernel.errors import InvalidValueError
from shared.kernel.ids import is_uuid
from shared.kernel.reasons import (
    ReinstatementReason,
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
                "/v1/feedback/{event_id}/corrections",
                correct_feedback,
                CorrectionBody,
                ApprovalAnswer,
                self.correction,
                "revisions",
                takes=Permission.FEEDBACK_REVISE,
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

    async def correction(self, asked: Asked[CorrectionBody]) -> ApprovalAnswer:
        """Ask for a correction."""
        history = self._parts.reviser.history(asked.path["event_id"])
        require_may_revise(asked.scope, Permission.FEEDBACK_REVISE, history, self._parts.units)
        body = asked.body
        return self._answer(
            await self._approvals.correct(history, body.changes, body.reason.value, body.actor, asked.facts)
        )

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
            places = self._places(approval)
            return bool(places) and all(map(principal.scope.sees, places))
        return True

    def _places(self, approval: Approval) -> list[Place]:
        """Where the ratings belong that a request is about, and where one would belong from then on.

        None once it is carried out.
        """
        units, changes = self._parts.units, approval.request.changes
        histories = [self._history_of(each) for each in approval.request.targets]
        places = [place_of(each, units) for each in histories if each is not None]
        if places and changes is not None and changes.unit_id is not None and changes.unit_id in units:
            places.append(Place.of_unit(units.get(changes.unit_id)))
        return places

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
        if any(map(principal.scope.is_own, self._places(approval))):
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
        return approval_answer(approval, self._clock.now(), whole=whole)


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


async def correct_feedback(event_id: _EventId, body: CorrectionBody, *, idempotency_key: _Key = None) -> None:
    """Ask that what had been taken down wrongly be corrected. Open while the rating counts.

    Another person has to approve: grade, sub-grades and unit are what rankings count by.
    """


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
