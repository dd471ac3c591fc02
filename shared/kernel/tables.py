"""Reading the committed registry tables: CSV with ``#`` provenance lines before the header row."""

import csv
from datetime import date
from importlib import resources
from pathlib import Path

from shared.kernel.errors import InvalidValueError


def read_table(
    name: str, columns: tuple[str, ...], path: Path | None = None, *, optional: tuple[str, ...] = ()
) -> list[dict[str, str]]:
    """Return the rows of a registry table as dictionaries keyed by `columns` and `optional`.

    Args:
        name: file name of the committed table, e.g. ``"units.csv"``.
        columns: the exact header expected.
        path: another file to read instead of the committed one.
        optional: columns that the header may have behind them, or not; their cells are empty then.

    Raises:
        InvalidValueError: another header than `columns`, or a row with too few or too many cells.
        OSError: `path` cannot be read.
    """
    if path is None:
        text = (resources.files("shared.kernel.data") / name).read_text(encoding="utf-8")
        origin = name
    else:
        text = path.read_text(encoding="utf-8-sig")
        origin = str(path)
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    rows = list(csv.reader(lines))
    header = tuple(rows[0]) if rows else ()
    if header not in {columns, columns + optional}:
        raise InvalidValueError(
            rows[0] if rows else "",
            f"the header {','.join(columns)} in {origin}",
            "restore or regenerate the table",
        )
    for number, row in enumerate(rows[1:], 1):
        if len(row) != len(header):
            raise InvalidValueError(
                row,
                f"{len(header)} cells in data row {number} of {origin}",
                "quote commas inside cells or fix the row",
            )
    absent = dict.fromkeys(optional, "")
    return [absent | dict(zip(header, row, strict=True)) for row in rows[1:]]


def read_date(text: str) -> date:
    """Parse a table cell as ``YYYY-MM-DD``.

    Raises:
        InvalidValueError: not a calendar date in that form.
    """
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidValueError(text, "a date as YYYY-MM-DD", "correct the cell") from error


def read_end(text: str) -> date | None:
    """Parse an end date: an empty cell means still in force."""
    return read_date(text) if text else None
