"""One simulated day of the whole province: who rates what, when, and how. Pure and seeded.

The same seed, day and registry give the same ratings with the same references, so playing a day twice adds
nothing. Sources of the shape: offices open 9-11 and 14-16 h at their busiest, volumes between counties follow
a log-normal, units differ in quality by a beta distribution around the province's 85 % line.
"""

import json
import math
import random
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import accumulate
from typing import Any, Final

from deploy.local.demo.comments import COMMENTS
from shared.kernel.clock import SHANGHAI, rfc3339
from shared.kernel.grades import Level
from shared.kernel.units import Unit, UnitRegistry

HOUR_WEIGHTS: Final = (
    1, 1, 1, 1, 1, 2, 6, 20, 60, 170, 180, 90, 40, 70, 150, 160, 90, 50, 25, 18, 14, 10, 6, 3,
)  # fmt: skip
"""Relative volume of each hour of the day."""

CHANNELS: Final = (("terminal", 45), ("qr", 25), ("app", 15), ("web", 8), ("sms", 4), ("hotline", 3))
COMMENT_SHARE: Final = 0.22
BAD_COMMENT_SHARE: Final = 0.55
TRANSACTION_SHARE: Final = 0.7
CONTACT_SHARE: Final = 0.12
REPLACEMENT_SHARE: Final = 0.006
DUPLICATE_SHARE: Final = 0.01
BROKEN_LINES: Final = 60


@dataclass(frozen=True, slots=True)
class DayPlan:
    """What a day consists of, in the order of the clock.

    Attributes:
        lines: bodies for intake, one JSON line each: ratings, repeats and bad input mixed.
        moments: when each line happens, Asia/Shanghai; not decreasing.
        ratings: distinct valid ratings among the lines.
        duplicates: lines that repeat an earlier one to the letter.
        broken: lines that intake must refuse.
    """

    lines: tuple[bytes, ...]
    moments: tuple[datetime, ...]
    ratings: int
    duplicates: int
    broken: int


def plan_day(registry: UnitRegistry, day: date, *, ratings: int = 20_000, seed: int = 20091231) -> DayPlan:
    """Plan ``day`` (Asia/Shanghai) with exactly ``ratings`` distinct valid ratings of service windows."""
    chance = random.Random(f"{seed}/{day.isoformat()}")
    windows = registry.by_level(Level.WINDOW)
    traits = random.Random(seed)
    volumes = _volumes(windows, traits)
    quality = _qualities(windows, traits)
    cumulative = list(accumulate(volumes))
    entries: list[tuple[datetime, int, bytes]] = []
    last_transaction: dict[str, dict[str, Any]] = {}
    for number in range(ratings):
        unit = windows[bisect(cumulative, chance.random() * cumulative[-1])]
        moment = _moment(day, chance)
        earlier = last_transaction.get(unit.unit_id)
        if earlier is not None and chance.random() < REPLACEMENT_SHARE * 4:
            body = {**earlier, "grade": chance.choice((1, 2, 3, 4, 5)), "client_ref": f"demo-{day}-{number}"}
            moment = max(moment, _after(earlier, chance))
            del last_transaction[unit.unit_id]
        else:
            body = _rating(unit, quality[unit.unit_id], chance, f"demo-{day}-{number}")
        body["occurred_at"] = rfc3339(moment)
        if "transaction_id" in body and "contact" in body:
            last_transaction[unit.unit_id] = body
        line = json.dumps(body, ensure_ascii=False).encode()
        entries.append((moment, number, line))
        if chance.random() < DUPLICATE_SHARE:
            entries.append((moment + timedelta(seconds=chance.uniform(1, 90)), ratings + number, line))
    duplicates = len(entries) - ratings
    entries += [
        (_moment(day, chance), 3 * ratings + number, _broken(number, windows, day))
        for number in range(BROKEN_LINES)
    ]
    entries.sort()
    return DayPlan(
        tuple(line for _, _, line in entries),
        tuple(moment for moment, _, _ in entries),
        ratings,
        duplicates,
        BROKEN_LINES,
    )


