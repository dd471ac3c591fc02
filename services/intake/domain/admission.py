"""Who is let in when more comes than can be done: bounded, quick to refuse, and fair between channels.

A request that waits longer than its sender does is lost work. So there is a limit on how many are under way,
and it follows what they take. Where it is reached it grows while answers come in time, and shrinks when they
are slow; where it isn't, slow answers are a slow machine or a pause, and refusing helps nobody. Under the
limit everybody gets in. Near it, a part is kept for channels that have less than their share, so a channel
that floods fills what is left of the limit and nobody else's place.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Refusal(StrEnum):
    """Why a request is not let in."""

    CHANNEL = "channel"
    """Its channel has more than its share; others still get in (HTTP 429)."""
    FULL = "full"
    """There is no place for anybody (HTTP 503)."""


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """The numbers of admission.

    Attributes:
        least: requests under way that are always allowed.
        most: bound of the limit, whatever the speed.
        target_s: what a request may take on average before the limit shrinks.
        window_s: how often the limit is looked at.
        reserved: share of the limit for channels below their own share.
        weights: share of a channel relative to others; 1 where nothing is said.
    """

    least: int = 64
    most: int = 2000
    target_s: float = 0.08
    window_s: float = 0.1
    reserved: float = 0.25
    weights: Mapping[str, float] | None = None


_SHRINK: Final = 0.8
_GROW: Final = 1.1
_FORGET_S: Final = 2.0
"""So long after its last request a channel still has a share."""


class Admission:
    """Counts who is under way. Not for threads; times are seconds of one clock that never goes back."""

    def __init__(self, limits: AdmissionLimits) -> None:
        """Begin in the middle: neither closed to the first burst nor open to any."""
        self._limits = limits
        self._weights = limits.weights or {}
        self.limit = max(limits.least, limits.most // 8)
        """How many may be under way at present."""
        self._open = self.limit * (1 - limits.reserved)
        self.under_way = 0
        self._by_channel: dict[str, int] = {}
        self._seen: dict[str, float] = {}
        self._window_until = 0.0
        self._window_sum = 0.0
        self._window_count = 0
        self._hit = False

    def enter(self, channel: str, now: float, weight: int = 1) -> Refusal | None:
        """Let a request of `channel` in, or say why not; each one that got in must `leave`.

        It takes `weight` places: one, unless it is as much work as so many ratings.
        """
        by_channel = self._by_channel
        mine = by_channel.get(channel, 0)
        total = self.under_way
        if total + weight - 1 >= self._open:
            limit = self.limit
            self._hit = True
            self._seen[channel] = now
            # What is reserved is for others, also for those of whom nothing was heard yet.
            share = min(self._share(channel, now), self._open)
            if total + weight - 1 >= limit:
                # Not even a reserved place: the channel that has more than its share is told so.
                return Refusal.CHANNEL if mine > share else Refusal.FULL
            if mine + weight - 1 >= share:
                return Refusal.CHANNEL
        by_channel[channel] = mine + weight
        self.under_way = total + weight
        return None

    def leave(self, channel: str, began: float, now: float, *, stored: bool = True, weight: int = 1) -> None:
        """A request of `channel` that got in at `began` with that `weight` has its answer.

        Only what reached the storage (`stored`) tells how fast that is: refusals that cost next to nothing,
        averaged in, would keep the limit high while what is accepted waits.
        """
        self._by_channel[channel] -= weight
        self.under_way -= weight
        if not stored:
            return
        self._window_sum += now - began
        self._window_count += 1
        if now >= self._window_until:
            self._adapt(now)

    def _share(self, channel: str, now: float) -> float:
        """The places of `channel` if all who want some want more than they get."""
        weights = self._weights
        wanted = 0.0
        for other, count in self._by_channel.items():
            if count or now - self._seen.get(other, -_FORGET_S) < _FORGET_S:
                wanted += weights.get(other, 1.0)
        if channel not in self._by_channel:
            wanted += weights.get(channel, 1.0)
        return self.limit * weights.get(channel, 1.0) / max(wanted, weights.get(channel, 1.0))

    def _adapt(self, now: float) -> None:
        limits = self._limits
        mean_s = self._window_sum / self._window_count
        if self._hit:  # only then does the limit decide how long they take
            if mean_s > limits.target_s:
                self.limit = max(limits.least, int(self.limit * _SHRINK))
            else:
                self.limit = min(limits.most, int(self.limit * _GROW) + 1)
        self._open = self.limit * (1 - limits.reserved)
        self._window_until = now + limits.window_s
        self._window_sum, self._window_count, self._hit = 0.0, 0, False
