"""Nobody finds a small group's counts from what is shown of it: an attacker who knows both lists tries."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.domain.buckets import WIDTH, Column, IntTable
from services.scoring.domain.small_groups import LEAST_SHOWN, exchange, hidden_exchange, shown_by_day
from tests.support.properties import retried

COUNTS = st.one_of(st.integers(0, 12), st.integers(0, 60))


def row(good: int, bad: int) -> IntTable:
    made = np.zeros(WIDTH, dtype=np.int64)
    made[Column.RATINGS] = good + bad
    made[Column.GRADE_5], made[Column.GRADE_1] = good, bad
    made[Column.PROVEN], made[Column.UNPROVEN] = 1000 * good, 400 * bad
    return made


Pair = tuple[int, int]
"""What entered, what left."""


def possible(net: int, had: int) -> set[Pair]:
    """What one who reads both lists thinks possible: so many more than before, and no more left than were."""
    return {(left + net, left) for left in range(had + 1) if left + net >= 0}


def consistent(pairs: set[Pair], entered: int | None, left: int | None) -> set[Pair]:
    """What remains possible to one who knows the rule and sees the answer."""
    if entered is not None or left is not None:
        return {pair for pair in pairs if pair == (entered, left)}
    return {pair for pair in pairs if min(pair) < LEAST_SHOWN}


@retried(1000)
@given(COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)
def test_an_answer_tells_no_small_count_that_the_lists_do_not_tell(
    good_in: int, bad_in: int, good_out: int, bad_out: int, good_kept: int, bad_kept: int
) -> None:
    shown = exchange(row(good_in, bad_in), row(good_out, bad_out))
    assert shown.left is not None
    for entered, left, had, entered_shown, left_shown in (
        (good_in, good_out, good_kept + good_out, shown.entered.good, shown.left.good),
        (bad_in, bad_out, bad_kept + bad_out, shown.entered.bad, shown.left.bad),
    ):
        before = possible(entered - left, had)
        after = consistent(before, entered_shown, left_shown)
        assert (entered, left) in after
        for place, count in enumerate((entered, left)):
            if 0 < count < LEAST_SHOWN and len({pair[place] for pair in before}) > 1:
                assert len({pair[place] for pair in after}) > 1, (before, after)


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_a_total_is_shown_beside_all_its_parts_or_not_at_all(
    good_in: int, bad_in: int, good_out: int, bad_out: int
) -> None:
    found = exchange(row(good_in, bad_in), row(good_out, bad_out))
    assert found.left is not None
    for side in (found.entered, found.left):
        numbers = [each for each in (side.ratings, side.good, side.bad) if each is not None]
        assert all(number >= LEAST_SHOWN for number in numbers)
        assert (side.ratings is None) == (side.good is None or side.bad is None)
        assert (side.mean_weight is None) == (side.ratings is None)
    for one, other in pairwise((found.entered, found.left)):
        assert (one.good is None, one.bad is None) == (other.good is None, other.bad is None)


def test_large_groups_are_shown_with_their_mean_weight() -> None:
    found = exchange(row(30, 10), row(20, 5))
    assert found.entered == (40, 30, 10, 0.85)
    assert found.left == (25, 20, 5, 0.88)
    assert not found.hides


def test_a_period_loses_nothing() -> None:
    assert exchange(row(30, 10), None).left is None
    assert exchange(row(30, 4), None).entered == (None, 30, None, None)
    assert hidden_exchange(can_leave=False).left is None
    assert hidden_exchange(can_leave=True).hides


@given(st.lists(st.integers(0, 20), min_size=1, max_size=30))
def test_one_small_day_hides_all_days(counts: list[int]) -> None:
    assert shown_by_day(counts) == (not set(counts) & {1, 2, 3, 4})
