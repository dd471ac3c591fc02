"""Holds by hand lapse: nobody alone keeps a rating from counting for good (ADR 0054)."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final, Protocol

from services.intake.application.errors import KeyReusedError, LostRaceError, MoveNotOpenError
from services.intake.application.hold_messages import DECIDED_BY, LAPSE_KEY
from services.intake.application.ports import Rules
from services.intake.application.prepared import RequestFacts
from services.intake.application.revising import Reviser
from services.intake.domain.decisions import Decision
from services.intake.domain.revisions import Move
from shared.kernel.clock import rfc3339
from shared.kernel.errors import PermanentError, TransientError
from shared.kernel.reasons import ReleaseReason
from shared.observability.logging import get_logger

EVERY_S: Final = 300.0
AT_ONCE: Final = 100

_log = get_logger(component="lapsing")


class HeldByHand(Protocol):
    """Role: knows what people hold; `adapters.sqlite_quarantine` plays it."""

    def by_hand(self, before: str, after: int, limit: int) -> list[tuple[int, str]]:
        """Sequence of the hold and event id of ratings that a person has held since earlier than `before`.

        Args:
            before: a moment, RFC 3339.
            after: the sequence behind which to begin; the oldest come first.
            limit: most that are given.

        Raises:
            TransientError: not known yet.
        """
        ...


class Lapsing:
    """Lets ratings count again that somebody has held by hand for as long as the rules allow one person."""

    def __init__(
        self,
        *,
        held: HeldByHand,
        reviser: Reviser,
        rules: Rules,
        facts: Callable[[str], RequestFacts],
        leads: Callable[[], bool],
    ) -> None:
        """Use these; `facts` gives those of a request of ours under a key, and one replica `leads`."""
        self._held = held
        self._reviser = reviser
        self._rules = rules
        self._facts = facts
        self._leads = leads
        self._after = 0
        """The last one that was looked at, when looking was interrupted."""

    async def run(self) -> None:
        """Look every few minutes until cancelled, through outages."""
        while True:
            try:
                if self._leads():
                    await self.run_once()
            except TransientError as error:
                _log.warning("lapsing_retries", reason=repr(error), delay_s=EVERY_S)
            except PermanentError as error:  # no rule pack of today, say
                _log.error("lapsing_stands_still", reason=str(error), delay_s=EVERY_S)
            await asyncio.sleep(EVERY_S)

    async def run_once(self) -> int:
        """Release what is due, as long as this replica leads; how many were.

        One that can't be released stops none of those behind it: the next call goes on there.

        Raises:
            TransientError: not all are known to be released; look again.
        """
        facts = self._facts(LAPSE_KEY)
        limit = timedelta(days=self._rules.at(facts.received_at).approvals.hold_days)
        before = rfc3339(facts.received_at - limit)
        released = 0
        try:
            while due := self._held.by_hand(before, self._after, AT_ONCE):
                for sequence, event_id in due:
                    self._after = sequence
                    released += await self._release(event_id, facts)
                if len(due) < AT_ONCE or not self._leads():
                    break
                await asyncio.sleep(0)  # what is refused takes no round trip that would let others in
            self._after = 0
        finally:
            if released:
                _log.info("holds_lapsed", ratings=released)
        return released

    async def _release(self, event_id: str, facts: RequestFacts) -> bool:
        decision = Decision(Move.RELEASE, ReleaseReason.REVIEW_EXPIRED.value, DECIDED_BY)
        try:
            history = self._reviser.history(event_id)
            revision = await self._reviser.revise(history, decision, facts)
        except (MoveNotOpenError, LostRaceError, KeyReusedError):
            return False  # somebody has decided meanwhile: that stands
        except PermanentError as error:  # its rating is not known, say
            _log.error("hold_not_lapsed", event_id=event_id, reason=str(error))
            return False
        return revision.number > history.number  # else it was done before, and held again since
