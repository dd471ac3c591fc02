"""Opaque page cursors: where a page ended, and of which query."""

import base64
import binascii
import json
from dataclasses import asdict
from hashlib import sha256

from services.archive.application.ports import EventQuery, Position
from shared.kernel.errors import InvalidValueError

_REMEDY = "send `next` of the page before with the same conditions, or leave the cursor out"


def encode_cursor(position: Position, query: EventQuery) -> str:
    """A URL-safe text that :func:`decode_cursor` takes for the same ``query`` only."""
    raw = json.dumps([position.index, position.sequence, _fingerprint(query)], separators=(",", ":"))
    return base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")


def decode_cursor(text: str, query: EventQuery) -> Position:
    """Where to go on.

    Raises:
        InvalidValueError: not a cursor of ours, or one of another query.
    """
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        index, sequence, fingerprint = json.loads(raw)
        position = Position(_whole(index), _whole(sequence))
    except (ValueError, TypeError, RecursionError, binascii.Error) as error:
        raise InvalidValueError(text, "a cursor from a page's `next`", _REMEDY, field="cursor") from error
    if fingerprint != _fingerprint(query):
        raise InvalidValueError(text, "a cursor of this query", _REMEDY, field="cursor")
    return position


def _whole(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise ValueError(value)
    return value


def _fingerprint(query: EventQuery) -> str:
    # asdict and str keep this independent of the process, so that a cursor outlives a restart.
    return sha256(json.dumps(asdict(query), sort_keys=True, default=str).encode()).hexdigest()[:12]
