"""The peers without the unit itself: against the estimate of the rankings, made anew for each unit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.domain.peers import capped, peers_of
from services.scoring.domain.posterior import MILLI, estimate_prior
from tests.unit.scoring.province import ROSTER, RULES

COUNTIES = ROSTER.levels[1]
SIZE = len(COUNTIES.units)


@given(st.integers(0, 2**32), st.sampled_from([0.5, 0.9, 0.99]), st.integers(0, 40))
def test_each_unit_gets_the_prior_that_its_peers_would_have_without_it(
    seed: int, mu: float, without_ratings: int
) -> None:
    random = np.random.default_rng(seed)
    trials = np.full(SIZE, 40, dtype=np.int64)
    trials[:without_ratings] = 0
    part = random.binomial(trials, random.beta(mu * 20, (1 - mu) * 20, SIZE))
    found = peers_of(COUNTIES, trials, part, RULES.prior)
    for at in (0, SIZE // 2, SIZE - 1):
        others = np.arange(SIZE) != at
        expected = estimate_prior(trials[others] * MILLI, part[others] * MILLI, RULES.prior)
        assert found.known[at] == (expected.fallback is None)
        # A ranking's prior is rounded before it is used, to 3 decimals and to 1.
        assert found.mu[at] == pytest.approx(expected.mu, abs=0.00051)
        assert found.strength[at] == pytest.approx(expected.strength, abs=0.051)
        assert found.units[at] == (trials[others] > 0).sum()


def test_uneven_volumes_give_the_spread_that_the_shares_were_drawn_with() -> None:
    random = np.random.default_rng(1)
    strengths = []
    for _ in range(200):
        trials = np.maximum(1, random.lognormal(4, 1, SIZE)).astype(np.int64)
        part = random.binomial(trials, random.beta(18, 2, SIZE))
        found = peers_of(COUNTIES, trials, part, RULES.prior)
        assert 0.85 < found.mu[0] < 0.95
        strengths.append(1 / (1 + found.strength[0]))
    assert np.mean(strengths) == pytest.approx(1 / 21, rel=0.1)


def test_one_giant_does_not_become_the_standard_of_the_others() -> None:
    random = np.random.default_rng(2)
    trials = np.full(SIZE, 60, dtype=np.int64)
    part = random.binomial(trials, 0.8)
    before = peers_of(COUNTIES, trials, part, RULES.prior)
    trials[0] = part[0] = 331_910
    after = peers_of(COUNTIES, trials, part, RULES.prior)
    assert after.mu[0] == pytest.approx(before.mu[0], abs=1e-9)
    assert after.mu[1] == pytest.approx(before.mu[1], abs=0.01)


def test_peers_without_any_spread_or_ratings_give_no_estimate() -> None:
    trials = np.full(SIZE, 50, dtype=np.int64)
    for part in (trials, np.zeros_like(trials)):
        found = peers_of(COUNTIES, trials, part, RULES.prior)
        assert not found.known.any()
        assert set(found.mu.tolist()) == {RULES.prior.mu}
    assert not peers_of(COUNTIES, np.zeros_like(trials), np.zeros_like(trials), RULES.prior).known.any()


def test_nobody_speaks_for_more_than_the_median_peer() -> None:
    assert capped(np.array([0, 10, 20, 30, 4000])).tolist() == [0, 10, 20, 25, 25]
    assert capped(np.zeros(3, dtype=np.int64)).tolist() == [0, 0, 0]
