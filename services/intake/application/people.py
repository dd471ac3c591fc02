"""Reading and destroying what the vault keeps of a citizen: by two people, and without a way back.

Each step is a fact in AUDIT before it has an effect: what is shown was told before, and what is to be erased
is erased at last even if we die in between.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Protocol

import msgspec

from services.intake.application.envelopes import SERVICE
from services.intake.application.ports import Rules
from services.intake.application.revising import Reviser
from services.intake.domain.measures import Size
from services.intake.domain.revisions import History
from services.intake.domain.submission import Contact, unix_ms
from services.intake.domain.unmasking import Actor, Part, Refusal, Unmasking, Unmaskings, refusal_of_scope
from shared.events import (
    Envelope,
    EventData,
    IdentityErased,
    IdentityUnmasked,
    Provenance,
    UnmaskingDecided,
    UnmaskingRequested,
    spec_for_data,
)
from shared.kernel.clock import Clock, whole_ms
from shared.kernel.errors import ConflictError, InvalidValueError, NotFoundError, PermanentError
from shared.kernel.ids import RANDOM_BYTES, derived_id, is_uuid, uuid7
from shared.kernel.people_reasons import ErasureReason, UnmaskReason
from shared.kernel.units import Unit, UnitRegistry

NOBODY: Final = "all"


class SealedParts(msgspec.Struct):
    """A sealed text as its event carries it."""

    record: str
    nonce: str
    ciphertext: str


class Private(msgspec.Struct):
    """What of a rating's event leads to the vault; text and contact share one record."""

    text: SealedParts | None = None
    contact_record: str | None = None

    @property
    def record(self) -> str | None:
        """Name of the vault's record; None without text and contact."""
        return self.contact_record if self.text is None else self.text.record


class RatingReader(Protocol):
    """Role: reads back what an accepted rating keeps in the vault."""

    async def read_private(self, sequence: int) -> Private:
        """What the rating at `sequence` of FEEDBACK leads to.

        Raises:
            TransientError: it can't be read now.
        """
        ...


class OpeningVault(Protocol):
    """Role: opens and destroys records."""

    async def open_text(self, event_id: str, text: SealedParts) -> str:
        """The scrubbed text; raises `NotFoundError` once it was erased."""
        ...

    async def open_contact(self, event_id: str, record_id: str) -> Contact | None:
        """The contact, None if there is none; raises `NotFoundError` once it was erased."""
        ...

    async def erase(self, record_id: str) -> bool:
        """Destroy a record; whether it was there."""
        ...


class PeopleLog(Protocol):
    """Role: facts about people's data, and the state that is folded from them."""

    @property
    def unmaskings(self) -> Unmaskings:
        """Every unmasking that is known."""
        ...

    def was_erased(self, record_id: str) -> bool:
        """Whether a fact says that the record was erased."""
        ...

    async def publish(self, envelope: Envelope[Any], city: str, county: str) -> None:
        """Make a fact durable; on return the state knows it.

        Raises:
            TransientError: not known to be durable; the same fact may be published again.
        """
        ...

    async def wait_known(self) -> None:
        """Wait until the state knows everything that was published before.

        Raises:
            TransientError: it can't be told now.
        """
        ...


class PeopleTally(Protocol):
    """Role: counts what happens to people's data, for operators."""

    def unmasked(self, step: str) -> None:
        """A step of an unmasking was done: requested, approved, refused, shown."""
        ...

    def unmask_refused(self, why: str) -> None:
        """Somebody was turned away; `why` is a word of a short list."""
        ...

    def erased(self, *, by_citizen: bool) -> None:
        """A record was destroyed on demand."""
        ...


class NotPermittedError(PermanentError):
    """Somebody may not do this."""

    http_status: ClassVar[int] = 403
    title: ClassVar[str] = "Not permitted"


class UnmaskingStateError(ConflictError, InvalidValueError):
    """The unmasking's state does not allow it."""

    title: ClassVar[str] = "The unmasking's state does not allow this"


