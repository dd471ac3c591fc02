"""A ranker that remembers gives the same bytes as one that has just been made."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.domain import ranking
from services.scoring.domain.buckets import Statistics
from services.scoring.domain.lists import RankedList
from services.scoring.domain.outcomes import OUTCOME_WIDTH
from services.scoring.domain.ranking import Ranker
from services.scoring.domain.roster import Roster
from services.scoring.domain.spans import Rolling, Span, periods_of
from shared.kernel.grades import Source
from shared.rules import load_pack
from tests.support.properties import retried
from tests.unit.scoring.tables import add_random, random_statistics, small_province

DAY = date(2026, 11, 20)
RULES = load_pack(None, DAY)
UNITS = small_province()
EVERYBODY = tuple(UNITS)
ROSTER = Roster(UNITS, RULES.kinds, DAY, min_group=RULES.prior.min_group)
POOL = [random_statistics(EVERYBODY, Random(seed)) for seed in range(5)]
SPANS: tuple[Span, ...] = (Rolling(7), Rolling(30), periods_of(DAY)[0])


def documents(lists: dict[str, RankedList]) -> dict[str, bytes]:
    return {key: found.canonical() for key, found in lists.items()}


class Scene:
    """Statistics that change at random, as a platform's do."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.spans: dict[Span, dict[Source, np.ndarray]] = {}
        self.before: dict[Span, dict[Source, np.ndarray]] = {}
        self.outcomes: dict[Span, np.ndarray] = {}

    def _table(self) -> np.ndarray:
        return self.random.choice(POOL).copy()

    def step(self) -> None:
        random = self.random
        span = random.choice(SPANS)
        move = random.randrange(8)
        if span not in self.spans or move == 0:
            self.spans[span] = {Source.PUBLIC: self._table()}
        elif move == 1:
            self.spans[span][random.choice((Source.SOCIAL, Source.SELF))] = self._table()
        elif move == 2:
            known = self.before.setdefault(span, {Source.PUBLIC: self._table()})
            add_random(known[Source.PUBLIC], random.randrange(len(EVERYBODY)), random, 25)
        elif move == 3:
            self.spans[span] = {Source.PUBLIC: next(iter(self.spans.values()))[Source.PUBLIC].copy()}
        elif move == 4:
            del self.spans[span]
        elif move == 5:
            # Another table each time: these never change once they are given.
            cases = self.outcomes.get(span, np.zeros((len(EVERYBODY), OUTCOME_WIDTH), dtype=np.int64)).copy()
            cases[random.randrange(len(EVERYBODY))] += random.choice(((1, 1, 1, 1, 0), (9, 5, 8, 3, 2)))
            self.outcomes[span] = cases
        else:
            for table in self.spans[span].values():
                add_random(table, random.randrange(len(EVERYBODY)), random, random.choice((1, 1, 25)))


@retried(25)  # each example ranks a province twenty times
@given(st.integers(0, 2**32 - 1))
def test_what_a_ranker_remembers_does_not_change_a_byte(seed: int) -> None:
    scene, remembering = Scene(seed), Ranker(ROSTER, RULES)
    for _ in range(10):
        scene.step()
        # In place, too: a ranker must not rely on being given other tables each time.
        found = remembering.rank(scene.spans, scene.before, scene.outcomes)
        fresh = Ranker(ROSTER, RULES).rank(scene.spans, scene.before, scene.outcomes)
        assert documents(found) == documents(fresh)
        assert [found[key].rows for key in found] == [fresh[key].rows for key in fresh]


