"""Asking for what takes two people, appealing, and deciding."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from services.intake.application.approval_messages import decided_event, requested_event
from services.intake.application.errors import (
    KeyReusedError,
    MoveNotOpenError,
    NotPendingError,
    RejectedError,
    SamePersonError,
)
from services.intake.application.ports import FeedbackLog, RegistryLog, Rules
from services.intake.application.prepared import KEY_HEADER, RandomBytes, RequestFacts
from services.intake.application.revising import Reviser
from services.intake.domain.acceptance import Issue
from services.intake.domain.approvals import (
    Actor,
    Approval,
    ApprovalBook,
    Kind,
    Obstacle,
    Pack,
    Request,
    Verdict,
    common_place,
    obstacle,
)
from services.intake.domain.decisions import Changes, Decision
from services.intake.domain.measures import Size
from services.intake.domain.revisions import History, Move
from services.intake.domain.submission import unix_ms
from shared.kernel.errors import InvalidValueError, NotFoundError
from shared.kernel.ids import RANDOM_BYTES, derived_id, is_uuid, uuid7
from shared.kernel.reasons import ReinstatementReason
from shared.kernel.units import ALL, UnitRegistry

CHUNK: Final = 250
"""Targets looked up at a stretch, so that ratings don't wait behind a long list."""
SHOWN: Final = 20
"""Unknown targets that an error names."""


