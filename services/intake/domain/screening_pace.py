"""How many ratings a unit usually gets, and how many are a surge.

An honest crowd brings transactions with it, an invented one does not: what is usual is raised by how much
busier than usual the unit's own verified ratings are, or those of all units of its kind (a festival). What
channels vouch for is raised by what they vouch for elsewhere, so no unit excuses itself.
"""

import math
from collections import deque
from typing import Any, Final

from shared.rules.screening import Baseline, SurgeRule

DAY_MS: Final = 86_400_000
SHANGHAI_MS: Final = 8 * 3_600_000


def day_of(moment_ms: int) -> int:
    """Number of the day in Asia/Shanghai."""
    return (moment_ms + SHANGHAI_MS) // DAY_MS


class Pace:
    """Two kinds of ratings a day, over the days before today; of a unit or of a whole kind.

    In all: unverified ones (0), and verified ones as far as they say how busy the day is (1). Of what one
    channel vouches for: all (0), and those that are not held (1); of both no more a day than is no surge on
    any day, so that a flood does not become what is usual.

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

    @property
    def shared_by(self) -> int:
        """Number of units whose pace it is; one where a unit has come to be the first of a kind."""
        return max(1, self.units)

    def turn(self, day: int) -> bool:
        """Close the days before `day`, on which nothing came, too; whether there were any."""
        if day <= self._day:
            return False
        self._close(self.today[0], self.today[1])
        for _ in range(min(day - self._day - 1, self.days.maxlen or 0)):
            self._close(0, 0)
        self.today, self._day = [0, 0], day
        return True

    def _close(self, unverified: int, verified: int) -> None:
        if len(self.days) == self.days.maxlen:
            oldest = self.days[0]
            self._sums[0] -= oldest[0]
            self._sums[1] -= oldest[1]
        self.days.append((unverified, verified))
        self._sums[0] += unverified
        self._sums[1] += verified

    def take_back(self, which: int, day: int) -> None:
        """Uncount a rating of the day number `day`: today or yesterday; what is older stands."""
        if day == self._day:
            self.today[which] = max(0, self.today[which] - 1)
        elif day == self._day - 1 and self.days and self.days[-1][which]:
            last = list(self.days[-1])
            last[which] -= 1
            self._sums[which] -= 1
            self.days[-1] = (last[0], last[1])

    def within(self, which: int, days: int) -> int:
        """Ratings of today and of the days before, `days` together."""
        reach = min(days - 1, len(self.days))
        return self.today[which] + sum(self.days[-back][which] for back in range(1, reach + 1))

    def before(self, which: int, days: int) -> int:
        """Ratings of the remembered days but for today and the `days` before it."""
        lately = list(self.days)[max(0, len(self.days) - days) :]
        return self._sums[which] - sum(day[which] for day in lately)

    def mean(self, which: int, days: int) -> float:
        """Ratings a day over `days` days."""
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
        peer = peers.mean(which, watched_days) / peers.shared_by
        return (unit.total(which) + rules.peer_days * peer) / days

    damping = rules.busy_damping
    own = (unit.lately(1, now_ms) + damping) / (mean(1) + damping)
    # Much of a small kind's business is the unit itself; the same damping, for each of its units.
    kind_damping = damping * peers.shared_by
    kind = (peers.lately(1, now_ms) + kind_damping) / (peers.mean(1, watched_days) + kind_damping)
    return max(fresh, mean(0) * max(1.0, own, kind if watched_days else 1.0))


def usual_vouched(
    own: Pace, peers: Pace, watched_days: int, rules: Baseline, now_ms: int
) -> tuple[float, float]:
    """Ratings that one channel may be expected to vouch for at a unit: on any day, and on one such as today.

    As many as are usual at the unit, or on average at all units of its kind. Today as many more as the
    *other* units of its kind get more than usual; or, where the channel is new to all, as they get.

    Args:
        own: of the channel at the unit.
        peers: of the channel at all units of its kind together.
        watched_days: whole days that have been watched, at most those that are remembered.
        rules: see `Baseline`.
        now_ms: Unix milliseconds.
    """
    fresh = rules.fresh_day if watched_days < rules.min_days else 0.0
    days = watched_days + rules.peer_days
    peer = peers.mean(0, watched_days) / peers.shared_by
    mean = (own.total(0) + rules.peer_days * peer) / days if days else 0.0
    any_day = max(mean, peer)
    damping = rules.busy_damping
    others = max(0, peers.lately(0, now_ms) - own.lately(0, now_ms))
    busy = (others + damping) / (peers.mean(0, watched_days) - own.mean(0, watched_days) + damping)
    today = max(any_day * max(1.0, busy), others / (peers.shared_by - 1 + damping))
    return max(fresh, any_day), max(fresh, today)


def usual_week(own: Pace, peers: Pace, watched_days: int, rules: Baseline, days: int) -> float:
    """Ratings a day that one channel may be expected to vouch for at a unit over the last `days` days.

    As `usual_vouched`, but by the days before these: what goes on for a week is not its own measure. A whole
    week is needed besides `min_days`.
    """
    earlier = watched_days - (days - 1)
    if earlier < rules.min_days:
        return rules.fresh_day
    own_earlier = own.before(0, days - 1)
    others = max(0, peers.before(0, days - 1) - own_earlier)
    lately = max(0, peers.within(0, days) - own.within(0, days)) / days
    peer = others / earlier / max(1, peers.shared_by - 1)
    mean = (own_earlier + rules.peer_days * peer) / (earlier + rules.peer_days)
    damping = rules.busy_damping
    busy = (lately + damping) / (others / earlier + damping)
    return max(max(mean, peer) * max(1.0, busy), lately / (peers.shared_by - 1 + damping))


def surge_limit(rule: SurgeRule, usual_day: float, dispersion: float) -> int:
    """So many ratings within the rule's window are no surge yet."""
    expected = usual_day * rule.day_share
    spread = math.sqrt(expected * (1 + dispersion * expected))
    return max(rule.least, math.ceil(rule.ratio * expected), math.ceil(expected + rule.deviations * spread))


def is_surge(count: int, rule: SurgeRule, usual_day: float, dispersion: float) -> bool:
    """Whether `count` is more than `surge_limit`; a look at its two simple bounds mostly tells."""
    if count <= rule.least or count <= rule.ratio * (usual_day * rule.day_share):
        return False
    return count > surge_limit(rule, usual_day, dispersion)
