"""When a unit's move is worth an event: band, shown rank, or score by a step; at most one event a minute.

What comes too early is not lost: the comparison is always with the last announcement, so a change that
still stands when the minute is over is announced then.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from services.scoring.domain.lists import SUPPRESSED, ListKey, Row
from shared.rules.pack import Publication

PUBLISHED: Final = "published"
WITHDRAWN: Final = "withdrawn"
BAND: Final = "band"
RANK: Final = "rank"
SCORE: Final = "score"
_COMPARED_DECIMALS: Final = 6


class Announced(NamedTuple):
    """What the last event about a unit said; all but the time is None after a withdrawal.

    `day` is the business day of that event, ISO 8601, and `day_start_rank` the unit's rank when that day
    began, or at its first event of that day that had one.
    """

    at_ms: int
    rank: int | None = None
    score: float | None = None
    band: str | None = None
    day: str | None = None
    day_start_rank: int | None = None


@dataclass(frozen=True, slots=True)
class Announcement:
    """One event to publish about a unit.

    Attributes:
        list: the list that the rank refers to.
        row: the unit's row there.
        reasons: what moved, most important first.
        before: the last announcement, if there was one.
        after: what is remembered once it is published.
    """

    list: ListKey
    row: Row
    reasons: tuple[str, ...]
    before: Announced | None
    after: Announced


def reasons_for(row: Row, last: Announced | None, min_points: float) -> tuple[str, ...]:
    """What has moved since the last announcement; empty when nothing worth telling has."""
    shown_before = last is not None and last.score is not None
    if row.status == SUPPRESSED:
        return (WITHDRAWN,) if shown_before else ()
    if last is None or last.score is None or row.score is None:
        return (PUBLISHED,)
    moved = (
        (BAND, row.band != last.band),
        (RANK, row.rank != last.rank),
        # Rounded: 90.5 - 90.0 must be half a point whatever the floats say.
        (SCORE, round(abs(row.score - last.score), _COMPARED_DECIMALS) >= min_points),
    )
    return tuple(reason for reason, has in moved if has)


def remember(row: Row, last: Announced | None, now_ms: int, day: str) -> Announced:
    """Return what is remembered of an announcement of ``row`` made on the business day ``day``."""
    if row.status == SUPPRESSED:
        return Announced(now_ms)
    start = row.rank
    if last is not None and last.day == day and last.day_start_rank is not None:
        start = last.day_start_rank
    elif last is not None and last.rank is not None:
        start = last.rank  # every move of a rank is announced: this is where the day before ended
    return Announced(now_ms, row.rank, row.score, row.band, day, start)


def announce(
    lists: Iterable[tuple[ListKey, Iterable[Row]]],
    announced: Mapping[str, Announced],
    now_ms: int,
    day: str,
    rules: Publication,
) -> tuple[list[Announcement], bool]:
    """The announcements that are due now, in the order of the lists and their rows.

    Args:
        lists: each unit's primary list.
        announced: the last announcement of each unit, by unit id.
        now_ms: the time, Unix milliseconds.
        day: the business day that the lists end with, ISO 8601.
        rules: step and interval.

    Returns:
        What to publish, and whether something waits for its minute to pass.
    """
    due: list[Announcement] = []
    waiting = False
    interval_ms = int(rules.score_changed_min_interval_s * 1000)
    for key, rows in lists:
        for row in rows:
            last = announced.get(row.unit_id)
            reasons = reasons_for(row, last, rules.score_changed_min_points)
            if not reasons:
                continue
            # A clock that was set back must not silence a unit until it has caught up.
            if last is not None and 0 <= now_ms - last.at_ms < interval_ms:
                waiting = True
                continue
            due.append(Announcement(key, row, reasons, last, remember(row, last, now_ms, day)))
    return due, waiting
