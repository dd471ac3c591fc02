"""Quiet hours, working days and absences, in Asia/Shanghai."""

from datetime import date, datetime, time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.notify.adapters.working_days import WorkingDays
from services.notify.domain.duty import Absence, Quiet, open_from
from services.notify.metrics import NotifyMetrics
from shared.kernel.clock import SHANGHAI
from shared.rules.holidays import FileHolidays
from tests.unit.notify.people import person, weekdays

NIGHT = Quiet(time(20), time(8))
NOON = Quiet(time(12), time(14))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI)


@pytest.mark.parametrize(
    ("quiet", "working_days", "now", "opens"),
    [
        (NIGHT, False, "2026-11-20T10:00", "2026-11-20T10:00"),
        (NIGHT, False, "2026-11-20T20:00", "2026-11-21T08:00"),
        (NIGHT, False, "2026-11-21T03:00", "2026-11-21T08:00"),
        (NIGHT, True, "2026-11-20T21:00", "2026-11-23T08:00"),  # Friday night to Monday
        (NOON, False, "2026-11-20T12:30", "2026-11-20T14:00"),
        (None, True, "2026-11-21T09:00", "2026-11-23T00:00"),
        (None, False, "2026-11-21T03:00", "2026-11-21T03:00"),
    ],
)
def test_when_somebody_may_be_told(quiet: Quiet | None, *, working_days: bool, now: str, opens: str) -> None:
    who = person("a", quiet=quiet, working_days=working_days)
    assert open_from(who, at(now), weekdays) == at(opens)


@settings(max_examples=100, deadline=None)
@given(
    start=st.times(), end=st.times(), working=st.booleans(),
    now=st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)),  # noqa: DTZ001 - the zone is put on below
)  # fmt: skip
def test_the_moment_is_open_and_not_before_now(
    start: time, end: time, *, working: bool, now: datetime
) -> None:
    quiet = Quiet(start, end)
    moment = now.replace(tzinfo=SHANGHAI)
    opens = open_from(person("a", quiet=quiet, working_days=working), moment, weekdays)
    assert opens >= moment
    if opens != moment or not quiet.covers(moment.time()):
        assert not quiet.covers(opens.time())
        assert not working or weekdays(opens.date())


def test_somebody_who_could_never_be_told_is_told_at_once() -> None:
    assert open_from(person("a", working_days=True), at("2026-11-20T10:00"), lambda _: False) == at(
        "2026-11-20T10:00"
    )


def test_an_absence_ends_with_the_day_back() -> None:
    who = person("a", absences=(Absence(date(2026, 11, 20), date(2026, 11, 23)),))
    assert [who.present(date(2026, 11, day)) for day in (19, 20, 22, 23)] == [True, False, False, True]


def test_public_holidays_and_exchanged_days_count_and_an_unknown_year_goes_by_the_week() -> None:
    metrics = NotifyMetrics()
    works = WorkingDays(FileHolidays(None), metrics)
    assert not works(date(2026, 10, 1)), "National Day, a Thursday"
    assert works(date(2026, 9, 20)), "a Sunday that is worked"
    assert works(date(2199, 11, 18))
    assert not works(date(2199, 11, 17))
    assert metrics.calendar_guessed._value.get() == 2  # noqa: SLF001 - the client has no reader


def test_what_is_announced_after_the_release_counts_as_soon_as_it_is_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "holidays.toml"
    file.write_text("years = [2199]\n")
    metrics = NotifyMetrics()
    works = WorkingDays(FileHolidays(file), metrics)
    assert works(date(2199, 11, 18))
    file.write_text("years = [2199]\noff = [2199-11-18]\nwork = [2199-11-17]\n")
    works.refresh()
    assert not works(date(2199, 11, 18))
    assert works(date(2199, 11, 17)), "a Sunday that is worked"
    assert metrics.calendar_guessed._value.get() == 0  # noqa: SLF001 - the client has no reader
