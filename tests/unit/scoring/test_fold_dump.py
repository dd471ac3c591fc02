"""A dumped fold, taken up again."""

from dataclasses import replace
from datetime import date

import pytest

from services.scoring.application.fold import Fold, SnapshotUnusableError
from services.scoring.application.sections import Sections, write_sections
from shared.kernel.grades import Level
from shared.kernel.units import UnitRegistry, load_units
from shared.rules import load_pack
from tests.unit.scoring.feedback import NOW, messages, none_is_invalid, random_feedback

UNITS = load_units()
RULES = load_pack(None, NOW.date())
WINDOWS = UNITS.by_level(Level.WINDOW)[:40]
MESSAGES = messages(random_feedback(WINDOWS, 400, seed=7))


def folded(count: int) -> Fold:
    fold = Fold(UNITS, RULES, NOW.date())
    fold.take(MESSAGES[:count], none_is_invalid)
    return fold


@pytest.mark.parametrize("kill_point", [0, 1, 200, 399])
def test_a_fold_taken_up_from_its_dump_goes_on_to_the_same_bytes(kill_point: int) -> None:
    whole = folded(len(MESSAGES))
    revived = Fold.load(folded(kill_point).dump(), UNITS, RULES)
    assert revived.position == kill_point
    revived.take(MESSAGES[kill_point:], none_is_invalid)
    assert revived.books() == whole.books()
    assert revived.position == whole.position
    assert {key: found.canonical() for key, found in revived.lists().items()} == {
        key: found.canonical() for key, found in whole.lists().items()
    }


def test_a_dump_of_other_rules_is_refused() -> None:
    with pytest.raises(SnapshotUnusableError, match="older snapshot"):
        Fold.load(folded(5).dump(), UNITS, replace(RULES, hash="sha256:other"))


def test_a_dump_of_another_registry_is_refused() -> None:
    fewer = UnitRegistry(tuple(UNITS)[:-1])
    with pytest.raises(SnapshotUnusableError, match="units"):
        Fold.load(folded(5).dump(), fewer, RULES)


@pytest.mark.parametrize("keep", [0, 1, 9, 100, 1000])
def test_a_dump_that_is_cut_off_is_refused(keep: int) -> None:
    with pytest.raises(SnapshotUnusableError, match="whole dump"):
        Fold.load(folded(20).dump()[:keep], UNITS, RULES)


def test_something_else_is_refused() -> None:
    for noise in (
        b"\xff" * 100,
        b"{}",
        write_sections({"head": {"format": 99}}),
        write_sections({"head": 1}),
    ):
        with pytest.raises(SnapshotUnusableError):
            Fold.load(noise, UNITS, RULES)


def test_sections_are_read_by_name_in_any_order() -> None:
    found = Sections(write_sections({"one": [1, 2], "two": {3: b"three"}}))
    assert list(found) == ["one", "two"]
    assert len(found) == 2
    assert found["two"] == {3: b"three"}
    assert found["one"] == [1, 2]


def test_a_later_day_is_kept() -> None:
    fold = folded(10)
    fold.advance(date(2026, 12, 31))
    assert Fold.load(fold.dump(), UNITS, RULES).as_of == date(2026, 12, 31)
