"""Who asked for this, and what caused it: ids that travel from the HTTP request to the archive.

Correlation id: one per citizen's request or per import, the same in everything that follows from it.
Causation id: the event that directly led to this one. `traceparent`: W3C Trace Context, version 00.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import NamedTuple

RandomBytes = Callable[[int], bytes]
"""Source of randomness, `os.urandom` unless a test injects another."""

_TRACEPARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace_id>[0-9a-f]{32})"
    r"-(?!0{16})(?P<span_id>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<rest>-.*)?",
    re.ASCII,
)
_SAMPLED = 0x01
_PADDING = re.compile(r"0{8,}|([a-f])\1{7,}", re.ASCII)
_PERSONS = re.compile(r"(?:0|86)?1[3-9]\d{9}|\d{15}|\d{18}", re.ASCII)
"""A mobile number, or one of an identity card; its X is no hexadecimal digit."""


class TraceContext(NamedTuple):
    """A parsed ``traceparent``; ids in lower-case hex."""

    trace_id: str
    span_id: str
    sampled: bool

    def header(self) -> str:
        """Return the header's value."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


class RequestContext(NamedTuple):
    """What log lines and envelopes of the current request or message carry; empty outside of one."""

    correlation_id: str | None = None
    traceparent: str | None = None
    causation_id: str | None = None
    event_id: str | None = None


# One variable for all: a request sets it once, which a hot path feels.
_NOTHING = RequestContext()
_CONTEXT: ContextVar[RequestContext] = ContextVar("pingyi_request_context", default=_NOTHING)


def is_padded_number(hex_id: str) -> bool:
    """Whether `hex_id`, in lower case, is a person's number filled up with one character.

    Ids go into events for good. One in a thousand random ones holds such a number by chance, unpadded.
    """
    parts = _PADDING.sub(" ", hex_id.replace("-", "")).split(" ")
    return len(parts) > 1 and any(map(_PERSONS.fullmatch, parts))


def parse_traceparent(header: str | None) -> TraceContext | None:
    """Parse a ``traceparent``; None when absent or malformed: then the standard asks for a new trace.

    None, too, when the trace is a person's number. Later versions are read by their first four fields.
    """
    if header is None:
        return None
    match = _TRACEPARENT.fullmatch(header)
    if match is None or (match["version"] == "00" and match["rest"]) or is_padded_number(match["trace_id"]):
        return None
    return TraceContext(match["trace_id"], match["span_id"], bool(int(match["flags"], 16) & _SAMPLED))


def new_trace(random: RandomBytes = os.urandom) -> TraceContext:
    """Start a trace; sampled, since deciding what to keep is the collector's business."""
    noise = random(24)
    return TraceContext(_hex_id(noise[:16]), _hex_id(noise[16:]), True)  # noqa: FBT003 - a tuple's third


def child_of(parent: str | None, random: RandomBytes = os.urandom) -> TraceContext:
    """Return a new span in the trace of the header `parent`, or a new trace without a valid one."""
    context = parse_traceparent(parent)
    if context is None:
        return new_trace(random)
    return TraceContext(context.trace_id, _hex_id(random(8)), context.sampled)


def _hex_id(noise: bytes) -> str:
    """The id in hexadecimal digits; the standard forbids one of zeros alone."""
    return noise.hex() if any(noise) else f"{1:0{2 * len(noise)}x}"


def current_context() -> RequestContext:
    """Return the ids of the request or message being handled."""
    return _CONTEXT.get()


def current_correlation_id() -> str | None:
    """Return the correlation id of the request or message being handled, if any."""
    return _CONTEXT.get().correlation_id


def current_traceparent() -> str | None:
    """Return the ``traceparent`` of the request or message being handled, if any."""
    return _CONTEXT.get().traceparent


def enter(context: RequestContext) -> Token[RequestContext]:
    """Make `context` current; undo with `leave`. Prefer `message_context` where speed doesn't matter."""
    return _CONTEXT.set(context)


def leave(token: Token[RequestContext]) -> None:
    """Restore the context before `enter`."""
    _CONTEXT.reset(token)


@contextmanager
def message_context(
    *,
    correlation_id: str | None = None,
    traceparent: str | None = None,
    causation_id: str | None = None,
    event_id: str | None = None,
) -> Iterator[RequestContext]:
    """Handle one message under its ids: they are in every log line and envelope made inside."""
    context = RequestContext(correlation_id, traceparent, causation_id, event_id)
    token = enter(context)
    try:
        yield context
    finally:
        leave(token)
