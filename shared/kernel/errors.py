"""The two kinds of failure, and one way to word them.

Whoever handles a message or a request only needs to know whether trying again can help:
`PermanentError` says no (dead letter, 4xx), `TransientError` says yes (redelivery, 503).
Everything else is a defect and is treated as unknown: retried, then dead-lettered.
"""

import reprlib
from typing import ClassVar

VALUE_LIMIT = 120
"""Most characters of an offending value that a message repeats."""


_BIGGEST_INT_BITS = 1024
_BYTES_SHOWN = 60


class _BoundedRepr(reprlib.Repr):
    """A `repr` whose cost and length are bounded whatever a client sent."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 2
        self.maxstring = 80
        self.maxother = 80
        self.maxlong = 40

    def repr_int(self, x: int, level: int) -> str:
        """Represent `x`; Python refuses to print integers of more than 4,300 digits."""
        if x.bit_length() > _BIGGEST_INT_BITS:
            return f"<integer of {x.bit_length()} bits>"
        return super().repr_int(x, level)

    def repr_bytes(self, x: bytes, level: int) -> str:
        """Represent only the head of `x`: a body of megabytes must not be formatted first."""
        del level
        head = repr(x[:_BYTES_SHOWN])
        return head if len(x) <= _BYTES_SHOWN else f"{head}… ({len(x)} bytes)"


_BOUNDED = _BoundedRepr()


def shorten(value: object) -> str:
    """Return a printable form of `value` of at most `VALUE_LIMIT` characters; never raises.

    Control characters and lone surrogates come out escaped, so the result is safe in a log line,
    a header or a terminal.
    """
    text = _BOUNDED.repr(value)
    return text if len(text) <= VALUE_LIMIT else text[: VALUE_LIMIT - 1] + "…"


def describe(value: object, expected: str, remedy: str) -> str:
    """Word an error so that its reader can act: what came, what was expected, what to do.

    Args:
        value: the offending value; shortened, never repeated in full.
        expected: a noun phrase, e.g. ``"a grade from 1 to 5"``.
        remedy: an imperative, e.g. ``"send one of 1, 2, 3, 4, 5"``; without the final full stop.

    Returns:
        One sentence, e.g. ``"Got 9, expected a grade from 1 to 5: send one of 1, 2, 3, 4, 5."``
    """
    stop = "" if remedy.endswith("?") else "."
    return f"Got {shorten(value)}, expected {expected}: {remedy}{stop}"


class PingyiError(Exception):
    """Base of every error that the platform raises on purpose."""


class PermanentError(PingyiError):
    """Trying the same thing again cannot succeed.

    Subclasses set `http_status` (and `title`) to be answered with another status than 422.
    """

    http_status: ClassVar[int] = 422
    title: ClassVar[str] = "The request cannot be carried out"


class InvalidValueError(PermanentError, ValueError):
    """A value is not what was expected; keeps its parts for structured answers.

    Also a `ValueError`, so that a parser of this kernel can serve as a pydantic validator.
    """

    title: ClassVar[str] = "A value is not acceptable"

    def __init__(self, value: object, expected: str, remedy: str, *, field: str | None = None) -> None:
        """Build the message with `describe`; `field` is the path of the value, e.g. ``"data.grade"``."""
        super().__init__(describe(value, expected, remedy))
        self.value = shorten(value)
        self.expected = expected
        self.remedy = remedy
        self.field = field


class NotFoundError(InvalidValueError):
    """The named thing does not exist (HTTP 404)."""

    http_status: ClassVar[int] = 404
    title: ClassVar[str] = "Not found"


class ConflictError(PermanentError):
    """The request contradicts what is already recorded (HTTP 409)."""

    http_status: ClassVar[int] = 409
    title: ClassVar[str] = "Conflict with what is already recorded"


class TransientError(PingyiError):
    """The same thing may succeed later: a dependency is away, a queue is full.

    Attributes:
        retry_after_s: seconds after which a retry makes sense; None when unknown.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        """Keep `message` (use `describe`) and the hint `retry_after_s`."""
        super().__init__(message)
        self.retry_after_s = retry_after_s
