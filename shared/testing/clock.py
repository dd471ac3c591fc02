"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
"""2 March 2026, 12:00 in Shanghai: a Monday without anything special."""


class FixedClock:
    """A :class:`shared.kernel.clock.Clock` under the test's control."""

    def __init__(self, now: datetime = NOON) -> None:
        """Start at ``now``, an aware time."""
        self._now = now.astimezone(UTC)

    def now(self) -> datetime:
        """The time that was set last, aware, in UTC."""
        return self._now

    def advance(self, *, days: float = 0, hours: float = 0, seconds: float = 0) -> None:
        """Move forward; negative values move back, as a corrected machine clock does."""
        self._now += timedelta(days=days, hours=hours, seconds=seconds)

    def set(self, now: datetime) -> None:
        """Jump to ``now``, an aware time."""
        self._now = now.astimezone(UTC)
