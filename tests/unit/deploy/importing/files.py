"""Files as offices have them, and what reading them gives."""

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

import openpyxl

from deploy.local.importing.columns import Field
from deploy.local.importing.rows import Mapper, Row
from deploy.local.importing.sources import open_source
from deploy.local.importing.unit_names import NamedUnit, UnitNames
from shared.kernel.grades import Channel, Source
from shared.kernel.units import load_units

UNITS = [NamedUnit(unit.unit_id, unit.name, unit.kind, unit.division) for unit in load_units()]
KINDS = {"marriage": "婚姻登记", "funeral": "殡仪馆"}
UNIT, NAME = "U000112", "南昌市东湖区婚姻登记处"
HEADER = "单位名称,评价等级,评价时间,办件号,意见建议,联系电话\n"

CellValue = str | int | float | bool | datetime | date | None


def mapper(import_id: str = "imp-1", **options: bool) -> Mapper:
    """A mapper over the committed registry."""
    return Mapper(
        import_id, Channel.PAPER, Source.PUBLIC, UnitNames(UNITS, KINDS), lambda each: each.value, **options
    )


def rows_of(path: Path, sheet: str | None = None) -> list[Row]:
    """All rows of a file."""
    with open_source(path, sheet=sheet) as source:
        return list(source.rows)


def values_of(path: Path) -> list[dict[Field, str]]:
    """What the rows of a file hold, by field."""
    return [dict(row.values) for row in rows_of(path)]


def write_workbook(path: Path, rows: Sequence[Sequence[CellValue]], merged: Sequence[str] = ()) -> Path:
    """A workbook with one sheet, by a library that is not ours."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in rows:
        sheet.append(list(row))
    for area in merged:
        sheet.merge_cells(area)
    book.save(path)
    return path
