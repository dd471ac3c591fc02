"""Tracebacks for logs: where an exception came from, and of its message only what is not a client's.

A library that stumbles over a citizen's words likes to quote them: ``invalid literal for int(): '139…'``. So
of a message that is not ours everything in quotes, everything that is not ASCII and every long number is left
out. What the platform raises on purpose never quotes such values (`shared.kernel.errors`).
"""

import re
from traceback import TracebackException
from typing import Final

from structlog.typing import ExcInfo

from shared.kernel.errors import PingyiError
from shared.observability.withholding import safe_text, without_names

MESSAGE_SHOWN: Final = 500
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")
_FOREIGN = re.compile(r"[^\x20-\x7e]+")


def safe_message(message: str) -> str:
    """`message` of an exception without what it may quote of a client; bounded."""
    shown = _FOREIGN.sub("…", _QUOTED.sub("'…'", message[:MESSAGE_SHOWN]))
    return safe_text(shown) + ("…" if len(message) > MESSAGE_SHOWN else "")


def safe_traceback(exc_info: ExcInfo) -> str:
    """The traceback of an exception with its causes, like Python's own, each with a `safe_message`."""
    lines: list[str] = []
    _write(exc_info[1], lines, set())
    return "\n".join(lines)


def _write(error: BaseException, lines: list[str], seen: set[int]) -> None:
    seen.add(id(error))
    cause = error.__cause__
    context = None if error.__suppress_context__ else error.__context__
    for earlier, words in (
        (cause, "direct cause of"),
        (context if cause is None else None, "handled before"),
    ):
        if earlier is not None and id(earlier) not in seen:
            _write(earlier, lines, seen)
            lines += ["", f"The above exception was the {words} the following:", ""]
    lines.append("Traceback (most recent call last):")
    lines += [line.rstrip("\n") for line in TracebackException.from_exception(error).stack.format()]
    kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    ours = isinstance(error, PingyiError)
    lines.append(f"{kind}: {without_names(safe_text(str(error))) if ours else safe_message(str(error))}")
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            if id(member) not in seen:
                lines.append(f"In the group {kind}:")
                _write(member, lines, seen)
