"""What a message of FEEDBACK is and belongs to, read out of its own bytes."""

from typing import Final

import msgspec

from services.intake.adapters.jetstream_log import read_accepted
from services.intake.adapters.stored_revisions import read_revision
from services.intake.application.draining import Readers
from services.intake.application.envelopes import CONFLICTED, SUBMITTED
from services.intake.application.revision_messages import FACTS
from services.intake.application.spooling import Classify, Kinship
from services.intake.domain.pseudonyms import Pseudonyms
from services.intake.domain.spooled import Kind
from shared.events import spec_for_data
from shared.events.unreadable import UNREADABLE

_REVISIONS: Final = frozenset(spec_for_data(kind).event_type for kind in FACTS.values())


class _Text(msgspec.Struct):
    record: str


class _Data(msgspec.Struct):
    target_id: str | None = None
    first_event_id: str | None = None
    text: _Text | None = None
    contact_record: str | None = None


class _Envelope(msgspec.Struct):
    type: str
    id: str
    data: _Data


_decode = msgspec.json.Decoder(_Envelope).decode


def readers(pseudonyms: Pseudonyms) -> Readers:
    """How draining reads what is stored."""
    return Readers(
        lambda payload, sequence: read_accepted(payload, sequence, pseudonyms),
        lambda payload, sequence: read_revision(payload, sequence, pseudonyms),
    )


def classifier(pseudonyms: Pseudonyms) -> Classify:
    """A reader of kinships whose receipts are made by `pseudonyms`."""

    def classify(payload: bytes) -> Kinship | None:
        try:
            envelope = _decode(payload)
        except UNREADABLE:
            return None
        said = envelope.data
        if envelope.type == SUBMITTED.event_type:
            record_id = said.contact_record if said.text is None else said.text.record
            return Kinship(Kind.RATING, pseudonyms.receipt(envelope.id), record_id)
        if envelope.type in _REVISIONS and said.target_id is not None:
            return Kinship(Kind.REVISION, pseudonyms.receipt(said.target_id))
        if envelope.type == CONFLICTED.event_type and said.first_event_id is not None:
            return Kinship(Kind.CONFLICT, pseudonyms.receipt(said.first_event_id))
        return None

    return classify
