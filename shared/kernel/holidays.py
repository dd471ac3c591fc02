"""Days that the state moved 节假日与调休, as a value."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Holidays:
    """Days that the state moved.

    Attributes:
        off: days off that a week would not give.
        work: weekend days that are worked in exchange 调休.
        years: those that were announced; in others only the week counts.
    """

    off: frozenset[date] = frozenset()
    work: frozenset[date] = frozenset()
    years: frozenset[int] = frozenset()

    def with_overlay(self, off: frozenset[date], work: frozenset[date]) -> "Holidays":
        """These and what was announced since; the overlay wins."""
        return Holidays((self.off - work) | off, (self.work - off) | work, self.years)

    def works_on(self, day: date, weekdays: frozenset[int]) -> bool:
        """Whether `day` is worked where `weekdays` are (1 Monday … 7 Sunday)."""
        if day in self.off:
            return False
        return day in self.work or day.isoweekday() in weekdays
