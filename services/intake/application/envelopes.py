"""The bytes of intake's events.

FeedbackSubmitted is written directly: building the pydantic models and dumping them costs several times as
much as the rest of the work on a rating. A test holds the bytes equal to ``EventSpec.wrap(…).to_json()``.
"""

from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from services.intake.application.ports import SealedRecord
from services.intake.application.prepared import Prepared
from services.intake.domain.accepted import Accepted
from services.intake.domain.pseudonyms import Pseudonyms
from shared.events import (
    Envelope,
    EventSpec,
    FeedbackConflicted,
    FeedbackSubmitted,
    InvalidEventError,
    Provenance,
    parse_envelope,
    spec_for_data,
)
from shared.kernel.clock import rfc3339
from shared.kernel.grades import Channel, Level, Source, Verification
from shared.kernel.ids import derived_id
from shared.kernel.units import BUREAU, Unit
from shared.messaging.group_commit import Outgoing

SERVICE: Final = "intake"
SUBMITTED: Final[EventSpec] = spec_for_data(FeedbackSubmitted)
CONFLICTED: Final[EventSpec] = spec_for_data(FeedbackConflicted)

_SOURCE = f"/pingyi/{SERVICE}"
_DIMENSIONS = ("service", "efficiency", "quality", "conduct", "image")


class _SealedText(msgspec.Struct, gc=False):
    alg: str
    record: str
    nonce: str
    ciphertext: str


class _Alias(msgspec.Struct, gc=False):
    citizen_hmac: str | UnsetType
    device_hmac: str | UnsetType
    address_hmac: str | UnsetType
    transaction_hmac: str | UnsetType
    text_hmac: str | UnsetType
    similarity: str | UnsetType


class _Data(msgspec.Struct, gc=False):
    """The fields of FeedbackSubmitted in their order; unset ones are left out, as `to_json` omits None."""

    unit_id: str
    level: Level
    kind: str | UnsetType
    city: str
    county: str
    grade: int
    dimensions: dict[str, int] | UnsetType
    source: Source
    channel: Channel
    verification: Verification
    citizen_hmac: str | UnsetType
    device_hmac: str | UnsetType
    address_hmac: str | UnsetType
    transaction_hmac: str | UnsetType
    text_hmac: str | UnsetType
    similarity: str | UnsetType
    text: _SealedText | UnsetType
    has_contact: bool
    contact_record: str | UnsetType
    digest: str
    aliases: list[_Alias] | UnsetType
    by_token: bool | UnsetType
    other_ids: tuple[str, ...] | UnsetType


