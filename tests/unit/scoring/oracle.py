"""The rankings once more, naively: all ratings at once, exact fractions, no code shared with the service."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from services.scoring.domain.ratings import Rating

DAY_MS = 86_400_000
EIGHT_HOURS_MS = 8 * 3_600_000


@dataclass(frozen=True, slots=True)
class OracleBooks:
    accepted: int
    counted: int
    replaced: int
    late: int


def distinct(ratings: Iterable[Rating]) -> list[Rating]:
    """Ratings that are no probes, each once."""
    return sorted({rating.event_id: rating for rating in ratings if not rating.synthetic}.values())


def counted(ratings: Iterable[Rating], late_days: int, span_days: int) -> tuple[list[Rating], OracleBooks]:
    """The ratings that count, and the books."""
    everyone = distinct(ratings)
    in_time = [each for each in everyone if each.received_ms - each.occurred_ms <= late_days * DAY_MS]
    keeps: list[Rating] = []
    by_key: dict[bytes, list[Rating]] = defaultdict(list)
    for each in in_time:
        if each.repeat_key is None:
            keeps.append(each)
        else:
            by_key[each.repeat_key].append(each)
    for group in by_key.values():
        left = sorted(group, key=lambda each: (each.received_ms, each.event_id))
        while left:
            end = left[0].received_ms + span_days * DAY_MS
            keeps.append([each for each in left if each.received_ms <= end][-1])
            left = [each for each in left if each.received_ms > end]
    books = OracleBooks(len(everyone), len(keeps), len(in_time) - len(keeps), len(everyone) - len(in_time))
    return keeps, books


def statistics(
    ratings: Iterable[Rating], as_of: int, window_days: int, late_days: int, span_days: int
) -> dict[int, tuple[int, ...]]:
    """Unit → ratings, five counts, weight and good weight of the proven, and of the others, in thousandths.

    For units that have any.
    """
    rows: dict[int, list[int]] = defaultdict(lambda: [0] * 10)
    for each in counted(ratings, late_days, span_days)[0]:
        day = (each.occurred_ms + EIGHT_HOURS_MS) // DAY_MS
        if as_of - window_days < day <= as_of:
            row = rows[each.unit]
            row[0] += 1
            row[each.grade] += 1
            at = 6 if each.proven else 8
            row[at] += each.weight_milli
            row[at + 1] += each.weight_milli if each.grade >= 3 else 0
    return {unit: tuple(row) for unit, row in rows.items()}


def prior(units: Iterable[tuple[int, int]]) -> tuple[Fraction, Fraction] | None:
    """Give mu and rho (not clamped) of (weight, good weight) in thousandths; None without an answer."""
    rated = [(Fraction(weight, 1000), Fraction(good, 1000)) for weight, good in units if weight]
    total = sum((n for n, _ in rated), Fraction(0))
    if len(rated) < 2 or not total:
        return None
    mu = sum((k for _, k in rated), Fraction(0)) / total
    if mu in {0, 1}:
        return None
    spread = sum((n * (k / n - mu) ** 2 for n, k in rated), Fraction(0)) / (mu * (1 - mu))
    free = len(rated) - 1
    denominator = total - sum((n * n for n, _ in rated), Fraction(0)) / total - free
    return None if denominator == 0 else (mu, (spread - free) / denominator)
