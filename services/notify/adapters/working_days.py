"""China's working days: weekends, public holidays and exchanged days 调休, as the state announces them."""

from datetime import date
from typing import Final

import structlog

from services.notify.metrics import NotifyMetrics
from shared.rules.holidays import FileHolidays

log = structlog.get_logger(__name__)
WEEKDAYS: Final = frozenset(range(1, 6))


class WorkingDays:
    """Plays `duty.WorksOn`; a year that is not announced yet goes by the week alone, visibly."""

    def __init__(self, holidays: FileHolidays, metrics: NotifyMetrics) -> None:
        """Go by `holidays`, count guesses in `metrics`."""
        self._holidays = holidays
        self._metrics = metrics
        self._warned: set[int] = set()

    def __call__(self, day: date) -> bool:
        """Whether a day is worked."""
        announced = self._holidays.current()
        if day.year not in announced.years:
            self._metrics.calendar_guessed.inc()
            if day.year not in self._warned:
                self._warned.add(day.year)
                log.warning("holidays_unknown", year=day.year, remedy="put the year into HOLIDAYS_PATH")
        return announced.works_on(day, WEEKDAYS)

    def refresh(self) -> None:
        """Take in what was announced meanwhile."""
        self._holidays.refresh()
