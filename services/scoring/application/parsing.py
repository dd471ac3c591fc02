"""From the bytes of feedback events to the few values that the fold needs.

msgspec instead of the pydantic models: a replay parses the whole stream, and decoding the counted fields
natively costs a fifth. It checks what it reads; `tests/unit/scoring` holds it against the contract's models.
"""

from binascii import unhexlify
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import msgspec

from services.scoring.domain.ratings import SOURCES, Place, Rating, Revision, State
from shared.events import InvalidEventError
from shared.events.unreadable import UNREADABLE
from shared.kernel.errors import describe
from shared.kernel.grades import Channel, Verification
from shared.rules import RulePack

OFF_SITE: Final = frozenset(
    {Channel.WEB, Channel.APP, Channel.SMS, Channel.HOTLINE, Channel.VISIT, Channel.FORUM}
)
"""Channels through which people rate out of sight of the window's staff."""

STATES: Final[Mapping[str, State]] = {
    "corrected": State.COUNTED,
    "reinstated": State.COUNTED,
    "released": State.COUNTED,
    "quarantined": State.HELD,
    "excluded": State.EXCLUDED,
    "withdrawn": State.EXCLUDED,
}
"""Where a rating stands after each of the correcting facts."""

_KEY_BYTES: Final = 16
_ID_CHARS: Final = 36
_PRINT_DIGITS: Final = 16
"""Hex digits of a keyed hash that are kept: 64 bits tell all of a quarter of an hour apart."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S: Final = 86_400
_TYPE: Final = "cn.pingyi.feedback.{}.v1"
_FIX: Final = "fix the producer, then replay"


def _place(channel: Channel) -> Place:
    if channel is Channel.TERMINAL:
        return Place.TERMINAL
    return Place.OFF_SITE if channel in OFF_SITE else Place.WINDOW


# Plain strings and numbers: hashing an enum's member goes through Python code.
_PLACES: Final = {str(channel): int(_place(channel)) for channel in Channel}
_SOURCES: Final = {str(source): number for number, source in enumerate(SOURCES)}
_STATE_OF_TYPE: Final = {_TYPE.format(fact): state for fact, state in STATES.items()}
_PROVEN: Final = str(Verification.TRANSACTION)

_AwareTime = Annotated[datetime, msgspec.Meta(tz=True)]
_Hmac = Annotated[str, msgspec.Meta(min_length=34, max_length=49)]
_GradeValue = Annotated[int, msgspec.Meta(ge=1, le=5)]
# Spelt out: a Literal of strings is checked natively, an enum costs a call. A test compares them.
SourceName = Literal["self", "mutual", "spot_check", "social", "public"]
ChannelName = Literal[
    "terminal", "qr", "web", "app", "sms", "hotline", "opinion_box", "paper", "forum", "visit", "assessor",
    "complaint_desk", "undercover", "import",
]  # fmt: skip
VerificationName = Literal["transaction", "real_name", "onsite", "anonymous"]


_new_rating: Final[Callable[..., Rating]] = tuple.__new__


class _Dimensions(msgspec.Struct, gc=False):
    service: _GradeValue | None = None
    efficiency: _GradeValue | None = None
    quality: _GradeValue | None = None
    conduct: _GradeValue | None = None
    image: _GradeValue | None = None


class _Alias(msgspec.Struct, gc=False):
    """The same pseudonyms under an earlier key."""

    citizen_hmac: _Hmac | None = None
    device_hmac: _Hmac | None = None
    address_hmac: _Hmac | None = None
    transaction_hmac: _Hmac | None = None
    text_hmac: _Hmac | None = None


class _Counted(msgspec.Struct, gc=False):
    """The fields of a rating that count, but for its times."""

    unit_id: str
    grade: _GradeValue
    source: SourceName
    channel: ChannelName
    verification: VerificationName
    dimensions: _Dimensions | None = None
    citizen_hmac: _Hmac | None = None
    device_hmac: _Hmac | None = None
    address_hmac: _Hmac | None = None
    transaction_hmac: _Hmac | None = None
    text_hmac: _Hmac | None = None
    aliases: tuple[_Alias, ...] | None = None


class _Submitted(msgspec.Struct, gc=False):
    specversion: Literal["1.0"]
    id: str
    type: Literal["cn.pingyi.feedback.submitted.v1"]
    time: _AwareTime
    receivedat: _AwareTime
    data: _Counted
    synthetic: bool = False


class _CountedThen(_Counted, kw_only=True, gc=False):
    """The same, with its times."""

    occurred_at: _AwareTime
    received_at: _AwareTime
    synthetic: bool = False


class _Decision(msgspec.Struct, gc=False):
    target_id: str
    target_revision: Annotated[int, msgspec.Meta(ge=1)]
    target: _CountedThen
    submitted: _CountedThen | None = None
    corrected: _CountedThen | None = None


class _Decided(msgspec.Struct, gc=False):
    specversion: Literal["1.0"]
    id: str
    type: str
    data: _Decision


class RatingParser:
    """Parses event bodies under one registry and one rule pack."""

    def __init__(self, units: Mapping[str, int], rules: RulePack) -> None:
        """``units`` gives each unit id its place in the statistics."""
        self._units = units
        self._weights = {str(kind): weight for kind, weight in rules.weights_milli.items()}
        self._decode = msgspec.json.Decoder(_Submitted).decode
        self._decode_decision = msgspec.json.Decoder(_Decided).decode

    def parse(self, body: bytes) -> Rating:
        """Read a `FeedbackSubmitted`.

        Raises:
            InvalidEventError: it is none, or about a unit that the registry does not know.
        """
        try:
            event = self._decode(body)
        except UNREADABLE as error:
            raise _invalid(body, "FeedbackSubmitted", error) from error
        return self._rating(event.id, event.data, event.time, event.receivedat, synthetic=event.synthetic)

    def parse_decision(self, body: bytes) -> Revision:
        """Read an event that corrects a rating.

        Raises:
            InvalidEventError: it is none, or about a unit that the registry does not know.
        """
        try:
            event = self._decode_decision(body)
        except UNREADABLE as error:
            raise _invalid(body, "event about a rating", error) from error
        state = _STATE_OF_TYPE.get(event.type)
        if state is None:
            raise InvalidEventError(describe(event.type, f"one of {', '.join(_STATE_OF_TYPE)}", _FIX))
        decision = event.data
        before = self._then(decision.target_id, decision.target)
        return Revision(
            decision.target_revision,
            state,
            submitted=before
            if decision.submitted is None
            else self._then(decision.target_id, decision.submitted),
            standing=before
            if decision.corrected is None
            else self._then(decision.target_id, decision.corrected),
            event_id=event.id,
        )

    def _then(self, event_id: str, fields: _CountedThen) -> Rating:
        return self._rating(
            event_id, fields, fields.occurred_at, fields.received_at, synthetic=fields.synthetic
        )

    def _rating(
        self, event_id: str, data: _Counted, occurred: datetime, received: datetime, *, synthetic: bool
    ) -> Rating:
        unit = self._units.get(data.unit_id)
        if unit is None:
            raise InvalidEventError(
                describe(
                    data.unit_id, "the id of a registered unit", "add the unit to the registry, then replay"
                )
            )
        given = data.dimensions
        since = occurred - _EPOCH  # in whole numbers, and in half the time of `timestamp`
        if since.days < 0:
            raise InvalidEventError(describe(occurred.isoformat(), "a time since 1970", _FIX))
        occurred_ms = (since.days * _DAY_S + since.seconds) * 1000 + since.microseconds // 1000
        verification = data.verification
        proven = verification == _PROVEN
        citizen, transaction = data.citizen_hmac, data.transaction_hmac
        repeat: bytes | None = None
        if citizen is not None and transaction is not None:
            repeat = repeat_key(citizen, transaction)
            if data.aliases:
                repeat += _earlier_keys(repeat, data.aliases, citizen, transaction)
        fields = (
            _id_bytes(event_id),
            unit,
            data.grade,
            self._weights[verification],
            occurred_ms,
            # Most ratings are received when they happen.
            occurred_ms if received == occurred else _milliseconds(received),
            repeat,
            synthetic,
            _SOURCES[data.source],
            _PLACES[data.channel],
            () if proven else _fingerprints(data),
            None if given is None else _sub_grades(given),
            proven,
        )
        return _new_rating(Rating, fields)  # the named tuple's own constructor takes twice the time


def _id_bytes(event_id: str) -> bytes:
    """The 16 bytes of a UUID in its canonical form: lower case, hyphens.

    Raises:
        InvalidEventError: it is none.
    """
    digits = event_id.replace("-", "")
    try:
        found = unhexlify(digits)
    except ValueError:
        found = b""
    if (
        len(event_id) == _ID_CHARS
        and len(found) == _KEY_BYTES
        and event_id[8:24:5] == "----"  # characters 8, 13, 18 and 23
        and found.hex() == digits
    ):
        return found
    raise InvalidEventError(describe(event_id, "a UUID in canonical form", _FIX))


def _invalid(body: bytes, what: str, error: Exception) -> InvalidEventError:
    return InvalidEventError(describe(f"{len(body)} bytes", f"a valid {what} ({error})", _FIX))


def _milliseconds(moment: datetime) -> int:
    """Unix milliseconds, finer digits cut off like `rfc3339` does.

    Raises:
        InvalidEventError: before 1970, which no rating can be.
    """
    since = moment - _EPOCH
    if since.days < 0:
        raise InvalidEventError(describe(moment.isoformat(), "a time since 1970", _FIX))
    return (since.days * _DAY_S + since.seconds) * 1000 + since.microseconds // 1000


def _fingerprints(data: _Counted) -> tuple[bytes, ...]:
    """What clusters go by: device, address and text, as far as they are known; each once.

    A rating of a verified transaction has none: a window's ratings share its terminal by design.

    Raises:
        InvalidEventError: not a keyed hash.
    """
    marks: tuple[str | None, ...] = (data.device_hmac, data.address_hmac, data.text_hmac)
    # Under earlier keys too: the largest cluster is the whole one either way.
    for alias in data.aliases or ():
        marks += (alias.device_hmac, alias.address_hmac, alias.text_hmac)
    found: tuple[bytes, ...] = ()
    try:
        for each in marks:
            if each is not None and (mark := unhexlify(each[-_PRINT_DIGITS:])) not in found:
                found += (mark,)
    except ValueError as error:
        raise _no_hash("a fingerprint") from error
    return found


def _sub_grades(given: _Dimensions) -> bytes | None:
    grades = bytes(
        (given.service or 0, given.efficiency or 0, given.quality or 0, given.conduct or 0, given.image or 0)
    )
    return grades if any(grades) else None


def _earlier_keys(key: bytes, aliases: tuple[_Alias, ...], citizen: str, transaction: str) -> bytes:
    """What stands behind a pair's ``key``: those that earlier keys of intake make of the same pair.

    An alias without one of the two leaves that as it is: a transaction that came under an earlier key.
    """
    others = (
        repeat_key(alias.citizen_hmac or citizen, alias.transaction_hmac or transaction) for alias in aliases
    )
    return b"".join(other for other in others if other != key)


def repeat_key(citizen: str, transaction: str) -> bytes:
    """16 bytes that stand for one citizen's ratings of one transaction.

    Half of each keyed hash: as short as a digest of both and as unlikely to meet another pair's, in half the
    time.

    Raises:
        InvalidEventError: not keyed hashes.
    """
    try:
        return unhexlify(citizen[-_PRINT_DIGITS:] + transaction[-_PRINT_DIGITS:])
    except ValueError as error:
        raise _no_hash("a citizen or transaction") from error


def _no_hash(what: str) -> InvalidEventError:
    return InvalidEventError(describe(what, "a keyed hash that ends in 32 hex digits", _FIX))
