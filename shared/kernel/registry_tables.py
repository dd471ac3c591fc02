"""Tables beside that of units as people edit them: divisions, successors, responsible people.

Each is judged with what it would come on top of, every fault with line and column (see `unit_tables`). What
is loaded stays in the stream for good, so nothing goes in that a later load could not be made on top of.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from typing import Final

from shared.kernel.errors import NotFoundError
from shared.kernel.grades import Level
from shared.kernel.ids import UnitId
from shared.kernel.regions import COLUMNS as DIVISION_COLUMNS
from shared.kernel.regions import Division, DivisionRegistry
from shared.kernel.registry_book import Merge, Office
from shared.kernel.scrubbing import scrub
from shared.kernel.unit_tables import (
    PLAIN_NAME,
    Fault,
    Row,
    day_of,
    days_of,
    is_plain_name,
    read_rows,
    successor_faults,
)
from shared.kernel.units import Unit

MERGE_COLUMNS: Final = ("unit_id", "into", "on")
OFFICE_COLUMNS: Final = ("unit_id", "role", "person", "valid_from")
ROLES: Final = ("head", "deputy", "officer", "backup")
CODE_DIGITS: Final = 6
_CITY_DIGITS: Final = 4
_ENDINGS: Final = {Level.PROVINCE: "0000", Level.CITY: "00"}


def divisions_of(
    text: str, standing: Iterable[Division]
) -> tuple[list[Division], DivisionRegistry, list[Fault]]:
    """The rows of a table of divisions, all divisions with them, and what keeps the table from being used.

    Args:
        text: CSV; empty: none.
        standing: every row in force; one of the table with its code and first day replaces it.
    """
    rows, faults = read_rows(text, DIVISION_COLUMNS) if text else ([], [])
    after = {(each.code, each.valid_from): each for each in standing}
    found: list[Division] = []
    lines: dict[tuple[str, date], int] = {}
    for row in rows:
        division, wrong = _division(row)
        faults += wrong
        if division is None:
            continue
        same = (division.code, division.valid_from)
        if same in lines:
            expected = f"a code and a first day of its own; line {lines[same]} has both"
            faults.append(Fault(row.line, "code", division.code, expected, "remove one of the rows"))
            continue
        lines[same] = row.line
        found.append(division)
    before = DivisionRegistry(after.values())
    if faults:
        return found, before, faults
    after |= {(each.code, each.valid_from): each for each in found}
    for each in found:
        faults += _overlaps(each, after.values(), lines[each.code, each.valid_from])
    if faults:
        return found, before, faults
    registry = DivisionRegistry(after.values())
    for each in found:
        faults += _parent_faults(each, registry, lines[each.code, each.valid_from])
    return found, registry, faults


def _division(row: Row) -> tuple[Division | None, list[Fault]]:
    cells = row.cells
    start, end, faults = days_of(row)
    level = next((each for each in Level if each.value == cells["level"]), None)
    if level is None or level is Level.WINDOW:
        faults.append(Fault(row.line, "level", cells["level"], "province, city or county", "correct it"))
    code, parent = cells["code"], cells["parent"]
    if not _is_code(code):
        faults.append(Fault(row.line, "code", code, "six digits of GB/T 2260", "correct the code"))
    elif level is not None and level is not _level_of(code):
        expected = "0000 at the end of a province's code, 00 of a city's, neither of a county's"
        faults.append(Fault(row.line, "code", code, expected, "correct code or level"))
    if parent and not _is_code(parent):
        faults.append(Fault(row.line, "parent", parent, "six digits of GB/T 2260", "correct the code"))
    if not cells["name"] or not is_plain_name(cells["name"]):
        faults.append(Fault(row.line, "name", cells["name"], PLAIN_NAME, "write the official name"))
    if faults or start is None or level is None:
        return None, faults
    return Division(code, cells["name"], level, parent or None, start, end), []


def _is_code(text: str) -> bool:
    return len(text) == CODE_DIGITS and text.isascii() and text.isdecimal()


def _level_of(code: str) -> Level:
    return next((level for level, ending in _ENDINGS.items() if code.endswith(ending)), Level.COUNTY)


def _overlaps(row: Division, rows: Iterable[Division], line: int) -> list[Fault]:
    """Another row of the code with a day in common."""
    return [
        Fault(
            line, "valid_from", row.valid_from.isoformat(),
            f"days apart from those of {each.name}, which has {row.code} "
            f"from {each.valid_from} to {each.valid_to or 'now'}",
            "end the earlier row first, in this table",
        )
        for each in rows
        if each.code == row.code and each != row
        and (row.in_force(each.valid_from) or each.in_force(row.valid_from))
    ]  # fmt: skip


def _parent_faults(row: Division, divisions: DivisionRegistry, line: int) -> list[Fault]:
    """The division directly above, which is there on the first day, and of which the code is made."""
    if row.level is Level.PROVINCE:
        if row.parent is None:
            return []
        return [Fault(line, "parent", row.parent, "nothing above the province", "leave it empty")]
    digits = _CITY_DIGITS if row.level is Level.COUNTY else _CITY_DIGITS - 2
    wanted = row.code[:digits].ljust(CODE_DIGITS, "0")
    if row.parent == wanted:
        try:
            divisions.get(wanted, row.valid_from)
        except NotFoundError:
            expected = f"a division that exists on {row.valid_from}"
            return [Fault(line, "parent", wanted, expected, "load it with this table, or correct the day")]
        return []
    expected = f"{wanted}, which {row.code} lies in"
    return [Fault(line, "parent", row.parent or "", expected, "correct parent or code")]


def divisions_text(divisions: Iterable[Division]) -> str:
    """The table of `divisions`, in their order."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(DIVISION_COLUMNS)
    for each in divisions:
        writer.writerow([each.code, each.name, each.level.value, each.parent, each.valid_from, each.valid_to])
    return out.getvalue()


