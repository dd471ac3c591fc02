"""Working time against a naive count of minutes, and the holidays that the state has announced."""

from datetime import date, datetime, timedelta
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from services.rectify.domain.calendar import WorkCalendar
from shared.kernel.clock import SHANGHAI
from shared.kernel.holidays import Holidays
from shared.rules.holidays import FileHolidays, HolidayFileError, known_holidays

OFFICE = WorkCalendar(((540, 720), (780, 1020)), frozenset({1, 2, 3, 4, 5}), holidays=known_holidays())
AROUND = WorkCalendar(((0, 1440),), frozenset(range(1, 8)), keeps_holidays=False)
calendars = st.sampled_from([OFFICE, AROUND])
moments = st.integers(0, 60 * 24 * 40).map(
    lambda minutes: datetime(2026, 9, 20, tzinfo=SHANGHAI) + timedelta(minutes=minutes)
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI)


def naive(calendar: WorkCalendar, start: datetime, end: datetime) -> int:
    """Minute by minute."""
    found, moment = 0, start
    while moment < end:
        minute = moment.hour * 60 + moment.minute
        found += calendar.works_on(moment.date()) and any(a <= minute < b for a, b in calendar.hours)
        moment += timedelta(minutes=1)
    return found


@given(calendar=calendars, start=moments, minutes=st.integers(0, 60 * 24 * 4))
@settings(max_examples=60)
def test_minutes_between_are_those_that_a_naive_count_finds(
    calendar: WorkCalendar, start: datetime, minutes: int
) -> None:
    end = start + timedelta(minutes=minutes)
    assert calendar.between(start, end) == naive(calendar, start, end)


@given(calendar=calendars, start=moments, minutes=st.integers(1, 3000))
@settings(max_examples=60)
def test_what_is_due_after_some_minutes_has_exactly_these_before_it(
    calendar: WorkCalendar, start: datetime, minutes: int
) -> None:
    end = calendar.after(start, minutes)
    assert calendar.between(start, end) == minutes
    assert calendar.between(start, end - timedelta(minutes=1)) == minutes - 1


@pytest.mark.parametrize(
    ("start", "days", "due"),
    [
        ("2026-11-23T10:00", 1, "2026-11-24T10:00"),
        ("2026-11-23T12:30", 1, "2026-11-24T12:00"),  # at lunch: the afternoon, and the next morning
        ("2026-11-27T16:00", 1, "2026-11-30T16:00"),
        ("2026-09-30T10:00", 1, "2026-10-08T10:00"),  # National Day
        ("2026-10-09T16:00", 1, "2026-10-10T16:00"),  # a Saturday that is worked in exchange
    ],
)
def test_a_working_day_is_as_long_as_one_days_hours(start: str, days: int, due: str) -> None:
    assert OFFICE.after(at(start), days * OFFICE.day_minutes) == at(due)


def test_a_window_that_never_closes_counts_every_minute() -> None:
    assert AROUND.after(at("2026-10-01T22:15"), AROUND.day_minutes) == at("2026-10-02T22:15")


def test_without_announced_holidays_weekdays_count() -> None:
    calendar = WorkCalendar(OFFICE.hours, OFFICE.weekdays, holidays=Holidays())
    assert calendar.works_on(date(2031, 10, 1))
    assert not calendar.works_on(date(2031, 10, 4))
    assert 2031 not in known_holidays().years


def test_what_is_announced_later_wins_and_a_broken_file_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "holidays.toml"
    file.write_text("years = [2027]\noff = [2027-02-05]\nwork = [2027-02-06]\n")
    table = FileHolidays(file)
    assert (date(2027, 2, 5) in table.current().off, 2027 in table.current().years) == (True, True)
    file.write_text("off = [2027-02-05]\nwork = [2027-02-05]\n")
    assert not table.refresh()
    assert date(2027, 2, 6) in table.current().work
    with pytest.raises(HolidayFileError, match="off or worked"):
        FileHolidays(file)
    file.write_text("off = []\n")
    assert table.refresh()
    assert date(2027, 2, 5) not in table.current().off
