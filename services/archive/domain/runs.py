"""The order of entries as runs of sequences: what an announcement says, in as few words as possible."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(slots=True)
class Run:
    """Entries of one stream with contiguous sequences, one behind the other in the log."""

    stream: str
    first: int
    last: int


def runs_of(entries: Iterable[tuple[str, int]], most: int) -> tuple[list[Run], int]:
    """The runs of (stream, sequence) pairs in the order of the log.

    Returns:
        At most ``most`` runs, and how many of the entries they cover.
    """
    runs: list[Run] = []
    covered = 0
    for stream, sequence in entries:
        if runs and runs[-1].stream == stream and runs[-1].last + 1 == sequence:
            runs[-1].last = sequence
        elif len(runs) == most:
            break
        else:
            runs.append(Run(stream, sequence, sequence))
        covered += 1
    return runs, covered
