"""Receipt codes: 80 bits for people, in Crockford's base 32, grouped in fours (``7K2M-…``)."""

import base64
import re
from typing import Final

from services.intake.domain.pseudonyms import RECEIPT_BYTES
from shared.kernel.errors import InvalidValueError

LENGTH: Final = RECEIPT_BYTES * 8 // 5
_RFC4648 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_CROCKFORD = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TO_CROCKFORD = bytes.maketrans(_RFC4648, _CROCKFORD)
# Letters that people confuse with digits read as those digits; U isn't used at all.
_FROM_CROCKFORD = bytes.maketrans(_CROCKFORD + b"OIL", _RFC4648 + b"ABB")
_SEPARATORS = re.compile(r"[\s-]+")
_CODE = re.compile(rf"[0-9A-HJ-NP-TV-ZOIL]{{{LENGTH}}}", re.ASCII)


def receipt_code(receipt: bytes) -> str:
    """Write a receipt of `RECEIPT_BYTES` bytes as ``XXXX-XXXX-XXXX-XXXX``."""
    code = base64.b32encode(receipt).translate(_TO_CROCKFORD).decode("ascii")
    return f"{code[:4]}-{code[4:8]}-{code[8:12]}-{code[12:]}"


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
