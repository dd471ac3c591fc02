"""Rank intervals against draws of the true posteriors, and what must hold for any input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtr

from services.scoring.domain import rank_intervals as module
from services.scoring.domain.rank_intervals import RankIntervals, chances, rank_intervals
from tests.support.properties import retried

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

DRAWS = 20_000
PARALLEL = 500

# Median weight, least weight, prior mean and strength.
GROUPS = {
    "windows": (40, 30, 0.85, 15.0),
    "weak ratings": (8, 6, 0.85, 15.0),
    "large bureaus": (2000, 30, 0.85, 60.0),
    "much to complain about": (30, 30, 0.3, 3.0),
    "nearly all good": (30, 30, 0.95, 8.0),
}


def posteriors(units: int, group: str) -> tuple[Floats, Floats]:
    """Alpha and beta of a made-up peer group."""
    median, least, mu, strength = GROUPS[group]
    random = np.random.default_rng([units, *group.encode()])
    n = np.maximum(least, random.lognormal(np.log(median), 0.8, units)).astype(int)
    k = random.binomial(n, random.beta(mu * strength, (1 - mu) * strength, units))
    return np.asarray(mu * strength + k), np.asarray((1 - mu) * strength + n - k)


def published(alpha: Floats, beta: Floats) -> tuple[Floats, Floats]:
    """The 90 % intervals as rows show them."""
    low, high = (np.asarray(betaincinv(alpha, beta, end), dtype=np.float64) for end in (0.05, 0.95))
    return np.round(100 * low, 4), np.round(100 * high, 4)


def drawn(alpha: Floats, beta: Floats) -> tuple[Integers, Integers]:
    """5 % and 95 % quantiles of the ranks in `DRAWS` seeded draws."""
    random = np.random.default_rng(7)
    ranks = np.empty((DRAWS, len(alpha)), dtype=np.int16)
    for first in range(0, DRAWS, PARALLEL):
        shares = random.beta(alpha, beta, size=(PARALLEL, len(alpha)))
        order = np.argsort(-shares, axis=1)
        np.put_along_axis(
            ranks[first : first + PARALLEL], order, np.arange(1, len(alpha) + 1, dtype=np.int16), axis=1
        )
    ranks.sort(axis=0)
    return ranks[DRAWS // 20 - 1].astype(np.int64), ranks[DRAWS - DRAWS // 20 - 1].astype(np.int64)


@pytest.mark.parametrize(
    ("units", "group"),
    [(units, group) for units in (3, 20, 99) for group in GROUPS]
    + [(1188, "windows"), (1188, "weak ratings"), (1188, "nearly all good")],
)
def test_the_closed_form_is_what_draws_of_the_posteriors_give(units: int, group: str) -> None:
    alpha, beta = posteriors(units, group)
    errors = np.abs(np.subtract(rank_intervals(*published(alpha, beta)), drawn(alpha, beta)))
    assert errors.max() <= (0.03 if group == "nearly all good" else 0.02) * units + 1
    assert errors.mean() <= 0.005 * units + 0.3


def test_equal_units_could_stand_anywhere() -> None:
    low, high = rank_intervals(np.full(99, 80.0), np.full(99, 90.0))
    assert set(low.tolist()) <= {5, 6}
    assert set(high.tolist()) <= {94, 95}


def test_one_unit_is_the_first_and_no_unit_is_nowhere() -> None:
    for ends in ((0.0, 100.0), (100.0, 100.0), (0.0, 0.0), (50.0, 60.0)):
        found = rank_intervals(np.array(ends[:1]), np.array(ends[1:]))
        assert [each.tolist() for each in found] == [[1], [1]]
    assert [each.tolist() for each in rank_intervals(np.zeros(0), np.zeros(0))] == [[], []]


def test_units_that_are_far_apart_have_one_rank_each_also_at_the_ends_of_the_scale() -> None:
    low = np.array([0.0, 100.0, 50.0, 99.9999, 20.0])
    high = np.array([0.0001, 100.0, 50.1, 99.9999, 20.1])
    for found in rank_intervals(low, high):
        assert found.tolist() == [5, 1, 3, 2, 4]


def test_an_unsure_unit_has_a_wide_interval_and_a_sure_one_a_narrow_one() -> None:
    low, high = np.linspace(60, 88, 50), np.linspace(62, 90, 50)
    low[25], high[25] = 55.0, 95.0
    best, worst = rank_intervals(low, high)
    assert worst[25] - best[25] > 40
    assert max(worst[:25] - best[:25]) < 10


points = st.tuples(st.floats(0, 100), st.floats(0, 100)).map(sorted)
many_points = st.lists(points, min_size=1, max_size=40)


def columns(intervals: list[list[float]]) -> tuple[Floats, Floats]:
    table = np.array(intervals, dtype=np.float64)
    return table[:, 0].copy(), table[:, 1].copy()


@given(many_points)
def test_a_rank_interval_lies_within_the_list(intervals: list[list[float]]) -> None:
    best, worst = rank_intervals(*columns(intervals))
    assert (best >= 1).all()
    assert (best <= worst).all()
    assert (worst <= len(intervals)).all()


@given(many_points, st.data())
def test_the_order_of_the_units_does_not_matter(intervals: list[list[float]], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(intervals))))
    low, high = columns(intervals)
    for found, shuffled in zip(
        rank_intervals(low, high), rank_intervals(low[order], high[order]), strict=True
    ):
        assert found[order].tolist() == shuffled.tolist()


@retried(200)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_what_is_remembered_does_not_show(seed: int, units: int) -> None:
    random = np.random.default_rng(seed)
    remembering = RankIntervals()
    low = np.round(random.uniform(40, 95, units), 4)
    high = np.round(low + random.uniform(0, 5, units), 4)
    ranked = random.random(units) < 0.8
    for _ in range(6):
        found = remembering.of(low, high, ranked)
        expected = RankIntervals().of(low, high, ranked)
        among_the_ranked = rank_intervals(low[ranked], high[ranked])
        for one, other, alone in zip(found, expected, among_the_ranked, strict=True):
            assert one.tolist() == other.tolist()
            assert one[ranked].tolist() == alone.tolist()
            assert not one[~ranked].any()
        for place in random.integers(0, units, random.integers(0, 4)):
            low[place] = round(random.uniform(0, 99), 4)
            high[place] = round(random.uniform(low[place], 100), 4)
            ranked[place] = random.random() < 0.8
        place = random.integers(0, units)
        ranked[place] = not ranked[place]  # and nothing else


@pytest.mark.parametrize("group", GROUPS)
def test_one_unit_that_moves_has_few_others_looked_at_and_none_too_few(
    group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = 0

    def noted(far: Floats, out: Floats | None = None) -> Floats:
        nonlocal work
        work += far.size
        return np.asarray(ndtr(far, out=out))

    monkeypatch.setattr(module, "ndtr", noted)
    units, steps, random = 300, 60, np.random.default_rng(len(group))
    alpha, beta = posteriors(units, group)
    ranked = np.ones(units, dtype=bool)
    remembering, known = RankIntervals(), rank_intervals(*published(alpha, beta))
    remembering.of(*published(alpha, beta), ranked)
    spent, changed = 0, 0
    for _ in range(steps):
        (alpha if random.random() < 0.85 else beta)[random.integers(units)] += 1
        before = work
        found = remembering.of(*published(alpha, beta), ranked)
        spent += work - before
        expected = rank_intervals(*published(alpha, beta))
        assert [each.tolist() for each in found] == [each.tolist() for each in expected]
        changed += int(np.count_nonzero(np.not_equal(found, known).any(axis=0)))
        known = found
    assert changed > steps
    assert spent < steps * units * 40, "with one look at each it is more than 60 chances for each"


@retried(100)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.sampled_from((1e-4, 1e-2, 0.5)))
def test_many_small_moves_add_up(seed: int, units: int, most: float) -> None:
    """Also where units are so few, or so far apart, that one rank is all the difference there is."""
    random = np.random.default_rng(seed)
    remembering = RankIntervals()
    low = np.round(random.uniform(0, 95, units), 4)
    high = np.round(low + random.uniform(0, 5, units), 4)
    ranked = np.ones(units, dtype=bool)
    for _ in range(12):
        found = remembering.of(low, high, ranked)
        for one, fresh in zip(found, rank_intervals(low, high), strict=True):
            assert one.tolist() == fresh.tolist()
        place = random.integers(units)
        low[place] = np.clip(round(low[place] + random.uniform(-most, most), 4), 0, 100)
        high[place] = np.clip(round(high[place] + random.uniform(-most, most), 4), low[place], 100)


@given(st.lists(st.floats(-40, 40), min_size=1, max_size=200))
def test_certain_chances_need_not_be_computed(far: list[float]) -> None:
    every = np.array(far)[np.newaxis]
    mostly_certain = np.concatenate((every, np.full((3, every.size), 30.0)))
    for points in (every, mostly_certain):
        expected = np.rint(ndtr(points) * (1 << 30)).astype(np.int64)
        assert np.array_equal(np.rint(chances(points) * (1 << 30)), expected)
