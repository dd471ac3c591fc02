"""Tables of units as people edit them: every fault with line and column, and what differs from another table.

A unit is never taken out: it ends (``valid_to``), so that rankings of the past keep the list of their day.
"""

import csv
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Final, NamedTuple

from shared.kernel.errors import PingyiError, describe
from shared.kernel.grades import Level
from shared.kernel.ids import UNIT_ID_FORM, UnitId
from shared.kernel.regions import DivisionRegistry
from shared.kernel.scrubbing import scrub
from shared.kernel.spreadsheets import safe_cell
from shared.kernel.units import ALL, BUREAU, COLUMNS, OPTIONAL_COLUMNS, Unit

_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_LADDER: Final = tuple(Level)
_SHOWN: Final = 80
NAME_MAX: Final = 120
PLAIN_NAME: Final = "a name without quotes, invisible characters and numbers of people that is no formula"
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class Fault(NamedTuple):
    """One thing wrong in a table: where, what is there, what was expected, what to do."""

    line: int
    column: str
    value: str
    expected: str
    remedy: str

    def __str__(self) -> str:
        """One line for people."""
        return f"line {self.line}, {self.column}: {describe(self.value, self.expected, self.remedy)}"


class Row(NamedTuple):
    """One row of a table, by column, with its line in the file."""

    line: int
    cells: Mapping[str, str]


