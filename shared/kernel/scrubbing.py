"""Taking telephone and identity numbers out of free text before it is kept (DOMAIN: people's data)."""

import re
from collections.abc import Callable
from typing import Final

from shared.kernel.identity_numbers import is_identity_number, resembles_identity_number

PHONE_MARK: Final = "[手机号]"
IDENTITY_MARK: Final = "[身份证号]"

# One character for one, so that places in the folded text are places in the original.
_FOLD = str.maketrans("０１２３４５６７８９ＸｘＬ＋－（）　", "0123456789XxL+-() ")
_GAP = r"[\s\-‐-―·.()（）_/]{0,2}"
_IDENTITY = re.compile(
    rf"(?<!\d)[1-9](?:{_GAP}\d){{16}}{_GAP}[0-9Xx](?![0-9])|(?<!\d)[1-9](?:{_GAP}\d){{14}}(?!\d)", re.ASCII
)
_MOBILE = re.compile(
    rf"(?<!\d)(?:(?:\+|00)?86{_GAP})?1{_GAP}[3-9](?:{_GAP}\d){{9}}(?!\d)",
    re.ASCII,
)
_LANDLINE = re.compile(r"(?<!\d)(?:\(0\d{2,3}\)|0\d{2,3})[\s\-]{0,2}[2-9]\d{6,7}(?!\d)", re.ASCII)
_DIGITS_NEEDED: Final = 10
_ANY_DIGIT = re.compile(r"[0-9０-９]")


def scrub(text: str, *, mistyped: bool = False) -> str:
    """Return `text` with every mainland phone and identity number replaced by a mark.

    Recognised also with full-width digits, country code and up to two separators between digits; an
    18-digit number only with its right check digit. Idempotent; text without such numbers comes back as is.

    Args:
        text: whatever somebody wrote.
        mistyped: take numbers with a wrong check digit out too, for text that needs no order numbers.
    """
    if not _may_hold_number(text):
        return text
    is_identity = resembles_identity_number if mistyped else is_identity_number
    text = _replace(text, _IDENTITY, IDENTITY_MARK, is_identity)
    text = _replace(text, _MOBILE, PHONE_MARK)
    return _replace(text, _LANDLINE, PHONE_MARK)


def _may_hold_number(text: str) -> bool:
    # Most comments hold no number at all, and this is on the hot path.
    return len(_ANY_DIGIT.findall(text)) >= _DIGITS_NEEDED


def _replace(
    text: str, pattern: re.Pattern[str], mark: str, accept: Callable[[str], bool] | None = None
) -> str:
    folded = text.translate(_FOLD)
    pieces: list[str] = []
    end = 0
    for match in pattern.finditer(folded):
        if accept is not None and not accept(re.sub(r"[^0-9Xx]", "", match[0])):
            continue
        pieces += [text[end : match.start()], mark]
        end = match.end()
    return "".join((*pieces, text[end:]))
