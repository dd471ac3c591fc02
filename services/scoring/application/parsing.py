"""From the bytes of a `FeedbackSubmitted` to the few values that the fold needs.

msgspec instead of the pydantic model: a replay parses the whole stream, and decoding seven fields natively
costs a fifth. It checks what it reads, and `tests/unit/scoring` holds it against the model of the contract.
"""

from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Annotated, Final, Literal

import msgspec

from services.scoring.domain.ledger import Rating
from shared.events import InvalidEventError
from shared.kernel.errors import describe
from shared.kernel.ids import is_uuid
from shared.rules import RulePack

_KEY_BYTES: Final = 16

AwareTime = Annotated[datetime, msgspec.Meta(tz=True)]
Hmac = Annotated[str, msgspec.Meta(max_length=64)]


class _Data(msgspec.Struct, gc=False):
    unit_id: str
    grade: Annotated[int, msgspec.Meta(ge=1, le=5)]
    verification: Literal["transaction", "real_name", "onsite", "anonymous"]
    citizen_hmac: Hmac | None = None
    transaction_hmac: Hmac | None = None


class _Event(msgspec.Struct, gc=False):
    specversion: Literal["1.0"]
    id: str
    type: Literal["cn.pingyi.feedback.submitted.v1"]
    time: AwareTime
    receivedat: AwareTime
    data: _Data
    synthetic: bool = False


class RatingParser:
    """Parses event bodies under one registry and one rule pack."""

    def __init__(self, units: Mapping[str, int], rules: RulePack) -> None:
        """``units`` gives each unit id its place in the statistics."""
        self._units = units
        self._weights = {str(kind): weight for kind, weight in rules.weights_milli.items()}
        self._decode = msgspec.json.Decoder(_Event).decode

    def parse(self, body: bytes) -> Rating:
        """Read one message body.

        Raises:
            InvalidEventError: no valid `FeedbackSubmitted`, or about a unit that the registry does not know.
        """
        try:
            event = self._decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidEventError(
                describe(
                    f"{len(body)} bytes",
                    f"a valid FeedbackSubmitted ({error})",
                    "fix the producer, then replay",
                )
            ) from error
        data = event.data
        unit = self._units.get(data.unit_id)
        if unit is None:
            raise InvalidEventError(
                describe(
                    data.unit_id, "the id of a registered unit", "add the unit to the registry, then replay"
                )
            )
        if not is_uuid(event.id):
            raise InvalidEventError(
                describe(event.id, "a UUID in canonical form", "fix the producer, then replay")
            )
        return Rating(
            bytes.fromhex(event.id.replace("-", "")),
            unit,
            data.grade,
            self._weights[data.verification],
            _milliseconds(event.time),
            _milliseconds(event.receivedat),
            repeat_key(data.citizen_hmac, data.transaction_hmac),
            event.synthetic,
        )


def _milliseconds(moment: datetime) -> int:
    """Unix milliseconds, finer digits cut off like `rfc3339` does.

    Raises:
        InvalidEventError: before 1970, which no rating can be.
    """
    seconds = int(moment.timestamp())
    if seconds < 0:
        raise InvalidEventError(
            describe(moment.isoformat(), "a time since 1970", "fix the producer, then replay")
        )
    return seconds * 1000 + moment.microsecond // 1000


def repeat_key(citizen: str | None, transaction: str | None) -> bytes | None:
    """16 bytes that stand for one citizen's ratings of one transaction; None if either is unknown.

    A digest, because the two pseudonyms would take five times the memory; 128 bits do not collide.
    """
    if citizen is None or transaction is None:
        return None
    return blake2b(f"{citizen} {transaction}".encode(), digest_size=_KEY_BYTES).digest()
