"""The cap on unproven ratings: what it leaves of them, against exact fractions."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.domain.buckets import WIDTH, Column, IntTable
from services.scoring.domain.lists import RankedList, Row
from services.scoring.domain.ranking import Ranker
from services.scoring.domain.roster import Roster
from services.scoring.domain.spans import Rolling
from services.scoring.domain.unproven import Weighed, weighed
from shared.kernel.grades import Level, Source
from shared.rules import RulePack, load_pack
from shared.rules.unproven import UnprovenCap
from tests.unit.scoring import list_oracle
from tests.unit.scoring.tables import add_ratings, small_province

DAY = date(2026, 11, 20)
RULES = load_pack(None, DAY)
UNITS = small_province()
EVERYBODY = tuple(UNITS)
PLACE: dict[str, int] = {unit.unit_id: place for place, unit in enumerate(EVERYBODY)}
SPAN = Rolling(30)
MILLI = st.one_of(st.integers(0, 12_000), st.integers(0, 3 * 10**12))
CAPS = st.builds(UnprovenCap, st.one_of(st.none(), st.integers(0, 9_000)), st.integers(0, 2_000))


@st.composite
def rows(draw: st.DrawFn) -> list[int]:
    proven, unproven = draw(MILLI), draw(MILLI)
    weights = [proven, draw(st.integers(0, proven)), unproven, draw(st.integers(0, unproven))]
    return [9, 0, 1, 2, 3, 3, *weights, *range(WIDTH - 10)]


@given(st.lists(rows(), max_size=5), CAPS)
def test_what_counts_is_what_exact_fractions_say(many: list[list[int]], cap: UnprovenCap) -> None:
    table = np.array(many, dtype=np.int64).reshape(-1, WIDTH)
    before = table.copy()
    expected = [list(list_oracle.weighed(row, replace(RULES, unproven=cap))) for row in many]
    assert weighed(table, cap).tolist() == expected
    assert (table == before).all()


@given(rows(), CAPS, st.integers(0, 10**6))
def test_more_unproven_ratings_never_count_for_more_than_the_cap(
    row: list[int], cap: UnprovenCap, more: int
) -> None:
    row[Column.UNPROVEN] += more
    row[Column.UNPROVEN_GOOD] += more
    found = weighed(np.array([row]), cap)[0].tolist()
    counted = found[Weighed.WEIGHT] - row[Column.PROVEN]
    assert counted + found[Weighed.LEFT_OUT] == row[Column.UNPROVEN]
    assert 0 <= found[Weighed.GOOD] - row[Column.PROVEN_GOOD] <= counted
    if cap.floor_milli is not None:
        assert counted <= max(cap.floor_milli, cap.share_milli * row[Column.PROVEN] // 1000)


def statistics() -> IntTable:
    """40 proven ratings of every unit; units differ."""
    table = np.zeros((len(EVERYBODY), WIDTH), dtype=np.int64)
    for place in range(len(EVERYBODY)):
        good = 28 + 5 * place % 13
        add_ratings(table, place, [5] * good + [1] * (40 - good), 1000)
    return table


def ranked(table: IntTable, rules: RulePack = RULES) -> dict[str, RankedList]:
    roster = Roster(UNITS, rules.kinds, DAY, min_group=rules.prior.min_group)
    return Ranker(roster, rules).rank({SPAN: {Source.PUBLIC: table}}, {})


def row_of(lists: dict[str, RankedList], level: str, unit_id: str) -> Row:
    return next(row for row in lists[f"{level}.all.30"].rows if row.unit_id == unit_id)


def test_each_unit_is_capped_by_itself_before_its_county_adds_up() -> None:
    table = statistics()
    window = next(unit for unit in EVERYBODY if unit.level is Level.WINDOW)
    add_ratings(table, PLACE[window.unit_id], [5] * 200, 200)
    lists = ranked(table)
    own = row_of(lists, "window", window.unit_id)
    assert (own.ratings, own.n, own.left_out) == (240, 43.2, 36.8)
    assert window.parent_id is not None
    below = len(list(UNITS.subtree(window.parent_id)))
    county = row_of(lists, "county", window.parent_id)
    assert (county.ratings, county.n, county.left_out) == (40 * below + 200, 40.0 * below + 3.2, 36.8)
    others = {row.left_out for row in lists["window.all.30"].rows if row.unit_id != window.unit_id}
    assert others == {None}


def test_a_unit_with_unproven_ratings_alone_is_ranked_near_its_peers_and_never_called_anything() -> None:
    for grades in ([5] * 300, [1] * 300):
        table = statistics()
        window = next(unit for unit in EVERYBODY if unit.level is Level.WINDOW)
        table[PLACE[window.unit_id]] = 0
        add_ratings(table, PLACE[window.unit_id], grades, 400)
        row = row_of(ranked(table), "window", window.unit_id)
        assert (row.status, row.ratings, row.n, row.left_out) == ("ranked", 300, 2.0, 118.0)
        assert row.band == "undecided"
        assert row.score == pytest.approx(85, abs=12)


def test_without_a_cap_everything_counts_as_it_did() -> None:
    table = statistics()
    add_ratings(table, 5, [5] * 200, 200)
    found = weighed(table, UnprovenCap())
    assert found[5, Weighed.WEIGHT] == 80_000
    assert not found[:, Weighed.LEFT_OUT].any()


def test_other_sources_than_the_public_are_not_capped() -> None:
    """Nobody who appraises himself or is an assessor has a transaction."""
    table = statistics()
    social = np.zeros_like(table)
    add_ratings(social, 5, [5] * 200, 800)
    roster = Roster(UNITS, RULES.kinds, DAY, min_group=RULES.prior.min_group)
    lists = Ranker(roster, RULES).rank({SPAN: {Source.PUBLIC: table, Source.SOCIAL: social}}, {})
    row = row_of(lists, str(EVERYBODY[5].level), EVERYBODY[5].unit_id)
    assert (row.left_out, row.sources) == (None, {"social": {"ratings": 200, "index": 100.0}})
