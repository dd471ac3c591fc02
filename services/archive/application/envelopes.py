"""Reads the few attributes that the archive indexes out of a message's bytes."""

from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import msgspec

from services.archive.domain.entries import Attributes
from shared.events.unreadable import UNREADABLE

MOST_CHARACTERS: Final = 256
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_CHARACTERS)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class _Data(msgspec.Struct, gc=False):
    unit_id: Text | None = None
    channel: Text | None = None
    # Whatever a contract newer than ours means by these names, its events are archived.
    case_id: object = None
    actor: object = None
    decided_by: object = None
    by: object = None
    target: object = None


class _Envelope(msgspec.Struct, gc=False):
    # Only what is indexed: the archive stores events of contracts that are newer than itself, too.
    specversion: Literal["1.0"]
    id: Text
    source: Text
    type: Text
    time: Moment
    receivedat: Moment
    correlationid: Text
    data: _Data
    causationid: Text | None = None
    synthetic: bool = False


_decode = msgspec.json.Decoder(_Envelope).decode


def read_attributes(raw: bytes) -> Attributes | None:
    """The attributes of the CloudEvent in ``raw``; None if it is none, whatever is wrong with it.

    Times keep milliseconds only, as the database and the leaf do; whatever is None here is no valid JSON
    text or lacks a required attribute.
    """
    try:
        raw.decode()  # msgspec does not look into strings that it skips
        envelope = _decode(raw)
        data = envelope.data
        return Attributes(
            envelope.id,
            envelope.type,
            envelope.source,
            _milliseconds(envelope.time),
            _milliseconds(envelope.receivedat),
            envelope.correlationid,
            envelope.causationid,
            data.unit_id or _unit_of(data.target),
            data.channel,
            envelope.synthetic,
            _named(data.actor) or _named(data.decided_by) or _named(data.by),
            _named(data.case_id),
        )
    except (*UNREADABLE, OverflowError):
        return None


def _unit_of(target: object) -> str | None:
    """The unit of the rating that an event is about (a correction, an exclusion), as it was before."""
    return _named(target.get("unit_id")) if isinstance(target, dict) else None


def _named(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= MOST_CHARACTERS else None


def _milliseconds(moment: datetime) -> datetime:
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)  # fails for times before the year 1 in UTC: no event, then
    microsecond = moment.microsecond
    return moment if microsecond % 1000 == 0 else moment.replace(microsecond=microsecond // 1000 * 1000)
