"""Lists as CSV tables for spreadsheets: nested columns flattened, no cell that a spreadsheet would run."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from services.scoring.domain.assessment import OTHER_SOURCES
from services.scoring.domain.lists import Row
from shared.kernel.grades import Dimension
from shared.kernel.spreadsheets import BOM, CSV, csv_lines
from shared.observability.negotiation import preferred

ROWS_AT_ONCE: Final = 200

_OUTCOMES: Final = ("rectification", "cases")
_LEFT_OUT: Final = "left_out"
_PLAIN: Final = tuple(
    name for name in Row._fields if name not in {"histogram", "dimensions", "sources", *_OUTCOMES, _LEFT_OUT}
)
_GRADES: Final = tuple(f"grade_{grade}" for grade in range(1, 6))
_DIMENSIONS: Final = tuple(f"dimensions_{dimension}" for dimension in Dimension)
_SOURCES: Final = tuple(
    f"sources_{source}_{figure}" for source in OTHER_SOURCES for figure in ("ratings", "index")
)
HEADER: Final = (*_PLAIN, *_GRADES, *_DIMENSIONS, *_SOURCES, *_OUTCOMES, _LEFT_OUT)


def write_table(rows: Sequence[Row]) -> Iterator[str]:
    """The table in pieces of :data:`ROWS_AT_ONCE` rows, header first; empty cells for what is not known."""
    yield BOM + csv_lines([HEADER])
    for start in range(0, len(rows), ROWS_AT_ONCE):
        yield csv_lines([_cells(row) for row in rows[start : start + ROWS_AT_ONCE]])


def wants_table(form: str | None, accept: str) -> bool:
    """Whether to answer with a table: ``format`` says so, or CSV is what the client would rather have."""
    if form is not None:
        return form == "csv"
    return preferred(accept, "application/json", [CSV]) == CSV


def _cells(row: Row) -> list[object]:
    values: dict[str, Any] = row._asdict()
    dimensions, sources = row.dimensions or {}, row.sources or {}
    cells: list[object] = [values[name] for name in _PLAIN]
    cells += row.histogram or (None,) * len(_GRADES)
    cells += [dimensions.get(str(dimension)) for dimension in Dimension]
    for source in OTHER_SOURCES:
        figures = sources.get(str(source), {})
        cells += [figures.get("ratings"), figures.get("index")]
    return [*cells, row.rectification, row.cases, row.left_out]
