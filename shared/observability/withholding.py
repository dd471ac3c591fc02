"""What an error may repeat of a request: never a citizen's words, never a number that could be a person's.

A telephone number at the wrong place is still a telephone number, and answers end up in logs, screenshots
and tickets. So strings are shown only where their type leaves no room for words, and nothing with six or
more digits in a row, or with letters other than ASCII, is repeated at all.
"""

import re
from typing import Final

from shared.kernel.scrubbing import scrub

NAME_SHOWN: Final = 64
"""Most characters of an unknown field's name that an error repeats."""

PATH_SHOWN: Final = 256
"""Most characters of a path that a problem repeats."""

WHOLE_BELOW: Final = 80
"""A printable value of fewer characters has not been shortened."""

_RUN = re.compile(r"\d{6,}")  # of any script: full-width digits are read like others
_PUBLIC = re.compile(
    r"(?<!\w)(?:U\d{6}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(?!\w)", re.ASCII
)
"""Ids of units and events: long enough to look like numbers of people, but public and of fixed form."""
_FOREIGN = re.compile(r"(?:(?![\x00-\x7f…])\w)+")
"""Letters that are not ASCII. Nothing that our interfaces take has any, but for texts and contacts."""
_MEASURE = re.compile(r"[0-9]+ [a-z]")
"""How the size of something is worded; what a client sent stands in quotes or is a number alone."""
_TOKEN = re.compile(r"[A-Za-z0-9_.:+\-]{1,40}")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9.+\-]{1,40}/[A-Za-z0-9.+\-]{1,80}")


class Withheld:
    """Stands for a value that is described instead of being repeated."""

    __slots__ = ("_words",)

    def __init__(self, words: str) -> None:
        """`words` such as ``a string of 12 characters``."""
        self._words = words

    def __repr__(self) -> str:
        return self._words


def holds_number(text: str) -> bool:
    """Whether `text` has six digits in a row, or a telephone or identity number in any spelling."""
    rest = _PUBLIC.sub("", text)
    return _RUN.search(rest) is not None or scrub(rest, mistyped=True) != rest


def described(value: object) -> object:
    """`value` without its content: type and length of a string or container; anything else as it is."""
    if isinstance(value, str):
        return Withheld(f"a string of {len(value)} characters")
    if isinstance(value, bytes):
        return Withheld(f"{len(value)} bytes")
    if isinstance(value, dict):
        return Withheld(f"an object of {len(value)} members")
    if isinstance(value, list | tuple | set | frozenset):
        return Withheld(f"an array of {len(value)} items")
    return value


def token_or_described(value: object) -> object:
    """`value` if it is a scalar, of strings only a short ASCII word; otherwise `described`."""
    return value if isinstance(value, str) and _TOKEN.fullmatch(value) is not None else described(value)


def media_type_or_described(header: str) -> object:
    """The media type of a header Content-Type without its parameters; described if it is none."""
    found = header.split(";", 1)[0].strip()
    return found if _MEDIA_TYPE.fullmatch(found) is not None else described(header)


def safe_value(shown: str) -> str:
    """`shown`, a value made printable by `shorten`, or how long it is if it holds a number or name."""
    if _MEASURE.match(shown) is not None:
        return shown
    numbered = holds_number(shown)
    if not numbered and _FOREIGN.search(shown) is None:
        return shown
    quoted = shown[:1] in {"'", '"'}
    length = len(shown) - 2 * quoted
    size = f" of {length} characters" if length < WHOLE_BELOW else ""
    kind = "with many digits" if numbered else "that could be a name"
    return f"a {'string' if quoted else 'value'}{size} {kind}, not repeated here"


def safe_name(name: str) -> str:
    """The name of a field or parameter that a client made up, shortened; its length if it may be private."""
    shown = name[:NAME_SHOWN]  # first, for a name can be as long as a body
    if holds_number(shown) or _FOREIGN.search(shown) is not None:
        return f"<a name of {len(name)} characters>"
    return name if len(name) <= NAME_SHOWN else shown + "…"


def safe_text(text: str) -> str:
    """`text` of ours that may quote a client, e.g. a path, with dots in the place of long numbers."""
    kept = _PUBLIC.findall(text)
    if not holds_number(text):
        return text
    pieces = [_RUN.sub("…", scrub(piece, mistyped=True)) for piece in _PUBLIC.split(text)]
    return "".join(piece + public for piece, public in zip(pieces, [*kept, ""], strict=True))


def without_names(text: str) -> str:
    """`text` with dots in the place of what could be a name: our own fields, ids and addresses are ASCII."""
    return _FOREIGN.sub("…", text)


def safe_path(path: str) -> str:
    """`path` of a request, without long numbers and names, and of bounded length."""
    shown = without_names(safe_text(path[:PATH_SHOWN]))
    return shown if len(path) <= PATH_SHOWN else shown + "…"
