"""What every player of intake's ports does, those in memory and the real ones; run by a module for each."""

import os
from datetime import UTC, datetime

import pytest

from services.intake.adapters.rules import RulePacks
from services.intake.adapters.sealing import AesGcmSealer
from services.intake.application.envelopes import submitted_message
from services.intake.application.ports import AcceptedIndex, FeedbackLog, InForce, SealedRecord, Vault
from services.intake.application.prepared import Prepared, Preparer
from services.intake.application.revision_messages import apply_changes, revision_message
from services.intake.domain.accepted import Accepted
from services.intake.domain.decisions import Changes, Decision
from services.intake.domain.event_ids import EventIds
from services.intake.domain.pseudonyms import Pseudonyms
from services.intake.domain.revisions import Move, Revision
from services.intake.domain.submission import Contact, Submission
from services.intake.domain.tokens import TokenMint
from shared.auth.secrets import SecretKey
from shared.events import Provenance
from shared.kernel.errors import TransientError
from shared.kernel.grades import Channel, Source
from shared.kernel.units import load_units
from shared.messaging.group_commit import Outgoing
from shared.testing.clock import FixedClock

PSEUDONYMS = Pseudonyms("k1", bytes(32))
UNITS = load_units()
SEALER = AesGcmSealer(SecretKey("kek-1", bytes(32)), os.urandom)
IDS = EventIds(bytes(32))
MINT = TokenMint(bytes(32))
_PREPARER = Preparer(
    UNITS,
    PSEUDONYMS,
    RulePacks(None),
    FixedClock(datetime(2026, 7, 1, tzinfo=UTC)),
    os.urandom,
    ids=IDS,
    mint=MINT,
)
_CONTACT = Contact(phone="13812345678")


def prepared(
    ref: str | None = "ref-1",
    *,
    grade: int = 5,
    text: str | None = None,
    contact: Contact | None = None,
    unit_id: str = "U000200",
) -> Prepared:
    """A rating that may be accepted."""
    submission = Submission(
        unit_id=unit_id,
        grade=grade,
        source=Source.PUBLIC,
        channel=Channel.QR,
        client_ref=ref,
        text=text,
        contact=contact,
    )
    return _PREPARER.one(submission, _PREPARER.facts(Provenance("correlation")))


def sealed(rating: Prepared, text: str | None, contact: Contact | None) -> tuple[Outgoing, SealedRecord]:
    """The message of `rating` with its vault record."""
    record = SEALER.seal(rating.event_id, text, contact)
    return submitted_message(rating, text, record, PSEUDONYMS), record


def accepted(ref: str, sequence: int) -> Accepted:
    """What is remembered of a rating."""
    rating = prepared(ref)
    return Accepted(
        event_id=rating.event_id,
        receipt=rating.receipt,
        digest=rating.digest,
        sequence=sequence,
        received_at=rating.facts.received_at,
        occurred_at=rating.occurred_at,
        unit_id=rating.unit.unit_id,
        grade=rating.submission.grade,
    )


CORRECTION = Decision(Move.CORRECT, "mistyped", "call-centre", Changes(grade=2, dimensions={"service": 1}))


def corrected(before: InForce, ref: str = "ref-1") -> Outgoing:
    """The message that corrects the rating `ref` for the first time."""
    return revision_message(
        CORRECTION,
        before,
        target_id=prepared(ref).event_id,
        number=1,
        corrected=apply_changes(before.fields, CORRECTION.changes or Changes()),
        request="k1.0123456789abcdef0123456789abcdef",
        digest="k1.fedcba9876543210fedcba9876543210",
        facts=prepared(ref).facts,
    )


def revision(ref: str, number: int, sequence: int, move: Move = Move.EXCLUDE) -> Revision:
    """What is remembered of a revision of the rating `ref`."""
    return Revision(
        receipt=prepared(ref).receipt,
        number=number,
        move=move,
        sequence=sequence,
        received_at=prepared(ref).facts.received_at,
        request=None if number == 1 else f"k1.{number:032d}",
        digest=f"k1.{sequence:032d}",
        unit_id="U000200",
        grade=5,
    )


