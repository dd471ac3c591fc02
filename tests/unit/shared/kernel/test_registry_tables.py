"""Tables of divisions, successors and responsible people: every fault with line and column."""

from dataclasses import replace
from datetime import date

import pytest

from shared.kernel.grades import Level
from shared.kernel.ids import UnitId
from shared.kernel.regions import Division, DivisionRegistry, load_divisions
from shared.kernel.registry_book import Office, RegistryBook
from shared.kernel.registry_tables import divisions_of, divisions_text, merges_of, offices_of
from shared.kernel.unit_tables import Fault
from shared.kernel.units import Unit, load_units

UNITS = {unit.unit_id: unit for unit in load_units()}
NEW = "360799,蓉江区,county,360700,2026-01-01,"


def told(faults: list[Fault]) -> list[tuple[int, str]]:
    return [(fault.line, fault.column) for fault in faults]


def divisions(*rows: str) -> tuple[list[Division], DivisionRegistry, list[Fault]]:
    text = "\n".join(("code,name,level,parent,valid_from,valid_to", *rows))
    return divisions_of(text, load_divisions())


def merges(*rows: str, units: dict[UnitId, Unit] | None = None) -> list[tuple[int, str]]:
    return told(merges_of("\n".join(("unit_id,into,on", *rows)), units or UNITS)[1])


def offices(*rows: str) -> tuple[list[Office], list[Fault]]:
    return offices_of("\n".join(("unit_id,role,person,valid_from", *rows)), UNITS)


def test_divisions_come_on_top_of_those_in_force_and_go_into_a_table_again() -> None:
    rows, registry, faults = divisions(
        NEW, "361200,新市,city,360000,2026-01-01,", "361221,新县,county,361200,2026-01-01,"
    )
    assert faults == []
    assert registry.get("361221", date(2026, 1, 1)).parent == "361200"
    assert rows[0] == Division("360799", "蓉江区", Level.COUNTY, "360700", date(2026, 1, 1), None)
    assert list(divisions_of(divisions_text(registry), ())[1]) == list(registry)


@pytest.mark.parametrize(
    ("row", "column"),
    [
        (NEW.replace("360700", "369900"), "parent"),
        (NEW.replace("360700", "360799"), "parent"),
        (NEW.replace("360700", "360721"), "parent"),
        (NEW.replace("360700", "360100"), "parent"),
        (NEW.replace("360700", ""), "parent"),
        (NEW.replace("360799,", "440799,").replace("360700", "440700"), "parent"),
        (NEW.replace("360700,2026", "360700,1970"), "parent"),
        ("361200,新市,city,360721,2026-01-01,", "parent"),
        ("361221,新县,city,360000,2026-01-01,", "code"),
        ("361200,新市,county,360700,2026-01-01,", "code"),
        (NEW + "2026-01-01", "valid_to"),
        (NEW + "2025-01-01", "valid_to"),
        (NEW.replace("2026-01-01", "2026-W01-1"), "valid_from"),
        (NEW.replace("2026-01-01", "20260101"), "valid_from"),
        (NEW.replace("2026-01-01", "2026/1/1"), "valid_from"),
        (NEW.replace("360799", "3.60799E+05"), "code"),
        (NEW.replace("360799", "３６０７９９"), "code"),
        ("360702,章贡,county,360700,2026-01-01,", "valid_from"),
    ],
)  # fmt: skip
def test_a_division_without_a_place_or_days_of_its_own_is_refused(row: str, column: str) -> None:
    assert (2, column) in told(divisions(row)[2])


def test_a_division_twice_in_a_table_is_refused() -> None:
    assert told(divisions(NEW, NEW.replace("蓉江", "榕江"))[2]) == [(3, "code")]
    ends = "360702,章贡区,county,360700,1999-12-31,2025-12-31"
    before = load_divisions().latest("360702")
    ended = replace(before, valid_to=date(2025, 12, 31))
    row = ends.replace("1999-12-31", before.valid_from.isoformat()).replace("章贡区", before.name)
    rows, registry, faults = divisions(row, "360702,章贡新区,county,360700,2025-12-31,")
    assert (faults, rows[0]) == ([], ended)
    assert registry.get("360702", date(2026, 1, 1)).name == "章贡新区"


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        (["U000532,U000048,2027-01-01"], (2, "into")),
        (["U000532,U000532,2027-01-01"], (2, "into")),
        (["U000532,U999999,2027-01-01"], (2, "into")),
        (["U000532,U000533,2027-01-01", "U000533,U000532,2027-01-02"], (2, "into")),
        (["U000532,U000533,2027-01-01", "U000533,U000534,2027-01-01"], (2, "into")),
        (["U000532,U000533,2027-01-01", "U000532,U000534,2027-01-01"], (3, "unit_id")),
        (["U000532,U000533,2009-12-31"], (2, "on")),
        (["U000532,U000533,2027/1/1"], (2, "on")),
    ],
    ids=[
        "another level",
        "itself",
        "unknown",
        "a circle",
        "ended the same day",
        "twice",
        "never there",
        "day",
    ],
)
def test_a_unit_goes_over_once_into_one_of_its_level_that_is_there(
    rows: list[str], fault: tuple[int, str]
) -> None:
    assert fault in merges(*rows)


def test_successors_of_successors_and_of_units_that_ended_before_are_judged_too() -> None:
    assert merges("U000532,U000533,2027-01-01", "U000533,U000534,2028-01-01") == []
    ended = replace(UNITS[UnitId("U000532")], valid_to=date(2028, 1, 1), successor=UnitId("U000533"))
    units = UNITS | {ended.unit_id: ended}
    assert merges("U000533,U000534,2027-01-01", units=units) == [(2, "into")]


def test_a_role_has_one_person_from_a_day_on() -> None:
    row = "U000532,head,person-1,2026-01-01"
    assert told(offices(row, row.replace("person-1", "person-2"))[1]) == [(3, "person")]
    assert offices(row, row.replace("2026", "2027"))[1] == []
    assert told(offices("U9,boss,张三,2026-W01-1")[1]) == [
        (2, "valid_from"), (2, "unit_id"), (2, "role"), (2, "person"),
    ]  # fmt: skip


def test_who_was_put_into_an_office_by_mistake_is_taken_out_by_naming_the_other_again() -> None:
    book = RegistryBook(UNITS.values())
    for number, person in enumerate(("person-1", "person-2", "person-1"), 1):
        (office,), _ = offices(f"U000532,head,{person},2026-01-01")
        assert office not in book.offices, "it is a change"
        book.part(str(number), office)
        assert book.loaded(str(number), number, 1)
        assert book.responsible("U000532", date(2026, 1, 1)) == {"head": person}
    assert len(book.offices) == 1
