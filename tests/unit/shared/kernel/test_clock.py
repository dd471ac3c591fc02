from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.kernel.clock import SHANGHAI, Clock, SystemClock, business_day, parse_rfc3339, rfc3339
from shared.kernel.errors import InvalidValueError

offsets = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda m: timezone(timedelta(minutes=m)))
moments = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=offsets)  # noqa: DTZ001 - bounds must be naive here


def test_system_clock_is_aware_and_in_utc() -> None:
    clock: Clock = SystemClock()
    assert clock.now().utcoffset() == timedelta(0)
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_business_day_changes_at_midnight_in_shanghai() -> None:
    assert business_day(datetime(2026, 3, 1, 15, 59, 59, tzinfo=UTC)) == date(2026, 3, 1)
    assert business_day(datetime(2026, 3, 1, 16, 0, tzinfo=UTC)) == date(2026, 3, 2)


@given(st.datetimes(datetime(1992, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - as above
def test_fixed_offset_agrees_with_the_time_zone_database_since_1992(moment: datetime) -> None:
    assert business_day(moment) == moment.astimezone(ZoneInfo("Asia/Shanghai")).date()
    assert moment.astimezone(SHANGHAI).utcoffset() == moment.astimezone(ZoneInfo("Asia/Shanghai")).utcoffset()


@given(moments)
def test_written_times_read_back_to_the_millisecond(moment: datetime) -> None:
    back = parse_rfc3339(rfc3339(moment))
    assert timedelta(0) <= moment - back < timedelta(milliseconds=1)
    assert back.tzinfo is UTC
    assert rfc3339(back) == rfc3339(moment)


@given(moments, moments)
def test_written_times_sort_like_the_times(a: datetime, b: datetime) -> None:
    if rfc3339(a) < rfc3339(b):
        assert a < b
    if a <= b:
        assert rfc3339(a) <= rfc3339(b)


@given(moments)
def test_any_offset_reads_as_the_same_moment(moment: datetime) -> None:
    assert parse_rfc3339(moment.isoformat()) == moment


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31T09:30:00+08:00", "2026-01-31T01:30:00.000Z"),
        ("2026-01-31t01:30:00z", "2026-01-31T01:30:00.000Z"),
        ("2026-01-31T01:30:00.5Z", "2026-01-31T01:30:00.500Z"),
        ("2026-01-31T01:30:00.123456789Z", "2026-01-31T01:30:00.123Z"),
        ("2026-01-31T01:30:00-00:00", "2026-01-31T01:30:00.000Z"),
    ],
)
def test_forms_of_rfc_3339_are_accepted(text: str, expected: str) -> None:
    assert rfc3339(parse_rfc3339(text)) == expected


def test_time_without_offset_is_rejected_with_the_remedy() -> None:
    with pytest.raises(InvalidValueError, match=r"append the offset.*\+08:00"):
        parse_rfc3339("2026-01-31T09:30:00")


@pytest.mark.parametrize(
    "text",
    [
        "", "yesterday", "2026-01-31", "20260131T093000Z", "2026-W05-6T00:00:00Z", "2026-02-30T00:00:00Z",
        "2026-01-31T25:00:00Z", "2026-01-31T09:30:60Z", "2026-01-31T09:30Z", "2026-01-31T09:30:00Z ",
        "2026-01-31T09:30:00+25:00", "2026-01-31T09:30:00Z\n", "0001-01-01T00:00:00+08:00",
        "٢٠٢٦-01-31T09:30:00Z",
    ],
)  # fmt: skip
def test_other_texts_are_rejected(text: str) -> None:
    with pytest.raises(InvalidValueError, match="RFC 3339"):
        parse_rfc3339(text)


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        assert parse_rfc3339(text).tzinfo is UTC
    except InvalidValueError as error:
        assert "RFC 3339" in str(error)  # noqa: PT017 - both outcomes are right


def test_naive_datetimes_are_rejected_everywhere() -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - the point of the test
    for function in (business_day, rfc3339):
        with pytest.raises(InvalidValueError, match="aware"):
            function(naive)
