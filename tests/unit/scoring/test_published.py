"""Published lists as they are read back, those of other versions too."""

import json
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from services.scoring.adapters.nats_ranking_store import TornReadError, assemble
from services.scoring.application.published import PublishedList
from services.scoring.domain.lists import Row, canonical_json, list_hash
from services.scoring.domain.ranking import Ranker
from services.scoring.domain.roster import Roster
from services.scoring.domain.spans import Rolling
from shared.kernel.grades import Source
from shared.rules import load_pack
from tests.unit.scoring.tables import random_statistics, small_province

MADE = datetime(2026, 11, 20, 4, tzinfo=UTC)
RULES = load_pack(None, MADE.date())
UNITS = small_province()
NEW_COLUMNS = {
    "rank_low", "rank_high", "rank_change", "histogram", "top_two", "index", "composite", "dimensions",
    "sources",
}  # fmt: skip
NEW_IN_HEADS = {"period", "top", "bottom", "composite_weights"}


def published() -> PublishedList:
    roster = Roster(UNITS, RULES.kinds, MADE.date(), min_group=RULES.prior.min_group)
    public, social = (random_statistics(tuple(UNITS), Random(seed)) for seed in (1, 2))
    lists = Ranker(roster, RULES).rank({Rolling(30): {Source.PUBLIC: public, Source.SOCIAL: social}}, {})
    return PublishedList.of(lists["window.all.30"], 17, MADE)


def of_another_version(found: PublishedList) -> tuple[PublishedList, dict[str, bytes]]:
    """The list as the version before would have written it, and its keys in the bucket."""
    items = [
        {name: value for name, value in row.document().items() if name not in NEW_COLUMNS}
        for row in found.rows
    ]
    return _written({name: found.head[name] for name in found.head if name not in NEW_IN_HEADS}, items)


def _written(head: dict[str, Any], items: list[dict[str, Any]]) -> tuple[PublishedList, dict[str, bytes]]:
    page = b'{"items":[%b]}' % b",".join(map(canonical_json, items))
    volatile = {"positions", "computed_at", "list_hash", "pages"}
    stable = {name: value for name, value in head.items() if name not in volatile}
    hashed = list_hash(b'{"head":%b,%b' % (canonical_json(stable), page[1:]))
    head = {**head, "list_hash": hashed, "pages": 1}
    values = {head["list"]: canonical_json(head), f"{head['list']}.0": page}
    return PublishedList.parse(values[head["list"]], (page,)), values


def test_a_list_is_read_back_as_it_was_laid_out() -> None:
    found = published()
    fenced, pages = found.entries(None)
    again = PublishedList.parse(fenced[found.key], tuple(pages.values()))
    assert list(again.rows) == list(found.rows)
    assert again.canonical() == found.canonical()
    assert again.computed_hash() == found.hash
    assert any(row.dimensions for row in again.rows)
    assert any(row.sources for row in again.rows)


def test_a_list_of_the_version_before_is_whole_and_republished_once() -> None:
    now = published()
    before, values = of_another_version(now)
    assert assemble(values).lists[now.key].hash == before.hash != now.hash
    assert [row.score for row in before.rows] == [row.score for row in now.rows]
    assert {row.rank_low for row in before.rows} == {None}
    fenced, pages = now.entries(before)
    assert set(fenced) | set(pages) == set(values)


def test_a_list_of_a_later_version_is_whole_and_what_it_adds_is_skipped() -> None:
    now = published()
    items = [{**row.document(), "smile": 3} for row in now.rows]
    later, values = _written({**now.head, "weather": "fine"}, items)
    assert assemble(values).lists[now.key].hash == later.hash
    assert list(later.rows) == list(now.rows)


@pytest.mark.parametrize("page", [b'{"items":[]}', b"[]", b'{"items":["U000001"]}', b'{"items": []}', b""])
def test_pages_that_are_not_the_heads_are_noticed(page: bytes) -> None:
    found = published()
    with pytest.raises(TornReadError):
        assemble({found.key: canonical_json(found.head), f"{found.key}.0": page})


def test_a_row_without_a_unit_is_refused() -> None:
    with pytest.raises(KeyError):
        Row.parse(json.loads('{"name":"x","status":"ranked"}'))
