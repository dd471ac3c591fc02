"""Places in a stream as clients send them back: of a page's end, of the state that somebody has seen."""

import re
from typing import Final

from shared.kernel.errors import InvalidValueError

_CURSOR: Final = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_ETAG: Final = re.compile(r'(?:W/)?"([1-9][0-9]{0,18})"', re.ASCII)


def parse_etag(text: str | None) -> int | None:
    """The sequence in an If-Match header; None without one, or for ``*``.

    Raises:
        InvalidValueError: it is no ETag of ours.
    """
    if text is None or text.strip() == "*":
        return None
    match = _ETAG.fullmatch(text.strip())
    if match is None:
        raise InvalidValueError(
            text, 'an ETag of ours, such as "42"', "copy it from an earlier answer", field="If-Match"
        )
    return int(match[1])


def parse_cursor(text: str | None) -> int | None:
    """The sequence that a page ends before; None of the first one.

    Raises:
        InvalidValueError: it is no cursor of ours.
    """
    if text is None:
        return None
    if _CURSOR.fullmatch(text) is None:
        raise InvalidValueError(
            text, "the `next` of an earlier page", "start without a cursor", field="cursor"
        )
    return int(text)
