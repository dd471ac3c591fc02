from collections import Counter
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.kernel.errors import InvalidValueError, NotFoundError
from shared.kernel.grades import Level
from shared.kernel.regions import LIST_DATE, Division, DivisionRegistry, load_divisions
from shared.kernel.tables import read_table

DIVISIONS = load_divisions()
days = st.dates(date(1980, 12, 31), date(2030, 1, 1))


def levels(on: date) -> Counter[Level]:
    return Counter(row.level for row in DIVISIONS.at(on))


def test_year_end_2009_has_11_cities_and_99_counties() -> None:
    assert levels(date(2009, 12, 31)) == {Level.PROVINCE: 1, Level.CITY: 11, Level.COUNTY: 99}
    assert date(2009, 12, 31) == LIST_DATE


def test_the_99_counties_of_2009_are_70_counties_19_districts_and_10_county_level_cities() -> None:
    last = Counter(row.name[-1] for row in DIVISIONS.at(LIST_DATE) if row.level is Level.COUNTY)
    assert last == {"县": 70, "区": 19, "市": 10}


@pytest.mark.parametrize("year", range(2000, 2010))
def test_year_ends_2000_to_2009_have_99_counties(year: int) -> None:
    assert levels(date(year, 12, 31))[Level.COUNTY] == 99


@pytest.mark.parametrize("year", range(2010, 2027))
def test_year_ends_from_2010_on_have_100_counties(year: int) -> None:
    assert levels(date(year, 12, 31))[Level.COUNTY] == 100


def test_eight_codes_of_2010_were_changed_by_2019() -> None:
    before = {row.code for row in DIVISIONS.at(date(2010, 12, 31))}
    after = {row.code for row in DIVISIONS.at(date(2019, 12, 31))}
    assert len(before - after) == len(after - before) == 8


def test_a_changed_code_answers_for_its_own_time_only() -> None:
    assert DIVISIONS.get("360122").name == "新建县"
    assert DIVISIONS.get("360112", date(2019, 12, 31)).name == "新建区"
    with pytest.raises(NotFoundError, match="新建县 from 1980-12-31 to 2015-09-30"):
        DIVISIONS.get("360122", date(2019, 12, 31))


def test_an_unknown_code_is_named_with_the_remedy() -> None:
    with pytest.raises(NotFoundError, match=r"'999999'.*GB/T 2260.*look the code up"):
        DIVISIONS.get("999999")


@given(days)
def test_on_every_day_each_division_has_a_parent_one_level_up(on: date) -> None:
    rows = {row.code: row for row in DIVISIONS.at(on)}
    ladder = list(Level)
    for row in rows.values():
        assert row.in_force(on)
        if row.parent is not None:
            assert ladder.index(rows[row.parent].level) + 1 == ladder.index(row.level)
    assert list(rows) == sorted(rows)


@given(days)
def test_children_partition_the_list(on: date) -> None:
    rows = DIVISIONS.at(on)
    children = [child for row in rows for child in DIVISIONS.children(row.code, on)]
    assert sorted(child.code for child in children) == [row.code for row in rows if row.parent]


def test_city_of_a_county_and_of_a_city() -> None:
    assert DIVISIONS.city_of("360721").name == "赣州市"
    assert DIVISIONS.city_of("360700").name == "赣州市"
    with pytest.raises(InvalidValueError, match="a province lies in no city"):
        DIVISIONS.city_of("360000")


def test_periods_of_one_code_never_overlap() -> None:
    by_code: dict[str, list[dict[str, str]]] = {}
    for row in read_table("divisions.csv", ("code", "name", "level", "parent", "valid_from", "valid_to")):
        by_code.setdefault(row["code"], []).append(row)
    for rows in by_code.values():
        for earlier, later in pairwise(rows):
            assert earlier["valid_to"]
            assert earlier["valid_to"] <= later["valid_from"]


def test_the_last_day_is_the_day_before_valid_to() -> None:
    row = Division("360122", "新建县", Level.COUNTY, "360100", date(2000, 1, 1), date(2015, 9, 30))
    assert row.in_force(date(2015, 9, 29))
    assert not row.in_force(date(2015, 9, 30))
    assert not row.in_force(date(2000, 1, 1) - timedelta(days=1))


def test_overlapping_rows_are_rejected() -> None:
    row = Division("360122", "新建县", Level.COUNTY, "360100", date(2000, 1, 1), None)
    with pytest.raises(InvalidValueError, match="overlap"):
        DivisionRegistry([row, Division("360122", "新建", Level.COUNTY, "360100", date(2010, 1, 1), None)])


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("", "the header"),
        ("code,name\n360000,江西省\n", "the header"),
        ("code,name,level,parent,valid_from,valid_to\n360000,江西省\n", "6 cells"),
        ("code,name,level,parent,valid_from,valid_to\n360000,江西省,province,,1980,\n", "YYYY-MM-DD"),
    ],
)
def test_a_malformed_table_is_rejected(tmp_path: Path, text: str, finding: str) -> None:
    path = tmp_path / "divisions.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidValueError, match=finding):
        DivisionRegistry.load(path)
