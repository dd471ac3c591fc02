"""When a person may be told: quiet hours, working days, absence. Everything in Asia/Shanghai."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final

from shared.kernel.clock import SHANGHAI

WorksOn = Callable[[date], bool]
"""Whether a day is worked: weekends, public holidays and exchanged days 调休."""

MOST_DAYS: Final = 31
"""A recipient who could not be told within a month is told at once: better disturbed than never told."""


@dataclass(frozen=True, slots=True)
class Quiet:
    """Quiet from one time of day to another; over midnight where `start` is later than `end`."""

    start: time
    end: time

    def covers(self, at: time) -> bool:
        """Whether a time of day is quiet."""
        if self.start <= self.end:
            return self.start <= at < self.end
        return at >= self.start or at < self.end


@dataclass(frozen=True, slots=True)
class Absence:
    """Away from the first day up to, not including, the day back."""

    first: date
    back: date


@dataclass(frozen=True, slots=True)
class Recipient:
    """Somebody, or a system, that can be told. No address: the channels know these.

    Attributes:
        recipient_id: opaque reference, the same as in the registry of responsible people.
        label: post in Chinese, as the list of recipients shows it; no person's name.
        channels: ways to reach them, by name.
        quiet: hours in which only critical alerts come.
        working_days: only critical alerts come on other days.
        quota: alerts that come at once within the rule pack's minutes; None: the rule pack's.
        absences: when they are away.
        cover: who stands in for them B岗; None: the unit's backup, if any.
        outside: not of the administration: hears only what is published anyway.
    """

    recipient_id: str
    label: str
    channels: tuple[str, ...]
    quiet: Quiet | None = None
    working_days: bool = False
    quota: int | None = None
    absences: tuple[Absence, ...] = ()
    cover: str | None = None
    outside: bool = False

    def present(self, day: date) -> bool:
        """Whether they are there on a day."""
        return not any(each.first <= day < each.back for each in self.absences)


def open_from(recipient: Recipient, now: datetime, works_on: WorksOn) -> datetime:
    """Return the first moment from `now` on at which `recipient` may be told what is not critical.

    `now` itself if they may be told at once.
    """
    if recipient.quiet is None and not recipient.working_days:
        return now
    local = now.astimezone(SHANGHAI)
    for ahead in range(MOST_DAYS):
        day = local.date() + timedelta(days=ahead)
        if recipient.working_days and not works_on(day):
            continue
        start = local if ahead == 0 else datetime.combine(day, time(), SHANGHAI)
        moment = _after_quiet(recipient.quiet, start)
        if moment.date() == day:
            return now if moment == local else moment.astimezone(now.tzinfo)
    return now


def _after_quiet(quiet: Quiet | None, moment: datetime) -> datetime:
    if quiet is None or not quiet.covers(moment.time()):
        return moment
    end = datetime.combine(moment.date(), quiet.end, SHANGHAI)
    return end if end > moment else end + timedelta(days=1)
