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
from shared.kernel.errors import NotFoundError, PermanentError, TransientError
from shared.kernel.reasons import ReleaseReason
from shared.observability.logging import get_logger

EVERY_S: Final = 300.0
AT_ONCE: Final = 100

_log = get_logger(component="lapsing")


class HeldByHand(Protocol):
    """Role: knows what people hold; `adapters.sqlite_quarantine` plays it."""

    def by_hand(self, before: str, limit: int) -> list[str]:
        """At most `limit` event ids of ratings that a person has held since earlier than `before`, RFC 3339.

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

    async def run(self) -> None:
        """Look every few minutes until cancelled, through outages."""
        while True:
            more = False
            try:
                more = self._leads() and await self.run_once() == AT_ONCE
            except TransientError as error:
                _log.warning("lapsing_retries", reason=repr(error), delay_s=EVERY_S)
            except PermanentError as error:  # no rule pack of today, say
                _log.error("lapsing_stands_still", reason=str(error), delay_s=EVERY_S)
            await asyncio.sleep(0 if more else EVERY_S)

    async def run_once(self) -> int:
        """Release what is due, at most `AT_ONCE`; how many were.

        Raises:
            TransientError: not all are known to be released; look again.
        """
        facts = self._facts(LAPSE_KEY)
        limit = timedelta(days=self._rules.at(facts.received_at).approvals.hold_days)
        released = 0
        decision = Decision(Move.RELEASE, ReleaseReason.REVIEW_EXPIRED.value, DECIDED_BY)
        for event_id in self._held.by_hand(rfc3339(facts.received_at - limit), AT_ONCE):
            try:
                history = self._reviser.history(event_id)
                revision = await self._reviser.revise(history, decision, facts)
            except (MoveNotOpenError, LostRaceError, KeyReusedError, NotFoundError):
                continue  # somebody has decided meanwhile: that stands
            released += revision.number > history.number  # else it was done before, and held again since
        if released:
            _log.info("holds_lapsed", ratings=released)
        return released
