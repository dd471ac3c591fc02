from dataclasses import replace

import pytest

from shared.kernel.errors import InvalidValueError
from shared.kernel.ids import UnitId
from shared.kernel.units import CurrentUnits, load_units

UNITS = load_units()


def test_another_registry_is_taken_up_as_a_whole_by_whoever_holds_it() -> None:
    current = CurrentUnits(UNITS)
    assert not current.take_up(1, UNITS), "nothing differs"
    renamed = replace(UNITS.get("U000112"), name="婚姻登记中心")
    new = replace(renamed, unit_id=UnitId("U009001"), name="第二婚姻登记处")
    later = [renamed if unit.unit_id == "U000112" else unit for unit in UNITS]
    assert current.take_up(2, [*later, new])
    assert current.get("U000112") is renamed
    assert new in current.children(renamed.parent_id or "")
    assert len(current) == len(UNITS) + 1
    assert not current.take_up(2, UNITS), "that load is in force"
    assert current.take_up(3, UNITS)
    assert tuple(current) == tuple(UNITS)


def test_what_is_no_registry_leaves_the_one_before_in_force() -> None:
    current = CurrentUnits(UNITS)
    with pytest.raises(InvalidValueError):
        current.take_up(1, [replace(UNITS.get("U000112"), parent_id=UnitId("U999999"))])
    assert tuple(current) == tuple(UNITS)


def test_the_bureau_of_a_place_is_known() -> None:
    window = UNITS.get("U000112")
    bureau = UNITS.bureau(window.city, window.county)
    assert bureau is not None
    assert bureau.unit_id == window.parent_id
    assert UNITS.bureau("9999", "all") is None