def merges_of(text: str, units: Mapping[UnitId, Unit]) -> tuple[list[Merge], list[Fault]]:
    """The rows of a table of successors, and everything that keeps it from being used.

    Args:
        text: CSV; empty: none.
        units: by id, as they would be without this table.
    """
    rows, faults = read_rows(text, MERGE_COLUMNS) if text else ([], [])
    found: list[Merge] = []
    after, lines = dict(units), dict[str, int]()
    for row in rows:
        cells, on, before = row.cells, day_of(row.cells["on"]), len(faults)
        if on is None:
            expected = "a day as YYYY-MM-DD"
            faults.append(Fault(row.line, "on", cells["on"], expected, "write the successor's first day"))
        faults += [
            Fault(row.line, column, cells[column], "the id of a unit", "register it first")
            for column in ("unit_id", "into")
            if cells[column] not in units
        ]
        if cells["unit_id"] in lines:
            expected = f"each unit once; line {lines[cells['unit_id']]} has it"
            faults.append(Fault(row.line, "unit_id", cells["unit_id"], expected, "remove one of the rows"))
        if on is None or len(faults) > before:
            continue
        ended, into = units[UnitId(cells["unit_id"])], UnitId(cells["into"])
        if on <= ended.valid_from:
            expected = f"a day after {ended.valid_from}, on which {ended.unit_id} began"
            faults.append(Fault(row.line, "on", cells["on"], expected, "correct the day"))
            continue
        lines[ended.unit_id] = row.line
        after[ended.unit_id] = replace(ended, valid_to=on, successor=into)
        found.append(Merge(ended.unit_id, into, on))
    for unit in after.values() if lines else ():
        line = lines.get(unit.unit_id) or lines.get(unit.successor or "")
        if line is not None:
            faults += [each._replace(column="into") for each in successor_faults(unit, after, line)]
    return found, faults


def offices_of(text: str, units: Mapping[UnitId, Unit]) -> tuple[list[Office], list[Fault]]:
    """The rows of a table of responsible people, and everything that keeps it from being used."""
    rows, faults = read_rows(text, OFFICE_COLUMNS) if text else ([], [])
    found: list[Office] = []
    lines: dict[tuple[str, str, date], int] = {}
    for row in rows:
        cells, before = row.cells, len(faults)
        start = day_of(cells["valid_from"])
        if start is None:
            expected = "a day as YYYY-MM-DD"
            faults.append(Fault(row.line, "valid_from", cells["valid_from"], expected, "correct the day"))
        if cells["unit_id"] not in units:
            faults.append(Fault(row.line, "unit_id", cells["unit_id"], "the id of a unit", "correct it"))
        if cells["role"] not in ROLES:
            expected = f"one of {', '.join(ROLES)}"
            faults.append(Fault(row.line, "role", cells["role"], expected, "correct the role"))
        person = cells["person"]
        if person and not _is_reference(person):
            faults.append(
                Fault(
                    row.line, "person", f"{len(person)} characters", "a reference such as person-0042",
                    "keep names and contacts in the file of people, and refer to them",
                )
            )  # fmt: skip
        if len(faults) > before or start is None:
            continue
        same = (cells["unit_id"], cells["role"], start)
        if same in lines:
            expected = f"one person for a unit, a role and a day; line {lines[same]} has one"
            faults.append(Fault(row.line, "person", person, expected, "remove one of the rows"))
            continue
        lines[same] = row.line
        found.append(Office(cells["unit_id"], cells["role"], person.lower() or None, start))
    return found, faults


def _is_reference(person: str) -> bool:
    """Whether it leads to nobody without the file of people: no name, and no telephone or other number."""
    written = person.isascii() and person.replace("-", "").replace("_", "").isalnum()
    return written and scrub(person, mistyped=True) == person
