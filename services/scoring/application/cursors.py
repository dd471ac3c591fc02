"""Opaque page cursors: a place in one list as it was when the page before was read."""

import base64
import binascii
import json
from typing import ClassVar, Final

from services.scoring.application.published import PublishedList
from shared.kernel.errors import ConflictError, InvalidValueError

_FROM_THE_START: Final = "begin again at the first page, without a cursor"
_HASH_SHOWN: Final = 16


class ListRevisedError(ConflictError, InvalidValueError):
    """The list has been revised since the page before, so going on could skip or repeat units (HTTP 409)."""

    title: ClassVar[str] = "The list has been revised meanwhile"


def encode_cursor(start: int, page_of: PublishedList) -> str:
    """A URL-safe text that `decode_cursor` takes for this list alone, and only until it is revised."""
    raw = json.dumps([_name(page_of), page_of.hash[:_HASH_SHOWN], start], separators=(",", ":"))
    return base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")


def decode_cursor(text: str, page_of: PublishedList) -> int:
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
    if key != _name(page_of):
        raise InvalidValueError(text, f"a cursor of list {_name(page_of)}", _FROM_THE_START, field="cursor")
    if list_hash != page_of.hash[:_HASH_SHOWN]:
        raise ListRevisedError(
            text,
            f"a cursor of {page_of.key} as it stands, revised at {page_of.head['computed_at']}",
            _FROM_THE_START,
            field="cursor",
        )
    if not 0 < start < len(page_of.rows):
        raise _invalid(text)
    return start


def _name(page_of: PublishedList) -> str:
    """The list's key, with the parent if it is a view of its units."""
    parent = page_of.head.get("parent")
    return page_of.key if parent is None else f"{page_of.key} below {parent}"


def _invalid(text: str) -> InvalidValueError:
    return InvalidValueError(text, "the `next` of an earlier answer", _FROM_THE_START, field="cursor")
