"""Outputs show what somebody wrote, and obey none of it."""

from io import StringIO

import pytest
from rich.console import Console

from deploy.local.commands.rankings import changes_table, ranking_table
from deploy.local.showing import shown, visible

HOSTILE = "[red]章贡区[/] \x1b[2J<b>\u202e登记\u200b[link=http://x]处"


def printed(table: object) -> str:
    out = StringIO()
    Console(file=out, width=300, force_terminal=True, color_system="truecolor").print(table)
    return out.getvalue()


def test_a_name_commands_neither_rich_nor_the_terminal() -> None:
    row = {
        "rank": 1, "rank_low": 1, "rank_high": 2, "rank_change": 0, "name": HOSTILE, "score": 90.0,
        "interval_low": 80.0, "interval_high": 95.0, "ratings": 40, "band": "undecided", "status": "ranked",
        "good": 0.9,
    }  # fmt: skip
    move = {
        "name": HOSTILE, "rank_before": 1, "rank_after": 2, "places": -1, "score_before": 1.0,
        "score_after": 2.0,
        "why": {"entered": None, "left": None, "by_ratings": None, "by_peers": None},
    }  # fmt: skip
    for text in (printed(ranking_table([row])), printed(changes_table([move]))):
        assert "[red]章贡区[/]" in text
        assert "<b>" in text
        assert "<U+202E>" in text
        assert "<U+200B>" in text
        assert "<U+001B>" in text
        assert "\x1b[2J" not in text
        assert "\x1b]8" not in text  # a link


@pytest.mark.parametrize("text", ["赣州市章贡区婚姻登记处", "plain [1]", ""])
def test_what_hides_nothing_stays_as_it_is(text: str) -> None:
    assert visible(text) == text
    assert shown(text).replace("\\[", "[") == text
