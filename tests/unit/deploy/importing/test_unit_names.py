"""Which unit a row means where several have, or had, the name or the place."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from deploy.local.importing.columns import Field
from deploy.local.importing.rows import Line, Mapper, Rejected, Row
from deploy.local.importing.unit_names import NamedUnit, UnitNames
from shared.kernel.grades import Channel, Source
from tests.unit.deploy.importing.files import KINDS, NAME, UNIT

OLD = NamedUnit(UNIT, NAME, "marriage", "360102", "2009-12-31", "2026-07-01")
NEW = replace(OLD, unit_id="U009001", valid_from="2026-07-01", valid_to=None)
BY_NAME = {Field.UNIT_NAME: NAME}
BY_PLACE = {Field.REGION: "360102", Field.KIND: "婚姻登记"}


def mapped(units: list[NamedUnit], values: Mapping[Field, str], own: Mapping[str, str] | None = None) -> str:
    mapper = Mapper(
        "imp-1", Channel.PAPER, Source.PUBLIC, UnitNames(units, KINDS, own), lambda each: each.value
    )
    row = Row(2, (), {**values, Field.GRADE: "5"})
    found = mapper.map(row)
    if isinstance(found, Rejected):
        return "".join(each.english for each in found.reasons)
    assert isinstance(found, Line)
    unit_id: str = json.loads(found.data)["unit_id"]
    return unit_id


@pytest.mark.parametrize("given", [BY_NAME, BY_PLACE], ids=["name", "place"])
def test_a_recoded_unit_and_its_successor_are_told_apart_by_the_day(given: dict[Field, str]) -> None:
    for units in ([OLD, NEW], [NEW, OLD]):
        assert mapped(units, given | {Field.TIME: "2026-06-30 23:59"}) == OLD.unit_id
        assert mapped(units, given | {Field.TIME: "2026-07-01"}) == NEW.unit_id
        assert mapped(units, given | {Field.TIME: "2026-06-30T16:00:00Z"}) == NEW.unit_id, "China's day"
        assert mapped(units, given) == NEW.unit_id, "the day of the import"


@pytest.mark.parametrize("given", [BY_NAME, BY_PLACE], ids=["name", "place"])
def test_of_two_that_exist_none_is_guessed(given: dict[Field, str]) -> None:
    other = replace(OLD, unit_id="U009001", valid_to=None)
    assert "what only one unit has on that day" in mapped([OLD, other], given | {Field.TIME: "2026-06-01"})
    assert mapped([OLD, other], given | {Field.TIME: "2026-07-01"}) == other.unit_id


def test_a_name_of_the_offices_own_decides() -> None:
    assert mapped([OLD, NEW], BY_NAME | {Field.TIME: "2026-07-02"}, {NAME: UNIT}) == UNIT
