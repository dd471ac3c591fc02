"""Making screening's decisions durable, each once, whoever decides it and however often.

A hold is a revision like any other, under one key for each rating: a replica, a restart or a second fold that
decides the same finds it done. Most ratings have no revision yet and their bytes are at hand; these go to the
stream in batches. The others go the way of every revision (`revising.Reviser`).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final, Protocol, TypeVar

from services.intake.application.errors import (
    IndexNotReadyError,
    KeyReusedError,
    LostRaceError,
    MoveNotOpenError,
)
from services.intake.application.hold_messages import (
    DECIDED_BY,
    RELEASE_KEY,
    REQUEST_KEY,
    decision_of,
    hold_message,
    read_target,
)
from services.intake.application.ports import AcceptedIndex, FeedbackLog, Tally
from services.intake.application.prepared import RequestFacts
from services.intake.application.revising import Reviser
from services.intake.domain.decisions import Decision
from services.intake.domain.pseudonyms import Pseudonyms
from services.intake.domain.revisions import Move, Revision
from services.intake.domain.screening import Hold, Release
from services.intake.domain.submission import unix_ms
from shared.kernel.errors import NotFoundError
from shared.kernel.reasons import ReleaseReason
from shared.messaging.group_commit import Outgoing

T = TypeVar("T")
AT_ONCE: Final = 500
"""Holds in one batch: about 20 ms of work, so that requests don't wait behind it."""
SINGLES: Final = 32


class RevisedIndex(AcceptedIndex, Protocol):
    """Role: an index that also knows at once which of many ratings have been revised."""

    def revised(self, receipts: Sequence[bytes]) -> set[bytes]:
        """Which of `receipts` have a revision.

        Raises:
            TransientError: the index is being made anew.
        """
        ...


class Holder:
    """Carries out what screening decides."""

    def __init__(
        self,
        *,
        log: FeedbackLog,
        index: RevisedIndex,
        pseudonyms: Pseudonyms,
        reviser: Reviser,
        tally: Tally,
        facts: Callable[[str], RequestFacts],
    ) -> None:
        """Use these adapters; `facts` gives those of a request of ours under a key."""
        self._log = log
        self._index = index
        self._pseudonyms = pseudonyms
        self._reviser = reviser
        self._tally = tally
        self._facts = facts

    async def carry_out(
        self, decided: Sequence[Hold | Release], messages: Mapping[int, bytes]
    ) -> list[Hold | Release]:
        """Make decisions durable; those that were new.

        Args:
            decided: what screening decided, of each rating at most one.
            messages: bytes of ratings by sequence, as far as they are at hand.

        Raises:
            TransientError: not all are known to be durable; the same ones may be carried out again.
        """
        if not self._index.ready:
            raise IndexNotReadyError
        facts = self._facts(REQUEST_KEY)
        oldest_ms = unix_ms(facts.received_at - timedelta(seconds=facts.rules.screening.act_within_s))
        due = [each for each in decided if each.received_ms >= oldest_ms]
        done: list[Hold | Release] = []
        for some in _parts(due, AT_ONCE):
            receipts = [self._pseudonyms.receipt(each.event_id) for each in some]
            revised = self._index.revised(receipts)
            fresh: list[tuple[Hold, bytes, bytes]] = []
            others: list[Hold | Release] = []
            for each, receipt in zip(some, receipts, strict=True):
                data = messages.get(each.sequence)
                if isinstance(each, Hold) and receipt not in revised and data is not None:
                    fresh.append((each, receipt, data))
                else:
                    others.append(each)
            done += await self._hold(fresh, facts)
            for few in _parts(others, SINGLES):
                answers = await asyncio.gather(*map(self._revise, few))
                done += [each for each, new in zip(few, answers, strict=True) if new]
            await asyncio.sleep(0)
        return done

    async def _hold(self, fresh: list[tuple[Hold, bytes, bytes]], facts: RequestFacts) -> list[Hold]:
        """Hold ratings that have no revision yet."""
        revisions: list[tuple[Hold, Revision]] = []
        outgoing: list[Outgoing] = []
        for hold, receipt, data in fresh:
            target = read_target(data)
            if target is None:
                continue
            request = self._pseudonyms.request(hold.event_id, REQUEST_KEY)
            digest = self._pseudonyms.decision(hold.event_id, decision_of(hold).canonical())
            outgoing.append(hold_message(hold, target, request, digest, facts))
            revision = Revision(
                receipt=receipt,
                number=1,
                move=Move.QUARANTINE,
                sequence=0,
                received_at=facts.received_at,
                request=request,
                digest=digest,
                unit_id=target.fields.unit_id,
                grade=target.fields.grade,
            )
            revisions.append((hold, revision))
        if not outgoing:
            return []
        done: list[Hold] = []
        stored = await self._log.append(outgoing)
        for (hold, revision), answer in zip(revisions, stored, strict=True):
            if answer.duplicate:  # another replica was faster, or somebody else's first revision
                self._index.add_revisions((await self._log.read_revision(answer.sequence),))
                continue
            self._index.add_revisions((_at(revision, answer.sequence),))
            self._tally.revised(Move.QUARANTINE.value)
            done.append(hold)
        return done

    async def _revise(self, each: Hold | Release) -> bool:
        """Decide about a rating by itself; whether that was new."""
        if isinstance(each, Hold):
            key, decision = REQUEST_KEY, decision_of(each)
        else:
            reason = ReleaseReason.HELD_IN_ERROR.value
            key, decision = RELEASE_KEY, Decision(Move.RELEASE, reason, DECIDED_BY)
        try:
            history = self._reviser.history(each.event_id)
            known = history.under(self._pseudonyms.request(each.event_id, key)) is not None
            if known:
                return False
            await self._reviser.revise(history, decision, self._facts(key))
        except (MoveNotOpenError, LostRaceError, KeyReusedError, NotFoundError):
            return False  # somebody has decided about it: that stands
        return True


def _parts(decided: list[T], size: int) -> list[list[T]]:
    return [decided[start : start + size] for start in range(0, len(decided), size)]


def _at(revision: Revision, sequence: int) -> Revision:
    return Revision(
        receipt=revision.receipt,
        number=revision.number,
        move=revision.move,
        sequence=sequence,
        received_at=revision.received_at,
        request=revision.request,
        digest=revision.digest,
        unit_id=revision.unit_id,
        grade=revision.grade,
    )
