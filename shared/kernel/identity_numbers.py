"""Mainland identity-card and telephone numbers: recognising them, and bringing them to one form.

Sources: GB 11643-1999 (18 digits, check digit by ISO 7064 MOD 11-2; the 15-digit form before it), and the
national numbering plan (mobiles: 11 digits, 13x to 19x).
"""

import re
import unicodedata
from operator import mul
from typing import Final

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS = "10X98765432"
_LONG: Final = 18
_SHORT: Final = 15
_MOBILE = re.compile(r"(?:00|\+)?86(1[3-9]\d{9})", re.ASCII)
_PHONE = re.compile(r"\+?\d{7,15}", re.ASCII)
_SEPARATORS = re.compile(r"[\s\-‐-―－·.()（）_/]+")


def check_digit(seventeen: str) -> str:
    """The 18th character of an identity number, from its 17 digits."""
    total = sum(map(mul, _WEIGHTS, map(int, seventeen)))
    return _CHECKS[total % 11]


def is_identity_number(text: str) -> bool:
    """Whether `text` is an identity number in plain form: 18 with a right check digit, or 15 digits.

    The birthday must be a possible month and day: the 15-digit form has no check digit, and order numbers
    of 15 digits are common.
    """
    if not text.isascii() or not text[:-1].isdigit() or text[:1] in {"", "0"}:
        return False
    if len(text) == _LONG:
        return _is_birthday(text[10:14]) and check_digit(text[:17]) == text[17].upper()
    return len(text) == _SHORT and text[-1].isdigit() and _is_birthday(text[8:12])


def resembles_identity_number(text: str) -> bool:
    """Whether `text` is an identity number, or one of 18 with a wrong check digit and a possible birthday.

    A mistyped number still tells whose it is, to whoever knows the person.
    """
    if is_identity_number(text):
        return True
    born = re.fullmatch(r"[1-9]\d{5}(?:18|19|20)\d{2}(\d{4})\d{3}[0-9Xx]", text, re.ASCII)
    return born is not None and _is_birthday(born[1])


def _is_birthday(month_day: str) -> bool:
    return 1 <= int(month_day[:2]) <= 12 and 1 <= int(month_day[2:]) <= 31  # noqa: PLR2004 - a calendar


def _plain(text: str) -> str:
    """Full-width digits become ASCII, separators go."""
    return _SEPARATORS.sub("", unicodedata.normalize("NFKC", text))


def normal_identity_number(text: str) -> str:
    """One form for one person's number: 18 characters, upper case; the 15-digit form is completed.

    Something else comes back without separators, upper case.
    """
    plain = _plain(text).upper()
    if len(plain) == _SHORT and is_identity_number(plain):
        seventeen = f"{plain[:6]}19{plain[6:]}"
        return seventeen + check_digit(seventeen)
    return plain


def normal_phone(text: str) -> str:
    """One form for one number: no separators, a mobile without its country code."""
    plain = _plain(text)
    mobile = _MOBILE.fullmatch(plain)
    return mobile[1] if mobile else plain


def is_phone(text: str) -> bool:
    """Whether somebody could be called under `text`: 7 to 15 digits (ITU-T E.164) once normalised."""
    return _PHONE.fullmatch(normal_phone(text)) is not None
