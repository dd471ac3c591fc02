import json

import pytest

from deploy.local.bulletins.figures import canonical
from deploy.local.bulletins.periods import Span, previous, spoken
from deploy.local.bulletins.plots import plots_of
from deploy.local.bulletins.tables import HIDDEN, tables_of
from deploy.local.bulletins.wording import draft
from shared.kernel.errors import InvalidValueError
from tests.unit.deploy.bulletins.support import (
    board,
    case_figures,
    cases,
    figures,
    head,
    history,
    row,
)


def test_the_same_answers_give_the_same_bytes_whenever_they_were_computed() -> None:
    later = (board(head=head("county.all.2026-10", computed_at="2026-12-24T00:00:00.000Z")),)
    assert canonical(figures()) == canonical(figures(boards=later))
    assert draft(figures()) == draft(figures())


def test_a_score_that_stood_still_has_no_best_and_no_worst_day() -> None:
    days = history(2)["items"]
    still = draft(figures(history=history(items=[each | {"score": 89.541} for each in days])))
    assert "近7天滚动得分期间持平，均为89.54分。" in still
    assert "最高为" not in still
    assert "最高为10月30日的94.00分，最低为10月1日的90.00分" in draft(figures())


def test_a_suppressed_unit_is_named_without_a_figure_and_an_unranked_one_without_a_rank() -> None:
    rows = (row(1), row(2), row(3, status="unranked"), row(4, status="suppressed", score=55.5, ratings=7))
    found = figures(boards=(board(rows=rows, before=None),))
    assert "55.5" not in canonical(found).decode()
    tables = tables_of(found)
    assert [cells[2] for cells in tables["县级排名"].rows] == ["第1区民政局", "第2区民政局"]
    assert [cells[0] for cells in tables["县级不排名"].rows] == ["第3区民政局"]
    assert "样本过少、不公布的1个" in draft(found)


def test_grades_of_fewer_than_five_are_hidden_with_another_so_that_the_sum_tells_nothing() -> None:
    own = (head("city.all.2026-10"), row(2, histogram=[3, 12, 40, 60, 83]), None)
    grades = {each["grade"]: each["ratings"] for each in figures(own=own)["overall"]["grades"]}
    assert grades == {5: 83, 4: 60, 3: 40, 2: None, 1: None}


def test_small_groups_of_cases_are_hidden_and_cannot_be_found_out() -> None:
    small = case_figures(opened=3, unsettled=1, answered=2, on_time=1, closed=1, confirmed=1)
    found = figures(
        cases=cases(
            small | {"group": "360102"},
            case_figures() | {"group": "360103"},
            case_figures(opened=50) | {"group": "360100"},
            on_time=28,
        )
    )["cases"]
    assert [each["opened"] for each in found["below"]] == [None, None, 50]
    assert found["below"][0]["median_days"] is None
    assert found["on_time"] is None, "two of thirty were late: that is a group of two"
    assert found["confirmed"] == 0.75
    table = tables_of(figures(cases=cases(small | {"group": "360102"})))["各单位整改情况"]
    assert table.rows[0][:3] == ("东湖区民政局", HIDDEN, HIDDEN)
    assert "不足5人" in table.note


def test_an_empty_period_makes_a_bulletin_that_says_so() -> None:
    nothing = case_figures(
        opened=0, unsettled=0, answered=0, on_time=0, closed=0, confirmed=0, median_days=None
    )
    rows = tuple(row(number, status="suppressed") for number in (1, 2))
    found = figures(
        own=(head("city.all.2026-10"), row(2, status="suppressed"), None),
        boards=(board(rows=rows, before=None),),
        history={"window_days": 7, "positions": {}, "items": []},
        cases={"positions": {}, "whole": nothing, "below": []},
    )
    text = draft(found)
    assert "不足10件，按规定不公布得分" in text
    assert "没有样本充足、可以排名的县级单位" in text
    assert "没有立案、答复或办结的整改件" in text
    assert (tables_of(found), plots_of(found)) == ({}, {})


def test_in_a_region_of_one_unit_nobody_is_first_or_last() -> None:
    found = figures(boards=(board(1),))
    assert (found["boards"][0]["top"], found["boards"][0]["bottom"]) == ([], [])
    assert "排名后" not in draft(found)
    assert "县级排名" not in plots_of(found)
    assert len(tables_of(found)["县级排名"].rows) == 1


def test_a_long_list_is_named_at_its_ends_as_the_rule_pack_says_and_plotted_at_both() -> None:
    found = figures(
        boards=(board(99, before=None, rows=tuple(row(n, score=99 - n / 9) for n in range(1, 100))),)
    )
    tables = tables_of(found)
    assert [len(tables[name].rows) for name in ("县级前列", "县级后列")] == [10, 3]
    assert [cells[0] for cells in tables["县级后列"].rows] == ["97", "98", "99"]
    assert "其余79个单位略" in plots_of(found)["县级排名"].svg


def test_who_is_excellent_is_no_laggard_even_at_the_end_of_the_list() -> None:
    rows = (*(row(number) for number in range(1, 5)), row(5, band="excellent"), row(6, band="undecided"))
    text = draft(figures(boards=(board(rows=rows, before=None),)))
    assert "排名后3位、等次不是“优秀”的：第6区民政局（" in text


def test_units_that_moved_say_whether_their_intervals_overlap() -> None:
    rows = (row(1), row(2))
    before = (row(1, score=90.0, interval_low=88.0, interval_high=92.0), row(2, score=97.5))
    table = tables_of(figures(boards=(board(rows=rows, before=before),)))["县级升降"]
    assert [(cells[0], cells[4], cells[5]) for cells in table.rows] == [
        ("第1区民政局", "+7.00", "是"),
        ("第2区民政局", "−1.50", "否"),
    ]


def test_what_it_rests_on_is_the_furthest_position_of_each_stream_and_every_list_once() -> None:
    basis = figures(boards=(board(), board(level="window")))["basis"]
    assert basis["positions"] == {"CASES": 500, "FEEDBACK": 20_001}
    assert [each["list"] for each in basis["lists"]] == [
        "city.all.2026-10",
        "county.all.2026-10",
        "window.all.2026-10",
    ]


def test_counts_by_day_are_plotted_only_if_every_day_shows_its_own() -> None:
    found = figures()
    assert found["trend"]["counted"]
    hidden = json.loads(json.dumps(found))
    hidden["trend"]["counted"] = False
    assert "当日评价件数" in plots_of(found)["评价走势"].svg
    assert "当日评价件数" not in plots_of(hidden)["评价走势"].svg


@pytest.mark.parametrize(
    ("label", "before", "said"),
    [
        ("2026-01", "2025-12", "2026年1月"),
        ("2026Q1", "2025Q4", "2026年第1季度"),
        ("2026Q4", "2026Q3", "2026年第4季度"),
        ("2026", "2025", "2026年"),
    ],
)
def test_a_period_is_compared_with_the_one_before(label: str, before: str, said: str) -> None:
    assert (previous(label), spoken(label)) == (before, said)


@pytest.mark.parametrize("text", ["2026-13", "30", "0d", "2026Q5", "1000d", "２０２６", ""])
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError):
        Span.parse(text)
