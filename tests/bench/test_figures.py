from pathlib import Path

import pytest

from shared.kernel.errors import InvalidValueError
from tests.bench.figures import Bound, Comparison, Figure, Goal, Section, Series, percentile
from tests.bench.report import Machine, Place, figure_row, goals_missed, write_page


def test_the_ratio_is_that_of_neighbouring_rounds_not_of_the_medians() -> None:
    ours, bare = Series((50.0, 500.0, 60.0)), Series((100.0, 1000.0, 100.0))
    assert ours.ratios_to(bare) == Series((0.5, 0.5, 0.6))
    assert ours.ratios_to(bare).middle == 0.5


def test_series_of_different_lengths_have_no_ratio() -> None:
    with pytest.raises(ValueError, match="longer"):
        Series((1.0,)).ratios_to(Series((1.0, 2.0)))


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 5.0), (0.99, 10.0), (0.9, 9.0), (0.01, 1.0), (1.0, 10.0)]
)
def test_a_percentile_is_a_value_that_occurred(share: float, expected: float) -> None:
    assert percentile([float(number) for number in range(1, 11)], share) == expected


@pytest.mark.parametrize(
    ("goal", "reached"),
    [
        (Goal(Bound.AT_MOST, 50), False),
        (Goal(Bound.AT_MOST, 60), True),
        (Goal(Bound.RATE_AT_LEAST, 60), True),
        (Goal(Bound.RATE_AT_LEAST, 61), False),
        (Goal(Bound.RATIO_AT_LEAST, 0.5), True),
        (Goal(Bound.RATIO_AT_LEAST, 0.7), False),
        (Goal(Bound.RATIO_AT_MOST, 0.6), True),
        (Goal(Bound.RATIO_AT_MOST, 0.5), False),
        (None, None),
    ],
)
def test_a_goal_is_held_against_the_median(goal: Goal | None, reached: bool | None) -> None:  # noqa: FBT001 - a table's column
    figure = Figure("x", "/s", Series((10.0, 60.0, 90.0)), Series((100.0, 100.0, 100.0)), "bare", goal)
    assert figure.reached is reached
    assert goals_missed([Section("s", [figure])]) == ([figure] if reached is False else [])


@pytest.mark.parametrize("bound", [Bound.RATIO_AT_LEAST, Bound.RATIO_AT_MOST])
def test_a_ratio_goal_without_a_baseline_is_missed(bound: Bound) -> None:
    assert Figure("x", "/s", Series((1.0,)), goal=Goal(bound, 0.5)).reached is False


def test_a_row_shows_median_spread_ratio_and_verdict() -> None:
    figure = Figure(
        "rate", "/s", Series((1000.0, 3000.0, 2000.0)), Series((4000.0, 4000.0, 4000.0)), "bare",
        Goal(Bound.RATIO_AT_LEAST, 0.5),
    )  # fmt: skip
    assert figure_row(figure) == (
        "rate", "/s", "2,000 (1,000–3,000)", "4,000 (4,000–4,000)", "bare", "0.5 (0.25–0.75)", "ratio ≥ 0.5",
        "reached",
    )  # fmt: skip


def test_writing_replaces_the_generated_part_and_leaves_the_prose(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    other = "<!-- fold: begin -->\nkept\n<!-- fold: end -->\n"
    page.write_text(f"before\n<!-- figures: begin -->\nstale\n<!-- figures: end -->\nafter\n{other}", "utf-8")
    write_page(
        [Section("Bus", [Figure("x", "/s", Series((1.0,)))], checks=["all read"])],
        Machine("M.", 0.1),
        Place(page, "figures"),
    )
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- figures: begin -->\nM. Other programs kept 0.10")
    assert text.endswith(f"Checked: all read.\n\n<!-- figures: end -->\nafter\n{other}")
    assert "stale" not in text


def test_a_comparison_is_written_as_a_table_and_says_nothing_of_the_machine(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- quality: begin -->\n<!-- quality: end -->\n", encoding="utf-8")
    comparison = Comparison("Who is right", ("way", "right"), (("ours", "0.71"), ("raw", "0.69")))
    write_page([Section("Quality", [], comparisons=[comparison])], None, Place(page, "quality"))
    assert page.read_text(encoding="utf-8") == (
        "<!-- quality: begin -->\n### Quality\n\n**Who is right**\n\n| way | right |\n| --- | --- |\n"
        "| ours | 0.71 |\n| raw | 0.69 |\n\n<!-- quality: end -->\n"
    )


def test_a_page_without_the_marks_is_refused_and_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("prose\n", encoding="utf-8")
    with pytest.raises(InvalidValueError, match="figures: begin"):
        write_page([Section("Bus", [])], Machine("M.", 0.1), Place(page, "figures"))
    assert page.read_text(encoding="utf-8") == "prose\n"
