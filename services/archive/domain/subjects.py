"""Subject filters as NATS writes them: ``*`` for one token, a final ``>`` for one or more."""

import re
from dataclasses import dataclass
from typing import Final

from shared.kernel.errors import InvalidValueError

ONE: Final = "*"
REST: Final = ">"
MAX_LENGTH: Final = 256
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")
_CITY, _COUNTY = 3, 4


@dataclass(frozen=True, slots=True)
class SubjectFilter:
    """A parsed filter."""

    tokens: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "SubjectFilter":
        """Split ``text``.

        Raises:
            InvalidValueError: too long, an empty or malformed token, or ``>`` that is not last.
        """
        tokens = tuple(text.split("."))
        for place, token in enumerate(tokens):
            last = place == len(tokens) - 1
            if token != ONE and not (token == REST and last) and _TOKEN.fullmatch(token) is None:
                raise InvalidValueError(
                    text,
                    "a NATS subject such as feedback.v1.*.3607.360721 or feedback.>",
                    "separate tokens of letters, digits, - and _ by single dots; > only at the end",
                    field="subject",
                )
        if len(text) > MAX_LENGTH:
            raise InvalidValueError(
                text, f"at most {MAX_LENGTH} characters", "shorten the subject", field="subject"
            )
        return cls(tokens)

    def __str__(self) -> str:
        """As it was written."""
        return ".".join(self.tokens)

    def overlaps(self, other: "SubjectFilter") -> bool:
        """Whether there is a subject that both match."""
        for one, two in zip(self.tokens, other.tokens, strict=False):
            if REST in (one, two):
                return True
            if one != two and ONE not in (one, two):
                return False
        return len(self.tokens) == len(other.tokens)

    @property
    def exact(self) -> str | None:
        """The subject itself if there is no wildcard, else None."""
        return None if ONE in self.tokens or REST in self.tokens else str(self)

    @property
    def everything(self) -> bool:
        """Whether it matches every subject."""
        return self.tokens == (REST,)

    @property
    def context(self) -> str | None:
        """The first token if it is given: it names the stream."""
        return _literal(self.tokens, 0)

    @property
    def city(self) -> str | None:
        """The city if it is given."""
        return _literal(self.tokens, _CITY)

    @property
    def county(self) -> str | None:
        """The county if it is given."""
        return _literal(self.tokens, _COUNTY)

    @property
    def regex(self) -> str:
        """The same as an anchored regular expression (common to Python and PCRE)."""
        parts = [{ONE: r"[^.]+", REST: r".+"}.get(token) or re.escape(token) for token in self.tokens]
        return "^" + r"\.".join(parts) + "$"


def _literal(tokens: tuple[str, ...], place: int) -> str | None:
    return tokens[place] if len(tokens) > place and tokens[place] not in (ONE, REST) else None