_WORDS: Final = {
    Refusal.SAME_PERSON: "whoever asked can't agree to it: another person has to decide",
    Refusal.OTHER_PERSON: "only who asked may read: ask for an unmasking of your own",
    Refusal.UNPROVEN: "a credential has to prove who asks: see 'people' in docs/operations.md",
}


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What is shown; parts that were not asked for, or that are not there, are None."""

    text: str | None
    contact: Contact | None


@dataclass(frozen=True, slots=True)
class Erasure:
    """What an erasure did: `record` is None where the rating keeps nothing; `again`: done before."""

    record: str | None
    again: bool


class Custodian:
    """Guards what the vault keeps."""

    def __init__(  # noqa: PLR0913 - the roles that it needs, keyword-only
        self,
        *,
        reviser: Reviser,
        log: RatingReader,
        waiting: RatingReader,
        vault: OpeningVault,
        people: PeopleLog,
        units: UnitRegistry,
        rules: Rules,
        clock: Clock,
        random: Callable[[int], bytes],
        tally: PeopleTally,
    ) -> None:
        """Use these adapters; `waiting` reads ratings that are not in the stream yet (negative sequences)."""
        self._reviser = reviser
        self._log = log
        self._waiting = waiting
        self._vault = vault
        self._people = people
        self._units = units
        self._rules = rules
        self._clock = clock
        self._random = random
        self._tally = tally

    # --- unmasking ----------------------------------------------------------------------------------------

    async def ask(
        self,
        actor: Actor,
        event_id: str,
        reason: UnmaskReason,
        parts: tuple[Part, ...],
        provenance: Provenance,
    ) -> Unmasking:
        """Ask to read `parts` of a rating; durable on return.

        Raises:
            NotFoundError: no such rating, or none in the actor's scope.
            NotPermittedError: nothing proves who asks.
            TransientError: not known to be durable; ask again.
        """
        history, unit = self._in_scope(actor, event_id)
        now = whole_ms(self._clock.now())
        hours = self._rules.at(now).people.unmask_decide_hours
        request_id = uuid7(unix_ms(now), self._random(RANDOM_BYTES))
        data = UnmaskingRequested(
            request_id=request_id,
            target_id=history.accepted.event_id,
            unit_id=unit.unit_id,
            city=unit.city,
            county=unit.county,
            reason=reason,
            parts=tuple(part.value for part in parts),
            requested_by=actor.name,
            expires_at=now + timedelta(hours=hours),
        )
        await self._publish(data, request_id, unit.city, unit.county, provenance, now)
        self._tally.unmasked("requested")
        return self._known(request_id)

    async def decide(
        self, actor: Actor, request_id: str, *, approved: bool, provenance: Provenance
    ) -> Unmasking:
        """Agree to an unmasking, or refuse it, as a second person; durable on return.

        Raises:
            NotFoundError: no such unmasking, or none in the actor's scope.
            NotPermittedError: the actor asked for it, or nothing proves who decides.
            UnmaskingStateError: it is decided or has expired.
            TransientError: not known to be durable; decide again.
        """
        unmasking = await self._of(actor, request_id)
        now = whole_ms(self._clock.now())
        self._require(unmasking.refusal_of_decision(actor, now), unmasking, now)
        hours = self._rules.at(now).people.unmask_show_hours
        data = UnmaskingDecided(
            **self._common(unmasking),
            approved=approved,
            decided_by=actor.name,
            expires_at=now + timedelta(hours=hours),
        )
        # One id for all decisions: of two at once the broker keeps the first.
        event_id = derived_id("unmasking-decision", request_id)
        await self._publish(data, event_id, unmasking.city, unmasking.county, provenance, now)
        decided = self._known(request_id)
        approval = decided.approval
        if approval is None or (approval.decided_by, approval.approved) != (actor.name, approved):
            self._require(Refusal.DECIDED, decided, now)
        self._tally.unmasked("approved" if approved else "refused")
        return decided

    async def look_at(self, actor: Actor, request_id: str) -> tuple[Unmasking, str]:
        """An unmasking and the word for its state.

        Raises:
            NotFoundError: no such unmasking, or none in the actor's scope.
            NotPermittedError: nothing proves who asks.
            TransientError: it can't be told now.
        """
        unmasking = await self._of(actor, request_id)
        return unmasking, unmasking.state(self._clock.now())

    async def disclose(self, actor: Actor, request_id: str, provenance: Provenance) -> Disclosure:
        """What was asked for, to who asked; that it is shown is a fact before it is.

        Raises:
            NotFoundError: no such unmasking, none in the actor's scope, or what it is about was erased.
            NotPermittedError: somebody else asked, or nothing proves who asks.
            UnmaskingStateError: nobody agreed, somebody refused, or it has expired.
            TransientError: nothing was shown; ask again.
        """
        unmasking = await self._of(actor, request_id)
        now = whole_ms(self._clock.now())
        self._require(unmasking.refusal_of_reading(actor, now), unmasking, now)
        approval = unmasking.approval
        if approval is None:  # pragma: no cover - `refusal_of_reading` says so
            raise UnmaskingStateError(Size("waiting"), "an approval", "wait for it", field="state")
        history = self._reviser.history(unmasking.target_id)
        private = await self._log.read_private(history.accepted.sequence)
        data = IdentityUnmasked(
            **self._common(unmasking),
            reason=unmasking.reason,
            parts=tuple(part.value for part in unmasking.parts),
            shown_to=actor.name,
            approved_by=approval.decided_by,
        )
        event_id = uuid7(unix_ms(now), self._random(RANDOM_BYTES))
        await self._publish(data, event_id, unmasking.city, unmasking.county, provenance, now)
        text = contact = None
        if Part.TEXT in unmasking.parts and private.text is not None:
            text = await self._vault.open_text(unmasking.target_id, private.text)
        if Part.CONTACT in unmasking.parts and private.contact_record is not None:
            contact = await self._vault.open_contact(unmasking.target_id, private.contact_record)
        self._tally.unmasked("shown")
        return Disclosure(text, contact)

    async def _of(self, actor: Actor, request_id: str) -> Unmasking:
        await self._people.wait_known()
        unmasking = self._people.unmaskings.get(request_id) if is_uuid(request_id) else None
        if unmasking is None:
            self._tally.unmask_refused("unknown")
            raise _no_unmasking(request_id)
        try:
            self._in_scope(actor, unmasking.target_id)
        except NotFoundError as error:
            raise _no_unmasking(request_id) from error
        return unmasking

    def _in_scope(self, actor: Actor, event_id: str) -> tuple[History, Unit]:
        """The rating and its unit, if `actor` stands above every unit that it was ever in force for."""
        history = self._reviser.history(event_id)
        unit = self._units.get(history.unit_id)
        named = {history.accepted.unit_id, *(each.unit_id for each in history.revisions)}
        for unit_id in sorted(named):
            refusal = refusal_of_scope(actor, self._units.get(unit_id))
            if refusal is None:
                continue
            self._tally.unmask_refused(refusal.value)
            if refusal is Refusal.UNPROVEN:
                raise NotPermittedError(_WORDS[refusal])
            raise NotFoundError(
                event_id,
                "the event id of a rating in your scope",
                "compare it with the answer to the rating",
                field="event_id",
            )
        return history, unit

    def _require(self, refusal: Refusal | None, unmasking: Unmasking, now: datetime) -> None:
        if refusal is None:
            return
        self._tally.unmask_refused(refusal.value)
        if refusal in _WORDS:
            raise NotPermittedError(_WORDS[refusal])
        raise UnmaskingStateError(
            Size(f"a request that is {unmasking.state(now)}"),
            "one that waits for a decision, or that was approved a short while ago",
            "ask for a new unmasking",
            field="state",
        )

    def _known(self, request_id: str) -> Unmasking:
        found = self._people.unmaskings.get(request_id)
        if found is None:  # pragma: no cover - `publish` returns once the state knows it
            raise _no_unmasking(request_id)
        return found

    @staticmethod
    def _common(unmasking: Unmasking) -> dict[str, Any]:
        return {
            "request_id": unmasking.request_id,
            "target_id": unmasking.target_id,
            "unit_id": unmasking.unit_id,
            "city": unmasking.city,
            "county": unmasking.county,
        }

    # --- erasure ------------------------------------------------------------------------------------------

    async def erase_by_receipt(self, code: str, reason: ErasureReason, provenance: Provenance) -> Erasure:
        """Destroy text and contact of a rating, for the citizen who holds its receipt; for good on return.

        Raises:
            InvalidValueError: it can't be a receipt code.
            NotFoundError: no rating has it.
            TransientError: not known to be destroyed; ask again.
        """
        return await self._erase_of(self._reviser.history_of_receipt(code), None, reason, provenance)

    async def erase_by_event(
        self, actor: Actor, event_id: str, reason: ErasureReason, provenance: Provenance
    ) -> Erasure:
        """The same, for staff above the rated unit.

        Raises:
            NotFoundError: no such rating, or none in the actor's scope.
            NotPermittedError: nothing proves who asks.
            TransientError: not known to be destroyed; ask again.
        """
        history, _ = self._in_scope(actor, event_id)
        return await self._erase_of(history, actor, reason, provenance)

    async def erase_record(
        self, actor: Actor, record_id: str, reason: ErasureReason, provenance: Provenance
    ) -> Erasure:
        """Destroy a record whose rating the index has forgotten, or that never had one; for the province.

        Raises:
            NotPermittedError: the actor is not the province's, or nothing proves who asks.
            InvalidValueError: that can't be the name of a record.
            TransientError: not known to be destroyed; ask again.
        """
        if not actor.verified or actor.scope != "province":
            self._tally.unmask_refused((Refusal.OUT_OF_SCOPE if actor.verified else Refusal.UNPROVEN).value)
            raise NotPermittedError("only the province's staff can destroy a record by its name")
        if len(record_id) != 32 or not set(record_id) <= set("0123456789abcdef"):  # noqa: PLR2004 - 128 bits
            raise InvalidValueError(
                Size(f"{len(record_id)} characters"),
                "the name of a record: 32 hex digits",
                "copy it from the event",
                field="record",
            )
        return await self._erase(record_id, None, NOBODY, NOBODY, actor, reason, provenance)

    async def _erase_of(
        self, history: History, actor: Actor | None, reason: ErasureReason, provenance: Provenance
    ) -> Erasure:
        sequence = history.accepted.sequence
        reader = self._log if sequence >= 0 else self._waiting
        record = (await reader.read_private(sequence)).record
        if record is None:
            return Erasure(None, again=False)
        try:
            unit = self._units.get(history.accepted.unit_id)
            city, county = unit.city, unit.county
        except NotFoundError:
            city = county = NOBODY
        return await self._erase(record, history.accepted.event_id, city, county, actor, reason, provenance)

    async def _erase(
        self,
        record: str,
        target_id: str | None,
        city: str,
        county: str,
        actor: Actor | None,
        reason: ErasureReason,
        provenance: Provenance,
    ) -> Erasure:
        await self._people.wait_known()
        again = self._people.was_erased(record)
        if not again:
            data = IdentityErased(
                record=record,
                target_id=target_id,
                city=city,
                county=county,
                reason=reason,
                erased_by=actor.name if actor is not None else None,
            )
            event_id = derived_id("identity-erased", record)
            await self._publish(data, event_id, city, county, provenance, whole_ms(self._clock.now()))
        await self._vault.erase(record)
        if not again:
            self._tally.erased(by_citizen=actor is None)
        return Erasure(record, again)

    async def _publish(
        self, data: EventData, event_id: str, city: str, county: str, provenance: Provenance, now: datetime
    ) -> None:
        envelope = spec_for_data(type(data)).wrap(
            data,
            event_id=event_id,
            source=SERVICE,
            subject=getattr(data, "target_id", None) or event_id,
            time=now,
            received_at=now,
            provenance=provenance,
            rules=self._rules.at(now).hash,
        )
        await self._people.publish(envelope, city, county)


def _no_unmasking(request_id: str) -> NotFoundError:
    return NotFoundError(
        request_id, "the id of an unmasking in your scope", "copy it from the answer", field="request_id"
    )
