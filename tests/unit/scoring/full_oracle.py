"""The statistics once more, with corrections and clusters: all events at once, no code of the service.

Slow and obvious on purpose. What counts is decided in the order in which the method is written down: the
highest decision about a rating, lateness, replacement, clusters, weights, days.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from services.scoring.domain.ratings import Rating, Revision, State

DAY_MS = 86_400_000
BIN_MS = 900_000
EIGHT_HOURS_MS = 8 * 3_600_000

Event = Rating | Revision
Cell = tuple[int, int, int]
"""Source, unit, day."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of the events."""

    accepted: int
    counted: int
    replaced: int
    held: int
    excluded: int
    late: int
    cells: dict[Cell, tuple[int, ...]]
    """The 23 columns of each source, unit and day that has anything."""

    def window(self, source: int, first: int, last: int) -> dict[int, tuple[int, ...]]:
        """Unit → columns, summed over the days ``first`` … ``last``."""
        rows: dict[int, list[int]] = defaultdict(lambda: [0] * 23)
        for (of_source, unit, day), row in self.cells.items():
            if of_source == source and first <= day <= last:
                rows[unit] = [have + more for have, more in zip(rows[unit], row, strict=True)]
        return {unit: tuple(row) for unit, row in rows.items() if any(row)}


def judge(events: Iterable[Event], late_days: int, span_days: int) -> Judged:
    """Judge a set of events."""
    ratings: dict[bytes, Rating] = {}
    decisions: dict[bytes, Revision] = {}
    for event in events:
        if isinstance(event, Rating):
            if not event.synthetic:
                ratings[event.event_id] = event
        else:
            known = decisions.get(event.submitted.event_id)
            if known is None or event.number > known.number:
                decisions[event.submitted.event_id] = event
    standing: list[Rating] = []
    held = excluded = 0
    for event_id, rating in ratings.items():
        decision = decisions.get(event_id)
        held += decision is not None and decision.state is State.HELD
        excluded += decision is not None and decision.state is State.EXCLUDED
        if decision is None:
            standing.append(rating)
        elif decision.state is State.COUNTED:
            standing.append(decision.standing)
    in_time = [each for each in standing if each.received_ms - each.occurred_ms <= late_days * DAY_MS]
    active = _not_replaced(in_time, span_days)
    return Judged(
        accepted=len(ratings),
        counted=len(active),
        replaced=len(in_time) - len(active),
        held=held,
        excluded=excluded,
        late=len(standing) - len(in_time),
        cells=_cells(active),
    )


def _not_replaced(ratings: list[Rating], span_days: int) -> list[Rating]:
    active = [each for each in ratings if each.repeat_key is None]
    by_key: dict[bytes, list[Rating]] = defaultdict(list)
    for each in ratings:
        if each.repeat_key is not None:
            by_key[each.repeat_key].append(each)
    for group in by_key.values():
        left = sorted(group, key=lambda each: (each.received_ms, each.event_id))
        while left:
            end = left[0].received_ms + span_days * DAY_MS
            active.append([each for each in left if each.received_ms <= end][-1])
            left = [each for each in left if each.received_ms > end]
    return active


def share_milli(size: int) -> int:
    """(1 + ln size)/size in thousandths, rounded down; with more digits than a float has."""
    return math.floor(1000 * (1 + Decimal(size).ln()) / size)


def _clusters(rating: Rating) -> set[tuple[int, int, int, bytes]]:
    place = rating.occurred_ms // BIN_MS
    return {(rating.source, rating.unit, place, each) for each in rating.fingerprints}


def _cells(active: list[Rating]) -> dict[Cell, tuple[int, ...]]:
    sizes = Counter(cluster for each in active for cluster in _clusters(each))
    cells: dict[Cell, list[int]] = defaultdict(lambda: [0] * 23)
    for each in active:
        share = min((share_milli(sizes[cluster]) for cluster in _clusters(each)), default=1000)
        weight = math.floor(Fraction(each.weight_milli * share, 1000))
        row = cells[each.source, each.unit, (each.occurred_ms + EIGHT_HOURS_MS) // DAY_MS]
        good = each.grade >= 3
        row[0] += 1
        row[each.grade] += 1
        at = 6 if each.proven else 8
        row[at] += weight
        row[at + 1] += weight * good
        row[10] += each.place == 1
        row[11] += each.place == 2
        row[12] += each.place == 2 and good
        for number, grade in enumerate(each.dimensions or b""):
            row[13 + 2 * number] += grade > 0
            row[14 + 2 * number] += grade
    return {cell: tuple(row) for cell, row in cells.items()}
