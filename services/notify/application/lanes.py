"""A lane for each endpoint, so that one that hangs, fails or is slow holds up itself alone.

A lane never keeps an alert waiting for long: whose turn is not soon is *deferred*, that is, goes back to the
broker for a while. So what is in memory is bounded, whatever waits (ADR 0039).
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from services.notify.domain.channels import Endpoint

WAIT_S: Final = 5.0
"""Longest wait for a turn; with the longest attempt it is below the consumers' ack wait."""
QUEUE: Final = 400
"""Alerts that may wait in a lane that moves."""
QUEUE_UNPROVEN: Final = 16
"""Alerts that may wait in a lane of which nothing has come out yet, or nothing of late."""
STALLED_S: Final = 1.0
FAILURES: Final = 5
"""Failures in a row after which a lane is tried by single alerts only."""
FIRST_PAUSE_S: Final = 5.0
LONGEST_PAUSE_S: Final = 60.0
MEAN_FIRST_S: Final = 0.1
_SMOOTHING: Final = 0.2


class DeferredError(Exception):
    """The endpoint's turn has not come; ask again after `delay_s` seconds. `down`: it keeps failing."""

    def __init__(self, delay_s: float, *, down: bool = False) -> None:
        """Ask for a pause of `delay_s`."""
        super().__init__(f"in {delay_s:.1f} s")
        self.delay_s = delay_s
        self.down = down


class TokenBucket:
    """At most `per_minute` in any minute, of these at most `burst` at once; times are seconds of one clock.

    The refill is what the burst leaves of a minute's share: with 20 a minute and a burst of 5, a token comes
    every 4 s, so that no minute sees more than 20.
    """

    def __init__(self, per_minute: int, burst: int) -> None:
        """Begin full."""
        burst = max(1, min(burst, per_minute - 1))
        self._interval = 60.0 / max(1, per_minute - burst)
        self._tolerance = (burst - 1) * self._interval
        self._full_at = 0.0
        self._promised = 0.0

    def take(self, now: float, *, fresh: bool) -> float:
        """Take a token and return 0, or return in how many seconds there is one for the caller.

        Whoever asks for the first time (`fresh`) comes after those who were promised a place.
        """
        free_at = self._full_at - self._tolerance
        if free_at <= now and not (fresh and self._promised > now):
            self._full_at = max(self._full_at, now) + self._interval
            return 0.0
        place = max(free_at, self._promised, now)
        self._promised = place + self._interval
        return place - now + 0.01


def shared_buckets(endpoints: Iterable[Endpoint]) -> dict[str, TokenBucket]:
    """Return a bucket for each limited endpoint, by address; endpoints of one kind and URL share one.

    A vendor limits the robot, not our name for it: two endpoints with one URL would send twice as much. Where
    their limits differ, the lowest counts for all of them, also for those that have none of their own.
    """
    by_target: dict[tuple[str, str], list[Endpoint]] = {}
    for each in endpoints:
        by_target.setdefault((each.kind, each.mark), []).append(each)
    buckets: dict[str, TokenBucket] = {}
    for same in by_target.values():
        limits = [(each.per_minute, each.burst) for each in same if each.per_minute is not None]
        if limits:
            buckets |= dict.fromkeys((each.address for each in same), TokenBucket(*min(limits)))
    return buckets


@dataclass(slots=True)
class _Breaker:
    """Counts failures in a row; from `FAILURES` on the lane pauses, and then lets one alert try."""

    failures: int = 0
    pause_s: float = FIRST_PAUSE_S
    until: float = 0.0
    probing: bool = False

    def wait(self, now: float) -> float:
        """Seconds to wait, 0 for none; a 0 after a pause lets the caller probe."""
        if now < self.until:
            return self.until - now
        if self.failures < FAILURES:
            return 0.0
        if self.probing:
            return self.pause_s
        self.probing = True
        return 0.0

    def succeeded(self) -> None:
        self.failures, self.pause_s, self.until, self.probing = 0, FIRST_PAUSE_S, 0.0, False

    def failed(self, now: float) -> None:
        self.failures += 1
        self.probing = False
        if self.failures >= FAILURES:
            self.until = now + self.pause_s
            self.pause_s = min(2 * self.pause_s, LONGEST_PAUSE_S)

    def pause(self, until: float) -> None:
        self.until = max(self.until, until)
        self.probing = False


