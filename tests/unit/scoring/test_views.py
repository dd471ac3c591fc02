"""A published list cut down to what stands below one city or county."""

from datetime import UTC, datetime
from random import Random

import numpy as np
import pytest

from services.scoring.application.published import PublishedList
from services.scoring.application.views import below
from services.scoring.domain.lists import RANKED
from services.scoring.domain.rank_intervals import rank_intervals
from services.scoring.domain.ranking import Ranker
from services.scoring.domain.roster import Roster
from services.scoring.domain.spans import Rolling
from shared.kernel.errors import InvalidValueError, NotFoundError
from shared.kernel.grades import Level, Source
from shared.rules import load_pack
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
    assert (view.head["parent"], view.head["units"], view.head["top"]) == (parent, len(view.rows), None)
    assert view.hash == whole.hash


def test_below_the_province_everybody_keeps_the_rank_of_the_whole_list() -> None:
    whole = LISTS["county.all.30"]
    view = below(whole, PROVINCE, UNITS)
    for row, before in zip(view.rows, whole.rows, strict=True):
        assert row == before._replace(rank_change=None)


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
