"""How an archived stream is numbered after an operator accepted another history of it. Pure.

The broker counts a stream that went back, or was made anew, from where it stands now; the archive must never
use a sequence twice. So whatever comes behind the last message that both agree on (the fork) is archived
under its sequence plus an offset, which continues the archive's numbering without a gap. What the stream had
there before stays in the archive only (ADR 0022).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

ENDLESS: Final = 1 << 62


class Accepted(NamedTuple):
    """A decision: messages behind broker sequence ``fork`` are archived as their sequence plus ``offset``."""

    fork: int
    offset: int


class Segment(NamedTuple):
    """Archive sequences ``first`` to ``last``, which the stream counts ``offset`` lower."""

    first: int
    last: int
    offset: int


@dataclass(frozen=True, slots=True)
class Numbering:
    """The archive's sequences of one stream beside the broker's; equal without decisions.

    Attributes:
        segments: by archive sequence; what lies between two of them is in the archive only.
    """

    segments: tuple[Segment, ...] = (Segment(1, ENDLESS, 0),)

    @classmethod
    def after(cls, decisions: Iterable[Accepted]) -> "Numbering":
        """The numbering after ``decisions``, in the order in which they were made."""
        segments = list(cls().segments)
        for fork, offset in decisions:
            kept = [
                Segment(first, min(last, fork + shift), shift)
                for first, last, shift in segments
                if first <= fork + shift
            ]
            segments = [*kept, Segment(fork + 1 + offset, ENDLESS, offset)]
        return cls(tuple(segments))

    @property
    def plain(self) -> bool:
        """Whether both count alike, as they do until somebody decides otherwise."""
        return all(segment.offset == 0 for segment in self.segments)

    def archived_as(self, sequence: int) -> int:
        """The archive's number of the broker's ``sequence``."""
        for first, last, offset in reversed(self.segments):
            if first - offset <= sequence <= last - offset:
                return sequence + offset
        return sequence

    def in_stream(self, archived: int) -> int | None:
        """The broker's sequence of the archive's ``archived``; None if it is in the archive only."""
        for first, last, offset in self.segments:
            if first <= archived <= last:
                return archived - offset
        return None

    def parts(self, first: int, last: int) -> Iterator[Segment]:
        """The parts of archive sequences ``first`` to ``last`` that the stream can have, in order."""
        for low, high, offset in self.segments:
            if low <= last and first <= high:
                yield Segment(max(low, first), min(high, last), offset)
