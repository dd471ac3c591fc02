"""Tables for spreadsheets: CSV that shows what it says, and runs nothing."""

import csv
import re
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Final

CSV: Final = "text/csv"
BOM: Final = "\ufeff"
"""Without it, spreadsheets take UTF-8 for the machine's old code page, and Chinese names for noise."""

_NUMBER: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_RUNS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def safe_cell(value: object) -> object:
    """A cell that a spreadsheet shows and does not compute: a leading apostrophe keeps formulas text.

    Also in front of the full-width forms, which spreadsheets of East Asia read as the ASCII ones. Numbers
    stay numbers, also negative ones (OWASP, "CSV injection").
    """
    if isinstance(value, str) and value.startswith(_RUNS) and _NUMBER.fullmatch(value) is None:
        return f"'{value}"
    return value


def csv_lines(rows: Iterable[Sequence[object]]) -> str:
    """``rows`` as CSV (RFC 4180), every cell safe; None is an empty cell."""
    written = StringIO()
    csv.writer(written).writerows([safe_cell(cell) for cell in row] for row in rows)
    return written.getvalue()
