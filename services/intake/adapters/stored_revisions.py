"""Reading revisions, and what is in force, out of messages of FEEDBACK."""

from typing import Annotated, Any, Final

import msgspec

from services.intake.application.ports import InForce
from services.intake.application.revision_messages import FACTS
from services.intake.domain.pseudonyms import Pseudonyms
from services.intake.domain.revisions import Revision
from shared.events import (
    CountedFields,
    Envelope,
    FeedbackCorrected,
    FeedbackRevision,
    FeedbackSubmitted,
    InvalidEventError,
    parse_event,
    spec_for_data,
)
from shared.events.base import MOST
from shared.events.unreadable import UNREADABLE
from shared.kernel.clock import parse_rfc3339
from shared.kernel.errors import InvalidValueError

_MOVES: Final = {spec_for_data(kind).event_type: move for move, kind in FACTS.items()}
SUBJECTS: Final = frozenset(
    spec.pattern for spec in (spec_for_data(FeedbackSubmitted), *map(spec_for_data, FACTS.values()))
)
"""Where ratings and revisions are, with ``*`` for the place."""


GradeValue = Annotated[int, msgspec.Meta(ge=1, le=5)]


class _Counted(msgspec.Struct):
    unit_id: str
    grade: GradeValue


class _Data(msgspec.Struct):
    target_id: str
    target_revision: Annotated[int, msgspec.Meta(ge=1, le=MOST)]
    target: _Counted
    digest: str
    corrected: _Counted | None = None
    request_hmac: str | None = None


class _Head(msgspec.Struct):
    type: str


class _Envelope(msgspec.Struct):
    """The few members of a revision's envelope that intake itself remembers."""

    type: str
    receivedat: str
    data: _Data


_decode_head = msgspec.json.Decoder(_Head).decode
_decode = msgspec.json.Decoder(_Envelope).decode


def read_revision(data: bytes, sequence: int, pseudonyms: Pseudonyms) -> Revision | None:
    """What intake remembers of one message of FEEDBACK; None if it isn't a revision."""
    try:
        move = _MOVES.get(_decode_head(data).type)
        if move is None:
            return None
        envelope = _decode(data)
        received_at = parse_rfc3339(envelope.receivedat)
    except (*UNREADABLE, InvalidValueError):
        return None
    said = envelope.data
    in_force = said.corrected or said.target
    return Revision(
        receipt=pseudonyms.receipt(said.target_id),
        number=said.target_revision,
        move=move,
        sequence=sequence,
        received_at=received_at,
        request=said.request_hmac,
        digest=said.digest,
        unit_id=in_force.unit_id,
        grade=in_force.grade,
    )


def read_in_force(data: bytes) -> InForce | None:
    """What one message of FEEDBACK puts in force; None if it is neither a rating nor a revision."""
    try:
        envelope = parse_event(data)
    except InvalidEventError:
        return None
    said = envelope.data
    if isinstance(said, FeedbackSubmitted):
        return InForce(submitted_fields(envelope, said), said.city, said.county)
    if isinstance(said, FeedbackCorrected):
        return InForce(said.corrected, said.city, said.county, said.submitted or said.target, _people(said))
    if isinstance(said, FeedbackRevision):
        return InForce(said.target, said.city, said.county, said.submitted, _people(said))
    return None


def _people(said: FeedbackRevision) -> frozenset[str]:
    return frozenset(who for who in (said.decided_by, said.requested_by) if who is not None)


def submitted_fields(envelope: Envelope[Any], said: FeedbackSubmitted) -> CountedFields:
    """The counted fields of a rating as it was submitted."""
    return CountedFields(
        unit_id=said.unit_id,
        grade=said.grade,
        dimensions=said.dimensions,
        source=said.source,
        channel=said.channel,
        verification=said.verification,
        citizen_hmac=said.citizen_hmac,
        device_hmac=said.device_hmac,
        address_hmac=said.address_hmac,
        transaction_hmac=said.transaction_hmac,
        text_hmac=said.text_hmac,
        occurred_at=envelope.time,
        received_at=envelope.receivedat,
        synthetic=envelope.synthetic,
        aliases=said.aliases,
    )
