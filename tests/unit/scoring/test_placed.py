"""Lists that make their rows on demand are the lists that keep them."""

from random import Random

import pytest

from services.scoring.application.published import PublishedList
from services.scoring.domain import ranking
from services.scoring.domain.lists import KnownRows, RankedList, changed_rows
from services.scoring.domain.placed import PlacedItems, PlacedRows
from services.scoring.domain.ranking import Ranker
from tests.unit.scoring.feedback import NOW
from tests.unit.scoring.test_ranker_memory import ROSTER, RULES, Scene, documents


def pairs(seed: int, steps: int, monkeypatch: pytest.MonkeyPatch) -> list[tuple[RankedList, RankedList]]:
    """Every list after some changes, made on demand and kept, of the same statistics."""
    found = []
    scene, spare, keeping = Scene(seed), Ranker(ROSTER, RULES), Ranker(ROSTER, RULES)
    for _ in range(steps):
        scene.step()
        with monkeypatch.context() as patch:
            patch.setattr(ranking, "SPARE_FROM", 0)
            on_demand = spare.rank(scene.spans, scene.before, scene.outcomes)
        kept = keeping.rank(scene.spans, scene.before, scene.outcomes)
        assert documents(on_demand) == documents(kept)
        found += [(on_demand[key], kept[key]) for key in kept]
    return found


@pytest.mark.parametrize("seed", range(4))
def test_rows_and_bytes_are_the_same_wherever_one_looks(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(seed)
    for on_demand, kept in pairs(seed, 8, monkeypatch):
        assert isinstance(on_demand.rows, PlacedRows)
        assert isinstance(on_demand.items, PlacedItems)
        assert list(on_demand.rows) == list(kept.rows)
        assert (on_demand.rows, on_demand.items) == (kept.rows, kept.items)
        assert on_demand.head == kept.head
        size = len(kept.rows)
        if size:
            place, step = random.randrange(-size, size), random.choice((1, 2, -1))
            assert on_demand.rows[place] == kept.rows[place]
            assert on_demand.items[place] == kept.items[place]
            assert on_demand.rows[place : size // 2 : step] == kept.rows[place : size // 2 : step]
            assert on_demand.items[size // 3 :] == kept.items[size // 3 :]
        with pytest.raises(IndexError):
            on_demand.rows[size]
        with pytest.raises(IndexError):
            on_demand.items[-size - 1]


@pytest.mark.parametrize("seed", range(4))
def test_what_changed_is_found_without_making_the_rows(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    last: dict[str, tuple[RankedList, RankedList]] = {}
    compared = 0
    for on_demand, kept in pairs(seed, 12, monkeypatch):
        key = str(kept.key)
        if key in last:
            old, old_kept = last[key]
            assert changed_rows(on_demand.rows, old.rows) == changed_rows(kept.rows, old_kept.rows)
            assert changed_rows(on_demand.rows, old_kept.rows) == changed_rows(kept.rows, old_kept.rows)
            assert isinstance(on_demand.rows, KnownRows)
            compared += on_demand.rows.differs(old.rows) is not None
        last[key] = on_demand, kept
    assert compared > 10


def test_pages_are_written_for_rows_that_differ_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    last: dict[str, tuple[PublishedList, PublishedList]] = {}
    for on_demand, kept in pairs(1, 6, monkeypatch):
        lists = tuple(PublishedList.of(each, 1, NOW) for each in (on_demand, kept))
        before = last.get(str(kept.key), (None, None))
        assert lists[0].entries(before[0]) == lists[1].entries(before[1])
        last[str(kept.key)] = lists[0], lists[1]
