"""Text without disguises: a normalised copy to compare and to search in, beside the text as it was given.

A citizen's text is stored as given. But a phone number is one also in full-width digits, with zero-width
characters between the digits or in digits of another script, and a copied comment is a copy also with a
Cyrillic letter in it. Whoever searches or compares does it in the plain copy; `PlainText` says which
characters of the original each part of it came from.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, groupby
from typing import Final

_SIMPLE: Final = re.compile(r"[\x20-\x7e\u3001\u3002\u4e00-\u9fff\n]*")
"""Text that is plain already: ASCII, common Chinese characters and their full stop. Nearly all text is."""

LOOKALIKES: Final = str.maketrans(
    "АВЕЗКМНОРСТУХЅІЈԚԜаеорсухѕіјԛԝѵΑΒΕΖΗΙΚΜΝΟΡΤΥΧαορυν",
    "ABE3KMHOPCTYXSIJQWaeopcyxsijqwvABEZHIKMNOPTYXaopuv",
)
"""Cyrillic and Greek letters that look like Latin ones; the common part of Unicode's list (UTS 39)."""

_OTHER_DIGIT: Final = re.compile(r"(?![0-9])\d")
_DROPPED: Final = frozenset({"Cf", "Cc", "Mn", "Me", "Cs", "Co", "Cn"})
"""Categories of characters that show nothing by themselves: zero-width, bidi controls, combining marks …"""
_RUN_OF_MARKS: Final = re.compile(
    r"[^\x00-\u02ff\u2010-\u2027\u3000-\u3029\u3040-\u3098\u309b-\u9fff\uac00-\ud7a3\uff01-\uff9d]{32}"
)
"""So many characters one after another that may all be combining marks."""


@dataclass(frozen=True, slots=True)
class PlainText:
    """The plain copy of a text.

    Attributes:
        text: in NFKC, without what shows nothing, digits of every script as ASCII, look-alikes as Latin.
        places: for each character of `text` the index in the original that it came from; ascending. None:
            they are the same.
    """

    text: str
    places: tuple[int, ...] | None = None

    def original_span(self, start: int, end: int) -> tuple[int, int]:
        """The slice of the original that ``text[start:end]`` came from, with what was hidden within."""
        if self.places is None:
            return start, end
        if start >= end:
            after = self.places[-1] + 1 if self.places else 0
            at = self.places[start] if start < len(self.places) else after
            return at, at
        return self.places[start], self.places[end - 1] + 1


def composed(text: str) -> str:
    """`text` in NFC, in a time that grows with its length alone.

    The library puts the marks of a letter in order by insertion: 30,000 of them take a second.
    """
    if _RUN_OF_MARKS.search(text) is not None:
        apart = (unicodedata.normalize("NFD", char) for char in text)
        runs = groupby(chain.from_iterable(apart), lambda char: unicodedata.combining(char) != 0)
        text = "".join(
            "".join(sorted(run, key=unicodedata.combining) if marks else run) for marks, run in runs
        )
    return unicodedata.normalize("NFC", text)


def plain(text: str) -> PlainText:
    """The plain copy of `text`; the same object's text where nothing is disguised."""
    if _SIMPLE.fullmatch(text) is not None:
        return PlainText(text)
    found: list[str] = []
    places: list[int] = []
    for place, char in enumerate(text):
        # Each by itself, so that its place is known; what a mark would compose to is dropped anyway.
        for part in _plain_char(char):
            found.append(part)
            places.append(place)
    return PlainText("".join(found), tuple(places))


@lru_cache(maxsize=8192)
def _plain_char(char: str) -> str:
    if char in "\n\r\t":
        return char
    parts = []
    for part in unicodedata.normalize("NFKC", char):
        if unicodedata.category(part) in _DROPPED:
            continue
        digit = unicodedata.decimal(part, None)
        parts.append(part if digit is None else str(digit))
    return "".join(parts).translate(LOOKALIKES)


def comparable(text: str) -> str:
    """What two texts are compared by: plain, without case, blanks and punctuation.

    On the path of every rating with a text, so it does without places: a fifth of the time of `plain`.
    """
    folded = unicodedata.normalize("NFKC", text).translate(LOOKALIKES).casefold()
    core = "".join(filter(str.isalnum, folded))
    return core if _OTHER_DIGIT.search(core) is None else "".join(map(_plain_char, core))
