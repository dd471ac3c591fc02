"""Splitting a batch (NDJSON) into numbered lines."""

from collections.abc import Iterator
from typing import NamedTuple

from services.intake.domain.measures import Size
from shared.kernel.errors import InvalidValueError

_BOM = b"\xef\xbb\xbf"


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
    lines: list[Line] = []
    for line in _numbered(body):
        if len(lines) == limit:
            count = sum(1 for other in _numbered(body) if other.data)
            raise InvalidValueError(
                Size(f"{count} lines"), f"at most {limit} lines in a batch", "split the batch", field="body"
            )
        lines.append(line)
    if not lines:
        raise InvalidValueError(
            Size(f"{len(body)} bytes without a rating"),
            "one JSON object on each line (NDJSON)",
            "send at least one rating",
            field="body",
        )
    return lines


def _numbered(body: bytes) -> Iterator[Line]:
    # Only LF ends a line: splitlines() would also cut at characters that JSON strings may contain.
    place = 0
    for number, raw in enumerate(body.split(b"\n"), 1):
        data = raw.strip(b" \t\r")
        if data:
            place += 1
            yield Line(number, place, data)