def read_rows(
    text: str, columns: Sequence[str] = COLUMNS, optional: Sequence[str] = ()
) -> tuple[list[Row], list[Fault]]:
    """The rows of a CSV text; lines that begin with ``#`` and blank ones are passed over, and counted.

    The header may have the `optional` columns behind the others; where it hasn't, their cells are empty.
    """
    lines = text.removeprefix("\ufeff").splitlines()
    numbered = [(n, line) for n, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    first, head = numbered[0] if numbered else (1, "")
    header = tuple(_cells(head) or ())
    if header not in {tuple(columns), (*columns, *optional)}:
        return [], [Fault(first, "header", ",".join(header), ",".join(columns), "restore the header")]
    absent = dict.fromkeys(optional, "")
    rows: list[Row] = []
    faults: list[Fault] = []
    for line, written in numbered[1:]:
        row = _cells(written)
        if row is None:
            expected, remedy = "quotation marks in pairs on one line", "add the missing one, or remove both"
            faults.append(Fault(line, "row", written[:_SHOWN], expected, remedy))
        elif len(row) == len(header):
            given = {name: cell.strip() for name, cell in zip(header, row, strict=True)}
            rows.append(Row(line, absent | given))
        else:
            faults.append(
                Fault(line, "row", f"{len(row)} cells", f"{len(header)} cells", "quote commas inside cells")
            )
    return rows, faults


def _cells(line: str) -> list[str] | None:
    """The cells of one line; None: its quotes don't close there, or it is longer than any row."""
    try:
        return next(csv.reader([line], strict=True), [])
    except csv.Error:
        return None


def units_of(
    rows: Sequence[Row], kinds: Iterable[str], divisions: DivisionRegistry
) -> tuple[list[Unit], list[Fault]]:
    """The units of a table, and everything that keeps it from being used; both in the table's order.

    Args:
        rows: from `read_rows`, or from elsewhere with numbers of one's own.
        kinds: window kinds of the rule pack in force.
        divisions: where units may be.
    """
    known = set(kinds)
    units: list[Unit] = []
    faults: list[Fault] = []
    lines: dict[str, int] = {}
    for row in rows:
        unit, wrong = _unit(row, known, divisions)
        faults += wrong
        if unit is None:
            continue
        if unit.unit_id in lines:
            expected = f"an id of its own; line {lines[unit.unit_id]} has it"
            faults.append(Fault(row.line, "unit_id", unit.unit_id, expected, "remove one of the rows"))
            continue
        lines[unit.unit_id] = row.line
        units.append(unit)
    by_id = {unit.unit_id: unit for unit in units}
    # A row that is wrong itself is told once, not again by each row that names it.
    wrong_itself = {UnitId(row.cells["unit_id"]) for row in rows} - by_id.keys()
    for unit in units:
        if unit.parent_id not in wrong_itself:
            faults += _parent_faults(unit, by_id, lines[unit.unit_id])
        if unit.successor not in wrong_itself:
            faults += successor_faults(unit, by_id, lines[unit.unit_id])
    return units, sorted(faults, key=lambda fault: fault.line)


def _unit(row: Row, kinds: set[str], divisions: DivisionRegistry) -> tuple[Unit | None, list[Fault]]:
    cells, line = row.cells, row.line
    faults: list[Fault] = []

    def wrong(column: str, expected: str, remedy: str) -> None:
        faults.append(Fault(line, column, cells[column], expected, remedy))

    if UNIT_ID_FORM.fullmatch(cells["unit_id"]) is None:
        wrong("unit_id", "U and six digits", "give the unit a number of its own; never one that was used")
    if not 1 <= len(cells["name"]) <= NAME_MAX:
        wrong("name", f"a name of 1 to {NAME_MAX} characters", "write the full name of the office")
    elif not is_plain_name(cells["name"]):
        wrong("name", PLAIN_NAME, "type it anew")
    level = next((each for each in Level if each.value == cells["level"]), None)
    if level is None:
        wrong("level", f"one of {', '.join(Level)}", "correct the level")
    elif level is Level.WINDOW and cells["kind"] not in kinds:
        wrong("kind", f"one of {', '.join(sorted(kinds))}", "correct the kind, or add it to the rule pack")
    elif level is not Level.WINDOW and cells["kind"] != BUREAU:
        wrong("kind", f"{BUREAU}, as of every unit above the windows", "correct kind or level")
    start, end, wrong_days = days_of(row)
    faults += wrong_days
    faults += _place_faults(row, level, divisions)
    if faults or level is None or start is None:
        return None, faults
    parent, successor = cells["parent_id"], cells.get("successor")
    return (
        Unit(
            UnitId(cells["unit_id"]),
            cells["name"],
            level,
            cells["kind"],
            cells["division"],
            cells["city"],
            cells["county"],
            UnitId(parent) if parent else None,
            start,
            end,
            UnitId(successor) if successor else None,
        ),
        [],
    )


def is_plain_name(name: str) -> bool:
    """Whether a name is harmless wherever it is shown: it goes into tables, mails and terminals as it is.

    No control characters, line ends, zero-width or bidirectional marks, no quotes and angle brackets,
    nothing in front that a spreadsheet would compute, and no telephone or other number of a person: it stays
    in the stream for good.
    """
    hidden = any(char in '"<>' or unicodedata.category(char) in _HIDDEN for char in name)
    return not hidden and safe_cell(name) == name and scrub(name, mistyped=True) == name


def days_of(row: Row) -> tuple[date | None, date | None, list[Fault]]:
    """First and last day of a row, and what is wrong with them."""
    cells, faults = row.cells, []
    start, end = day_of(cells["valid_from"]), day_of(cells["valid_to"])
    if start is None:
        expected = "a day as YYYY-MM-DD"
        faults.append(Fault(row.line, "valid_from", cells["valid_from"], expected, "write the first day"))
    if cells["valid_to"] and end is None:
        expected = "a day as YYYY-MM-DD, or nothing"
        remedy = "write the first day on which it no longer exists"
        faults.append(Fault(row.line, "valid_to", cells["valid_to"], expected, remedy))
    if start is not None and end is not None and end <= start:
        expected = f"a day after {start}"
        faults.append(Fault(row.line, "valid_to", cells["valid_to"], expected, "correct one of the two days"))
    return start, end, faults


def _place_faults(row: Row, level: Level | None, divisions: DivisionRegistry) -> list[Fault]:
    cells, code = row.cells, row.cells["division"]
    if not divisions.knows(code):
        expected = "the code of a division, of any time"
        return [Fault(row.line, "division", code, expected, "look it up in GB/T 2260, or load it first")]
    if level is None:
        return []
    city = ALL if level is Level.PROVINCE else code[:4]
    county = ALL if level in {Level.PROVINCE, Level.CITY} or code.endswith("00") else code
    return [
        Fault(
            row.line, column, cells[column], f"{expected}, which {code} lies in", "correct it or the division"
        )
        for column, expected in (("city", city), ("county", county))
        if cells[column] != expected and not (level is Level.WINDOW and cells[column] == ALL)
    ]


def _parent_faults(unit: Unit, units: Mapping[UnitId, Unit], line: int) -> list[Fault]:
    if unit.level is Level.PROVINCE:
        if unit.parent_id is None:
            return []
        return [Fault(line, "parent_id", unit.parent_id, "nothing above the province", "leave it empty")]
    above = _LADDER[_LADDER.index(unit.level) - 1]
    parent = None if unit.parent_id is None else units.get(unit.parent_id)
    if parent is None or parent.level is not above:
        return [
            Fault(
                line, "parent_id", unit.parent_id or "", f"the id of a unit of level {above}",
                "name the unit that manages it",
            )
        ]  # fmt: skip
    return []


def successor_faults(unit: Unit, units: Mapping[UnitId, Unit], line: int) -> list[Fault]:
    """Whoever takes over is there on the day on which the unit ends; nobody takes over from themselves."""
    if unit.successor is None:
        return []

    def wrong(expected: str, remedy: str) -> list[Fault]:
        return [Fault(line, "successor", unit.successor or "", expected, remedy)]

    if unit.valid_to is None:
        return wrong("nobody, as the unit has not ended", "set valid_to to the successor's first day")
    heir = units.get(unit.successor)
    if heir is None or heir.level is not unit.level:
        return wrong(f"the id of another unit of level {unit.level}", "name the one that takes over")
    if _leads_back(unit, units):
        return wrong("a unit whose own successors do not lead back", "break the circle")
    if not heir.exists(unit.valid_to):
        return wrong(f"a unit that exists on {unit.valid_to}", "correct one of the days, or the successor")
    return []


def _leads_back(unit: Unit, units: Mapping[UnitId, Unit]) -> bool:
    seen = {unit.unit_id}
    heir = unit.successor
    while heir is not None and heir not in seen:
        seen.add(heir)
        heir = units[heir].successor if heir in units else None
    return heir == unit.unit_id


def day_of(text: str) -> date | None:
    """The day that is written as ``YYYY-MM-DD``; None: it is none, or written otherwise."""
    try:
        return date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Difference:
    """One unit that a table registers (`before` is None) or changes."""

    unit: Unit
    before: Unit | None = None

    @property
    def changed(self) -> tuple[str, ...]:
        """The fields that differ; empty for a new unit."""
        if self.before is None:
            return ()
        return tuple(
            each.name
            for each in fields(Unit)
            if getattr(self.unit, each.name) != getattr(self.before, each.name)
        )


class UnitsMissingError(PingyiError):
    """A table leaves units out that are in force.

    Attributes:
        value: what the table lacks.
    """

    expected = "every unit that was ever registered"
    remedy = "keep their rows, and set valid_to where they no longer exist"

    def __init__(self, missing: Sequence[str]) -> None:
        """Name the first five."""
        self.value = f"a table without {', '.join(missing[:5])} ({len(missing)} in all)"
        super().__init__(describe(self.value, self.expected, self.remedy))


def differences(old: Iterable[Unit], new: Iterable[Unit]) -> tuple[Difference, ...]:
    """What `new` registers and changes, by id.

    Raises:
        UnitsMissingError: `new` leaves units out; a unit ends, it is never taken out.
    """
    before, after = ({unit.unit_id: unit for unit in units} for units in (old, new))
    missing = sorted(before.keys() - after.keys())
    if missing:
        raise UnitsMissingError(missing)
    return tuple(
        Difference(after[unit_id], before.get(unit_id))
        for unit_id in sorted(after)
        if after[unit_id] != before.get(unit_id)
    )


def units_text(units: Iterable[Unit]) -> str:
    """The table of `units`, ordered by id; the same units give the same bytes.

    It has the column of successors once there is one: tables from before keep their bytes and their hash.
    """
    ordered = sorted(units, key=lambda each: each.unit_id)
    succeeded = any(unit.successor for unit in ordered)
    lines = [",".join((*COLUMNS, *OPTIONAL_COLUMNS) if succeeded else COLUMNS)]
    for unit in ordered:
        cells = [
            unit.unit_id, unit.name, unit.level.value, unit.kind, unit.division, unit.city, unit.county,
            unit.parent_id or "", unit.valid_from.isoformat(),
            unit.valid_to.isoformat() if unit.valid_to else "",
        ]  # fmt: skip
        if succeeded:
            cells.append(unit.successor or "")
        lines.append(",".join(f'"{cell}"' if "," in cell else cell for cell in cells))
    return "\n".join(lines) + "\n"
