"""Identifiers: opaque, canonical strings; made from injected time and randomness only.

An event whose facts have a natural key gets `derived_id`, so that a redelivery or a replay repeats the
id instead of inventing a second event; everything else gets a time-ordered `uuid7`.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import Final, NewType

from shared.kernel.errors import InvalidValueError

EventId = NewType("EventId", str)
"""A canonical UUID naming one event for ever."""

UnitId = NewType("UnitId", str)
"""An opaque registry number (``U000123``); never derived from a division code, because codes change."""
UNIT_ID_FORM: Final = re.compile(r"U[0-9]{6}", re.ASCII)

RANDOM_BYTES: Final = 10
"""Randomness that `uuid7` consumes (74 of its 80 bits)."""

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_MAX_MS = 1 << 48


def _hyphenated(text: str) -> str:
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def uuid7(now_ms: int, rand: bytes) -> str:
    """Return a UUIDv7 (RFC 9562 §5.7): ids of later milliseconds sort after ids of earlier ones.

    Args:
        now_ms: Unix time in milliseconds, 0 ≤ now_ms < 2**48.
        rand: exactly `RANDOM_BYTES` random bytes.

    Raises:
        InvalidValueError: time out of range or wrong amount of randomness.
    """
    if not 0 <= now_ms < _MAX_MS:
        raise InvalidValueError(
            now_ms, "Unix milliseconds from 0 to 2**48 - 1", "pass the clock's time in milliseconds"
        )
    if len(rand) != RANDOM_BYTES:
        raise InvalidValueError(rand, f"{RANDOM_BYTES} random bytes", f"pass os.urandom({RANDOM_BYTES})")
    noise = int.from_bytes(rand, "big")
    rand_a = (noise >> 62) & 0xFFF
    rand_b = noise & ((1 << 62) - 1)
    value = now_ms << 80 | 0x7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b
    return _hyphenated(f"{value:032x}")


def derived_id(*parts: str) -> str:
    """Return the UUIDv8 (RFC 9562 §5.8) that belongs to `parts`: same parts, same id, on any machine.

    The id is the head of SHA-256 over every part prefixed with its length in bytes, so ``("ab", "c")``
    and ``("a", "bc")`` differ. Name the purpose in the first part: ``derived_id("alert", rule, event_id)``.

    Raises:
        InvalidValueError: no parts at all.
    """
    if not parts:
        raise InvalidValueError(parts, "at least one part", "pass the natural key of what the id names")
    return uuid8(hashlib.sha256(framed(parts)).digest())


def framed(parts: Iterable[str]) -> bytes:
    """Return `parts` as one value, each prefixed with its length in bytes: none runs into the next."""
    frames: list[bytes] = []
    for part in parts:
        # Lone surrogates reach us through JSON escapes; they must give an id, not a crash.
        raw = part.encode("utf-8", "surrogatepass")
        frames += (len(raw).to_bytes(8, "big"), raw)
    return b"".join(frames)


def uuid8(digest: bytes) -> str:
    """Return the UUIDv8 (RFC 9562 §5.8) made of the first 16 bytes of `digest`."""
    value = bytearray(digest[:16])
    value[6] = value[6] & 0x0F | 0x80
    value[8] = value[8] & 0x3F | 0x80
    return _hyphenated(value.hex())


def is_uuid(text: str) -> bool:
    """Tell whether `text` is a UUID in canonical form (lower case, hyphens), the only one we compare."""
    return _UUID.fullmatch(text) is not None