class _Envelope(msgspec.Struct, gc=False):
    """The attributes of Envelope in their order."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str
    dataschema: str
    correlationid: str
    causationid: str | UnsetType
    traceparent: str | UnsetType
    rules: str
    receivedat: str
    importid: str | UnsetType
    synthetic: bool
    data: _Data


_encode = msgspec.json.Encoder().encode


class KeyedMessage(Outgoing, frozen=True, gc=False):
    """The message of a rating that may be in the stream under another id: of its client's or of our keys.

    Attributes:
        former: the receipts of those ids.
    """

    former: tuple[bytes, ...] = ()


def submitted_message(
    prepared: Prepared,
    text: str | None,
    sealed: SealedRecord | None,
    pseudonyms: Pseudonyms,
    signature: tuple[int, ...] | None = None,
) -> Outgoing:
    """The message that makes `prepared` an accepted rating.

    `text` is the scrubbed comment, `signature` what it may be compared by.
    """
    submission, unit, facts = prepared.submission, prepared.unit, prepared.facts
    given = submission.dimensions
    ciphertext = sealed.ciphertext if sealed is not None else None
    data = _Data(
        unit_id=unit.unit_id,
        level=unit.level,
        kind=UNSET if unit.kind == BUREAU else unit.kind,
        city=unit.city,
        county=unit.county,
        grade=submission.grade,
        dimensions={name: given[name] for name in _DIMENSIONS if name in given} if given else UNSET,
        source=submission.source,
        channel=submission.channel,
        verification=prepared.verification,
        citizen_hmac=pseudonyms.citizen(submission.contact, submission.channel) or UNSET,
        device_hmac=pseudonyms.device(submission.device_id) or UNSET,
        address_hmac=pseudonyms.address(facts.address) or UNSET,
        transaction_hmac=(prepared.token.transaction if prepared.token is not None else None)
        or pseudonyms.service(submission)
        or UNSET,
        text_hmac=pseudonyms.text(text) or UNSET,
        similarity=pseudonyms.bands(unit.unit_id, signature) or UNSET,
        text=_SealedText("A256GCM", sealed.record_id, sealed.nonce, ciphertext)
        if sealed is not None and ciphertext is not None
        else UNSET,
        has_contact=sealed is not None and sealed.has_contact,
        contact_record=sealed.record_id if sealed is not None and sealed.has_contact else UNSET,
        digest=prepared.digest,
        aliases=_aliases(prepared, text, signature, pseudonyms) if pseudonyms.earlier else UNSET,
        by_token=True if prepared.token is not None else UNSET,
        other_ids=prepared.others or UNSET,
    )
    envelope = _Envelope(
        specversion="1.0",
        id=prepared.event_id,
        source=_SOURCE,
        type=SUBMITTED.event_type,
        subject=unit.unit_id,
        time=facts.received_text if submission.occurred_at is None else rfc3339(submission.occurred_at),
        datacontenttype="application/json",
        dataschema=SUBMITTED.dataschema,
        correlationid=facts.provenance.correlation_id,
        causationid=facts.provenance.causation_id or UNSET,
        traceparent=facts.provenance.traceparent or UNSET,
        rules=facts.rules_hash,
        receivedat=facts.received_text,
        importid=facts.import_id or UNSET,
        synthetic=facts.synthetic,
        data=data,
    )
    if prepared.former:
        return KeyedMessage(_subject(unit), prepared.event_id, _encode(envelope), former=prepared.former)
    return Outgoing(_subject(unit), prepared.event_id, _encode(envelope))


def _aliases(
    prepared: Prepared, text: str | None, signature: tuple[int, ...] | None, pseudonyms: Pseudonyms
) -> list[_Alias] | UnsetType:
    found = pseudonyms.aliases(prepared.submission, prepared.facts.address, text, signature)
    return [
        _Alias(
            alias.citizen_hmac or UNSET,
            alias.device_hmac or UNSET,
            alias.address_hmac or UNSET,
            alias.transaction_hmac or UNSET,
            alias.text_hmac or UNSET,
            alias.similarity or UNSET,
        )
        for alias in found
    ] or UNSET


def _subject(unit: Unit) -> str:
    return SUBMITTED.subject_for(unit.city, unit.county)


def conflicted_message(prepared: Prepared, standing: Accepted, unit: Unit | None) -> Outgoing:
    """The message that reports other content under a used key.

    Args:
        prepared: the submission that was refused.
        standing: the rating that came first.
        unit: the unit of `standing`; None if the registry no longer has it.
    """
    facts = prepared.facts
    city, county = (unit.city, unit.county) if unit is not None else ("all", "all")
    envelope = CONFLICTED.wrap(
        FeedbackConflicted(
            unit_id=standing.unit_id,
            channel=prepared.submission.channel,
            city=city,
            county=county,
            first_event_id=standing.event_id,
            first_digest=standing.digest,
            other_digest=prepared.digest,
        ),
        event_id=derived_id("feedback-conflict", standing.event_id, prepared.digest),
        source=SERVICE,
        subject=standing.unit_id,
        time=facts.received_at,
        received_at=facts.received_at,
        provenance=facts.provenance,
        rules=facts.rules_hash,
        synthetic=facts.synthetic,
    )
    return Outgoing(CONFLICTED.subject_for(city, county), envelope.id, envelope.to_json())


def conflict_of_stored(payload: bytes, standing: Accepted, unit: Unit | None) -> Outgoing | None:
    """`conflicted_message` for a rating that is at hand as its event only; None if that can't be read."""
    try:
        refused = parse_envelope(Envelope[FeedbackSubmitted], payload)
    except InvalidEventError:
        return None
    said = refused.data
    city, county = (unit.city, unit.county) if unit is not None else ("all", "all")
    envelope = CONFLICTED.wrap(
        FeedbackConflicted(
            unit_id=standing.unit_id,
            channel=said.channel,
            city=city,
            county=county,
            first_event_id=standing.event_id,
            first_digest=standing.digest,
            other_digest=said.digest,
        ),
        event_id=derived_id("feedback-conflict", standing.event_id, said.digest),
        source=SERVICE,
        subject=standing.unit_id,
        time=refused.receivedat,
        received_at=refused.receivedat,
        provenance=Provenance(refused.correlationid, refused.causationid, refused.traceparent),
        rules=refused.rules,
        synthetic=refused.synthetic,
    )
    return Outgoing(CONFLICTED.subject_for(city, county), envelope.id, envelope.to_json())
