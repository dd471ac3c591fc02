import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from random import Random
from typing import Any

import numpy as np
import pytest

from services.scoring.domain.buckets import WIDTH, Column, IntTable
from services.scoring.domain.lists import (
    RANKED,
    SUPPRESSED,
    UNRANKED,
    ListKey,
    RankedList,
    Row,
    canonical_json,
    changed_rows,
    list_hash,
    row_json,
    unranked_json,
)
from services.scoring.domain.posterior import estimate_prior
from services.scoring.domain.ranking import Ranker
from services.scoring.domain.roster import Roster
from services.scoring.domain.spans import Rolling, Span, periods_of
from shared.kernel.errors import InvalidValueError
from shared.kernel.grades import Level, Source
from shared.kernel.units import UnitRegistry, load_units
from shared.rules import load_pack

DAY = date(2026, 11, 20)
UNITS = load_units()
RULES = load_pack(None, DAY)
INDEX: dict[str, int] = {unit.unit_id: place for place, unit in enumerate(UNITS)}


def ranker(registry: UnitRegistry = UNITS) -> Ranker:
    return Ranker(Roster(registry, RULES.kinds, DAY, min_group=RULES.prior.min_group), RULES)


def table(rows: Mapping[Any, tuple[int, int]], weight_milli: int = 1000) -> IntTable:
    """Statistics with (ratings, good ratings) of some units."""
    made = np.zeros((len(UNITS), WIDTH), dtype=np.int64)
    for unit_id, (ratings, good) in rows.items():
        row = made[INDEX[unit_id]]
        row[Column.RATINGS] = ratings
        row[Column.GRADE_5], row[Column.GRADE_1] = good, ratings - good
        row[Column.PROVEN], row[Column.PROVEN_GOOD] = ratings * weight_milli, good * weight_milli
    return made


def random_table(seed: int) -> IntTable:
    random = Random(seed)
    rows = {}
    for unit in UNITS:
        ratings = random.choice((0, 0, 5, 9, 10, 20, 29, 30, 60, 200))
        rows[unit.unit_id] = (ratings, sum(random.random() < 0.8 for _ in range(ratings)))
    return table(rows)


MARRIAGE = UNITS.by_level(Level.WINDOW, "marriage")


def without_place(row: Row) -> Row:
    return row._replace(rank=None, rank_low=None, rank_high=None, rank_change=None)


def lists(statistics: IntTable) -> dict[str, RankedList]:
    return ranker().rank({Rolling(30): {Source.PUBLIC: statistics}}, {})


def test_there_is_a_list_for_every_level_kind_and_window_and_every_unit_is_in_it() -> None:
    empty = table({})
    spans: list[Span] = [*map(Rolling, RULES.windows.days), *periods_of(DAY)]
    found = ranker().rank({span: {Source.PUBLIC: empty} for span in spans}, {})
    assert len(found) == 7 * (len(RULES.kinds) + 4)
    assert len(found["window.all.2026-11"].rows) == 1188
    assert len(found["province.all.2026Q4"].rows) == 1
    assert len(found["window.all.7"].rows) == 1188
    assert len(found["window.marriage.365"].rows) == 99
    assert len(found["county.all.30"].rows) == 99
    assert len(found["city.all.90"].rows) == 11
    assert {row.status for each in found.values() for row in each.rows} == {SUPPRESSED}


def test_thresholds_decide_by_the_plain_count_not_by_the_weight() -> None:
    nine, ten, many, thirty = (unit.unit_id for unit in MARRIAGE[:4])
    found = lists(table({nine: (9, 9), ten: (10, 9), many: (29, 20), thirty: (30, 25)}, weight_milli=200))
    rows = {row.unit_id: row for row in found["window.marriage.30"].rows}
    assert [rows[unit].status for unit in (nine, ten, many, thirty)] == [
        SUPPRESSED, UNRANKED, UNRANKED, RANKED,
    ]  # fmt: skip
    assert rows[nine] == Row(nine, UNITS.get(nine).name, SUPPRESSED)
    assert rows[ten].rank is None
    assert rows[ten].score is not None
    assert rows[thirty].rank == 1
    assert (rows[thirty].ratings, rows[thirty].n, rows[thirty].good) == (30, 6.0, 0.833333)


