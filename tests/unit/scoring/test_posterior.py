import math
from fractions import Fraction

import numpy as np
import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.domain.posterior import BELOW, EXCELLENT, UNDECIDED, estimate_prior, posterior
from shared.rules.pack import Bands, Prior
from tests.unit.scoring import oracle

PRIOR = Prior(mu=0.85, strength=20.0, rho_min=1e-4, rho_max=0.5, min_group=20)
BANDS = Bands(excellent_line=0.85, probability=0.90)
UNITS = st.lists(
    st.integers(0, 400_000).flatmap(lambda weight: st.tuples(st.just(weight), st.integers(0, weight))),
    max_size=40,
)


def table(units: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    weight, good = zip(*units, strict=True) if units else ((), ())
    return np.array(weight, dtype=np.int64), np.array(good, dtype=np.int64)


@given(UNITS)
def test_the_prior_is_the_exact_formula(units: list[tuple[int, int]]) -> None:
    found = estimate_prior(*table(units), PRIOR)
    exact = oracle.prior(units)
    if exact is None:
        assert found.fallback is not None
        assert (found.mu, found.strength) == (0.85, 20.0)
        return
    mu, rho = exact
    clamped = min(max(rho, Fraction(1, 10_000)), Fraction(1, 2))
    assert found.fallback is None
    assert found.mu == pytest.approx(
        float(min(max(mu, Fraction(1, 1000)), Fraction(999, 1000))), abs=0.000501
    )
    assert found.strength == pytest.approx(float(1 / clamped - 1), abs=0.0501)
    assert (found.mu, found.strength) == (round(found.mu, 3), round(found.strength, 1))
    assert 0 < found.mu < 1


@given(UNITS.filter(bool), st.data())
def test_the_prior_does_not_depend_on_the_order_of_the_units(
    units: list[tuple[int, int]], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(units))
    assert estimate_prior(*table(units), PRIOR) == estimate_prior(*table(shuffled), PRIOR)


@pytest.mark.parametrize(
    ("units", "why"),
    [
        ([], "fewer than two"),
        ([(5000, 4000), (0, 0)], "fewer than two"),
        ([(5000, 5000), (3000, 3000)], "all ratings good"),
        ([(5000, 0), (3000, 0)], "no rating good"),
        ([(1000, 1000), (1000, 0)], "zero denominator"),
    ],
)
def test_a_group_that_gives_no_prior_takes_the_rule_packs_and_says_why(
    units: list[tuple[int, int]], why: str
) -> None:
    found = estimate_prior(*table(units), PRIOR)
    assert (found.mu, found.strength) == (0.85, 20.0)
    assert found.fallback is not None
    assert why in found.fallback


def test_units_that_do_not_differ_more_than_chance_get_the_strongest_prior() -> None:
    found = estimate_prior(*table([(50_000, 45_000)] * 30), PRIOR)
    assert found.strength == pytest.approx(1 / 1e-4 - 1)


@given(st.integers(0, 300_000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_score_interval_and_band_are_those_of_an_independent_beta(unit: tuple[int, int]) -> None:
    mu, strength = 0.83, 17.5
    found = posterior(*table([unit]), np.array([mu]), np.array([strength]), BANDS)
    alpha = mu * strength + unit[1] / 1000
    beta = (1 - mu) * strength + (unit[0] - unit[1]) / 1000
    assert found.score[0] == pytest.approx(100 * alpha / (alpha + beta), abs=6e-5)
    assert found.low[0] == pytest.approx(100 * scipy.stats.beta.ppf(0.05, alpha, beta), abs=1e-3)
    assert found.high[0] == pytest.approx(100 * scipy.stats.beta.ppf(0.95, alpha, beta), abs=1e-3)
    above = scipy.stats.beta.sf(0.85, alpha, beta)
    if not math.isclose(above, 0.9, abs_tol=1e-6) and not math.isclose(above, 0.1, abs_tol=1e-6):
        expected = EXCELLENT if above > 0.9 else BELOW if above < 0.1 else UNDECIDED
        assert found.bands == [expected]
    assert found.low[0] <= found.score[0] <= found.high[0]


def test_few_ratings_stay_near_the_prior_and_many_speak_for_themselves() -> None:
    units = [(1000, 1000), (10_000, 10_000), (1_000_000, 1_000_000)]
    found = posterior(*table(units), np.full(3, 0.8), np.full(3, 20.0), BANDS)
    assert found.score.tolist() == sorted(found.score.tolist())
    assert found.score[0] == pytest.approx(100 * 17 / 21, abs=1e-4)
    assert found.score[2] > 99.5
    assert found.bands == [UNDECIDED, UNDECIDED, EXCELLENT]


def binomial_tail(alpha: int, beta: int, share: Fraction) -> Fraction:
    """P(theta <= share) of Beta(alpha, beta) with whole parameters: a sum of binomial probabilities."""
    trials = alpha + beta - 1
    return sum(
        (
            math.comb(trials, hits) * share**hits * (1 - share) ** (trials - hits)
            for hits in range(alpha, trials + 1)
        ),
        Fraction(0),
    )


@given(st.integers(0, 60), st.integers(0, 60))
def test_interval_and_band_are_those_of_exact_binomial_sums(good: int, bad: int) -> None:
    # Half of two ratings good: the posterior is Beta(1 + good, 1 + bad).
    found = posterior(*table([((good + bad) * 1000, good * 1000)]), np.array([0.5]), np.array([2.0]), BANDS)
    for shown, tail in ((found.low[0], Fraction(1, 20)), (found.high[0], Fraction(19, 20))):
        end, half = Fraction(str(shown)) / 100, Fraction(51, 10**8)
        assert binomial_tail(1 + good, 1 + bad, max(end - half, Fraction(0))) <= tail
        assert binomial_tail(1 + good, 1 + bad, min(end + half, Fraction(1))) >= tail
    above = 1 - binomial_tail(1 + good, 1 + bad, Fraction(17, 20))
    band = EXCELLENT if above >= Fraction(9, 10) else BELOW if above <= Fraction(1, 10) else UNDECIDED
    assert found.bands == [band]


@pytest.mark.parametrize(
    ("units", "mu", "strength"),
    [
        ([(900_000, 900_000), (900_000, 899_900)], 0.999, 9999.0),  # rounding must not make it certain
        ([(900_000, 0), (900_000, 100)], 0.001, 9999.0),
        ([(90_000, 90_000), (90_000, 0)], 0.5, 1.0),
    ],
)
def test_a_prior_is_rounded_and_never_certain(
    units: list[tuple[int, int]], mu: float, strength: float
) -> None:
    found = estimate_prior(*table(units), PRIOR)
    assert (found.mu, found.strength) == (mu, strength)


def test_the_rule_packs_prior_is_rounded_like_any_other() -> None:
    rules = Prior(mu=0.84567, strength=20.06, rho_min=1e-4, rho_max=0.5, min_group=20)
    found = estimate_prior(*table([]), rules)
    assert (found.mu, found.strength) == (0.846, 20.1)
