import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.bulletins.small_groups import column, part, shown
from tests.support.properties import examples

K = 5


@pytest.mark.parametrize(("count", "said"), [(0, 0), (1, None), (4, None), (5, 5), (900, 900)])
def test_fewer_than_five_people_are_not_counted_and_nobody_is_no_group(count: int, said: int | None) -> None:
    assert shown(count, K) == said


@pytest.mark.parametrize(
    ("count", "whole", "said"),
    [(10, 20, 10), (20, 20, 20), (0, 20, 0), (3, 20, None), (17, 20, None), (2, 3, None), (0, 0, 0)],
)
def test_a_part_is_hidden_where_it_or_the_rest_is_small(count: int, whole: int, said: int | None) -> None:
    assert part(count, whole, K) == said


def test_of_one_small_count_beside_the_sum_another_is_hidden_too() -> None:
    assert column([30, 3, 9, 12], K) == (30, None, None, 12)
    assert column([30, 3, 2, 12], K) == (30, None, None, 12)
    assert column([30, 0, 9], K) == (30, 0, 9)


@given(st.lists(st.integers(0, 60), max_size=8))
@examples(100)
def test_whoever_knows_the_sum_finds_no_small_group_out(counts: list[int]) -> None:
    said = column(counts, K)
    hidden = [count for count, each in zip(counts, said, strict=True) if each is None]
    assert all(each is None or each == 0 or each >= K for each in said)
    # One alone is sum less shown; it stays only where all others are nobody.
    if len(hidden) == 1:
        assert sum(counts) == hidden[0]
