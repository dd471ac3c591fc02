"""Revising accepted ratings: each revision once, and only where the rating's state allows it.

There is no lock. A revision's event id belongs to the rating and the revision's number, so two replicas that
revise at once publish the same id: the first in the stream wins, and the other reads back what stands.
"""

from services.intake.application.errors import (
    HeldBeforeError,
    IndexNotReadyError,
    KeyReusedError,
    LostRaceError,
    MoveNotOpenError,
    SamePersonError,
)
from services.intake.application.hold_messages import REQUEST_KEY
from services.intake.application.ports import AcceptedIndex, FeedbackLog, InForce, Tally
from services.intake.application.prepared import KEY_HEADER, RequestFacts
from services.intake.application.revision_messages import apply_changes, revision_message
from services.intake.domain.decisions import Changes, Decision, issue_of_unit
from services.intake.domain.measures import Size
from services.intake.domain.pseudonyms import Pseudonyms
from services.intake.domain.receipts import parse_receipt_code
from services.intake.domain.revisions import History, Move, Revision, revision_id
from shared.events import CountedFields
from shared.kernel.errors import InvalidValueError, NotFoundError
from shared.kernel.ids import is_uuid
from shared.kernel.units import UnitRegistry

_NO_KEY = ""


class Reviser:
    """Knows what became of each rating, and makes decisions about them durable."""

    def __init__(
        self,
        *,
        log: FeedbackLog,
        index: AcceptedIndex,
        pseudonyms: Pseudonyms,
        units: UnitRegistry,
        tally: Tally,
    ) -> None:
        """Use these adapters."""
        self._log = log
        self._index = index
        self._pseudonyms = pseudonyms
        self._units = units
        self._tally = tally

    def history(self, event_id: str) -> History:
        """What became of the rating that the event `event_id` accepted.

        Raises:
            InvalidValueError: that can't be the id of an event.
            NotFoundError: no rating has it.
            TransientError: the index can't say yet.
        """
        if not is_uuid(event_id):
            raise InvalidValueError(
                event_id, "an event id, a UUID in lower case", "copy it from the answer", field="event_id"
            )
        found = self._find(self._pseudonyms.receipt(event_id))
        if found is None:
            raise NotFoundError(
                event_id,
                "the event id of an accepted rating",
                "compare it with the answer to the rating",
                field="event_id",
            )
        return found

    def history_of_receipt(self, code: str) -> History:
        """What became of the rating with a receipt code, however the citizen writes it.

        Raises:
            InvalidValueError: it can't be a receipt code.
            NotFoundError: no rating has it.
            TransientError: the index can't say yet.
        """
        found = self._find(parse_receipt_code(code))
        if found is None:
            raise NotFoundError(
                code, "the code of an accepted rating", "compare it with the receipt", field="receipt_code"
            )
        return found

    def _find(self, receipt: bytes) -> History | None:
        accepted = self._index.find((receipt,)).get(receipt)
        if accepted is not None:
            return History(accepted, self._index.revisions(receipt))
        if not self._index.ready:
            raise IndexNotReadyError
        return None

    async def revise(self, history: History, decision: Decision, facts: RequestFacts) -> Revision:
        """Make `decision` the next revision of a rating, or repeat the answer to it; durable on return.

        Raises:
            MoveNotOpenError: the rating's state does not allow it.
            LostRaceError: somebody else's revision came first.
            HeldBeforeError: somebody holds it by hand once more.
            KeyReusedError: the request's key came before, for another decision.
            SamePersonError: whoever reinstates had a part in the exclusion.
            InvalidValueError: the correction can't be made, or changes nothing.
            TransientError: not known to be durable; the same request may be sent again.
        """
        target_id = history.accepted.event_id
        request = self._request(target_id, decision, facts)
        digest = self._pseudonyms.decision(target_id, decision.canonical())
        earlier = history.under(request)
        if earlier is not None:
            return _repeated(earlier, target_id, request, digest)
        if history.accepted.sequence > 0 and not self._index.ready:  # nobody else knows one that waits here
            raise IndexNotReadyError
        if decision.move not in history.moves:
            raise MoveNotOpenError(history, decision.move)
        if decision.move is Move.QUARANTINE:
            self._require_first_hold(history, request)
        before = await self._log.read_in_force(history.sequence)
        _require_another_person(decision, before)
        after = self._after(decision.changes, before)
        number = history.number + 1
        message = revision_message(
            decision,
            before,
            target_id=target_id,
            number=number,
            corrected=after,
            request=request,
            digest=digest,
            facts=facts,
        )
        (stored,) = await self._log.append((message,))
        if stored.duplicate:
            return await self._stands(history, stored.sequence, request, digest)
        revision = Revision(
            receipt=history.accepted.receipt,
            number=number,
            move=decision.move,
            sequence=stored.sequence,
            received_at=facts.received_at,
            request=request,
            digest=digest,
            unit_id=after.unit_id,
            grade=after.grade,
        )
        self._index.add_revisions((revision,))
        self._tally.revised(decision.move.value)
        return revision

    async def check_correction(self, history: History, changes: Changes) -> None:
        """Return if `changes` could correct the rating now.

        Raises:
            MoveNotOpenError: the rating's state does not allow it.
            InvalidValueError: the correction can't be made, or changes nothing.
            TransientError: that can't be told yet.
        """
        if Move.CORRECT not in history.moves:
            raise MoveNotOpenError(history, Move.CORRECT)
        self._after(changes, await self._log.read_in_force(history.sequence))

    def _require_first_hold(self, history: History, request: str | None) -> None:
        """One person alone keeps a rating from counting once, for a while (ADR 0054)."""
        target_id = history.accepted.event_id
        screenings = self._pseudonyms.request(target_id, REQUEST_KEY)
        by_hand = (each.move is Move.QUARANTINE and each.request != screenings for each in history.revisions)
        if request != screenings and any(by_hand):
            raise HeldBeforeError(target_id)

    def _request(self, target_id: str, decision: Decision, facts: RequestFacts) -> str | None:
        if facts.idempotency_key is not None:
            return self._pseudonyms.request(target_id, facts.idempotency_key)
        # A citizen who sends a withdrawal again means the same one; a rating can be withdrawn only once.
        return self._pseudonyms.request(target_id, _NO_KEY) if decision.move is Move.WITHDRAW else None

    def _after(self, changes: Changes | None, before: InForce) -> CountedFields:
        """The fields in force once `changes` are; None: nothing of them changes."""
        if changes is None:
            return before.fields
        if changes.unit_id is not None:
            issue = issue_of_unit(changes.unit_id, before.fields.occurred_at, self._units)
            if issue is not None:
                raise InvalidValueError(Size(issue.value), issue.expected, issue.remedy, field=issue.field)
        after = apply_changes(before.fields, changes)
        if after == before.fields:
            raise InvalidValueError(
                Size("what is in force already"),
                "another grade, unit or sub-grade",
                "send at least one field that changes",
                field="body",
            )
        return after

    async def _stands(self, history: History, sequence: int, request: str | None, digest: str) -> Revision:
        """Answer by what came first under the revision's number.

        It may be this very publish: group commit repeats one whose answer was unclear.
        """
        standing = await self._log.read_revision(sequence)
        self._index.add_revisions((standing,))
        if standing.answers(request, digest):
            return standing
        if request is not None and standing.request == request:
            raise _key_reused(standing, history.accepted.event_id)
        raise LostRaceError(history.followed_by(standing))


def _require_another_person(decision: Decision, before: InForce) -> None:
    """A reinstatement is for somebody who had no part in the exclusion (ADR 0034)."""
    if decision.move is not Move.REINSTATE or not before.people:
        return
    if decision.decided_by is None or decision.decided_by in before.people:
        raise SamePersonError(
            Size(f"a reinstatement by {decision.decided_by or 'nobody in particular'}"),
            "a person who neither asked for the exclusion nor decided it",
            "let somebody else decide, and name the role in decided_by",
            field="decided_by",
        )


def _repeated(earlier: Revision, target_id: str, request: str | None, digest: str) -> Revision:
    if not earlier.answers(request, digest):
        raise _key_reused(earlier, target_id)
    return earlier


def _key_reused(standing: Revision, target_id: str) -> KeyReusedError:
    return KeyReusedError(revision_id(target_id, standing.number), KEY_HEADER)
