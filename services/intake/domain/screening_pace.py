"""How many ratings a unit usually gets, and how many are a surge.

An honest crowd brings transactions with it, an invented one does not: what is usual is raised by how much
busier than usual the unit's own verified ratings are, or those of all units of its kind (a festival).
"""

import math
from collections import deque
from typing import Any, Final

from services.intake.domain.screening_clusters import Member
from services.intake.domain.sliding import SlidingCount
from shared.rules.screening import Baseline, Screening, SurgeRule

DAY_MS: Final = 86_400_000
SHANGHAI_MS: Final = 8 * 3_600_000
_EXPLICABLE: Final = 100
"""A surge's members are remembered up to so many times its limit: bounds the memory."""


def day_of(moment_ms: int) -> int:
    """Number of the day in Asia/Shanghai."""
    return (moment_ms + SHANGHAI_MS) // DAY_MS


class Pace:
    """Ratings a day, unverified and verified, over the days before today; of a unit or of a whole kind.

    Attributes:
        units: how many units have been seen; 1 for a unit.
    """

    __slots__ = ("_day", "_sums", "days", "today", "units")

    def __init__(self, days: int, day: int) -> None:
        """Remember `days` days before the day number `day`."""
        self.days: deque[tuple[int, int]] = deque(maxlen=days)
        self.today = [0, 0]
        self.units = 1
        self._day = day
        self._sums = [0, 0]

    def turn(self, day: int) -> None:
        """Close the days before `day`; days on which nothing came were days, too."""
        if day <= self._day:
            return
        self._close(self.today[0], self.today[1])
        for _ in range(min(day - self._day - 1, self.days.maxlen or 0)):
            self._close(0, 0)
        self.today, self._day = [0, 0], day

    def _close(self, unverified: int, verified: int) -> None:
        if len(self.days) == self.days.maxlen:
            oldest = self.days[0]
            self._sums[0] -= oldest[0]
            self._sums[1] -= oldest[1]
        self.days.append((unverified, verified))
        self._sums[0] += unverified
        self._sums[1] += verified

    def mean(self, which: int, days: int) -> float:
        """Ratings a day over `days` days; `which` is 0 for unverified ones, 1 for verified ones."""
        return self._sums[which] / days if days else 0.0

    def total(self, which: int) -> int:
        """Ratings of all remembered days before today."""
        return self._sums[which]

    def lately(self, which: int, now_ms: int) -> int:
        """About the last 24 hours: today, and the rest of yesterday as if it had been even."""
        yesterday = self.days[-1][which] if self.days else 0
        left = DAY_MS - (now_ms + SHANGHAI_MS) % DAY_MS
        return self.today[which] + yesterday * left // DAY_MS

    def dump(self) -> list[Any]:
        """Everything, as numbers; `load` takes it back."""
        return [[list(each) for each in self.days], self.today, self.units, self._day]

    def load(self, dumped: list[Any]) -> None:
        """Take up what `dump` gave."""
        days, self.today, self.units, self._day = dumped
        self.days.clear()
        self._sums = [0, 0]
        for unverified, verified in days:
            self._close(unverified, verified)


class Surge:
    """A surge that goes on.

    Attributes:
        limit: so many would have been none.
        members: who is held because of it; forgotten once it is too large to be explained.
        unexplained: how many of all that came with it no cluster explains.
    """

    __slots__ = ("limit", "members", "unexplained")

    def __init__(self, limit: int) -> None:
        """Without members."""
        self.limit = limit
        self.members: list[Member] = []
        self.unexplained = 0

    def hold(self, member: Member) -> None:
        """One more is held."""
        self.unexplained += 1
        if len(self.members) <= _EXPLICABLE * self.limit:
            self.members.append(member)


class UnitPace:
    """A unit's pace, its unverified ratings within each of the surge rules' windows, and its surge."""

    __slots__ = ("counts", "kind", "pace", "surge")

    def __init__(self, rules: Screening, kind: str, day: int) -> None:
        """Nothing has come yet."""
        self.kind = kind
        self.pace = Pace(rules.baseline.days, day)
        self.counts = tuple(SlidingCount(surge.within_s) for surge in rules.surges)
        self.surge: Surge | None = None


def usual(unit: Pace, peers: Pace, watched_days: int, rules: Baseline, now_ms: int) -> float:
    """Unverified ratings that the unit may be expected to get on a day such as today.

    The mean of its own days and of `peer_days` days of the average of its kind, times how busy today is.

    Args:
        unit: of the unit.
        peers: of all units of its kind together.
        watched_days: whole days that have been watched, at most those that are remembered.
        rules: see `Baseline`.
        now_ms: Unix milliseconds.
    """
    # Without a history of its own, a unit may get as many as its verified ratings make plausible.
    fresh = max(rules.fresh_day, unit.lately(1, now_ms)) if watched_days < rules.min_days else 0.0
    days = watched_days + rules.peer_days
    if not days:
        return fresh

    def mean(which: int) -> float:
        peer = peers.mean(which, watched_days) / peers.units
        return (unit.total(which) + rules.peer_days * peer) / days

    damping = rules.busy_damping
    own = (unit.lately(1, now_ms) + damping) / (mean(1) + damping)
    # Much of a small kind's business is the unit itself; the same damping, for each of its units.
    kind_damping = damping * peers.units
    kind = (peers.lately(1, now_ms) + kind_damping) / (peers.mean(1, watched_days) + kind_damping)
    return max(fresh, mean(0) * max(1.0, own, kind if watched_days else 1.0))


def surge_limit(rule: SurgeRule, usual_day: float, dispersion: float) -> int:
    """So many unverified ratings within the rule's window are no surge yet."""
    expected = usual_day * rule.day_share
    spread = math.sqrt(expected * (1 + dispersion * expected))
    return max(rule.least, math.ceil(rule.ratio * expected), math.ceil(expected + rule.deviations * spread))
