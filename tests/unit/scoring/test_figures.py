"""Rows against exact fractions, worked out by code that shares nothing with the service."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.domain.buckets import WIDTH, Column, IntTable
from services.scoring.domain.figures import composites
from services.scoring.domain.lists import RANKED, RankedList, Row
from services.scoring.domain.outcomes import OUTCOME_WIDTH, OutcomeTable
from services.scoring.domain.ranking import Ranker
from services.scoring.domain.roster import Roster
from services.scoring.domain.spans import Rolling, Span
from services.scoring.domain.unproven import WEIGHED_WIDTH, Weighed
from shared.kernel.grades import Dimension, Level, Source
from shared.rules import RulePack, load_pack
from shared.rules.pack import Composite
from tests.support.properties import retried
from tests.unit.scoring.list_oracle import weighed
from tests.unit.scoring.tables import add_ratings, random_statistics, small_province

DAY = date(2026, 11, 20)
RULES = load_pack(None, DAY)
UNITS = small_province()
EVERYBODY = tuple(UNITS)
PLACE: dict[str, int] = {unit.unit_id: place for place, unit in enumerate(EVERYBODY)}
SPAN: Span = Rolling(30)


def rank(
    statistics: Mapping[Source, IntTable],
    before: Mapping[Source, IntTable] | None = None,
    outcomes: OutcomeTable | None = None,
    rules: RulePack = RULES,
) -> dict[str, RankedList]:
    roster = Roster(UNITS, rules.kinds, DAY, min_group=rules.prior.min_group)
    cases = {} if outcomes is None else {SPAN: outcomes}
    return Ranker(roster, rules).rank({SPAN: statistics}, {SPAN: before or {}}, cases)


def half_up(value: Fraction, decimals: int) -> float:
    return float(Fraction(math.floor(value * 10**decimals + Fraction(1, 2)), 10**decimals))


def subtree_sum(table: IntTable, unit_id: str) -> list[int]:
    total = [0] * WEIGHED_WIDTH
    for unit in UNITS.subtree(unit_id):
        own = weighed(table[PLACE[unit.unit_id]].tolist(), RULES)
        total = [one + other for one, other in zip(total, own, strict=True)]
    return total


def index_of(row: Sequence[int]) -> Fraction:
    return Fraction(25 * sum((grade - 1) * row[grade] for grade in range(1, 6)), row[0])


@retried(25)
@given(st.integers(0, 2**32 - 1))
def test_the_figures_of_a_row_are_exact_fractions_rounded_half_up(seed: int) -> None:
    random = Random(seed)
    public, social = (random_statistics(EVERYBODY, random) for _ in range(2))
    for found in rank({Source.PUBLIC: public, Source.SOCIAL: social}).values():
        for row in found.rows:
            counts = subtree_sum(public, row.unit_id)
            if counts[0] < 10:
                assert row == Row(row.unit_id, row.name, "suppressed")
                continue
            assert row.ratings == counts[0]
            assert row.histogram == tuple(counts[1:6])
            assert row.n == float(Fraction(counts[6], 1000))
            assert row.good == half_up(Fraction(counts[7], counts[6]), 6)
            assert row.left_out == (float(Fraction(counts[8], 1000)) or None)
            group = f"{found.key.level}.{UNITS.get(row.unit_id).kind}"
            prior = found.priors[group if group in found.priors else f"{found.key.level}.all"]
            mu, strength = Fraction(str(prior["mu"])), Fraction(str(prior["strength"]))
            posterior_mean = (mu * strength + Fraction(counts[7], 1000)) / (
                strength + Fraction(counts[6], 1000)
            )
            assert row.score == half_up(100 * posterior_mean, 4)
            assert row.top_two == half_up(Fraction(counts[4] + counts[5], counts[0]), 6)
            assert row.index == half_up(index_of(counts), 4)
            assert row.composite == row.score
            assert row.dimensions == expected_dimensions(counts)
            theirs = subtree_sum(social, row.unit_id)
            expected = (
                {"social": {"ratings": theirs[0], "index": half_up(index_of(theirs), 4)}}
                if (theirs[0] >= 10)
                else None
            )
            assert row.sources == expected


def expected_dimensions(counts: Sequence[int]) -> dict[str, float] | None:
    found = {}
    for number, name in enumerate(("service", "efficiency", "quality", "conduct", "image")):
        count, total = counts[9 + 2 * number], counts[10 + 2 * number]
        if count >= 10:
            found[name] = half_up(Fraction(total, count), 3)
    return found or None


def test_the_columns_of_the_dimensions_are_in_the_order_of_the_dimensions() -> None:
    assert [str(each) for each in Dimension] == ["service", "efficiency", "quality", "conduct", "image"]
    assert (Column.DIMENSIONS, WIDTH) == (13, 23)
    assert (Weighed.DIMENSIONS, WEIGHED_WIDTH) == (9, 19)


@retried(25)
@given(st.integers(0, 2**32 - 1))
def test_ranks_follow_score_then_n_then_unit_id(seed: int) -> None:
    random = Random(seed)
    table = np.zeros((len(EVERYBODY), WIDTH), dtype=np.int64)
    for place in range(len(EVERYBODY)):
        # Few different values, so that scores and weights tie often.
        count = random.choice((30, 30, 31))
        add_ratings(table, place, [5] * random.choice((20, count)), random.choice((1000, 800)))
        add_ratings(table, place, [1] * (count - int(table[place, 0])), 1000)
    for found in rank({Source.PUBLIC: table}).values():
        ranked = [row for row in found.rows if row.status == RANKED]
        keys = [(-(row.score or 0.0), -(row.n or 0.0), row.unit_id) for row in ranked]
        assert keys == sorted(keys)
        assert [row.rank for row in ranked] == list(range(1, len(ranked) + 1))
        for row in ranked:
            assert row.rank_low is not None
            assert row.rank_high is not None
            assert row.rank is not None
            assert 1 <= row.rank_low <= row.rank <= row.rank_high <= len(ranked)


@retried(25)
@given(st.integers(0, 2**32 - 1))
def test_a_rank_change_is_the_rank_before_less_the_rank_now(seed: int) -> None:
    random = Random(seed)
    now, then = (random_statistics(EVERYBODY, random) for _ in range(2))
    before = rank({Source.PUBLIC: then})
    for key, found in rank({Source.PUBLIC: now}, {Source.PUBLIC: then}).items():
        ranks_then = {row.unit_id: row.rank for row in before[key].rows}
        for row in found.rows:
            was = ranks_then[row.unit_id]
            known = row.rank is not None and was is not None
            assert row.rank_change == ((was or 0) - (row.rank or 0) if known else None)


def test_a_score_can_be_computed_again_from_what_a_list_shows() -> None:
    found = rank({Source.PUBLIC: random_statistics(EVERYBODY, Random(5))})["window.marriage.30"]
    (prior,) = found.priors.values()
    mu, strength = Fraction(str(prior["mu"])), Fraction(str(prior["strength"]))
    ranked = [row for row in found.rows if row.status == RANKED]
    assert ranked
    for row in ranked:
        n, good = Fraction(str(row.n)), Fraction(str(row.good))
        assert row.score == pytest.approx(float(100 * (mu * strength + n * good) / (strength + n)), abs=2e-4)


def test_a_composite_weighs_the_parts_that_there_are() -> None:
    weights = Composite(0.5, 0.2, 0.05, 0.05, 0.1, 0.1)
    rules = replace(RULES, composite=weights)
    public, social, spot = (np.zeros((len(EVERYBODY), WIDTH), dtype=np.int64) for _ in range(3))
    window = next(unit for unit in EVERYBODY if unit.level is Level.WINDOW)
    place = PLACE[window.unit_id]
    add_ratings(public, place, [5] * 30 + [1] * 10, 1000)
    add_ratings(social, place, [4] * 10, 1000)
    add_ratings(spot, place, [2] * 9, 1000)  # too few to be shown, so too few to count
    statistics = {Source.PUBLIC: public, Source.SOCIAL: social, Source.SPOT_CHECK: spot}
    key = f"window.{window.kind}.30"
    row = rank(statistics, rules=rules)[key].rows[0]
    assert row.score is not None
    score = Fraction(str(row.score))
    assert row.sources == {"social": {"ratings": 10, "index": 75.0}}
    assert row.composite == pytest.approx(float((5 * score + 1 * 75) / 6), abs=5.1e-5)
    cases = np.zeros((len(EVERYBODY), OUTCOME_WIDTH), dtype=np.int64)
    cases[place] = (10, 0, 10, 0, 10)
    row = rank(statistics, None, cases, rules)[key].rows[0]
    assert row.rectification == 25  # five prior cases at 75, ten at 0
    assert row.composite == pytest.approx(float((5 * score + 2 * 25 + 1 * 75) / 8), abs=5.1e-5)
    assert rank(statistics, rules=rules)[key].head["composite_weights"] == {
        "public": 0.5, "rectification": 0.2, "self": 0.05, "mutual": 0.05, "spot_check": 0.1, "social": 0.1,
    }  # fmt: skip


weights = st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.7, 1.0])
values = st.one_of(st.none(), st.decimals(0, 100, places=4).map(float))


@given(st.lists(st.tuples(weights, values), min_size=1, max_size=6))
def test_a_composite_is_the_weighted_mean_in_exact_fractions(parts: list[tuple[float, float | None]]) -> None:
    names = [f"part {number}" for number in range(len(parts))]
    found = composites(
        {name: weight for name, (weight, _) in zip(names, parts, strict=True)},
        {
            name: np.array([np.nan if value is None else value])
            for name, (_, value) in zip(names, parts, strict=True)
        },
    )
    there = [(Fraction(str(weight)), Fraction(str(value))) for weight, value in parts if value is not None]
    divisor = sum((weight for weight, _ in there), Fraction(0))
    if not divisor:
        assert found == [None]
    else:
        exact = sum((weight * value for weight, value in there), Fraction(0)) / divisor
        assert found == [pytest.approx(float(exact), abs=5.001e-5)]


def test_the_ends_of_a_list_never_overlap_and_name_ranked_units_only() -> None:
    table = np.zeros((len(EVERYBODY), WIDTH), dtype=np.int64)
    kind = [unit for unit in EVERYBODY if unit.kind == "marriage"]
    heads: list[dict[str, Any]] = []
    for count in range(16):
        if count:
            add_ratings(table, PLACE[kind[count].unit_id], [5] * 30 + [1] * count, 1000)
        heads.append(rank({Source.PUBLIC: table})["window.marriage.30"].head)
    assert [(len(head["top"]), len(head["bottom"])) for head in heads] == [
        *((count, 0) for count in range(11)), (10, 1), (10, 2), (10, 3), (10, 3), (10, 3),
    ]  # fmt: skip
    assert heads[-1]["top"] == [unit.unit_id for unit in kind[1:11]]
    assert heads[-1]["bottom"] == [unit.unit_id for unit in kind[13:16]]


def test_the_province_is_one_row_without_a_rank() -> None:
    table = random_statistics(EVERYBODY, Random(3))
    found = rank({Source.PUBLIC: table})["province.all.30"]
    (row,) = found.rows
    assert (row.status, row.rank, row.rank_low) == ("unranked", None, None)
    assert row.ratings == int(table[:, Column.RATINGS].sum())
    assert (found.head["top"], found.head["bottom"]) == ([], [])


@given(
    st.lists(st.integers(1, 5), min_size=10, max_size=60),
    st.sampled_from([10**3, 10**5, 10**7]),
)
def test_large_counts_stay_exact(grades: list[int], times: int) -> None:
    table = np.zeros((len(EVERYBODY), WIDTH), dtype=np.int64)
    window = next(unit for unit in EVERYBODY if unit.level is Level.WINDOW)
    add_ratings(table, PLACE[window.unit_id], grades, 1000)
    table *= times
    row = next(
        row for row in rank({Source.PUBLIC: table})["window.all.30"].rows if row.unit_id == window.unit_id
    )
    counts = [times * grades.count(grade) for grade in range(1, 6)]
    assert row.index == half_up(index_of([sum(counts), *counts]), 4)
    assert row.good == half_up(Fraction(sum(counts[2:]), sum(counts)), 6)
