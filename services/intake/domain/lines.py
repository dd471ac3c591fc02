"""Splitting a batch (NDJSON) into numbered lines."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from services.intake.domain.measures import Size
from shared.kernel.errors import InvalidValueError

COUNTED: Final = 10
"""Lines beyond so many times the limit are not counted."""
_BOM = b"\xef\xbb\xbf"
_FILLED = re.compile(rb"[^ \t\r\n][^\n]*")


class Line(NamedTuple):
    """One line that isn't blank.

    Attributes:
        number: counts from 1 and blank lines too, as an editor shows it; for people.
        place: counts from 1 and blank lines not; for keys, which blank lines must not change.
    """

    number: int
    place: int
    data: bytes


def split_lines(body: bytes, limit: int) -> list[Line]:
    r"""The lines of `body` that aren't blank; ends are LF or CRLF, the last one may be missing.

    Raises:
        InvalidValueError: a byte order mark, nothing but blanks, or more than `limit` lines.
    """
    if body.startswith(_BOM):
        raise InvalidValueError(
            Size("a byte order mark"), "UTF-8 without one", "save the file as UTF-8 without BOM",
            field="body",
        )  # fmt: skip
    found = _numbered(body)
    lines = list(islice(found, limit))
    more = sum(1 for _ in islice(found, COUNTED * limit))
    if more:
        several = f"{limit + more} lines" if more < COUNTED * limit else f"{COUNTED * limit} lines or more"
        raise InvalidValueError(
            Size(several), f"at most {limit} lines in a batch", "split the batch", field="body"
        )
    if not lines:
        raise InvalidValueError(
            Size(f"{len(body)} bytes without a rating"),
            "one JSON object on each line (NDJSON)",
            "send at least one rating",
            field="body",
        )
    return lines


def _numbered(body: bytes) -> Iterator[Line]:
    # Only LF ends a line: splitlines() would also cut at characters that JSON strings may contain. Blank
    # ones, which may be sixteen million, are passed over by the pattern.
    number, end = 1, 0
    for place, match in enumerate(_FILLED.finditer(body), 1):
        number += body.count(b"\n", end, match.start())
        end = match.end()
        yield Line(number, place, match[0].rstrip(b" \t\r"))
