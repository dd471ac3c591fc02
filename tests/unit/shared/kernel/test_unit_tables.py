"""Tables of units: faults with line and column, differences, and the committed table as its own witness."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.kernel.regions import load_divisions
from shared.kernel.unit_tables import (
    Difference,
    UnitsMissingError,
    differences,
    read_rows,
    units_of,
    units_text,
)
from shared.kernel.units import OPTIONAL_COLUMNS, UnitRegistry, load_units
from shared.rules import load_pack

UNITS = tuple(load_units())
TEXT = units_text(UNITS)
KINDS = load_pack(None, date(2026, 7, 1)).kinds


def faults_of(text: str) -> list[tuple[int, str]]:
    rows, faults = read_rows(text, optional=OPTIONAL_COLUMNS)
    return [(each.line, each.column) for each in (*faults, *units_of(rows, KINDS, load_divisions())[1])]


def succeeded(*changes: tuple[str, str, str]) -> str:
    """The committed table with last days and successors: of a unit, the day, and who takes over."""
    told = {unit_id: f"{end},{successor}" for unit_id, end, successor in changes}
    header, *rows = TEXT.splitlines()
    lines = [row[:-1] + "," + told.get(row.split(",")[0], ",") for row in rows]
    return "\n".join([f"{header},successor", *lines]) + "\n"


def test_the_committed_table_has_no_faults_and_comes_out_as_it_went_in() -> None:
    rows, faults = read_rows("# a comment\n\n" + TEXT)
    units, more = units_of(rows, KINDS, load_divisions())
    assert (faults, more) == ([], [])
    assert tuple(units) == UNITS
    assert units_text(reversed(units)) == TEXT
    assert differences(UNITS, units) == ()


ROW = "U000533,赣州市章贡区殡仪馆,window,funeral,360702,3607,360702,U000048,2009-12-31,"


@pytest.mark.parametrize(
    ("changed", "column"),
    [
        (ROW.replace("U000533", "X1"), "unit_id"),
        (ROW.replace("U000533", "U000532"), "unit_id"),
        (ROW.replace("赣州市章贡区殡仪馆", ""), "name"),
        (ROW.replace("赣州市章贡区殡仪馆", "殡仪馆 13912345678"), "name"),
        (ROW.replace("window", "village"), "level"),
        (ROW.replace("funeral", "bureau"), "kind"),
        (ROW.replace("360702,3607,", "999999,3607,"), "division"),
        (ROW.replace(",3607,", ",3608,"), "city"),
        (ROW.replace("3607,360702,", "3607,360703,"), "county"),
        (ROW.replace("U000048", "U000008"), "parent_id"),
        (ROW.replace("U000048", ""), "parent_id"),
        (ROW.replace("2009-12-31", "2009-13-31"), "valid_from"),
        (ROW.replace("2009-12-31", "2009-W53-4"), "valid_from"),
        (ROW + "soon", "valid_to"),
        (ROW + "2009-12-31", "valid_to"),
        (ROW + ",,", "row"),
    ],
)
def test_a_fault_is_told_with_its_line_and_column(changed: str, column: str) -> None:
    assert ROW + "\n" in TEXT
    line = TEXT[: TEXT.index(ROW)].count("\n") + 1
    assert (line, column) in faults_of(TEXT.replace(ROW + "\n", changed + "\n"))


def test_a_quotation_mark_that_nobody_closes_is_one_fault_however_long_the_table_is() -> None:
    line = TEXT[: TEXT.index(ROW)].count("\n") + 1
    long = TEXT.replace(ROW, ROW.replace("赣州", '"赣州')) + "\n".join([ROW] * 3_000)
    told = faults_of(long)
    assert told[0] == (line, "row")
    assert [each for each in told if each[1] == "row"] == [(line, "row")]


def test_a_row_that_is_wrong_is_told_once_and_not_again_by_each_row_that_names_it() -> None:
    bureau = next(line for line in TEXT.splitlines() if line.startswith("U000048,"))
    line = TEXT[: TEXT.index(bureau)].count("\n") + 1
    assert faults_of(TEXT.replace(bureau, bureau.replace("2009-12-31", "2009/12/31"))) == [
        (line, "valid_from")
    ]


def test_another_header_is_told_and_nothing_is_read() -> None:
    rows, faults = read_rows("id,name\nU000001,x\n")
    assert (rows, [(each.line, each.column) for each in faults]) == ([], [(1, "header")])
    assert "expected unit_id,name,level" in str(faults[0])


def test_a_successor_goes_into_the_table_and_comes_out_of_it() -> None:
    text = succeeded(("U000532", "2027-01-01", "U000533"))
    rows, faults = read_rows(text, optional=OPTIONAL_COLUMNS)
    units, more = units_of(rows, KINDS, load_divisions())
    assert (faults, more) == ([], [])
    assert units_text(units) == text
    registry = UnitRegistry(units)
    ended, heir = registry.get("U000532"), registry.get("U000533")
    assert (ended.successor, registry.predecessors("U000533")) == ("U000533", (ended,))
    assert registry.heir(ended, date(2026, 12, 31)) is ended
    assert registry.heir(ended, date(2027, 1, 1)) is heir
    assert registry.heir(heir, date(2000, 1, 1)) is None


@pytest.mark.parametrize(
    "changes",
    [
        [("U000532", "", "U000533")],
        [("U000532", "2027-01-01", "U999999")],
        [("U000532", "2027-01-01", "U000532")],
        [("U000532", "2027-01-01", "U000048")],
        [("U000532", "2027-01-01", "U000533"), ("U000533", "2026-01-01", "")],
        [("U000532", "2027-01-01", "U000533"), ("U000533", "2028-01-01", "U000532")],
    ],
    ids=["not ended", "unknown", "itself", "another level", "ended before", "a circle"],
)
def test_a_successor_is_another_unit_that_is_there_on_the_day(changes: list[tuple[str, str, str]]) -> None:
    line = TEXT[: TEXT.index("U000532,")].count("\n") + 1
    assert (line, "successor") in faults_of(succeeded(*changes))


def test_a_unit_ends_and_is_never_taken_out() -> None:
    with pytest.raises(UnitsMissingError, match=r"U000533.*set valid_to"):
        differences(UNITS, [unit for unit in UNITS if unit.unit_id != "U000533"])
    ended = [
        replace(unit, valid_to=date(2027, 1, 1)) if unit.unit_id == "U000533" else unit for unit in UNITS
    ]
    (difference,) = differences(UNITS, ended)
    assert (difference.changed, difference.before) == (("valid_to",), load_units().get("U000533"))
    assert Difference(ended[0]).changed == ()


@given(st.text(max_size=300) | st.text(alphabet='U0123456789,"\n#x', max_size=300))
def test_any_text_is_units_or_faults(text: str) -> None:
    rows, faults = read_rows(text)
    units, more = units_of(rows, KINDS, load_divisions())
    assert faults or more or len(units) == len(rows)
