"""Doing what was granted, item by item; killed anywhere, any replica goes on where it was left.

Each item is a revision under a request key of the approval's own, so doing it twice is doing it once; that
all of it is done is an event, after which nobody takes it up again.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from services.intake.application.approval_messages import carried_out_event
from services.intake.application.errors import (
    IndexNotReadyError,
    KeyReusedError,
    LostRaceError,
    MoveNotOpenError,
    SamePersonError,
)
from services.intake.application.ports import RegistryLog
from services.intake.application.prepared import Preparer
from services.intake.application.revising import Reviser
from services.intake.domain.approvals import Approval, ApprovalBook, Kind, Outcomes, Verdict
from services.intake.domain.decisions import Decision
from services.intake.domain.revisions import Move
from shared.events import Provenance
from shared.kernel.errors import InvalidValueError, NotFoundError

AT_ONCE: Final = 64
"""Revisions of one request under way together; group commit makes atomic batches of them."""
ATTEMPTS: Final = 5
GRACE_S: Final = 10.0
"""How long the replica that took the decision down has before another takes the work up."""
UNKNOWN_AFTER_S: Final = 60.0
"""How long a rating that isn't in the index is waited for."""
DONE: Final = "done"
UNKNOWN: Final = "unknown"

_MOVES: Final = {
    Kind.EXCLUSION: Move.EXCLUDE,
    Kind.REINSTATEMENT: Move.REINSTATE,
    Kind.CORRECTION: Move.CORRECT,
}


class CarryingOut:
    """Carries out what the book says was granted."""

    def __init__(
        self,
        *,
        book: ApprovalBook,
        log: RegistryLog,
        reviser: Reviser,
        preparer: Preparer,
        now: Callable[[], datetime],
    ) -> None:
        """Use these adapters."""
        self._book = book
        self._log = log
        self._reviser = reviser
        self._preparer = preparer
        self._now = now
        self._own: set[str] = set()
        self._wake = asyncio.Event()

    def mine(self, approval_id: str) -> None:
        """Take this one up at once: its decision was taken down here."""
        self._own.add(approval_id)
        self._wake.set()

    async def wait(self, limit_s: float) -> None:
        """Wait until there is something of one's own, `limit_s` seconds at most."""
        try:
            async with asyncio.timeout(limit_s):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    async def run_once(self) -> int:
        """Carry out everything that is due; how many requests that were.

        Raises:
            TransientError: something of it is not known to be done; call it again.
        """
        self._log.require_ready()
        late = self._now() - timedelta(seconds=GRACE_S)
        due = [
            each
            for each in self._book.unfinished()
            if each.request.approval_id in self._own or (each.verdict is not None and each.verdict.at < late)
        ]
        for approval in due:
            await self._carry_out(approval)
            self._own.discard(approval.request.approval_id)
        return len(due)

    async def _carry_out(self, approval: Approval) -> None:
        request, verdict = approval.request, approval.verdict
        if verdict is None:  # pragma: no cover - unfinished ones are decided
            return
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(target: str) -> str:
            async with gate:
                return await self._revise(approval, verdict, target)

        states = await asyncio.gather(*map(one, request.targets))
        left: dict[str, tuple[str, ...]] = {}
        for state in sorted(set(states) - {DONE}):
            left[state] = tuple(
                target for target, found in zip(request.targets, states, strict=True) if found == state
            )
        facts = self._preparer.facts(Provenance(request.approval_id, request.approval_id, None))
        await self._log.publish(
            carried_out_event(request, Outcomes(states.count(DONE), left), facts),
            city=request.city,
            county=request.county,
        )

    async def _revise(self, approval: Approval, verdict: Verdict, target: str) -> str:
        """Do it for one rating: `DONE`, or what the rating was instead."""
        request = approval.request
        decision = Decision(
            _MOVES[request.kind],
            request.reason,
            verdict.by.credential,
            request.changes,
            requested_by=None if request.requested_by is None else request.requested_by.credential,
            approval_id=request.approval_id,
        )
        facts = self._preparer.facts(
            Provenance(request.approval_id, request.approval_id, None),
            idempotency_key=f"approval-{request.approval_id}",
        )
        for _ in range(ATTEMPTS):
            try:
                history = self._reviser.history(target)
                await self._reviser.revise(history, decision, facts)
            except LostRaceError:
                continue  # somebody revised it meanwhile: what is open now decides
            except (MoveNotOpenError, KeyReusedError, SamePersonError):
                # The last: excluded anew since it was asked for, by who has granted it.
                return history.state.value
            except NotFoundError:
                # It was known where it was asked for; the index here is up to a second behind.
                if self._now() < verdict.at + timedelta(seconds=UNKNOWN_AFTER_S):
                    raise IndexNotReadyError from None
                return UNKNOWN
            except InvalidValueError:
                if request.kind is not Kind.CORRECTION:
                    raise
                return history.state.value  # somebody put the same in force meanwhile, or its unit is gone
            return DONE
        return self._reviser.history(target).state.value
