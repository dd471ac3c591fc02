"""The clocks of a case: what has to happen by when, and which reminders are on the way.

A clock has a budget of working minutes. It runs, is paused (what was used is kept) or has stopped. Its marks
are the moments at which so many per cent of the budget will have been used; they are data of the case, so
that a timer that fires can be held against them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from services.rectify.domain.calendar import WorkCalendar

FULL: Final = 100


class ClockName(StrEnum):
    """What a clock is for."""

    CONTACT = "contact"
    """First contact with the citizen 首次联系."""
    CLASSIFY = "classify"
    """A class for the case 分类."""
    SOLVE = "solve"
    """The answer 办结; for class C the explanation."""
    CONFIRM = "confirm"
    """The citizen's word on the answer 群众确认."""
    REVIEW = "review"
    """Another look at what could not be solved 复核; in calendar days."""
    PAUSE = "pause"
    """How long the citizen is waited for 等待群众: all waits between two openings together."""
    INQUIRY = "inquiry"
    """The unit's reply to a question of the level above 质询."""


@dataclass(frozen=True, slots=True)
class Mark:
    """`percent` of the budget will have been used at `at`."""

    percent: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Clock:
    """One clock.

    Attributes:
        name: what it is for.
        round: 1, 2, 3 …: grows whenever it is set anew or given more time.
        started_at: when this round began to count.
        budget_min: minutes of working time.
        used_min: of them, before `running_since`.
        running_since: None while paused and after the stop.
        stopped_at: when what it waited for happened; None before.
        marks: reminders to come or past, ascending; empty while it doesn't run.
        reached: per cents that were announced; 100 also where a former round in the same opening was used up.
    """

    name: ClockName
    round: int
    started_at: datetime
    budget_min: float
    used_min: float
    running_since: datetime | None
    stopped_at: datetime | None
    marks: tuple[Mark, ...]
    reached: tuple[int, ...] = ()

    @property
    def runs(self) -> bool:
        """Whether time is counted."""
        return self.running_since is not None

    @property
    def due_at(self) -> datetime | None:
        """When all of it will be used; None while it doesn't run."""
        return self.marks[-1].at if self.marks else None

    @property
    def overdue(self) -> bool:
        """Whether its time was used up, in this round or in one before that a new class ended."""
        return FULL in self.reached

    @property
    def pending(self) -> tuple[Mark, ...]:
        """Marks that were not announced yet."""
        return tuple(mark for mark in self.marks if mark.percent not in self.reached)


def rescheduled(clock: Clock, calendar: WorkCalendar, percents: Sequence[int]) -> Clock:
    """The same clock with its marks by `calendar`; what was announced stays so."""
    if clock.running_since is None:
        return clock
    since = clock.running_since
    marks = tuple(
        Mark(percent, calendar.after(since, clock.budget_min * percent / FULL - clock.used_min))
        for percent in sorted({*percents, FULL})
    )
    return replace(clock, marks=marks)


def paused(clock: Clock, now: datetime, calendar: WorkCalendar) -> Clock:
    """The clock with what it used so far, standing still; one that doesn't run stays as it is."""
    if clock.running_since is None:
        return clock
    used = clock.used_min + calendar.between(clock.running_since, now)
    return replace(clock, used_min=used, running_since=None, marks=())


def resumed(clock: Clock, now: datetime, calendar: WorkCalendar, percents: Sequence[int]) -> Clock:
    """The clock running again from `now`; one that runs or has stopped stays as it is."""
    if clock.running_since is not None or clock.stopped_at is not None:
        return clock
    return rescheduled(replace(clock, running_since=now), calendar, percents)


def stopped(clock: Clock, now: datetime, calendar: WorkCalendar) -> Clock:
    """The clock at its end; a stopped one stays as it is."""
    if clock.stopped_at is not None:
        return clock
    return replace(paused(clock, now, calendar), stopped_at=now)


def prolonged(
    clock: Clock, minutes: float, now: datetime, calendar: WorkCalendar, percents: Sequence[int]
) -> Clock:
    """The clock with more time, as a new round; reminders that are ahead again will be announced again."""
    longer = rescheduled(
        replace(clock, budget_min=clock.budget_min + minutes, round=clock.round + 1), calendar, percents
    )
    still = tuple(mark.percent for mark in longer.marks if mark.percent in clock.reached and mark.at <= now)
    return replace(longer, reached=still)
