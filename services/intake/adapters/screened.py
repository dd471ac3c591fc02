"""Reading ratings out of messages of FEEDBACK as far as screening looks at them."""

from datetime import datetime
from typing import Annotated, Final

import msgspec

from services.intake.domain.screening_seen import Fingerprints, Seen
from services.intake.domain.similarity import split_bands
from services.intake.domain.submission import unix_ms
from shared.events import FeedbackQuarantined, FeedbackSubmitted, spec_for_data
from shared.events.unreadable import UNREADABLE

SUBMITTED: Final = spec_for_data(FeedbackSubmitted)
QUARANTINED: Final = spec_for_data(FeedbackQuarantined)


class _Alias(msgspec.Struct, gc=False):
    device_hmac: str | None = None
    address_hmac: str | None = None
    text_hmac: str | None = None
    similarity: str | None = None


class _Data(msgspec.Struct, gc=False):
    unit_id: str
    source: str
    channel: str
    verification: str
    kind: str | None = None
    device_hmac: str | None = None
    address_hmac: str | None = None
    text_hmac: str | None = None
    similarity: str | None = None
    aliases: tuple[_Alias, ...] = ()
    by_token: bool | None = None


class _Envelope(msgspec.Struct, gc=False):
    id: str
    type: str
    receivedat: Annotated[datetime, msgspec.Meta(tz=True)]
    data: _Data
    importid: str | None = None
    synthetic: bool = False


class _Target(msgspec.Struct, gc=False):
    target_id: str


class _Quarantined(msgspec.Struct, gc=False):
    type: str
    data: _Target


_decode = msgspec.json.Decoder(_Envelope).decode
_decode_quarantined = msgspec.json.Decoder(_Quarantined).decode


def read_seen(data: bytes, sequence: int) -> Seen | None:
    """The rating in one message; None if it is none."""
    try:
        envelope = _decode(data)
    except UNREADABLE:
        return None
    if envelope.type != SUBMITTED.event_type:
        return None
    said = envelope.data
    return Seen(
        envelope.id,
        sequence,
        said.unit_id,
        said.kind or "",
        unix_ms(envelope.receivedat),
        said.source,
        said.channel,
        said.verification,
        said.device_hmac,
        said.address_hmac,
        said.text_hmac,
        split_bands(said.similarity),
        envelope.importid is not None,
        envelope.synthetic,
        tuple(
            Fingerprints(each.device_hmac, each.address_hmac, each.text_hmac, split_bands(each.similarity))
            for each in reversed(said.aliases)
        ),
        said.by_token is True,
    )


def read_held(data: bytes) -> str | None:
    """The rating that one FeedbackQuarantined holds; None if it is none."""
    try:
        envelope = _decode_quarantined(data)
    except UNREADABLE:
        return None
    return envelope.data.target_id if envelope.type == QUARANTINED.event_type else None


class StoredRatings:
    """Plays `entrypoints.screening.ReadsRatings`."""

    def seen(self, data: bytes, sequence: int) -> Seen | None:
        """See `read_seen`."""
        return read_seen(data, sequence)

    def held(self, data: bytes) -> str | None:
        """See `read_held`."""
        return read_held(data)
