"""China's working days: weekends, public holidays and exchanged days 调休, as the state announces them."""

from datetime import date
from typing import Final

import chinese_calendar
import structlog

from services.notify.metrics import NotifyMetrics

log = structlog.get_logger(__name__)
SATURDAY: Final = 5


class WorkingDays:
    """Plays `duty.WorksOn`; a year that is not announced yet goes by the week alone, visibly."""

    def __init__(self, metrics: NotifyMetrics) -> None:
        """Count guesses in `metrics`."""
        self._metrics = metrics
        self._warned: set[int] = set()

    def __call__(self, day: date) -> bool:
        """Whether a day is worked."""
        try:
            return bool(chinese_calendar.is_workday(day))
        except NotImplementedError:
            self._metrics.calendar_guessed.inc()
            if day.year not in self._warned:
                self._warned.add(day.year)
                log.warning("holidays_unknown", year=day.year, remedy="update the package chinesecalendar")
            return day.weekday() < SATURDAY
