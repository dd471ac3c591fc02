"""Lists as CSV tables for spreadsheets: nested columns flattened, no cell that a spreadsheet would run."""

import csv
import re
from collections.abc import Iterator, Sequence
from io import StringIO
from typing import Any, Final

from services.scoring.domain.assessment import OTHER_SOURCES
from services.scoring.domain.lists import Row
from shared.kernel.grades import Dimension

CSV: Final = "text/csv"
BOM: Final = "\ufeff"
"""Without it, spreadsheets take UTF-8 for the machine's old code page, and Chinese names for noise."""
ROWS_AT_ONCE: Final = 200

_PLAIN: Final = tuple(name for name in Row._fields if name not in {"histogram", "dimensions", "sources"})
_GRADES: Final = tuple(f"grade_{grade}" for grade in range(1, 6))
_DIMENSIONS: Final = tuple(f"dimensions_{dimension}" for dimension in Dimension)
_SOURCES: Final = tuple(
    f"sources_{source}_{figure}" for source in OTHER_SOURCES for figure in ("ratings", "index")
)
HEADER: Final = (*_PLAIN, *_GRADES, *_DIMENSIONS, *_SOURCES)

_NUMBER: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_RUNS: Final = ("=", "+", "-", "@", "\t", "\r")


def safe_cell(value: object) -> object:
    """A cell that a spreadsheet shows and does not compute: a leading apostrophe keeps formulas text.

    Numbers stay numbers, also negative ones (OWASP, "CSV injection").
    """
    if isinstance(value, str) and value.startswith(_RUNS) and _NUMBER.fullmatch(value) is None:
        return f"'{value}"
    return value


def write_table(rows: Sequence[Row]) -> Iterator[str]:
    """The table in pieces of :data:`ROWS_AT_ONCE` rows, header first; empty cells for what is not known."""
    yield BOM + _lines([HEADER])
    for start in range(0, len(rows), ROWS_AT_ONCE):
        yield _lines([_cells(row) for row in rows[start : start + ROWS_AT_ONCE]])


def wants_table(form: str | None, accept: str) -> bool:
    """Whether to answer with a table: ``format`` says so, or CSV is what the client would rather have."""
    if form is not None:
        return form == "csv"
    table = _quality(accept, CSV)
    return table > 0 and table >= _quality(accept, "application/json")


def _quality(accept: str, media_type: str) -> float:
    """How much a client wants a media type that it names, 0-1; 0 if it doesn't name it."""
    for each in accept.split(","):
        name, *parameters = (part.strip() for part in each.split(";"))
        if name.lower() == media_type:
            weight = next((part[2:] for part in parameters if part.startswith("q=")), "1")
            return float(weight) if _NUMBER.fullmatch(weight) is not None else 0.0
    return 0.0


def _cells(row: Row) -> list[object]:
    values: dict[str, Any] = row._asdict()
    dimensions, sources = row.dimensions or {}, row.sources or {}
    cells: list[object] = [values[name] for name in _PLAIN]
    cells += row.histogram or (None,) * len(_GRADES)
    cells += [dimensions.get(str(dimension)) for dimension in Dimension]
    for source in OTHER_SOURCES:
        figures = sources.get(str(source), {})
        cells += [figures.get("ratings"), figures.get("index")]
    return [safe_cell(cell) for cell in cells]


def _lines(rows: Sequence[Sequence[object]]) -> str:
    written = StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue()
