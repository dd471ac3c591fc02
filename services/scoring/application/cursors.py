"""Opaque page cursors: a place in one list as it was when the page before was read."""

import base64
import binascii
import json
from typing import ClassVar, Final, NamedTuple

from shared.kernel.errors import ConflictError, InvalidValueError

_FROM_THE_START: Final = "begin again at the first page, without a cursor"
_HASH_SHOWN: Final = 16


class Paged(NamedTuple):
    """What a cursor belongs to.

    Attributes:
        name: tells it from everything else that has pages.
        hash: of its content.
        computed_at: since when it has this content.
        rows: how many it has.
    """

    name: str
    hash: str
    computed_at: str
    rows: int


class ListRevisedError(ConflictError, InvalidValueError):
    """The list has been revised since the page before, so going on could skip or repeat units (HTTP 409)."""

    title: ClassVar[str] = "The list has been revised meanwhile"


def encode_cursor(start: int, page_of: Paged) -> str:
    """A URL-safe text that `decode_cursor` takes for this list alone, and only until it is revised."""
    raw = json.dumps([page_of.name, page_of.hash[:_HASH_SHOWN], start], separators=(",", ":"))
    return base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")


def decode_cursor(text: str, page_of: Paged) -> int:
    """Index of the row to go on with.

    Raises:
        InvalidValueError: not a cursor of ours, or one of another list.
        ListRevisedError: the list has been revised.
    """
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        key, list_hash, start = json.loads(raw)
    except (ValueError, TypeError, RecursionError, binascii.Error) as error:
        raise _invalid(text) from error
    if type(start) is not int or not isinstance(key, str) or not isinstance(list_hash, str):
        raise _invalid(text)
    if key != page_of.name:
        raise InvalidValueError(text, f"a cursor of list {page_of.name}", _FROM_THE_START, field="cursor")
    if list_hash != page_of.hash[:_HASH_SHOWN]:
        raise ListRevisedError(
            text,
            f"a cursor of {page_of.name} as it stands, revised at {page_of.computed_at}",
            _FROM_THE_START,
            field="cursor",
        )
    if not 0 < start < page_of.rows:
        raise _invalid(text)
    return start


def _invalid(text: str) -> InvalidValueError:
    return InvalidValueError(text, "the `next` of an earlier answer", _FROM_THE_START, field="cursor")
