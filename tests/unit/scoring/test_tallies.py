"""A tally of all levels says what the statistics, weighed and added up from scratch, say."""

from random import Random

import numpy as np
import pytest

from services.scoring.domain.buckets import WIDTH, Column
from services.scoring.domain.roster import Roster
from services.scoring.domain.tallies import COUNTED, COUNTS, Levels, Tally
from services.scoring.domain.unproven import weighed
from shared.rules import load_pack
from tests.unit.scoring.tables import add_random, random_statistics, small_province
from tests.unit.scoring.test_ranker_memory import DAY

RULES = load_pack(None, DAY)
UNITS = small_province()
EVERYBODY = tuple(UNITS)
LEVELS = Levels(Roster(UNITS, RULES.kinds, DAY, min_group=RULES.prior.min_group).levels)
ALL = np.arange(len(LEVELS))


def from_scratch(table: np.ndarray) -> np.ndarray:
    counted = weighed(table, RULES.unproven)
    return np.concatenate([level.aggregate(counted) for level in LEVELS.each])


@pytest.mark.parametrize("columns", [None, COUNTED])
def test_rows_and_changes_are_those_of_the_whole_table(columns: list[int] | None) -> None:
    random = Random(5)
    seen = slice(None) if columns is None else COUNTS
    tally = Tally(LEVELS, len(EVERYBODY), RULES.unproven, columns)
    table = random_statistics(EVERYBODY, random)
    known = np.zeros_like(from_scratch(table))
    for _ in range(6):
        change = tally.look(table)
        now = from_scratch(table)
        assert tally.rows(ALL)[:, seen].tolist() == now[:, seen].tolist()
        added = np.zeros_like(now)
        added[change.places] = change.amounts
        assert added[:, seen].tolist() == (now - known)[:, seen].tolist()
        known = now
        for _ in range(random.randrange(4)):  # in place, and at times nothing at all
            add_random(table, random.randrange(len(EVERYBODY)), random, 9)
    tally.look(table)
    assert not tally.look(table.copy()).places.size
    gone = tally.look(None)
    assert not tally.rows(ALL).any()
    assert np.count_nonzero(gone.amounts)


def test_a_unit_with_more_than_fits_into_half_the_room() -> None:
    tally = Tally(LEVELS, len(EVERYBODY), RULES.unproven)
    table = np.zeros((len(EVERYBODY), WIDTH), dtype=np.int64)
    place = next(number for number, unit in enumerate(EVERYBODY) if unit.kind == "lottery")
    for more in (1, np.iinfo(np.int32).max, 5):
        table[place, [Column.RATINGS, Column.PROVEN, Column.PROVEN_GOOD]] += more
        change = tally.look(table)
        assert set(change.amounts[:, COUNTS].ravel().tolist()) == {more}
        assert tally.rows(ALL).tolist() == from_scratch(table).tolist()


def test_a_table_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        Tally(LEVELS, len(EVERYBODY)).look(np.zeros((3, WIDTH), dtype=np.int64))
