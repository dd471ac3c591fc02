"""The probability in a surge's text, held against scipy."""

import pytest
import scipy
from hypothesis import given, settings
from hypothesis import strategies as st

from services.notify.domain.chance import upper_tail, usual


@settings(max_examples=80, deadline=None)
@given(count=st.integers(1, 200), mean=st.floats(0.02, 50.0), extra=st.just(0.0) | st.floats(1e-3, 3.0))
def test_the_tail_is_that_of_the_negative_binomial_or_of_poisson(
    count: int, mean: float, extra: float
) -> None:
    variance = mean + extra * mean * mean
    if variance <= mean * (1 + 1e-9):
        expected = float(scipy.stats.poisson.sf(count - 1, mean))
    else:
        shape = mean * mean / (variance - mean)
        expected = float(scipy.stats.nbinom.sf(count - 1, shape, shape / (shape + mean)))
    assert upper_tail(count, mean, variance) == pytest.approx(expected, rel=1e-6, abs=1e-250)


def test_nothing_at_all_is_certain_to_be_reached() -> None:
    assert upper_tail(0, 3.0, 3.0) == 1.0


def test_days_that_are_alike_are_poisson_and_days_in_clusters_are_wider() -> None:
    mean, variance = usual([2] * 28, 1.0)
    assert mean == pytest.approx(56.5 / 28)
    assert variance == pytest.approx(mean)
    clustered, wide = usual([0] * 26 + [28, 28], 1.0)
    assert clustered == pytest.approx(56.5 / 28)
    assert wide > 10 * clustered
    assert upper_tail(12, clustered, wide) > 1000 * upper_tail(12, mean, variance)


def test_a_place_where_nothing_ever_happened_is_not_certain_of_peace() -> None:
    mean, _ = usual([0] * 28, 1.0)
    assert mean == pytest.approx(0.5 / 28)
