"""What stream and archive disagree about, kept until both agree again. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

MOST_KEPT: Final = 10_000
"""Sequences that are remembered and looked at again in each round; beyond that, the lowest."""
GROWTH: Final = 2
"""By how much a standing divergence must have grown to be reported again: a few reports, not one a minute."""


@dataclass(frozen=True, slots=True)
class Extent:
    """Lowest and highest sequence, and how many are known."""

    first: int
    last: int
    sequences: int


@dataclass(slots=True)
class Divergence:
    """The sequences of one stream that differ in one way.

    Attributes:
        reported: what was last said of it while it stands; None when nothing stands or nothing was said yet.
        previous_id: id of the last event about it, for the id of the next one; empty before the first.
    """

    kept: set[int] = field(default_factory=set)
    reported: Extent | None = None
    previous_id: str = ""

    def add(self, sequences: Iterable[int]) -> None:
        """Remember what was found."""
        self.kept.update(sequences)
        if len(self.kept) > MOST_KEPT:
            self.kept = set(sorted(self.kept)[:MOST_KEPT])

    def replace(self, looked_at: Iterable[int], found: Iterable[int]) -> None:
        """Of those looked at again, keep what was found again."""
        self.kept.difference_update(looked_at)
        self.add(found)

    @property
    def extent(self) -> Extent | None:
        """What stands now; None if nothing does."""
        return Extent(min(self.kept), max(self.kept), len(self.kept)) if self.kept else None

    def news(self) -> tuple[bool, Extent] | None:
        """What is to be reported: (True, what differs), (False, what had differed), or nothing new."""
        now = self.extent
        if now is None:
            return None if self.reported is None else (False, self.reported)
        if self.reported is None or now.sequences >= GROWTH * self.reported.sequences:
            return True, now
        return None

    def told(self, event_id: str, reported: Extent | None) -> None:
        """Note that it was reported; ``reported`` is None when it was said that both agree again."""
        self.previous_id = event_id
        self.reported = reported


def runs(sequences: Iterable[int], longest: int) -> Iterator[tuple[int, int]]:
    """``sequences`` as (first, last) of contiguous runs of at most ``longest``, in order."""
    first = last = 0
    for sequence in sorted(sequences):
        if first and sequence == last + 1 and sequence - first < longest:
            last = sequence
            continue
        if first:
            yield first, last
        first = last = sequence
    if first:
        yield first, last
