"""`[outcomes]` of a rule pack: how settled cases count."""

import re

import pytest

from shared.rules import RulePackError, parse_pack
from shared.rules.case_outcomes import OutcomeRules
from tests.unit.shared.rules.test_packs import SHIPPED

TEXT = SHIPPED.read_text(encoding="utf-8")


def test_the_shipped_numbers_are_those_of_a_pack_without_the_table() -> None:
    without = re.sub(r"\[outcomes\]\n(\w.*\n)+", "", TEXT)
    assert "[outcomes]" in TEXT
    assert "[outcomes]" not in without
    assert parse_pack(TEXT, "x").outcomes == parse_pack(without, "x").outcomes == OutcomeRules()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            ("show_from = 5 ", "show_from = 4 "),
            "outcomes.show_from: Got 4, expected a whole number from 5 to",
        ),
        (("few_count_as = 2", "few_count_as = 5"), "outcomes.few_count_as: Got 5"),
        (("prior_cases = 5", "prior_cases = 0"), "outcomes.prior_cases: Got 0"),
        (("prior_index = 75.0", "prior_index = 101"), "outcomes.prior_index: Got 101"),
        (("not_reopened = 1", "not_reopen = 1"), "outcomes.not_reopened: missing"),
    ],
)
def test_what_would_show_a_handful_or_make_no_figure_is_refused(
    change: tuple[str, str], problem: str
) -> None:
    assert change[0] in TEXT
    with pytest.raises(RulePackError, match=re.escape(problem)):
        parse_pack(TEXT.replace(*change), "x")


def test_three_shares_of_nothing_are_refused() -> None:
    text = re.sub(r"^(on_time|confirmed|not_reopened) = 1", r"\1 = 0", TEXT, flags=re.MULTILINE)
    with pytest.raises(RulePackError, match="correct on_time, confirmed, not_reopened"):
        parse_pack(text, "x")
