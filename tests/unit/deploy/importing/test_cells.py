from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.importing import cells
from deploy.local.importing.faults import Fault, Reason
from shared.kernel.clock import SHANGHAI, parse_rfc3339
from shared.kernel.errors import InvalidValueError
from shared.kernel.grades import Channel, Grade, Source


@pytest.mark.parametrize(
    ("text", "grade"),
    [
        *((grade.label, grade.value) for grade in Grade),
        ("5", 5), ("５", 5), (" 4.0 ", 4), ("３分", 3), ("★★☆☆☆", 2), ("★", 1), ("很 不 满意", 1),
    ],
)  # fmt: skip
def test_grades_are_read_as_people_write_them(text: str, grade: int) -> None:
    assert cells.grade(text) == grade


@pytest.mark.parametrize("text", ["一般", "好评", "6", "0", "5.5", "满意/不满意", "-1", "十"])
def test_what_is_not_clearly_a_grade_is_refused_and_never_guessed(text: str) -> None:
    fault = cells.grade(text)
    assert isinstance(fault, Fault)
    reason = Reason("评价等级", text, fault)
    assert text in reason.chinese
    assert "非常满意" in reason.chinese
    assert text in reason.english
    assert "very dissatisfied" in reason.english


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01", "2026-03-01T00:00:00+08:00"),
        ("2026/3/1 9:05", "2026-03-01T09:05:00+08:00"),
        ("2026.3.1", "2026-03-01T00:00:00+08:00"),
        ("２０２６年３月１日　９时５分", "2026-03-01T09:05:00+08:00"),
        ("2026年3月1日 下午3点", "2026-03-01T15:00:00+08:00"),
        ("2026-03-01T09:05:06", "2026-03-01T09:05:06+08:00"),
        ("2026-03-01 09:05:06.789", "2026-03-01T09:05:06+08:00"),
        ("2026-03-01T01:05:06Z", "2026-03-01T01:05:06Z"),
        ("2026-03-01T09:05:06+0800", "2026-03-01T09:05:06+08:00"),
        ("2026/3/1 12:30 AM", "2026-03-01T00:30:00+08:00"),
        ("20260301", "2026-03-01T00:00:00+08:00"),
        ("20260301090506", "2026-03-01T09:05:06+08:00"),
        ("46082", "2026-03-01T00:00:00+08:00"),
        ("46082.375", "2026-03-01T09:00:00+08:00"),
    ],
)
def test_times_are_read_in_every_form_that_is_clear(text: str, moment: str) -> None:
    assert cells.moment(text) == moment


@pytest.mark.parametrize(
    "text",
    ["3/1/2026", "26-03-01", "2026-13-01", "2026-02-30", "2026-03-01 25:00", "昨天", "1", "99999", "2026"],
)
def test_times_that_are_not_clear_are_refused(text: str) -> None:
    assert isinstance(cells.moment(text), Fault)


@given(st.text(max_size=40))
def test_any_text_gives_a_time_that_intake_reads_or_a_fault(text: str) -> None:
    value = cells.moment(text)
    if isinstance(value, str):
        try:
            parse_rfc3339(value)
        except InvalidValueError as error:  # an impossible offset is intake's to refuse
            assert "offset" in str(error)  # noqa: PT017 - any other message would be our mistake


@given(st.integers(0, 36_500 * 86_400))
def test_a_serial_day_gives_the_second_that_was_typed(seconds: int) -> None:
    typed = datetime(2000, 1, 1, tzinfo=SHANGHAI) + timedelta(seconds=seconds)
    serial = (typed - datetime(1899, 12, 30, tzinfo=SHANGHAI)) / timedelta(days=1)
    value = cells.moment(repr(serial))
    assert isinstance(value, str)
    assert parse_rfc3339(value) == typed.astimezone(UTC)


def test_a_day_and_a_clock_in_two_columns_are_one_moment() -> None:
    assert cells.joined_moment("2026-03-01", "9:30") == "2026-03-01 9:30"
    assert cells.joined_moment("2026-03-01", "2026-03-02 9:30") == "2026-03-02 9:30"
    assert cells.joined_moment("2026-03-01", "") == "2026-03-01"
    assert cells.moment(cells.joined_moment("2026年3月1日", "下午3:30")) == "2026-03-01T15:30:00+08:00"


@pytest.mark.parametrize("text", ["3.60102E+17", "1.38E+10", "1E18"])
def test_numbers_that_excel_has_cut_are_refused(text: str) -> None:
    for parse in (cells.reference, cells.personal_number):
        fault = parse(text)
        assert isinstance(fault, Fault)
        assert "Excel" in fault.remedy_zh
        assert "Excel" in fault.remedy_en


def test_full_width_digits_become_plain_ones() -> None:
    assert cells.reference("ＢＪ００１") == "BJ001"
    assert cells.personal_number("１３８００１３８０００") == "13800138000"


def test_a_reference_is_visible_and_not_too_long() -> None:
    assert isinstance(cells.reference("a\nb"), Fault)
    assert isinstance(cells.reference("x" * 129), Fault)
    assert cells.reference("x" * 128) == "x" * 128


def test_channels_and_sources_are_known_by_their_words() -> None:
    assert all(cells.channel(each.label) is each and cells.channel(each.value) is each for each in Channel)
    assert all(cells.source(each.label) is each and cells.source(each.value) is each for each in Source)
    assert cells.channel("扫码") is Channel.QR
    refused = cells.channel("飞鸽")
    assert isinstance(refused, Fault)
    assert "窗口评价器" in refused.expected_zh
    assert isinstance(cells.source("?"), Fault)
