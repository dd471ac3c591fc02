from pathlib import Path

from services.scoring.application.recompute import recompute
from services.scoring.application.what_if import Move, what_if
from services.scoring.domain.lists import RankedList, Row
from shared.kernel.grades import Level
from shared.kernel.units import load_units
from shared.rules import load_pack, parse_pack
from tests.unit.scoring.feedback import NOW, messages, random_feedback

UNITS = load_units()
RULES = load_pack(None, NOW.date())
PACK = Path(__file__).parents[3] / "shared/rules/packs/2026-01.toml"
STREAMED = messages(random_feedback(UNITS.by_level(Level.WINDOW)[:25], 1_200, seed=9))


def lists(*edits: tuple[str, str]) -> dict[str, RankedList]:
    text = PACK.read_text(encoding="utf-8")
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return recompute(STREAMED, UNITS, parse_pack(text, "x.toml"), NOW.date())


OWN = lists()


def test_the_same_rules_change_nothing() -> None:
    change = what_if(OWN, lists())
    assert [each.list for each in change.lists] == list(OWN)
    assert not any(each.moves or each.priors or each.ranks or each.scores for each in change.lists)
    assert (change.only_old, change.only_new) == ((), ())


def test_other_weights_move_units_and_every_count_is_that_of_the_rows() -> None:
    other = lists(("onsite = 400", "onsite = 1000"), ("real_name = 800", "real_name = 0"))
    change = next(each for each in what_if(OWN, other).lists if each.list == "window.all.30")
    before = {row.unit_id: row for row in OWN["window.all.30"].rows}
    after = {row.unit_id: row for row in other["window.all.30"].rows}
    assert change.units == len(before) == 1188
    for name, count in (("rank", change.ranks), ("band", change.bands), ("score", change.scores)):
        assert count == sum(getattr(before[unit], name) != getattr(after[unit], name) for unit in before)
    assert change.ranks > 5
    assert change.statuses == 0  # a plain count decides it, not the weight
    places = [abs(move.places) for move in change.moves]
    assert places == sorted(places, reverse=True)
    first = change.moves[0]
    assert (first.old, first.new) == (before[first.unit_id], after[first.unit_id])
    own, theirs = (found["window.all.30"].priors for found in (OWN, other))
    groups = [group for group, prior in own.items() if theirs[group] != prior]
    assert [prior.group for prior in change.priors] == groups
    assert len(groups) > 5


def test_what_unproven_ratings_may_weigh_is_a_rule_like_any_other() -> None:
    other = lists(("share_milli = 80", "share_milli = 500"))
    change = next(each for each in what_if(OWN, other).lists if each.list == "window.all.30")
    assert change.scores > 20
    assert change.statuses == 0
    before, after = ({row.unit_id: row for row in found["window.all.30"].rows} for found in (OWN, other))
    for unit, row in before.items():
        if row.n is not None and after[unit].n != row.n:
            assert row.left_out is not None
            assert row.left_out + row.n == (after[unit].left_out or 0.0) + (after[unit].n or 0.0)


def test_other_thresholds_change_the_status() -> None:
    other = lists(("rank_from = 30", "rank_from = 45"))
    change = next(each for each in what_if(OWN, other).lists if each.list == "window.all.30")
    assert change.statuses > 0
    assert change.scores == 0
    assert not change.priors
    unranked = [move for move in change.moves if move.differs("status")]
    assert len(unranked) == change.statuses
    assert all(move.places == 0 and move.new is not None and move.new.rank is None for move in unranked)


def test_lists_that_only_one_pack_knows_are_named() -> None:
    other = lists(("days = [7, 30, 90, 365]", "days = [14, 30, 90, 365]"))
    change = what_if(OWN, other)
    assert "window.all.7" in change.only_old
    assert "window.all.14" in change.only_new
    assert {each.list for each in change.lists} == OWN.keys() & other.keys()


def test_a_unit_that_is_in_one_list_only_has_neither_places_nor_points() -> None:
    row = Row("U000001", "x", "ranked", 3, 90.0)
    move = Move("U000001", "x", None, row)
    assert (move.places, move.points) == (0, 0.0)
    assert move.differs("rank")
    climbed = Move("U000001", "x", row, row._replace(rank=1, score=92.5))
    assert (climbed.places, climbed.points) == (2, 2.5)
