"""The bytes of screening's FeedbackQuarantined, straight from those of the ratings that it holds.

Written directly, as in `envelopes` and for the same reason: an attack of thousands of ratings a second is
held at that pace. A test holds the bytes equal to those of `revision_messages.revision_message`.
"""

from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from services.intake.application.envelopes import SERVICE
from services.intake.application.prepared import RequestFacts
from services.intake.domain.decisions import Decision
from services.intake.domain.revisions import Move, revision_id
from services.intake.domain.screening import Hold
from shared.events import FeedbackQuarantined, FeedbackSubmitted, spec_for_data
from shared.events.unreadable import UNREADABLE
from shared.messaging.group_commit import Outgoing

DECIDED_BY: Final = "screening"
REQUEST_KEY: Final = "screening"
"""Key of every request that screening makes: so each rating is held by it once, whatever replica decides."""
RELEASE_KEY: Final = "screening-release"
LAPSE_KEY: Final = "screening-lapse"
OWN_KEYS: Final = frozenset({REQUEST_KEY, RELEASE_KEY, LAPSE_KEY})
"""Keys that no client may use: its decision would pass for screening's."""

_SUBMITTED: Final = spec_for_data(FeedbackSubmitted)
_QUARANTINED: Final = spec_for_data(FeedbackQuarantined)
_SOURCE: Final = f"/pingyi/{SERVICE}"


class Counted(msgspec.Struct, gc=False):
    """The fields of `shared.events.CountedFields` in their order."""

    unit_id: str
    grade: int
    dimensions: dict[str, int] | UnsetType = UNSET
    source: str = ""
    channel: str = ""
    verification: str = ""
    citizen_hmac: str | UnsetType = UNSET
    device_hmac: str | UnsetType = UNSET
    address_hmac: str | UnsetType = UNSET
    transaction_hmac: str | UnsetType = UNSET
    text_hmac: str | UnsetType = UNSET
    occurred_at: str = ""
    received_at: str = ""
    synthetic: bool = False
    aliases: list[dict[str, str]] | UnsetType = UNSET


class _Placed(Counted, kw_only=True, gc=False):
    city: str
    county: str


class _Submitted(msgspec.Struct, gc=False):
    id: str
    type: str
    time: str
    receivedat: str
    data: _Placed
    synthetic: bool = False


class _Data(msgspec.Struct, gc=False):
    target_id: str
    target_revision: int
    target: Counted
    city: str
    county: str
    decided_by: str
    request_hmac: str
    digest: str
    reason: str
    cluster: str


class _Envelope(msgspec.Struct, gc=False):
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
    synthetic: bool
    data: _Data


_decode = msgspec.json.Decoder(_Submitted).decode
_encode = msgspec.json.Encoder().encode
_FIELDS: Final = Counted.__struct_fields__


class Target(msgspec.Struct, gc=False):
    """A rating as it was submitted, to be held.

    Attributes:
        fields: its counted fields.
        city: of the unit that it was submitted for.
        county: the same.
    """

    event_id: str
    fields: Counted
    city: str
    county: str


def read_target(data: bytes) -> Target | None:
    """The rating in one message of FEEDBACK; None if it is none."""
    try:
        envelope = _decode(data)
    except UNREADABLE:
        return None
    if envelope.type != _SUBMITTED.event_type:
        return None
    said = envelope.data
    said.occurred_at, said.received_at = envelope.time, envelope.receivedat
    said.synthetic = envelope.synthetic
    fields = Counted(*(getattr(said, name) for name in _FIELDS))
    return Target(envelope.id, fields, said.city, said.county)


def decision_of(hold: Hold) -> Decision:
    """The decision that a hold is: the same for everybody who decides so."""
    return Decision(Move.QUARANTINE, hold.reason.value, DECIDED_BY, cluster=hold.cluster)


def hold_message(hold: Hold, target: Target, request: str, digest: str, facts: RequestFacts) -> Outgoing:
    """The message that makes `hold` the first revision of `target`.

    `request` is the pseudonym of `REQUEST_KEY` for the rating, `digest` that of the decision.
    """
    fields = target.fields
    envelope = _Envelope(
        specversion="1.0",
        id=revision_id(target.event_id, 1),
        source=_SOURCE,
        type=_QUARANTINED.event_type,
        subject=fields.unit_id,
        time=facts.received_text,
        datacontenttype="application/json",
        dataschema=_QUARANTINED.dataschema,
        correlationid=facts.provenance.correlation_id,
        causationid=facts.provenance.causation_id or UNSET,
        traceparent=facts.provenance.traceparent or UNSET,
        rules=facts.rules_hash,
        receivedat=facts.received_text,
        synthetic=fields.synthetic,
        data=_Data(
            target_id=target.event_id,
            target_revision=1,
            target=fields,
            city=target.city,
            county=target.county,
            decided_by=DECIDED_BY,
            request_hmac=request,
            digest=digest,
            reason=hold.reason.value,
            cluster=hold.cluster,
        ),
    )
    subject = _QUARANTINED.subject_for(target.city, target.county)
    return Outgoing(subject, envelope.id, _encode(envelope))
