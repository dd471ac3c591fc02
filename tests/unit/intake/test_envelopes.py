import base64
import os
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.intake.adapters.jetstream_log import read_accepted
from services.intake.adapters.rules import RulePacks
from services.intake.adapters.sealing import AesGcmSealer
from services.intake.application.envelopes import SUBMITTED, conflicted_message, submitted_message
from services.intake.application.prepared import Preparer
from services.intake.domain.event_ids import EventIds
from services.intake.domain.pseudonyms import Pseudonyms
from services.intake.domain.submission import Submission
from services.intake.domain.tokens import TokenMint
from shared.auth.secrets import SecretKey
from shared.events import (
    DimensionGrades,
    Envelope,
    FeedbackConflicted,
    FeedbackSubmitted,
    Provenance,
    SealedText,
    parse_envelope,
)
from shared.kernel.units import BUREAU, load_units
from tests.unit.intake.fakes import EverySeat
from tests.unit.intake.strategies import submissions

NOW = datetime(2026, 7, 1, 3, 4, 5, 678999, tzinfo=UTC)
UNITS = load_units()
PSEUDONYMS = Pseudonyms("k1", bytes(32))
SEALER = AesGcmSealer(SecretKey("kek-1", bytes(32)), os.urandom)


class FixedClock:
    def now(self) -> datetime:
        return NOW


PREPARER = Preparer(
    UNITS,
    PSEUDONYMS,
    RulePacks(None),
    FixedClock(),
    os.urandom,
    EverySeat,
    ids=EventIds(bytes(32)),
    mint=TokenMint(bytes(32)),
)
provenances = st.builds(
    Provenance,
    st.text("abc-._09", min_size=1, max_size=64),
    st.none(),
    st.none() | st.just("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
)


@given(
    submissions,
    provenances,
    st.sampled_from(["real", "synthetic"]),
    st.none() | st.sampled_from(["203.0.113.9", "2001:db8::1"]),
    st.none() | st.just("imp-1"),
)
def test_the_bytes_on_the_bus_are_those_of_the_model(
    submission: Submission, provenance: Provenance, purpose: str, address: str | None, import_id: str | None
) -> None:
    facts = PREPARER.facts(provenance, address=address, synthetic=purpose == "synthetic", import_id=import_id)
    prepared = PREPARER.one(submission, facts)
    text, contact = submission.text, submission.contact
    record = None
    if text is not None or contact is not None:
        record = SEALER.seal(prepared.event_id, text, contact)
    message = submitted_message(prepared, text, record, PSEUDONYMS)

    unit = prepared.unit
    sealed = None
    if record is not None and record.ciphertext is not None:
        sealed = SealedText(record=record.record_id, nonce=record.nonce, ciphertext=record.ciphertext)
    model = SUBMITTED.wrap(
        FeedbackSubmitted(
            unit_id=unit.unit_id,
            level=unit.level,
            kind=None if unit.kind == BUREAU else unit.kind,
            city=unit.city,
            county=unit.county,
            grade=submission.grade,
            dimensions=DimensionGrades(**submission.dimensions) if submission.dimensions else None,
            source=submission.source,
            channel=submission.channel,
            verification=prepared.verification,
            citizen_hmac=PSEUDONYMS.citizen(contact, submission.channel),
            device_hmac=PSEUDONYMS.device(submission.device_id),
            address_hmac=PSEUDONYMS.address(address),
            transaction_hmac=PSEUDONYMS.service(submission),
            text_hmac=PSEUDONYMS.text(text),
            text=sealed,
            has_contact=contact is not None,
            contact_record=record.record_id if record is not None and contact is not None else None,
            digest=prepared.digest,
        ),
        event_id=prepared.event_id,
        source="intake",
        subject=unit.unit_id,
        time=submission.occurred_at or NOW,
        received_at=NOW,
        provenance=provenance,
        rules=facts.rules_hash,
        synthetic=purpose == "synthetic",
        import_id=import_id,
    )
    assert message.payload == model.to_json()
    assert parse_envelope(Envelope[FeedbackSubmitted], message.payload).id == message.message_id
    assert message.subject == f"feedback.v1.submitted.{unit.city}.{unit.county}"

    accepted = read_accepted(message.payload, 7, PSEUDONYMS)
    assert accepted is not None
    assert (accepted.event_id, accepted.digest, accepted.grade) == (
        prepared.event_id,
        prepared.digest,
        submission.grade,
    )
    assert accepted.received_at == NOW - timedelta(microseconds=999)
    assert accepted.receipt == prepared.receipt
    if text is not None and record is not None and sealed is not None:
        assert SEALER.open_text(prepared.event_id, sealed, record.payload) == text
    if contact is not None and record is not None:
        assert SEALER.open_contact(prepared.event_id, record.record_id, record.payload) == contact


@given(submissions)
def test_a_conflict_names_both_digests_and_keeps_its_id(submission: Submission) -> None:
    prepared = PREPARER.one(submission, PREPARER.facts(Provenance("c")))
    standing = read_accepted(submitted_message(prepared, None, None, PSEUDONYMS).payload, 1, PSEUDONYMS)
    assert standing is not None
    one = conflicted_message(prepared, standing, prepared.unit)
    assert one.message_id == conflicted_message(prepared, standing, None).message_id
    envelope = parse_envelope(Envelope[FeedbackConflicted], one.payload)
    assert envelope.data.first_event_id == prepared.event_id
    assert envelope.data.other_digest == prepared.digest


def test_messages_of_other_kinds_are_no_ratings() -> None:
    for raw in (b"", b"{", b"{}", b'{"type":1}', b"\xff\xfe", b'{"type":"cn.pingyi.feedback.conflicted.v1"}'):
        assert read_accepted(raw, 1, PSEUDONYMS) is None
    assert read_accepted(b'{"type":"cn.pingyi.feedback.submitted.v1","id":"x"}', 1, PSEUDONYMS) is None


def test_nothing_of_the_text_shows_in_the_sealed_parts() -> None:
    record = SEALER.seal("event", "秘密 secret words", None)
    assert record.ciphertext is not None
    raw = base64.b64decode(record.ciphertext)
    assert "秘密".encode() not in raw
    assert b"secret" not in raw + record.payload