def _volumes(windows: Sequence[Unit], traits: random.Random) -> list[float]:
    counties = {unit.county: traits.lognormvariate(0, 0.7) for unit in windows}
    kinds: dict[str, float] = {}
    for unit in windows:
        kinds.setdefault(unit.kind, traits.lognormvariate(0, 0.5))
    return [counties[unit.county] * kinds[unit.kind] * traits.lognormvariate(0, 0.4) for unit in windows]


def _qualities(windows: Sequence[Unit], traits: random.Random) -> dict[str, float]:
    """Probability of a good grade: each window's own, shifted by how well its county is run."""
    counties = {unit.county: traits.gauss(0, 0.05) for unit in windows}
    return {
        unit.unit_id: min(0.995, max(0.4, traits.betavariate(20, 2) + counties[unit.county]))
        for unit in windows
    }


def _moment(day: date, chance: random.Random) -> datetime:
    hour = chance.choices(range(24), HOUR_WEIGHTS)[0]
    within = timedelta(milliseconds=chance.randrange(3_600_000))
    return datetime.combine(day, time(hour), SHANGHAI) + within


def _after(earlier: dict[str, Any], chance: random.Random) -> datetime:
    """Some minutes after the earlier rating, within its day."""
    first = datetime.fromisoformat(earlier["occurred_at"]).astimezone(SHANGHAI)
    midnight = datetime.combine(first.date(), time.max, SHANGHAI)
    return min(first + timedelta(minutes=chance.uniform(5, 200)), midnight)


def _rating(unit: Unit, quality: float, chance: random.Random, reference: str) -> dict[str, Any]:
    grade = _grade(quality, chance)
    channel = chance.choices([name for name, _ in CHANNELS], [weight for _, weight in CHANNELS])[0]
    body: dict[str, Any] = {
        "unit_id": unit.unit_id,
        "grade": grade,
        "channel": channel,
        "client_ref": reference,
    }
    if chance.random() < TRANSACTION_SHARE:
        body["transaction_id"] = f"{unit.division}{chance.randrange(10**10):010d}"
    if chance.random() < CONTACT_SHARE:
        body["contact"] = {"name": "群众", "phone": f"139{chance.randrange(10**8):08d}"}
    if chance.random() < (BAD_COMMENT_SHARE if grade <= 2 else COMMENT_SHARE):  # noqa: PLR2004 - bad reviews
        body["text"] = chance.choice(COMMENTS[grade])
    if chance.random() < 0.15:  # noqa: PLR2004 - share of raters who fill in the five dimensions
        names = ("service", "efficiency", "quality", "conduct", "image")
        body["dimensions"] = {name: min(5, max(1, grade + chance.choice((-1, 0, 0, 1)))) for name in names}
    if channel in {"terminal", "qr"}:
        body["device_id"] = (
            f"{channel}-{unit.unit_id}-{chance.randrange(1 if channel == 'terminal' else 5000)}"
        )
    return body


def _grade(quality: float, chance: random.Random) -> int:
    if chance.random() < quality:
        return chance.choices((5, 4, 3), (0.62, 0.28, 0.10))[0]
    return 2 if chance.random() < math.sqrt(quality) * 0.7 else 1


def _broken(number: int, windows: Sequence[Unit], day: date) -> bytes:
    """Bad input of the six kinds that clients really send."""
    unit = windows[number % len(windows)].unit_id
    base = {
        "unit_id": unit,
        "grade": 5,
        "client_ref": f"broken-{day}-{number}",
        "occurred_at": f"{day}T02:00:00Z",
    }
    kinds: tuple[dict[str, Any] | bytes, ...] = (
        {**base, "unit_id": "U99999X"},
        {**base, "grade": 9},
        {**base, "occurred_at": f"{day + timedelta(days=400)}T02:00:00Z"},
        {**base, "channel": "pigeon"},
        b'{"unit_id": "' + unit.encode() + b'", "grade": ',
        {**base, "text": "长" * 3000},
    )
    kind = kinds[number % len(kinds)]
    return kind if isinstance(kind, bytes) else json.dumps(kind, ensure_ascii=False).encode()