class Approvals:
    """Takes requests and decisions down as events, and answers from the fold of all of them."""

    def __init__(
        self,
        *,
        book: ApprovalBook,
        log: RegistryLog,
        feedback: FeedbackLog,
        reviser: Reviser,
        rules: Rules,
        units: UnitRegistry,
        random: RandomBytes,
    ) -> None:
        """Use these adapters; `log` keeps `book` up to date."""
        self._units = units
        self._book = book
        self._log = log
        self._feedback = feedback
        self._reviser = reviser
        self._rules = rules
        self._random = random

    def get(self, approval_id: str) -> Approval:
        """The request with that id.

        Raises:
            NotFoundError: there is none.
            TransientError: the books can't say yet.
        """
        self._log.require_ready()
        found = self._book.get(approval_id)
        if found is None:
            raise self.missing(approval_id)
        return found

    @staticmethod
    def missing(approval_id: str) -> NotFoundError:
        """The error of a request that does not exist, or not for whoever asks."""
        return NotFoundError(
            approval_id, "the id of a request for approval", "look at GET /v1/approvals", field="approval_id"
        )

    def all(self) -> tuple[Approval, ...]:
        """Every request, newest first.

        Raises:
            TransientError: the books can't say yet.
        """
        self._log.require_ready()
        return tuple(reversed(tuple(self._book)))

    async def exclude(
        self,
        targets: Sequence[str],
        reason: str,
        actor: Actor,
        facts: RequestFacts,
        import_id: str | None,
        *,
        chosen_by: Sequence[str] | None = None,
    ) -> Approval:
        """Ask that ratings be excluded; `targets` are event ids or receipt codes, mixed as they come.

        Args:
            targets: the ratings.
            reason: why.
            actor: who asks.
            facts: of the request.
            import_id: the bulk import that is undone.
            chosen_by: what the request named instead of each of them; a repeat is one that names the same,
                though meanwhile there may be others of that name.

        Raises:
            RejectedError: some are no ratings; names the first of them.
            MoveNotOpenError: the only one can't be excluded.
            KeyReusedError: the request's key came before, with other content.
            TransientError: not known to be asked; send it again.
        """
        limits = self._rules.at(facts.received_at).approvals
        if not 1 <= len(targets) <= limits.max_targets:
            raise InvalidValueError(
                Size(f"{len(targets)} ratings"),
                f"1 to {limits.max_targets} ratings",
                "split the request",
                field="targets",
            )
        histories = await self._histories(targets)
        ids = tuple(dict.fromkeys(history.accepted.event_id for history in histories))
        if len(ids) == 1:
            (history,) = histories[:1]
            if Move.EXCLUDE not in history.moves and not self._known(Kind.EXCLUSION, actor, facts):
                raise MoveNotOpenError(history, Move.EXCLUDE)
            in_force = await self._feedback.read_in_force(history.sequence)
            city, county = in_force.city, in_force.county
        else:
            # The targets are let go once all is done; whose request it was has to be known after that, too.
            city, county = common_place(map(self._place, histories))
        return await self._ask(
            Request(
                approval_id=self._id(Kind.EXCLUSION, actor, facts),
                kind=Kind.EXCLUSION,
                reason=reason,
                requested_by=actor,
                requested_at=facts.received_at,
                expires_at=_after(facts.received_at, limits.pending_hours),
                content=derived_id(
                    "exclusion", reason, actor.credential, import_id or "", *(chosen_by or sorted(ids))
                ),
                targets=ids,
                import_id=import_id,
                city=city,
                county=county,
            ),
            facts,
        )

    async def correct(
        self, history: History, changes: Changes, reason: str, actor: Actor, facts: RequestFacts
    ) -> Approval:
        """Ask that a rating count by other fields; both its units' places are those of the request.

        Raises:
            MoveNotOpenError: the rating's state does not allow it.
            InvalidValueError: the correction can't be made, or changes nothing.
            KeyReusedError: the request's key came before, with other content.
            TransientError: not known to be asked; send it again.
        """
        target, approval_id = history.accepted.event_id, self._id(Kind.CORRECTION, actor, facts)
        asked = Decision(Move.CORRECT, reason, actor.credential, changes)
        content = derived_id("correction", target, asked.canonical().decode("utf-8", "surrogatepass"))
        if self._known(Kind.CORRECTION, actor, facts):  # carried out, it would change nothing any more
            return self._standing(approval_id, content)
        await self._reviser.check_correction(history, changes)
        places = [self._place(history)]
        if changes.unit_id is not None:
            unit = self._units.get(changes.unit_id)
            places.append((unit.city, unit.county))
        city, county = common_place(places)
        return await self._ask(
            Request(
                approval_id=approval_id,
                kind=Kind.CORRECTION,
                reason=reason,
                requested_by=actor,
                requested_at=facts.received_at,
                expires_at=_after(
                    facts.received_at, self._rules.at(facts.received_at).approvals.pending_hours
                ),
                content=content,
                targets=(target,),
                changes=changes,
                city=city,
                county=county,
            ),
            facts,
        )

    async def appeal(
        self, history: History, reason: ReinstatementReason, actor: Actor | None, facts: RequestFacts
    ) -> Approval:
        """Appeal against a rating's exclusion; each exclusion can be appealed once, by whoever is first.

        Raises:
            MoveNotOpenError: the rating is not excluded.
            InvalidValueError: the time for an appeal is over.
            TransientError: not known to be asked; send it again.
        """
        if Move.REINSTATE not in history.moves:
            raise MoveNotOpenError(history, Move.REINSTATE)
        limits = self._rules.at(facts.received_at).approvals
        excluded_at = history.revisions[-1].received_at
        if facts.received_at > excluded_at + timedelta(days=limits.appeal_days):
            raise InvalidValueError(
                Size(f"an appeal {(facts.received_at - excluded_at).days} days after the exclusion"),
                f"one within {limits.appeal_days} days",
                "ask a reviewer, who can reinstate for another reason",
                field="received_at",
            )
        in_force = await self._feedback.read_in_force(history.sequence)
        target = history.accepted.event_id
        approval_id = derived_id("appeal", target, str(history.number))
        self._log.require_ready()
        earlier = self._book.get(approval_id)
        if earlier is not None:
            return earlier
        request = Request(
            approval_id=approval_id,
            kind=Kind.REINSTATEMENT,
            reason=reason.value,
            requested_by=actor,
            requested_at=facts.received_at,
            expires_at=_after(facts.received_at, limits.appeal_hours),
            content=approval_id,
            targets=(target,),
            barred=in_force.people,
            city=in_force.city,
            county=in_force.county,
        )
        return await self._ask(request, facts)

    async def propose_rules(self, pack: Pack, reason: str, actor: Actor, facts: RequestFacts) -> Approval:
        """Ask that a rule pack be used from its first day on; raises like `exclude`."""
        limits = self._rules.at(facts.received_at).approvals
        request = Request(
            approval_id=derived_id("rules", pack.hash, actor.credential, facts.idempotency_key or ""),
            kind=Kind.RULES,
            reason=reason,
            requested_by=actor,
            requested_at=facts.received_at,
            expires_at=_after(facts.received_at, limits.pending_hours),
            content=derived_id("rules", pack.hash, reason),
            pack=pack,
        )
        return await self._ask(request, facts)

    async def decide(
        self, approval_id: str, actor: Actor, reason: str | None, facts: RequestFacts
    ) -> Approval:
        """Grant, or with a `reason` reject; the same decision by the same person again changes nothing.

        Raises:
            NotFoundError: there is no such request.
            SamePersonError: another person has to decide.
            NotPendingError: somebody has decided, or the time is over.
            TransientError: not known to be decided; send it again.
        """
        approval = self.get(approval_id)
        verdict = Verdict(reason is None, actor, facts.received_at, reason)
        if _same(approval, verdict):
            return approval
        hindered = obstacle(approval, actor, facts.received_at)
        if hindered is not None:
            raise _refusal(hindered)
        request = approval.request
        await self._log.publish(
            decided_event(request, verdict, facts), city=request.city, county=request.county
        )
        stands = self.get(approval_id)
        if _same(stands, verdict):
            return stands
        hindered = obstacle(stands, actor, facts.received_at)
        raise _refusal(hindered or Obstacle("a void decision", "a decision in time", "look at the request"))

    async def _histories(self, targets: Sequence[str]) -> list[History]:
        found: list[History] = []
        unknown: list[Issue] = []
        for start in range(0, len(targets), CHUNK):
            for place, target in enumerate(targets[start : start + CHUNK], start):
                try:
                    found.append(
                        self._reviser.history(target)
                        if is_uuid(target)
                        else self._reviser.history_of_receipt(target)
                    )
                except InvalidValueError as error:
                    unknown.append(Issue(f"targets[{place}]", error.value, error.expected, error.remedy))
            await asyncio.sleep(0)
        if unknown:
            raise RejectedError(tuple(unknown[:SHOWN]))
        return found

    def _place(self, history: History) -> tuple[str, str]:
        try:
            unit = self._units.get(history.unit_id)
        except NotFoundError:
            return ALL, ALL
        return unit.city, unit.county

    def _id(self, kind: Kind, actor: Actor, facts: RequestFacts) -> str:
        if facts.idempotency_key is not None:
            return derived_id("approval", kind.value, actor.credential, facts.idempotency_key)
        return uuid7(unix_ms(facts.received_at), self._random(RANDOM_BYTES))

    def _known(self, kind: Kind, actor: Actor, facts: RequestFacts) -> bool:
        if facts.idempotency_key is None:
            return False
        self._log.require_ready()
        return self._book.get(self._id(kind, actor, facts)) is not None

    async def _ask(self, request: Request, facts: RequestFacts) -> Approval:
        self._log.require_ready()
        if self._book.get(request.approval_id) is None:
            await self._log.publish(requested_event(request, facts), city=request.city, county=request.county)
        return self._standing(request.approval_id, request.content)

    def _standing(self, approval_id: str, content: str) -> Approval:
        stands = self.get(approval_id)
        if stands.request.content != content:
            raise KeyReusedError(approval_id, KEY_HEADER)
        return stands


def _same(approval: Approval, verdict: Verdict) -> bool:
    stands = approval.verdict
    return stands is not None and (stands.granted, stands.by, stands.reason) == (
        verdict.granted,
        verdict.by,
        verdict.reason,
    )


def _refusal(hindered: Obstacle) -> InvalidValueError:
    kind = SamePersonError if hindered.personal else NotPendingError
    field = "decided_by" if hindered.personal else "stage"
    return kind(Size(hindered.value), hindered.expected, hindered.remedy, field=field)


def _after(moment: datetime, hours: int) -> datetime:
    return moment + timedelta(hours=hours)
