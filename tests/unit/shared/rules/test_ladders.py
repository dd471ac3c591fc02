"""The optional `[ladders]` of a pack: what is left out has its usual value, what is wrong is named."""

import re

import pytest

from shared.rules import RulePackError, parse_pack
from shared.rules.ladders import Ladders
from shared.rules.loading import read_texts

SHIPPED = read_texts(None)[0][1]


def with_ladders(text: str) -> Ladders:
    """What a pack says that is the shipped one with `text` in its `[ladders]`."""
    return parse_pack(f"{SHIPPED}\n[ladders]\n{text}\n", "test").ladders


def test_a_pack_without_ladders_has_the_usual_ones() -> None:
    ladders = parse_pack(SHIPPED, "test").ladders
    assert ladders == Ladders()
    assert ladders.steps("U") == ("诫勉谈话", "通报批评", "组织处理建议")
    assert ladders.steps("C")[-1] == "交流换岗"
    assert (ladders.months, ladders.appeal_wd, ladders.c_strict) == (12, 5, False)


def test_a_key_that_is_given_replaces_its_value_alone() -> None:
    ladders = with_ladders('c_strict = true\naward_periods = ["year"]\n[ladders.vetoes]\ncrime = "severe"')
    assert ladders.steps("C") == ("离岗",)
    assert ladders.steps("U") == Ladders().u_steps
    assert ladders.award_periods == ("year",)
    assert [ladders.vetoes_for("crime", each) for each in ("major", "severe")] == [False, True]
    assert not ladders.vetoes_for("group_petition", "severe"), "a table that is given is the whole table"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("months = 0", "ladders.months"),
        ("u_steps = []", "ladders.u_steps"),
        ('u_steps = ["", "x"]', "ladders.u_steps"),
        ('c_strict = "yes"', "ladders.c_strict"),
        ('award_periods = ["week"]', "ladders.award_periods"),
        ("score_line = 1.5", "ladders.score_line"),
        ('[ladders.vetoes]\ntheft = "major"', "ladders.vetoes.theft"),
        ('[ladders.vetoes]\ncrime = "worst"', "ladders.vetoes.crime"),
        ("unknown = 1", "ladders.unknown"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(RulePackError, match=re.escape(problem)):
        with_ladders(text)