class FeedbackLogSuite:
    """Subclasses give the fixture `log`: an empty one under `PSEUDONYMS`."""

    async def test_messages_get_their_places_in_order(self, log: FeedbackLog) -> None:
        messages = [submitted_message(prepared(f"r{n}"), None, None, PSEUDONYMS) for n in range(20)]
        stored = await log.append(messages)
        assert [(answer.sequence, answer.duplicate) for answer in stored] == [
            (place, False) for place in range(1, 21)
        ]

    async def test_a_used_id_is_answered_with_the_place_of_the_first(self, log: FeedbackLog) -> None:
        first = submitted_message(prepared(), None, None, PSEUDONYMS)
        other = submitted_message(prepared(grade=1), None, None, PSEUDONYMS)
        await log.append([first])
        (again,) = await log.append([other])
        assert (again.sequence, again.duplicate) == (1, True)
        assert (await log.read(1)).accepted.digest == prepared().digest

    async def test_a_rating_is_read_back_as_it_was_accepted(self, log: FeedbackLog) -> None:
        await log.append([submitted_message(prepared(), None, None, PSEUDONYMS)])
        standing = await log.read(1)
        assert standing.accepted == accepted("ref-1", 1)
        assert standing.record_id is None

    @pytest.mark.parametrize(
        ("text", "contact"),
        [("很好", None), (None, _CONTACT), ("很好", _CONTACT)],
        ids=["text", "contact", "both"],
    )
    async def test_a_rating_is_read_back_with_its_vault_record(
        self, log: FeedbackLog, text: str | None, contact: Contact | None
    ) -> None:
        message, record = sealed(prepared(text=text, contact=contact), text, contact)
        await log.append([message])
        assert (await log.read(1)).record_id == record.record_id

    async def test_a_place_without_a_rating_says_so(self, log: FeedbackLog) -> None:
        for read in (log.read, log.read_revision, log.read_in_force):
            with pytest.raises(TransientError):
                await read(7)

    async def test_a_rating_puts_in_force_what_it_was_submitted_with(self, log: FeedbackLog) -> None:
        await log.append([submitted_message(prepared(), None, None, PSEUDONYMS)])
        in_force = await log.read_in_force(1)
        assert (in_force.fields.unit_id, in_force.fields.grade) == ("U000200", 5)
        assert in_force.fields.occurred_at == in_force.fields.received_at == prepared().facts.received_at
        assert (in_force.city, in_force.county) == (prepared().unit.city, prepared().unit.county)
        with pytest.raises(TransientError):
            await log.read_revision(1)

    async def test_a_correction_is_read_back_and_puts_its_own_fields_in_force(self, log: FeedbackLog) -> None:
        await log.append([submitted_message(prepared(), None, None, PSEUDONYMS)])
        before = await log.read_in_force(1)
        await log.append([corrected(before)])
        found = await log.read_revision(2)
        assert (found.receipt, found.number, found.move) == (prepared().receipt, 1, Move.CORRECT)
        assert (found.sequence, found.unit_id, found.grade) == (2, "U000200", 2)
        assert found.answers("k1.0123456789abcdef0123456789abcdef", "k1.fedcba9876543210fedcba9876543210")
        after = await log.read_in_force(2)
        assert after.fields.grade == 2
        assert after.fields.dimensions is not None
        assert after.fields.model_copy(update={"grade": 5, "dimensions": None}) == before.fields
        with pytest.raises(TransientError):
            await log.read(2)


class VaultSuite:
    """Subclasses give the fixture `vault`: an empty one."""

    async def test_a_record_is_erased_once(self, vault: Vault) -> None:
        kept, erased = (sealed(prepared(ref), "很好", None)[1] for ref in ("a", "b"))
        await vault.store([kept, erased])
        assert await vault.erase(erased.record_id)
        assert not await vault.erase(erased.record_id)
        assert await vault.erase(kept.record_id)


class AcceptedIndexSuite:
    """Subclasses give the fixture `index`: an empty one that is ready."""

    async def test_what_was_added_is_found_at_once_and_nothing_else(self, index: AcceptedIndex) -> None:
        assert index.ready
        known, unknown = accepted("a", 1), accepted("b", 2)
        index.add([known])
        assert index.find([known.receipt, unknown.receipt]) == {known.receipt: known}

    async def test_of_two_ratings_under_one_receipt_the_first_in_the_stream_stays(
        self, index: AcceptedIndex
    ) -> None:
        first, second = accepted("a", 1), accepted("a", 2)
        index.add([second])
        index.add([first])
        index.add([second])
        index.skip([3])
        assert index.find([first.receipt]) == {first.receipt: first}

    async def test_revisions_are_found_by_their_rating_in_the_order_of_their_numbers(
        self, index: AcceptedIndex
    ) -> None:
        one, two, others = revision("a", 1, 3), revision("a", 2, 4, Move.REINSTATE), revision("b", 1, 5)
        index.add_revisions([two, others])
        index.add_revisions([one])
        assert index.revisions(one.receipt) == (one, two)
        assert index.revisions(others.receipt) == (others,)
        assert index.revisions(accepted("c", 1).receipt) == ()

    async def test_of_two_revisions_with_one_number_the_first_in_the_stream_stays(
        self, index: AcceptedIndex
    ) -> None:
        first, second = revision("a", 1, 3), revision("a", 1, 4, Move.QUARANTINE)
        index.add_revisions([second])
        index.add_revisions([first])
        index.add_revisions([second])
        assert index.revisions(first.receipt) == (first,)
