"""Receipt codes 回执码: 80 bits for people, in Crockford's base 32, grouped in fours (``7K2M-…``)."""

import base64
import hashlib
import hmac
import re
from typing import Final

from shared.kernel.errors import InvalidValueError

RECEIPT_BYTES: Final = 10
LENGTH: Final = RECEIPT_BYTES * 8 // 5
PURPOSE: Final = b"pingyi/receipt/v1"
_RFC4648 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_CROCKFORD = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(first + second for first in _CROCKFORD.decode() for second in _CROCKFORD.decode())
_PAIR = 0x3FF
# Letters that people confuse with digits read as those digits; U isn't used at all.
_FROM_CROCKFORD = bytes.maketrans(_CROCKFORD + b"OIL", _RFC4648 + b"ABB")
_SEPARATORS = re.compile(r"[\s-]+")
_CODE = re.compile(rf"[0-9A-HJ-NP-TV-ZOIL]{{{LENGTH}}}", re.ASCII)


def receipt_key(master: bytes) -> bytes:
    """The key of receipts, derived from the key of pseudonyms; whoever has it can make nothing else."""
    return hmac.digest(master, PURPOSE, "sha256")


def receipt_of(key: bytes, event_id: str) -> bytes:
    """The receipt of a rating: made again from its id with the `receipt_key`, not to be guessed from it."""
    return hmac.digest(key, event_id.encode(), hashlib.sha256)[:RECEIPT_BYTES]


def receipt_code(receipt: bytes) -> str:
    """Write a receipt of `RECEIPT_BYTES` bytes as ``XXXX-XXXX-XXXX-XXXX``."""
    # By hand, two letters at a time: base64's own way is in Python too, and each accepted rating needs it.
    number, pairs = int.from_bytes(receipt, "big"), _PAIRS
    return (
        f"{pairs[number >> 70 & _PAIR]}{pairs[number >> 60 & _PAIR]}-"
        f"{pairs[number >> 50 & _PAIR]}{pairs[number >> 40 & _PAIR]}-"
        f"{pairs[number >> 30 & _PAIR]}{pairs[number >> 20 & _PAIR]}-"
        f"{pairs[number >> 10 & _PAIR]}{pairs[number & _PAIR]}"
    )


def parse_receipt_code(text: str) -> bytes:
    """Read a code as people write it: any case, with or without hyphens and blanks, O for 0, I and L for 1.

    Raises:
        InvalidValueError: other than 16 characters of that alphabet.
    """
    code = _SEPARATORS.sub("", text[:64]).upper()
    if _CODE.fullmatch(code) is None:
        raise InvalidValueError(
            text,
            f"a receipt code of {LENGTH} letters and digits, such as 7K2M-Q0ZT-4HBX-91CW",
            "copy it from the receipt",
            field="receipt_code",
        )
    return base64.b32decode(code.encode("ascii").translate(_FROM_CROCKFORD))
