"""Counting what came lately, in bounded memory: so many a minute, for as long as a window is."""

from collections import deque
from typing import Final

MINUTE_MS: Final = 60_000


class SlidingCount:
    """How many came within a window that moves on; exact to the minute, at most one number a minute."""

    __slots__ = ("_minutes", "_total", "_window")

    def __init__(self, within_s: float) -> None:
        """Count over `within_s` seconds."""
        self._window = int(within_s * 1000) // MINUTE_MS
        self._minutes: deque[list[int]] = deque()
        self._total = 0

    def add(self, now_ms: int, count: int = 1) -> int:
        """Count `count` more that came now; the total. Time does not go back."""
        minute = now_ms // MINUTE_MS
        if self._minutes and self._minutes[-1][0] == minute:
            self._minutes[-1][1] += count
        else:
            self._minutes.append([minute, count])
        self._total += count
        return self.at(now_ms)

    def take_back(self, then_ms: int) -> None:
        """Uncount one that came then, if the window still reaches there."""
        minute = then_ms // MINUTE_MS
        for each in reversed(self._minutes):
            if each[0] <= minute:
                if each[0] == minute:
                    each[1] -= 1
                    self._total -= 1
                return

    def at(self, now_ms: int) -> int:
        """The total of the window that ends now."""
        oldest = now_ms // MINUTE_MS - self._window
        while self._minutes and self._minutes[0][0] <= oldest:
            self._total -= self._minutes.popleft()[1]
        return self._total

    def dump(self) -> list[list[int]]:
        """The minutes, as numbers; `load` takes them back."""
        return [list(each) for each in self._minutes]

    def load(self, dumped: list[list[int]]) -> None:
        """Take up what `dump` gave."""
        self._minutes = deque([int(minute), int(count)] for minute, count in dumped)
        self._total = sum(count for _, count in self._minutes)
