"""Reading ratings as nearly all are written, in half of the time that `bodies` takes.

What is read here means the same there; whatever is unusual or wrong is left to it, which also says what is.
"""

import re
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import astuple

from services.intake.domain.submission import Contact, Submission
from services.intake.domain.tokens import MAX_TEXT
from shared.events.unreadable import UNREADABLE
from shared.kernel.clock import parse_rfc3339, whole_ms
from shared.kernel.errors import InvalidValueError
from shared.kernel.grades import Channel, Source
from shared.kernel.plain_text import composed

MAX_UNIT: Final = 64
MAX_REFERENCE: Final = 128
MAX_DEVICE: Final = 256
_CONTROLS: Final = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
CONTROLS: Final = re.compile(f"[{_CONTROLS}]")
"""All but tab and line ends: NUL ends a string elsewhere, ESC commands a terminal, and nobody types them."""

_Grade = Annotated[int, msgspec.Meta(ge=1, le=5)]
_Dimension = Literal["service", "efficiency", "quality", "conduct", "image"]
_Reference = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_REFERENCE)] | UnsetType
_Words = Annotated[str, msgspec.Meta(pattern=rf"\A[^{_CONTROLS}]*\Z")] | UnsetType


class _Contact(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """`bodies.ContactBody` without null."""

    name: _Words = UNSET
    phone: _Words = UNSET
    id_number: _Words = UNSET
    email: _Words = UNSET
    account: _Words = UNSET


class _Rating(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """`bodies.FeedbackBody` without null, in the order of `Submission`'s fields."""

    unit_id: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_UNIT)]
    grade: _Grade
    source: Source | UnsetType = UNSET
    channel: Channel | UnsetType = UNSET
    dimensions: dict[_Dimension, _Grade] | UnsetType = UNSET
    transaction_id: _Reference = UNSET
    client_ref: _Reference = UNSET
    text: _Words = UNSET
    contact: _Contact | UnsetType = UNSET
    device_id: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_DEVICE)] | UnsetType = UNSET
    occurred_at: str | UnsetType = UNSET
    token: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT)] | UnsetType = UNSET


_MEMBERS: Final = len(_Rating.__struct_fields__)
_decode = msgspec.json.Decoder(_Rating).decode


def read_plain(raw: bytes) -> Submission | None:
    """The rating in `raw`; None: it is no plain one, which says nothing about it."""
    if b"\\" in raw:
        return None
    try:
        rating = _decode(raw)
        (
            unit_id,
            grade,
            source,
            channel,
            dimensions,
            transaction,
            client_ref,
            text,
            contact,
            device,
            moment,
            token,
        ) = (values := astuple(rating))
        # Without escapes, each colon belongs to a member or stands within a value: one more, and a name comes
        # twice.
        colons = _MEMBERS - values.count(UNSET)
        occurred_at = None
        if moment is not UNSET:
            colons += moment.count(":")
            occurred_at = whole_ms(parse_rfc3339(moment))
        if text is not UNSET:
            colons += text.count(":")
            text = composed(text) if text.strip() else None
        if dimensions is not UNSET:
            colons += len(dimensions)
        if contact is not UNSET:
            given = _given(contact)
            colons += len(given) + sum(value.count(":") for value in given.values())
            contact = _filled_in(given)
    except (*UNREADABLE, InvalidValueError):
        return None
    if raw.count(b":") != colons:
        return None
    for name in (transaction, client_ref, device):
        if name is not UNSET and (not name.isprintable() or name.isspace()):
            return None
    return Submission(
        unit_id,
        grade,
        Source.PUBLIC if source is UNSET else source,
        Channel.WEB if channel is UNSET else channel,
        {} if dimensions is UNSET else dimensions,
        None if transaction is UNSET else transaction,
        None if client_ref is UNSET else client_ref,
        None if text is UNSET else text,
        None if contact is UNSET else contact,
        None if device is UNSET else device,
        occurred_at,
        None if token is UNSET else token.strip(),
    )


def _given(contact: _Contact) -> dict[str, str]:
    parts = zip(_Contact.__struct_fields__, astuple(contact), strict=True)
    return {name: value for name, value in parts if value is not UNSET}


def _filled_in(given: dict[str, str]) -> Contact | None:
    filled = {name: value for name, value in given.items() if value.strip()}
    return Contact(**filled) if filled else None