def test_a_list_has_the_ranked_first_then_the_unranked_then_the_suppressed_by_unit_id() -> None:
    for each in lists(random_table(1)).values():
        ranked = [row for row in each.rows if row.status == RANKED]
        assert [row.rank for row in ranked] == list(range(1, len(ranked) + 1))
        keys = [(-(row.score or 0), -(row.n or 0), row.unit_id) for row in ranked]
        assert keys == sorted(keys)
        unranked = [row for row in each.rows if row.status == UNRANKED]
        suppressed = [row for row in each.rows if row.status == SUPPRESSED]
        assert list(each.rows) == ranked + unranked + suppressed
        for part in (unranked, suppressed):
            assert [row.unit_id for row in part] == sorted(row.unit_id for row in part)


def test_equal_scores_are_ordered_by_weight_then_by_unit_id() -> None:
    # All good: the prior is the rule pack's, so equal counts give equal scores.
    first, second, third = (unit.unit_id for unit in MARRIAGE[:3])
    found = lists(table({third: (40, 40), first: (40, 40), second: (50, 50)}))["window.marriage.30"]
    assert [row.unit_id for row in found.rows[:3]] == [second, first, third]
    assert found.priors["window.marriage"]["source"] == "rule_pack"
    assert found.priors["window.marriage"]["reason"] == "all ratings good"


def test_a_county_counts_its_windows_and_its_bureau_and_a_city_its_counties_too() -> None:
    county = UNITS.by_level(Level.COUNTY)[0]
    window = UNITS.children(county.unit_id)[0]
    city = UNITS.get(str(county.parent_id))
    rows = {window.unit_id: (20, 20), county.unit_id: (7, 5), city.unit_id: (5, 1)}
    found = lists(table(rows))
    counties = {row.unit_id: row for row in found["county.all.30"].rows}
    cities = {row.unit_id: row for row in found["city.all.30"].rows}
    assert counties[county.unit_id].ratings == 27
    assert cities[city.unit_id].ratings == 32
    assert sum(row.ratings or 0 for row in cities.values()) == 32


def test_a_unit_has_the_same_score_in_every_list_of_its_level() -> None:
    found = lists(random_table(2))
    everywhere = {row.unit_id: without_place(row) for row in found["window.all.30"].rows}
    for kind in RULES.kinds:
        for row in found[f"window.{kind}.30"].rows:
            assert without_place(row) == everywhere[row.unit_id]


def test_the_prior_is_that_of_the_kind_or_of_the_whole_level_where_the_kind_is_small() -> None:
    keep = {unit.unit_id for unit in MARRIAGE[:19]} | {
        unit.unit_id for unit in UNITS if unit.level is not Level.WINDOW or unit.kind == "lottery"
    }
    small = UnitRegistry(unit for unit in UNITS if unit.unit_id in keep)
    random = Random(5)
    statistics = np.zeros((len(small), WIDTH), dtype=np.int64)
    for place, unit in enumerate(small):
        if unit.level is Level.WINDOW:
            good = random.randrange(20, 40)
            statistics[place, [Column.RATINGS, Column.PROVEN, Column.PROVEN_GOOD]] = (40, 40_000, good * 1000)
    found = ranker(small).rank({Rolling(30): {Source.PUBLIC: statistics}}, {})
    marriage, lottery = found["window.marriage.30"], found["window.lottery.30"]
    windows = np.array([unit.level is Level.WINDOW for unit in small])
    weight, good = statistics[windows][:, [Column.PROVEN, Column.PROVEN_GOOD]].T
    whole = estimate_prior(weight, good, RULES.prior)
    assert list(marriage.priors) == ["window.all"]
    assert marriage.priors["window.all"]["mu"] == whole.mu
    assert list(lottery.priors) == ["window.lottery"]
    assert lottery.priors["window.lottery"]["units"] == 99


def test_a_prior_from_a_handful_of_ratings_does_not_show_what_they_said() -> None:
    first, second = (unit.unit_id for unit in MARRIAGE[:2])
    shown = lists(table({first: (3, 1), second: (2, 2)}))["window.marriage.30"].priors["window.marriage"]
    assert (shown["source"], shown["mu"], shown["strength"]) == ("estimated", None, None)


def test_windows_with_equal_statistics_give_equal_rows() -> None:
    statistics = random_table(3)
    found = ranker().rank(
        {
            Rolling(7): {Source.PUBLIC: statistics},
            Rolling(30): {Source.PUBLIC: statistics.copy()},
            Rolling(90): {Source.PUBLIC: random_table(4)},
        },
        {},
    )
    assert found["window.all.7"].rows == found["window.all.30"].rows
    assert found["window.all.7"].hash != found["window.all.30"].hash
    assert found["window.all.90"].rows != found["window.all.30"].rows


