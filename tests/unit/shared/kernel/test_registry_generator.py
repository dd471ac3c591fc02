from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from deploy.registry import generate
from shared.kernel.errors import InvalidValueError
from shared.kernel.grades import Level
from shared.kernel.ids import UnitId
from shared.kernel.regions import load_divisions
from shared.kernel.units import load_units


def test_the_committed_tables_are_what_the_generator_makes(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--check"]) == 0
    assert capsys.readouterr().out == "divisions.csv: up to date\nunits.csv: up to date\n"


def test_generating_from_nothing_gives_the_same_units(tmp_path: Path) -> None:
    assert generate.main(["--data", str(tmp_path), "--check"]) == 1
    assert not list(tmp_path.iterdir())
    assert generate.main(["--data", str(tmp_path)]) == 0
    assert list(load_units(tmp_path / "units.csv")) == list(load_units())
    assert generate.main(["--data", str(tmp_path), "--check"]) == 0


def test_existing_ids_are_kept_and_new_units_get_the_next_number() -> None:
    existing = [
        replace(unit, unit_id=UnitId(f"U{int(unit.unit_id[1:]) + 5000:06d}")) for unit in load_units()
    ][:-1]
    made = generate.registry_units(load_divisions(), existing, None)
    ids = {(unit.division, unit.kind): unit.unit_id for unit in made}
    assert all(ids[unit.division, unit.kind] == unit.unit_id for unit in existing)
    assert max(ids.values()) == "U006299"
    assert len(made) == 1299


def test_a_vanished_unit_keeps_its_row_and_needs_an_end_date() -> None:
    gone = replace(load_units().get("U000112"), unit_id=UnitId("U009999"), kind="abolished")
    existing = [*load_units(), gone]
    with pytest.raises(InvalidValueError, match="--retired-on"):
        generate.registry_units(load_divisions(), existing, None)
    made = generate.registry_units(load_divisions(), existing, date(2026, 7, 1))
    assert made[-1] == replace(gone, valid_to=date(2026, 7, 1))
    again = generate.registry_units(load_divisions(), made, date(2027, 7, 1))
    assert again == made


def test_a_list_that_returns_to_a_superseded_state_is_skipped() -> None:
    old, new = {"360000": "江西省", "360100": "甲市"}, {"360000": "江西省", "360100": "乙市"}
    rows = generate.effective_rows([("200012", old), ("200106", new), ("200107", old), ("200112", new)])
    assert [(row.code, row.name, row.valid_from, row.valid_to) for row in rows] == [
        ("360000", "江西省", date(2000, 12, 31), None),
        ("360100", "甲市", date(2000, 12, 31), date(2001, 6, 30)),
        ("360100", "乙市", date(2001, 6, 30), None),
    ]
    assert [row.level for row in rows] == [Level.PROVINCE, Level.CITY, Level.CITY]
