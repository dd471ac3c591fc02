"""Working time: which minutes count, by the week, the opening hours and the state's holidays 节假日与调休.

Minutes of Asia/Shanghai. A *working day* as a measure is the length of one day's opening hours: something
with one working day that begins on Monday at 10 is due on Tuesday at 10, and lunch does not count.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Final

from shared.kernel.clock import SHANGHAI
from shared.kernel.holidays import Holidays

MINUTES_OF_DAY: Final = 24 * 60
_DAYS_SEARCHED: Final = 4000
"""Longer than any clock; a calendar without a single working day must not loop for ever."""


@dataclass(frozen=True, slots=True)
class WorkCalendar:
    """When a kind of window works.

    Attributes:
        hours: pairs of minutes of the day, ascending, apart from one another; the gaps are lunch.
        weekdays: 1 Monday … 7 Sunday.
        keeps_holidays: whether the state's holidays and exchanged days change that.
    """

    hours: tuple[tuple[int, int], ...]
    weekdays: frozenset[int]
    keeps_holidays: bool = True
    holidays: Holidays = field(default_factory=Holidays)

    @property
    def day_minutes(self) -> int:
        """Minutes of one working day."""
        return sum(end - start for start, end in self.hours)

    def works_on(self, day: date) -> bool:
        """Whether `day` is worked."""
        if self.keeps_holidays:
            return self.holidays.works_on(day, self.weekdays)
        return day.isoweekday() in self.weekdays

    def after(self, start: datetime, minutes: float) -> datetime:
        """The moment by which `minutes` of working time have passed since `start`; aware, Asia/Shanghai.

        In whole milliseconds.

        With none to pass it is `start` itself.
        """
        if minutes <= 0:
            return start
        left = timedelta(minutes=minutes)
        for begin, end in self._spans(start):
            length = end - begin
            if left <= length:
                return _to_ms(begin + left)
            left -= length
        return start + timedelta(days=_DAYS_SEARCHED)

    def between(self, start: datetime, end: datetime) -> float:
        """Minutes of working time from `start` to `end`; 0 if it is not later."""
        total = timedelta()
        if end <= start:
            return 0.0
        for begin, finish in self._spans(start):
            if begin >= end:
                break
            total += min(finish, end) - begin
        return total.total_seconds() / 60

    def _spans(self, start: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Spans of working time from `start` on, cut at it."""
        local = start.astimezone(SHANGHAI)
        day = local.date()
        for _ in range(_DAYS_SEARCHED):
            if self.works_on(day):
                midnight = datetime.combine(day, time(), SHANGHAI)
                for opens, closes in self.hours:
                    end = midnight + timedelta(minutes=closes)
                    if end > local:
                        yield max(local, midnight + timedelta(minutes=opens)), end
            day += timedelta(days=1)


def _to_ms(moment: datetime) -> datetime:
    """The nearest whole millisecond, as events tell it: minutes are fractions, and floats only come near."""
    return moment + timedelta(microseconds=(500 - moment.microsecond) % 1000 - 500)


ALWAYS: Final = WorkCalendar(((0, MINUTES_OF_DAY),), frozenset(range(1, 8)), keeps_holidays=False)
"""Every minute counts: for what is reckoned in calendar days."""
