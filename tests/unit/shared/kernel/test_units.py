from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.kernel.errors import InvalidValueError, NotFoundError
from shared.kernel.grades import Level
from shared.kernel.ids import UnitId
from shared.kernel.regions import LIST_DATE, load_divisions
from shared.kernel.units import ALL, BUREAU, Unit, UnitRegistry, load_units
from shared.rules import load_pack

UNITS = load_units()


def test_there_are_1_department_11_and_99_bureaus_and_1188_windows() -> None:
    assert Counter(unit.level for unit in UNITS) == {
        Level.PROVINCE: 1, Level.CITY: 11, Level.COUNTY: 99, Level.WINDOW: 1188,
    }  # fmt: skip
    assert len(UNITS) == 1299


def test_every_county_has_each_window_kind_of_the_rule_pack_once() -> None:
    kinds = list(load_pack(None, date(2026, 1, 1)).kinds)
    for county in UNITS.by_level(Level.COUNTY):
        assert [window.kind for window in UNITS.children(county.unit_id)] == kinds


def test_kind_selects_windows_of_one_kind() -> None:
    assert len(UNITS.by_level(Level.WINDOW, "marriage")) == 99
    assert UNITS.by_level(Level.WINDOW, BUREAU) == ()


def test_subject_tokens_fit_the_division() -> None:
    divisions = load_divisions()
    for unit in UNITS:
        division = divisions.get(unit.division, LIST_DATE)
        if unit.level is Level.PROVINCE:
            assert (unit.city, unit.county) == (ALL, ALL)
        else:
            assert unit.city == divisions.city_of(division.code).code[:4]
            assert unit.county == (ALL if unit.level is Level.CITY else division.code)


def test_parents_are_one_level_up_in_the_same_city() -> None:
    for unit in UNITS:
        if unit.parent_id is not None:
            parent = UNITS.get(unit.parent_id)
            assert unit in UNITS.children(parent.unit_id)
            assert parent.city in (unit.city, ALL)


def test_subtrees_add_up() -> None:
    (province,) = UNITS.by_level(Level.PROVINCE)
    assert UNITS.subtree(province.unit_id) == tuple(UNITS)
    cities = UNITS.by_level(Level.CITY)
    assert sum(len(UNITS.subtree(city.unit_id)) for city in cities) == 1298
    window = UNITS.by_level(Level.WINDOW)[0]
    assert UNITS.subtree(window.unit_id) == (window,)


def test_names_are_unique_and_chinese() -> None:
    names = {unit.name for unit in UNITS}
    assert len(names) == 1299
    assert {"江西省民政厅", "南昌市民政局", "南昌县婚姻登记处", "南昌市东湖区殡仪馆"} <= names


def test_iteration_is_ordered_by_id_whatever_the_order_of_input() -> None:
    shuffled = list(UNITS)
    Random(7).shuffle(shuffled)
    assert [unit.unit_id for unit in UnitRegistry(shuffled)] == [f"U{n:06d}" for n in range(1, 1300)]


@pytest.mark.parametrize(
    ("wrong", "proposal"),
    [
        ("u12", "U000012 (上饶市民政局)"),
        (" U000012 ", "U000012"),
        ("U-112", "U000112"),
        ("南昌县殡仪馆", "U000173 (南昌县殡仪馆)"),
        ("U999999", "U001299"),
    ],
)
def test_a_wrong_id_gets_the_nearest_proposed(wrong: str, proposal: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        UNITS.get(wrong)
    assert proposal in str(caught.value)
    assert caught.value.field == "unit_id"


@given(st.text())
def test_no_wrong_id_breaks_the_search(wrong: str) -> None:
    if wrong not in UNITS:
        with pytest.raises(NotFoundError, match="registered unit"):
            UNITS.get(wrong)


def test_a_megabyte_as_id_gives_a_short_error() -> None:
    with pytest.raises(NotFoundError) as caught:
        UNITS.get("9" * 1_000_000)
    assert len(str(caught.value)) < 500


def test_a_unit_exists_from_its_first_day_to_the_day_before_its_end() -> None:
    unit = replace(UNITS.get("U000001"), valid_to=date(2020, 1, 1))
    days = (date(2009, 12, 30), LIST_DATE, date(2019, 12, 31), date(2020, 1, 1))
    assert [unit.exists(day) for day in days] == [False, True, True, False]


def unit(unit_id: str, level: Level, parent: str | None) -> Unit:
    parent_id = None if parent is None else UnitId(parent)
    return Unit(UnitId(unit_id), unit_id, level, BUREAU, "360000", ALL, ALL, parent_id, LIST_DATE, None)


@pytest.mark.parametrize(
    ("units", "finding"),
    [
        ([unit("X1", Level.PROVINCE, None)], "U and six digits"),
        ([unit("U000001", Level.PROVINCE, None)] * 2, "an id of its own"),
        ([unit("U000001", Level.CITY, None)], "a unit with a parent"),
        (
            [unit("U000001", Level.PROVINCE, None), unit("U000002", Level.COUNTY, "U000001")],
            "directly above U000002",
        ),
        (
            [unit("U000001", Level.PROVINCE, None), unit("U000002", Level.CITY, "U000009")],
            "directly above U000002",
        ),
    ],
)
def test_an_inconsistent_registry_is_rejected(units: list[Unit], finding: str) -> None:
    with pytest.raises(InvalidValueError, match=finding):
        UnitRegistry(units)


def test_another_registry_can_be_loaded(tmp_path: Path) -> None:
    path = tmp_path / "units.csv"
    header = "unit_id,name,level,kind,division,city,county,parent_id,valid_from,valid_to"
    path.write_text(
        f"# ours\n{header}\nU000007,厅,province,bureau,360000,all,all,,2020-01-01,\n", encoding="utf-8-sig"
    )
    assert [u.name for u in load_units(path)] == ["厅"]


def test_an_empty_registry_says_so() -> None:
    with pytest.raises(NotFoundError, match="registry is empty"):
        UnitRegistry([]).get("U000001")
