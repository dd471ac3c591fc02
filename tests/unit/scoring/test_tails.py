"""Tail probabilities against scipy's distributions, brute force and published figures."""

import numpy as np
import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.domain import tails
from services.scoring.domain.tails import Floats, Integers
from tests.support.properties import retried

SMALLEST_LOG = -700.0
"""Beyond it, e to the power of it loses digits and then all of itself."""


def whole(*values: int) -> Integers:
    return np.array(values, dtype=np.int64)


def real(*values: float) -> Floats:
    return np.array(values, dtype=np.float64)


SHARES = st.floats(0.02, 0.98)


@given(st.integers(0, 400), st.floats(0.01, 200))
def test_the_poisson_tail_is_that_of_scipy(at_least: int, mean: float) -> None:
    found = tails.poisson_tail(whole(at_least), real(mean))[0]
    assert found == pytest.approx(scipy.stats.poisson.sf(at_least - 1, mean), rel=1e-8, abs=1e-300)


@given(st.integers(0, 60), st.integers(0, 50), SHARES)
def test_the_binomial_tail_is_that_of_scipy(at_least: int, trials: int, chance: float) -> None:
    found = tails.binomial_tail(whole(at_least), whole(trials), real(chance))[0]
    assert found == pytest.approx(scipy.stats.binom.sf(at_least - 1, trials, chance), rel=1e-8, abs=1e-300)


@given(st.integers(0, 300), st.floats(0.05, 80), st.floats(0.01, 5))
def test_the_negative_binomial_tail_is_that_of_scipy(at_least: int, mean: float, dispersion: float) -> None:
    size = 1 / dispersion
    expected = scipy.stats.nbinom.sf(at_least - 1, size, size / (size + mean))
    found = tails.negative_binomial_tail(whole(at_least), real(mean), real(dispersion))[0]
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-300)


@retried(60)
@given(st.integers(0, 121), st.integers(1, 120), SHARES, st.floats(1, 300))
def test_the_beta_binomial_tail_is_that_of_scipy(at_least: int, trials: int, mu: float, m: float) -> None:
    expected = scipy.stats.betabinom.pmf(np.arange(at_least, trials + 1), trials, mu * m, (1 - mu) * m).sum()
    found = tails.beta_binomial_tail(whole(at_least), whole(trials), real(mu), real(m))[0]
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("mu", [0.5, 0.9])
@pytest.mark.parametrize("strength", [10.0, 400.0])
@pytest.mark.parametrize("share", [0.97, 0.94, 0.6])
def test_beyond_the_exact_limit_the_tail_goes_on_smoothly(mu: float, strength: float, share: float) -> None:
    last, next_ = tails.EXACT_UP_TO, tails.EXACT_UP_TO + 1
    exact, approximate = (
        tails.beta_binomial_tail(whole(round(n * share)), whole(n), real(mu), real(strength))[0]
        for n in (last, next_)
    )
    # In the far tail only the order of magnitude is left, and beyond 1e-9 not that; no line lies there.
    logs = np.log10(np.maximum((exact, approximate), 1e-9))
    assert logs[1] == pytest.approx(logs[0], rel=0.1, abs=0.05)


@given(st.integers(1, 3000), SHARES, st.floats(1, 300))
def test_all_alike_is_the_last_term_of_the_beta_binomial(trials: int, mu: float, strength: float) -> None:
    expected = scipy.stats.betabinom.logpmf(trials, trials, mu * strength, (1 - mu) * strength)
    found = tails.all_alike(whole(trials), real(mu), real(strength))[0]
    if expected < SMALLEST_LOG:
        assert found < 1e-290  # no float tells these apart
    else:
        assert np.log(found) == pytest.approx(expected, rel=1e-8, abs=1e-6)


@given(st.integers(1, 400), st.data(), st.floats(1e-6, 0.2))
def test_the_lower_bound_is_the_share_that_such_a_result_is_just_that_unlikely_for(
    trials: int, data: st.DataObject, probability: float
) -> None:
    part = data.draw(st.integers(1, trials))
    bound = tails.lower_bound(whole(part), whole(trials), probability)[0]
    assert scipy.stats.binom.sf(part - 1, trials, bound) == pytest.approx(probability, rel=1e-6)
    assert tails.lower_bound(whole(0), whole(trials), probability)[0] == 0


def score_test(good: tuple[int, int], trials: tuple[int, int], gap: float) -> float:
    """The same test with the likeliest shares found by search instead of in closed form."""

    def unlikely(p2: float) -> float:
        first = scipy.stats.binom.logpmf(good[0], trials[0], p2 + gap)
        return -float(first + scipy.stats.binom.logpmf(good[1], trials[1], p2))

    bounds = (max(0.0, -gap) + 1e-9, min(1.0, 1 - gap) - 1e-9)
    p2 = scipy.optimize.minimize_scalar(unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
    variance = (p2 + gap) * (1 - p2 - gap) / trials[0] + p2 * (1 - p2) / trials[1]
    return float(scipy.stats.norm.sf((good[0] / trials[0] - good[1] / trials[1] - gap) / np.sqrt(variance)))


@retried(80)
@given(st.integers(20, 300), st.integers(20, 300), st.floats(0.0, 0.4), st.data())
def test_the_score_test_is_the_one_with_shares_found_by_search(
    near: int, far: int, gap: float, data: st.DataObject
) -> None:
    good = data.draw(st.tuples(st.integers(1, near - 1), st.integers(1, far - 1)))
    found = tails.gap_tail((whole(good[0]), whole(good[1])), (whole(near), whole(far)), real(gap))[0]
    assert found == pytest.approx(score_test(good, (near, far), gap), rel=2e-3, abs=1e-9)


@given(st.integers(1, 300), st.integers(1, 300), st.floats(0.0, 0.9), st.data())
def test_the_score_test_always_has_an_answer(near: int, far: int, gap: float, data: st.DataObject) -> None:
    good = data.draw(st.tuples(st.integers(0, near), st.integers(0, far)))
    found = tails.gap_tail((whole(good[0]), whole(good[1])), (whole(near), whole(far)), real(gap))[0]
    assert 0 <= found <= 1
    if good[0] / near - good[1] / far < gap - 1e-9:
        assert found > 0.49


@given(st.floats(0.5, 60), st.floats(1e-9, 0.2))
def test_the_least_unlikely_count_is_the_first_one_beyond_the_limit(mean: float, probability: float) -> None:
    least = int(
        tails.least_unlikely(lambda k: tails.poisson_tail(k, real(mean)), whole(1000), probability)[0]
    )
    assert scipy.stats.poisson.sf(least - 1, mean) <= probability * (1 + 1e-9)
    assert scipy.stats.poisson.sf(least - 2, mean) > probability * (1 - 1e-9)
