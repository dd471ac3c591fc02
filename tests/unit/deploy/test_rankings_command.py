from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from deploy.local.commands.rankings import change_label, changes_table, ranking_table

RANKED: dict[str, Any] = {
    "unit_id": "U000532", "name": "章贡区婚姻登记处", "status": "ranked", "rank": 7, "rank_low": 3,
    "rank_high": 12, "rank_change": -2, "score": 91.2, "interval_low": 86.0, "interval_high": 95.1,
    "ratings": 64, "n": 51.4, "good": 0.93, "band": "undecided",
}  # fmt: skip
HIDDEN = dict.fromkeys(RANKED) | {"name": "进贤县婚姻登记处", "status": "suppressed"}


@pytest.mark.parametrize(("change", "label"), [(3, "↑3"), (-2, "↓2"), (0, "＝"), (None, "")])
def test_a_change_is_an_arrow_with_the_places(change: int | None, label: str) -> None:
    assert change_label(change) == label


def test_the_table_shows_between_which_ranks_a_unit_lies_and_how_it_moved() -> None:
    text = StringIO()
    Console(file=text, width=200).print(ranking_table([RANKED, HIDDEN]))
    heading, ranked, hidden = text.getvalue().splitlines()
    assert heading.split() == [
        "名次",
        "升降",
        "名次区间",
        "单位",
        "得分",
        "90%",
        "区间",
        "评价数",
        "好评率",
        "等次",
    ]
    assert ranked.split() == [
        "7",
        "↓2",
        "3–12",
        "章贡区婚姻登记处",
        "91.20",
        "86.0–95.1",
        "64",
        "93.0%",
        "待定",
    ]
    assert hidden.split() == ["–", "–", "进贤县婚姻登记处", "–", "–", "<10", "–", "样本过少，不公布"]


def test_composites_are_shown_where_there_are_cases_and_few_of_them_are_not_counted() -> None:
    many = {**RANKED, "composite": 90.41, "rectification": 88.6364, "cases": 6}
    few = {**RANKED, "composite": 88.48, "rectification": 82.1429, "cases": None}
    none = {**RANKED, "composite": 91.2, "rectification": None, "cases": None}
    text = StringIO()
    Console(file=text, width=200).print(ranking_table([many, few, none, HIDDEN]))
    heading, *lines = (line.split() for line in text.getvalue().splitlines())
    assert heading[-3:] == ["综合", "整改", "办结数"]
    assert [line[-3:] for line in lines] == [
        ["90.41", "88.6", "6"], ["88.48", "82.1", "<5"], ["91.20", "无办件", "–"], ["–", "–", "–"],
    ]  # fmt: skip


def test_what_moved_is_shown_with_its_causes_and_a_dash_where_nothing_may_be_shown() -> None:
    move: dict[str, Any] = {
        "name": "章贡区民政局", "rank_before": 9, "rank_after": 7, "places": 2, "score_before": 90.0,
        "score_after": 91.25, "why": {
            "entered": {"good": 40, "bad": None}, "left": {"good": 31, "bad": None}, "by_ratings": 1.5,
            "by_peers": -0.25,
        },
    }  # fmt: skip
    gone = {
        **move, "rank_after": None, "places": None, "score_after": None,
        "why": {"entered": {"good": None, "bad": None}, "left": None, "by_ratings": None, "by_peers": None},
    }  # fmt: skip
    text = StringIO()
    Console(file=text, width=200).print(changes_table([move, gone]))
    heading, first, second = (" ".join(line.split()) for line in text.getvalue().splitlines())
    assert heading == "单位 名次 升降 得分 新增 好/差 移出 好/差 自身 同类"
    assert first == "章贡区民政局 9 → 7 ↑2 90.00 → 91.25 40/– 31/– +1.50 -0.25"
    assert second == "章贡区民政局 9 → – 90.00 → – –/– – –"
