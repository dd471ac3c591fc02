"""A published list cut down to what stands below one city or county."""

from datetime import UTC, datetime, timedelta
from random import Random

import numpy as np
import pytest

from services.scoring.application.published import PublishedList
from services.scoring.application.views import Before, below
from services.scoring.domain.lists import RANKED
from services.scoring.domain.rank_intervals import rank_intervals
from services.scoring.domain.ranking import Ranker
from services.scoring.domain.roster import Roster
from services.scoring.domain.spans import Rolling
from shared.kernel.errors import InvalidValueError, NotFoundError
from shared.kernel.grades import Level, Source
from shared.rules import load_pack
from tests.unit.scoring.serving import UNITS as UNITS_OF_ALL
from tests.unit.scoring.serving import look_back, stored
from tests.unit.scoring.tables import random_statistics, small_province

MADE = datetime(2026, 11, 20, 4, tzinfo=UTC)
RULES = load_pack(None, MADE.date())
UNITS = small_province()
PROVINCE = UNITS.by_level(Level.PROVINCE)[0].unit_id
CITY = UNITS.by_level(Level.CITY)[0].unit_id
COUNTY = UNITS.by_level(Level.COUNTY)[0].unit_id


def published() -> dict[str, PublishedList]:
    roster = Roster(UNITS, RULES.kinds, MADE.date(), min_group=RULES.prior.min_group)
    table, past = (random_statistics(tuple(UNITS), Random(seed)) for seed in (1, 2))
    lists = Ranker(roster, RULES).rank(
        {Rolling(30): {Source.PUBLIC: table}}, {Rolling(30): {Source.PUBLIC: past}}
    )
    return {key: PublishedList.of(found, 17, MADE) for key, found in lists.items()}


LISTS = published()


@pytest.mark.parametrize(
    ("key", "parent"),
    [
        ("window.all.30", CITY),
        ("window.all.30", COUNTY),
        ("window.marriage.30", CITY),
        ("county.all.30", CITY),
    ],
)
def test_a_view_ranks_the_units_below_the_parent_among_themselves(key: str, parent: str) -> None:
    whole = LISTS[key]
    view = below(whole, parent, UNITS)
    inside = {unit.unit_id for unit in UNITS.subtree(parent)}
    assert [row.unit_id for row in view.rows] == [row.unit_id for row in whole.rows if row.unit_id in inside]
    ranked = [row for row in view.rows if row.status == RANKED]
    assert [row.rank for row in ranked] == list(range(1, len(ranked) + 1))
    intervals = rank_intervals(
        np.array([row.interval_low for row in ranked], dtype=np.float64),
        np.array([row.interval_high for row in ranked], dtype=np.float64),
    )
    for row, low, high in zip(ranked, *(each.tolist() for each in intervals), strict=True):
        assert row.rank is not None
        assert (row.rank_low, row.rank_high) == (min(low, row.rank), max(high, row.rank))
    unchanged = {row.unit_id: row for row in whole.rows}
    for row in view.rows:
        place = {"rank": row.rank, "rank_low": row.rank_low, "rank_high": row.rank_high, "rank_change": None}
        assert row.document() == unchanged[row.unit_id].document() | place
    assert (view.head["parent"], view.head["units"], view.head["top"]) == (
        parent,
        len(view.rows),
        [row.unit_id for row in ranked][:10],
    )
    assert view.hash == whole.hash


def test_below_the_province_everybody_keeps_the_rank_of_the_whole_list() -> None:
    whole = LISTS["county.all.30"]
    view = below(whole, PROVINCE, UNITS)
    for row, before in zip(view.rows, whole.rows, strict=True):
        assert row == before._replace(rank_change=None)


async def test_below_the_province_the_published_list_and_one_of_before_keep_their_rank_changes() -> None:
    found, back = stored(), look_back()
    for key in ("window.all.30", "county.all.90", "window.marriage.7", "county.all.2026-11"):
        whole = found.lists[key]
        view = below(
            whole, UNITS_OF_ALL.by_level(Level.PROVINCE)[0].unit_id, UNITS_OF_ALL, await back.before(whole)
        )
        assert list(view.rows) == list(whole.rows)
        assert (view.head["top"], view.head["bottom"]) == (whole.head["top"], whole.head["bottom"])
    changes = [row.rank_change for row in found.lists["window.all.30"].rows]
    assert any(changes), "it would be no proof otherwise"


async def test_below_a_city_ranks_are_compared_with_those_ranked_there_before_the_gone_ones_too() -> None:
    whole = LISTS["county.all.30"]
    ranked = [row.unit_id for row in below(whole, CITY, UNITS).rows if row.status == RANKED]
    unranked = [row.unit_id for row in below(whole, CITY, UNITS).rows if row.status != RANKED]
    others = [row.unit_id for row in whole.rows if row.unit_id not in {*ranked, *unranked}]
    gone, new, stayed = unranked[0], ranked[0], ranked[1:]
    before = Before(whole.as_of, [others[0], gone, *stayed[::-1], *others[1:]])
    view = below(whole, CITY, UNITS, before)
    changes = {row.unit_id: row.rank_change for row in view.rows}
    assert changes[new] is changes[gone] is None
    assert [changes[each] for each in stayed] == [
        2 + place - (2 + stayed.index(each)) for each in stayed for place in [stayed[::-1].index(each)]
    ]
    assert any(changes[each] for each in stayed)
    other_day = below(whole, CITY, UNITS, before._replace(as_of=whole.as_of - timedelta(days=1)))
    assert {row.rank_change for row in other_day.rows} == {None}
    assert other_day.version != view.version


def test_a_parent_at_or_below_the_lists_level_is_refused_with_the_levels_above_it() -> None:
    with pytest.raises(InvalidValueError, match="a unit of a level above county: province, city"):
        below(LISTS["county.all.30"], COUNTY, UNITS)
    with pytest.raises(InvalidValueError, match="the province stands below nobody"):
        below(LISTS["province.all.30"], PROVINCE, UNITS)


def test_a_parent_that_nobody_knows_is_not_found() -> None:
    with pytest.raises(NotFoundError):
        below(LISTS["county.all.30"], "U999999", UNITS)


def test_a_view_of_nobody_is_empty() -> None:
    lonely = UNITS.by_level(Level.COUNTY)[-1].unit_id
    kinds = {unit.kind for unit in UNITS.children(lonely)}
    assert "charity" not in kinds
    assert below(LISTS["window.charity.30"], lonely, UNITS).rows == []