class Lane:
    """Turns at one endpoint."""

    def __init__(
        self,
        *,
        concurrency: int,
        per_minute: int | None = None,
        burst: int = 5,
        bucket: TokenBucket | None = None,
        now: Callable[[], float] | None = None,
    ) -> None:
        """Allow `concurrency` turns at once and `per_minute` in any minute.

        Args:
            concurrency: turns at once.
            per_minute: None for no limit.
            burst: see `TokenBucket`.
            bucket: one that lanes to the same receiver share; if None, the lane has its own, by `per_minute`.
            now: seconds of a clock that never goes back; the event loop's if None.
        """
        self._concurrency = concurrency
        self._turns = asyncio.Semaphore(concurrency)
        own = None if per_minute is None else TokenBucket(per_minute, burst)
        self._bucket = own if bucket is None else bucket
        self._breaker = _Breaker()
        self._clock = now
        self._waiting = 0
        self._under_way = 0
        self._mean_s = MEAN_FIRST_S
        self._moved_at: float | None = None
        self._slot = 0.0

    def now(self) -> float:
        """Seconds of the lane's clock."""
        return self._clock() if self._clock is not None else asyncio.get_running_loop().time()

    @property
    def down(self) -> bool:
        """Whether the endpoint has failed many times in a row."""
        return self._breaker.failures >= FAILURES

    @asynccontextmanager
    async def turn(self, *, fresh: bool = True) -> AsyncIterator[None]:
        """Wait for a turn, not for long, and hold it.

        Raises:
            DeferredError: there is none soon.
        """
        now = self.now()
        if (now < self._breaker.until) or self._waiting >= self._room(now):
            raise self._deferred(now)
        self._waiting += 1
        try:
            async with asyncio.timeout(WAIT_S):
                await self._turns.acquire()
        except TimeoutError:
            raise self._deferred(self.now()) from None
        finally:
            self._waiting -= 1
        try:
            now = self.now()
            wait = self._breaker.wait(now)
            if wait > 0:
                raise self._deferred(now)
            if self._bucket is not None and (wait := self._bucket.take(now, fresh=fresh)) > 0:
                self._breaker.probing = False
                raise DeferredError(wait)
            self._under_way += 1
            try:
                yield
            finally:
                self._under_way -= 1
                if self._under_way == 0 and self._waiting == 0:
                    self._slot = 0.0
        finally:
            self._turns.release()

    def succeeded(self, seconds: float) -> None:
        """Take in that the endpoint took an alert, or refused one for good, after `seconds`: it is alive."""
        self._breaker.succeeded()
        self._mean_s += _SMOOTHING * (seconds - self._mean_s)
        self._moved_at = self.now()

    def failed(self, seconds: float, pause_s: float | None = None) -> None:
        """Take in a failure that may pass, after `seconds`; `pause_s` is what the endpoint asked for."""
        now = self.now()
        self._mean_s += _SMOOTHING * (seconds - self._mean_s)
        if pause_s:
            self._breaker.pause(now + pause_s)
        else:
            self._breaker.failed(now)

    def interrupted(self) -> None:
        """Take in that an attempt ended without a word about the endpoint."""
        self._breaker.probing = False

    def _room(self, now: float) -> int:
        moves = self._moved_at is not None and (now - self._moved_at < STALLED_S or self._under_way == 0)
        return QUEUE if moves else QUEUE_UNPROVEN

    def _deferred(self, now: float) -> DeferredError:
        """Places one after the other, so that those who were sent away don't all come back at once."""
        pause = max(0.0, self._breaker.until - now)
        if self.down:
            spread = random.uniform(0.0, max(1.0, self._breaker.pause_s))  # noqa: S311 - spreads load
            return DeferredError(max(pause, 1.0) + spread, down=True)
        step = max(self._mean_s, 0.001) / self._concurrency
        self._slot = max(self._slot, now + max(pause, 0.5)) + step
        return DeferredError(min(self._slot - now, 600.0))