def test_spans_with_equal_statistics_are_compared_each_with_its_own_past() -> None:
    now, one, other = POOL[:3]
    found = Ranker(ROSTER, RULES).rank(
        {Rolling(7): {Source.PUBLIC: now}, Rolling(30): {Source.PUBLIC: now}},
        {Rolling(7): {Source.PUBLIC: one}, Rolling(30): {Source.PUBLIC: other}},
    )
    for span, past in ((Rolling(7), one), (Rolling(30), other)):
        alone = Ranker(ROSTER, RULES).rank({span: {Source.PUBLIC: now}}, {span: {Source.PUBLIC: past}})
        key = f"county.all.{span}"
        assert found[key].canonical() == alone[key].canonical()
    changes = [[row.rank_change for row in found[f"county.all.{days}"].rows] for days in (7, 30)]
    assert changes[0] != changes[1]


def test_a_list_that_did_not_change_is_the_same_object_and_the_others_keep_their_rows() -> None:
    ranker, random = Ranker(ROSTER, RULES), Random(1)
    table = random_statistics(EVERYBODY, random)
    statistics: dict[Span, Statistics] = {Rolling(30): {Source.PUBLIC: table}}
    before = ranker.rank(statistics, {})
    lottery = next(place for place, unit in enumerate(EVERYBODY) if unit.kind == "lottery")
    table[lottery, 6] += 0  # nothing
    assert all(found is before[key] for key, found in ranker.rank(statistics, {}).items())
    add_random(table, lottery, random, 1)
    after = ranker.rank(statistics, {})
    assert after["window.marriage.30"] is before["window.marriage.30"]
    assert after["window.lottery.30"] is not before["window.lottery.30"]
    kept = {id(row) for row in before["window.all.30"].rows}
    assert any(id(row) in kept for row in after["window.all.30"].rows)


def test_after_a_failure_nothing_half_known_is_used() -> None:
    ranker, random = Ranker(ROSTER, RULES), Random(2)
    table = random_statistics(EVERYBODY, random)
    ranker.rank({Rolling(30): {Source.PUBLIC: table}}, {})
    add_random(table, 5, random, 40)
    with pytest.raises(ValueError, match="shape"):
        ranker.rank({Rolling(30): {Source.PUBLIC: table, Source.SELF: table[:3]}}, {})
    found = ranker.rank({Rolling(30): {Source.PUBLIC: table}}, {})
    assert documents(found) == documents(
        Ranker(ROSTER, RULES).rank({Rolling(30): {Source.PUBLIC: table}}, {})
    )


def three_spans() -> dict[Span, dict[Source, np.ndarray]]:
    return {span: {Source.PUBLIC: POOL[number].copy()} for number, span in enumerate(SPANS)}


def test_spans_that_are_ranked_at_the_same_time_give_the_bytes_of_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    abreast, alone, spans = Ranker(ROSTER, RULES), Ranker(ROSTER, RULES), three_spans()
    before = {SPANS[0]: {Source.PUBLIC: POOL[4]}}
    pools: list[int] = []

    class Noted(ThreadPoolExecutor):
        def __init__(self, workers: int, name: str) -> None:
            pools.append(workers)
            super().__init__(workers, name)

    monkeypatch.setattr(ranking, "ThreadPoolExecutor", Noted)
    expected = alone.rank(spans, before)
    assert pools == [], "the units are few"
    monkeypatch.setattr(ranking, "SPARE_FROM", 0)
    assert documents(abreast.rank(spans, before)) == documents(expected)
    assert pools == [2]
    add_random(spans[SPANS[1]][Source.PUBLIC], 3, Random(5), 25)
    changed = abreast.rank(spans, before)
    assert pools == [2], "spans that are known take no thread"
    monkeypatch.undo()
    assert documents(changed) == documents(alone.rank(spans, before)) != documents(expected)


def test_a_span_that_fails_beside_others_is_ranked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "SPARE_FROM", 0)
    spans, ranker = three_spans(), Ranker(ROSTER, RULES)
    broken = {**spans, SPANS[1]: {Source.PUBLIC: spans[SPANS[1]][Source.PUBLIC][:3]}}
    with pytest.raises((IndexError, ValueError)):
        ranker.rank(broken, {})
    assert documents(ranker.rank(spans, {})) == documents(Ranker(ROSTER, RULES).rank(spans, {}))