def test_items_are_the_canonical_json_of_the_rows() -> None:
    for each in lists(random_table(6)).values():
        assert list(each.items) == [canonical_json(row.document()) for row in each.rows]
        document = json.loads(each.canonical())
        assert canonical_json(document) == each.canonical()
        assert document["head"] == each.head
        assert each.hash == list_hash(each.canonical())


def test_a_row_says_what_weight_is_left_out_where_some_is() -> None:
    plain = Row(
        "U000001", "x", UNRANKED, None, 1.0, 0.5, 2.0, 12, 2.0, 0.5, "below", histogram=(6, 0, 0, 0, 6)
    )
    for row in (plain, plain._replace(left_out=0.4)):
        written = unranked_json(row_json(row._replace(top_two=0.5, index=50.0, composite=1.0), '"x"'))
        assert written == canonical_json(row._replace(top_two=0.5, index=50.0, composite=1.0).document())
        assert (b'"left_out":0.4,"n":2.0' in written) is (row.left_out is not None)


def test_a_name_with_quotes_survives_in_a_row() -> None:
    row = Row(
        "U000001", '引"号\\\0', UNRANKED, None, 1.0, 0.5, 2.0, 12, 12.0, None, "below",
        histogram=(12, 0, 0, 0, 0), top_two=0.0, index=0.0, composite=1.0,
    )  # fmt: skip
    written = row_json(row, canonical_json(row.name).decode())
    assert unranked_json(written) == canonical_json(row.document())


def test_a_hash_depends_on_the_day_the_rules_and_the_rows_only() -> None:
    one = lists(random_table(7))["county.all.30"]
    assert one.hash == lists(random_table(7))["county.all.30"].hash
    assert one.hash != lists(random_table(8))["county.all.30"].hash
    assert one.hash != replace(one, as_of=date(2026, 11, 21)).hash
    assert one.hash != replace(one, rules="sha256:other").hash


def test_a_unit_that_no_longer_exists_is_in_no_list_but_its_ratings_stay_its_countys() -> None:
    gone = UNITS.children(UNITS.by_level(Level.COUNTY)[0].unit_id)[0]
    registry = UnitRegistry(
        replace(unit, valid_to=DAY) if unit.unit_id == gone.unit_id else unit for unit in UNITS
    )
    found = ranker(registry).rank({Rolling(30): {Source.PUBLIC: table({gone.unit_id: (40, 30)})}}, {})
    assert gone.unit_id not in {row.unit_id for row in found["window.all.30"].rows}
    counties = {row.unit_id: row for row in found["county.all.30"].rows}
    assert counties[str(gone.parent_id)].ratings == 40


def test_ratings_without_weight_are_shown_at_the_prior_without_a_share() -> None:
    unit = MARRIAGE[0].unit_id
    row = lists(table({unit: (40, 30)}, weight_milli=0))["window.marriage.30"].rows[0]
    assert (row.unit_id, row.n, row.good, row.score) == (unit, 0.0, None, 85.0)


def test_changed_rows_are_those_that_differ_and_new_suppressed_ones_are_not() -> None:
    shown = Row("U000001", "a", RANKED, 1, 90.0, 80.0, 95.0, 40, 40.0, 0.9, "excellent")
    hidden = Row("U000002", "b", SUPPRESSED)
    assert changed_rows([shown, hidden], None) == [0]
    assert changed_rows([shown, hidden], [shown, hidden]) == []
    assert changed_rows([hidden, shown._replace(rank=2)], [shown, hidden]) == [1]
    assert changed_rows([Row("U000001", "a", SUPPRESSED)], [shown]) == [0]


@pytest.mark.parametrize(
    "text",
    [
        "window.marriage.30",
        "county.all.7",
        "city.all.365",
        "city.all.2026Q4",
        "window.all.2026-02",
        "county.all.2026",
    ],
)
def test_a_list_key_is_read_as_it_is_written(text: str) -> None:
    assert str(ListKey.parse(text)) == text


@pytest.mark.parametrize("text", ["", "window.30", "street.all.30", "window..30", "a.b.c.d"])
def test_a_malformed_list_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError, match=r"window\.marriage\.30"):
        ListKey.parse(text)


@pytest.mark.parametrize("text", ["window.all.x", "window.all.007", "city.all.2026Q5", "city.all.2026-13"])
def test_a_list_key_with_a_malformed_span_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError, match="2026Q4"):
        ListKey.parse(text)
