"""Reading what receivers answer: pauses that they ask for, and codes in a body."""

import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

LONGEST_PAUSE_S: Final = 3600.0
"""A receiver may ask for a longer pause, but not for silence."""


def pause_asked(header: str | None, now: datetime) -> float | None:
    """Read ``Retry-After`` (seconds or an HTTP date); at most `LONGEST_PAUSE_S`, None if absent or odd."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        # A huge number of digits is a long pause, whatever it says.
        return LONGEST_PAUSE_S if len(text) > len(str(int(LONGEST_PAUSE_S))) else _bounded(float(text))
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return _bounded((aware - now).total_seconds())


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST_PAUSE_S)


def json_object(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object in `body`; None if it holds anything else, or half of one."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
