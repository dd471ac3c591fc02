"""The independent ranking of the demonstration agrees with the service's, on made-up grades."""

from datetime import date
from random import Random

import numpy as np
import pytest

from deploy.local.demo.real import compare, independent_ranking
from services.scoring.domain.buckets import WIDTH, Column
from services.scoring.domain.ranking import Ranker
from services.scoring.domain.roster import Roster
from services.scoring.domain.spans import Rolling
from shared.kernel.grades import Level, Source
from shared.kernel.units import load_units
from shared.rules import load_pack

DAY = date(2026, 11, 20)
UNITS = load_units()
RULES = load_pack(None, DAY)


def grades_of(seed: int) -> dict[str, list[int]]:
    """Some ratings of most windows."""
    random = Random(seed)
    found: dict[str, list[int]] = {}
    for unit in UNITS.by_level(Level.WINDOW):
        bad = random.betavariate(2, 12)
        count = random.choice((0, 8, 12, 29, 30, 45, 60, 200))
        found[unit.unit_id] = [
            random.choice((1, 2)) if random.random() < bad else random.choice((3, 4, 5)) for _ in range(count)
        ]
    return found


def shown(grades: dict[str, list[int]]) -> list[dict[str, object]]:
    """The rows of the service's list of all windows."""
    table = np.zeros((len(UNITS), WIDTH), dtype=np.int64)
    for place, unit in enumerate(UNITS):
        own = grades.get(unit.unit_id, [])
        for grade in own:
            table[place, grade] += 1
        good = sum(grade >= 3 for grade in own)
        table[place, [Column.RATINGS, Column.PROVEN, Column.PROVEN_GOOD]] = (
            len(own),
            1000 * len(own),
            1000 * good,
        )
    roster = Roster(UNITS, RULES.kinds, DAY, min_group=RULES.prior.min_group)
    found = Ranker(roster, RULES).rank({Rolling(30): {Source.PUBLIC: table}}, {})
    return [row.document() for row in found["window.all.30"].rows]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_two_implementations_agree_in_every_rank_and_in_four_decimals_of_every_score(seed: int) -> None:
    grades = grades_of(seed)
    result = compare(shown(grades), independent_ranking(grades, UNITS, RULES))
    assert result.differences == ()
    assert result.units > result.ranked > 400


def test_a_unit_that_differs_is_named() -> None:
    grades = grades_of(4)
    rows = shown(grades)
    rows[0] = {**rows[0], "score": float(str(rows[0]["score"])) + 0.0002}
    (difference,) = compare(rows, independent_ranking(grades, UNITS, RULES)).differences
    assert difference.unit_id == rows[0]["unit_id"]
