"""What became of the cases of one period, for bulletins: as a whole, and by the divisions or windows below.

Each figure counts what happened within the period, so that a bulletin of March says nothing of April; what is
said of a case then (on time, refused, confirmed) is as known by the fold's position.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from services.rectify.domain.book import DAY_S, Summary
from services.rectify.domain.case import ConfirmedBy, Status


@dataclass(frozen=True, slots=True)
class PeriodFigures:
    """Counts of cases; annulled ones are in none of them.

    Attributes:
        opened: in the period.
        unsettled: of these, still with something to do.
        answered: for the first time in the period.
        on_time: of the answered, no deadline was ever missed.
        reopened: of the answered, refused at least once.
        closed: closed, or explained, in the period.
        confirmed: of the closed, by the citizen's own word.
        median_days: of the answered, from opening to first answer, in calendar days; None: there are none.
    """

    opened: int = 0
    unsettled: int = 0
    answered: int = 0
    on_time: int = 0
    reopened: int = 0
    closed: int = 0
    confirmed: int = 0
    median_days: float | None = None


def period_figures(cases: Iterable[Summary], start: datetime, end: datetime) -> PeriodFigures:
    """The figures of what happened from `start` until before `end`."""
    standing = [case for case in cases if case.status is not Status.ANNULLED]
    opened = [case for case in standing if start <= case.opened_at < end]
    answered = [
        (case, case.first_answered_at)
        for case in standing
        if case.first_answered_at is not None and start <= case.first_answered_at < end
    ]
    closed = [case for case in standing if case.closed_at is not None and start <= case.closed_at < end]
    days = [(at - case.opened_at).total_seconds() / DAY_S for case, at in answered]
    return PeriodFigures(
        opened=len(opened),
        unsettled=sum(not case.settled for case in opened),
        answered=len(answered),
        on_time=sum(not case.overdue for case, _ in answered),
        reopened=sum(case.reopened > 0 for case, _ in answered),
        closed=len(closed),
        confirmed=sum(case.confirmed_by is ConfirmedBy.CITIZEN for case in closed),
        median_days=round(median(days), 1) if days else None,
    )


def group_of(case: Summary, region: str) -> str:
    """Where a case of `region` belongs one level below it.

    The code of the city or county, in a county the id of the unit; the region itself where it lies in none.
    """
    if region.endswith("0000"):
        return region if case.city == "all" else f"{case.city}00"
    if region.endswith("00"):
        return region if case.county == "all" else case.county
    return case.unit_id
