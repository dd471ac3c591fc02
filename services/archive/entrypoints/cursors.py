"""Opaque page cursors: where a page ended, in which log, and of which query."""

import base64
import binascii
import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final

from services.archive.application.ports import EventQuery, Position, Snapshot
from services.archive.application.reading import Resume
from shared.kernel.errors import InvalidValueError

_REMEDY: Final = "send `next` of the page before with the same conditions, or leave the cursor out"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def encode_cursor(snapshot: Snapshot, position: Position, query: EventQuery) -> str:
    """A URL-safe text that :func:`decode_cursor` takes for the same ``query`` only."""
    until = None if snapshot.until is None else _numbers(snapshot.until)
    parts = [snapshot.size, until, _numbers(position), _fingerprint(query)]
    raw = json.dumps(parts, separators=(",", ":"))
    return base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")


def decode_cursor(text: str, query: EventQuery) -> Resume:
    """Where to go on.

    Raises:
        InvalidValueError: not a cursor of ours, or one of another query.
    """
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        size, until, after, fingerprint = json.loads(raw)
        snapshot = Snapshot(_whole(size), None if until is None else _position(until))
        resume = Resume(snapshot, _position(after))
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error) as error:
        raise InvalidValueError(text, "a cursor from a page's `next`", _REMEDY, field="cursor") from error
    if fingerprint != _fingerprint(query):
        raise InvalidValueError(text, "a cursor of this query", _REMEDY, field="cursor")
    return resume


def _numbers(position: Position) -> list[int | None]:
    time = None if position.time is None else (position.time - _EPOCH) // _MILLISECOND
    return [position.index, position.sequence, time]


def _position(numbers: object) -> Position:
    if not isinstance(numbers, list):
        raise TypeError(numbers)
    index, sequence, time = numbers
    moment = None if time is None else _EPOCH + _MILLISECOND * _number(time)
    return Position(_number(index), _whole(sequence), moment)


def _whole(value: object) -> int:
    if (number := _number(value)) < 0:
        raise ValueError(value)
    return number


def _number(value: object) -> int:
    if not isinstance(value, int) or not -(1 << 63) <= value < 1 << 63:
        raise ValueError(value)
    return value


def _fingerprint(query: EventQuery) -> str:
    # asdict and str keep this independent of the process, so that a cursor outlives a restart.
    return sha256(json.dumps(asdict(query), sort_keys=True, default=str).encode()).hexdigest()[:12]
