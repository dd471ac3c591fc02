"""What a decision goes by besides the case: the policy and the window's calendar."""

from dataclasses import dataclass

from services.rectify.domain.calendar import ALWAYS, MINUTES_OF_DAY, WorkCalendar
from services.rectify.domain.case import CaseClass
from services.rectify.domain.clocks import ClockName
from shared.kernel.holidays import Holidays
from shared.rules.rectify import Rectify


@dataclass(frozen=True, slots=True)
class Terms:
    """Policy and calendar of one case."""

    policy: Rectify
    calendar: WorkCalendar

    @classmethod
    def of(cls, policy: Rectify, kind: str | None, holidays: Holidays) -> "Terms":
        """Those of a window of `kind`."""
        hours = policy.working_time_of(kind)
        return cls(policy, WorkCalendar(hours.hours, frozenset(hours.weekdays), hours.holidays, holidays))

    def calendar_of(self, name: ClockName) -> WorkCalendar:
        """The calendar that a clock goes by."""
        return ALWAYS if name is ClockName.REVIEW else self.calendar

    def solve_min(self, case_class: CaseClass) -> float:
        """Minutes to the answer of a case of that class."""
        days = {CaseClass.A: self.policy.a_wd, CaseClass.B: self.policy.b_wd, CaseClass.C: self.policy.c_wd}
        return self.minutes(days[case_class])

    def minutes(self, working_days: float) -> float:
        """Minutes of `working_days`."""
        return working_days * self.calendar.day_minutes

    @property
    def review_min(self) -> float:
        """Minutes until a class C case is looked at again."""
        return float(self.policy.review_days * MINUTES_OF_DAY)
