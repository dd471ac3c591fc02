"""Opening a file of ratings, whatever it is: its kind by its first bytes, its columns by its header."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from io import TextIOWrapper
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, Final, Self

from deploy.local.errors import LocalError
from deploy.local.importing import cells
from deploy.local.importing.columns import HEADER_WITHIN, Field, Header, find_header, no_header
from deploy.local.importing.csv_rows import DELIMITERS, GridRow, read_csv
from deploy.local.importing.encoding import encoding_of
from deploy.local.importing.faults import Fault, Reason
from deploy.local.importing.ndjson_rows import read_ndjson
from deploy.local.importing.rows import WHOLE_ROW, Row
from deploy.local.importing.workbook import choose_sheet, read_book
from deploy.local.importing.xlsx_rows import read_sheet
from deploy.local.importing.xml_parts import MAX_PART, Package
from shared.kernel.errors import describe

_ZIP: Final = b"PK\x03\x04"
_FOREIGN: Final = (
    (b"\xd0\xcf\x11\xe0", "an old (.xls) or encrypted workbook", "save it as .xlsx without a password"),
    (b"\x1f\x8b", "a compressed file", "unpack it first"),
    (b"%PDF", "a PDF", "ask for the table that it was made from"),
)
_LINES: Final = (".ndjson", ".jsonl")

_RAGGED: Final = Fault(
    "与表头相同的列数",
    "检查该行的分隔符和引号，使各值对准各列",
    "as many cells as the header has",
    "look at the row's delimiters and quotation marks, so that each value is in its column",
)


_UNCOMPUTED: Final = Fault(
    "公式算出的值",
    "用 Excel 打开该文件，保存后再导入",
    "the value that the formula has",
    "open the file in Excel, save it, and import it again",
)


class FileKindError(LocalError):
    """The file is of no kind that can be imported."""


class Kind(StrEnum):
    """Kinds of files."""

    CSV = "csv"
    XLSX = "xlsx"
    NDJSON = "ndjson"


@dataclass(slots=True)
class Source:
    """An opened file.

    Attributes:
        about: what was found out about the file, for people: encoding, sheet, and the like.
        header: None for NDJSON, whose lines name their values.
        rows: of the file, once; blank ones are passed over.
        total: bytes that there are to read, in the measure of `position`.
        position: bytes read so far.
        import_id: what the first row says, in a reject file; else None.
    """

    kind: Kind
    about: Mapping[str, str]
    header: Header | None
    rows: Iterator[Row]
    total: int
    position: int = 0
    import_id: str | None = None
    _resources: ExitStack = field(default_factory=ExitStack)

    @property
    def corrected(self) -> bool:
        """Whether it is a reject file."""
        of_table = self.header is not None and Field.IMPORT in self.header.places
        return of_table or self.import_id is not None

    def name_of(self, wanted: Field) -> str:
        """The file's name for the column of a field."""
        return wanted.value if self.header is None else self.header.name_of(wanted)

    def __enter__(self) -> Self:
        """Keep the file open until the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._resources.close()


def open_source(
    path: Path, *, sheet: str | None = None, overrides: Mapping[str, Field | None] | None = None
) -> Source:
    """Open a file and find its columns; to be used as a context.

    Raises:
        LocalError: it can't be imported as a whole; says what was found and what to do.
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        head = file.read(4096)
    for magic, what, remedy in _FOREIGN:
        if head.startswith(magic):
            raise FileKindError(describe(f"{path.name}: {what}", "a .csv, .xlsx or .ndjson file", remedy))
    with ExitStack() as resources:
        file = resources.enter_context(path.open("rb"))
        if head.startswith(_ZIP):
            source = _open_xlsx(path, file, sheet, overrides, resources)
        elif path.suffix.lower() in _LINES or head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
            source = _open_ndjson(path, file, overrides)
        elif head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
            raise FileKindError(
                describe(f"{path.name}: a JSON array", "one JSON object on each line", "write it as NDJSON")
            )
        else:
            source = _open_csv(path, file, overrides, resources)
        first = next(source.rows, None)
        if first is not None:
            source.import_id = cells.normal(first.values.get(Field.IMPORT, "")) or None
            source.rows = chain((first,), source.rows)
        source._resources = resources.pop_all()  # noqa: SLF001 - complete from here on
        return source


def _open_ndjson(path: Path, file: BinaryIO, overrides: Mapping[str, Field | None] | None) -> Source:
    source = Source(Kind.NDJSON, {"encoding": "utf-8"}, None, iter(()), path.stat().st_size)

    def rows() -> Iterator[Row]:
        for row in read_ndjson(file, overrides):
            source.position = file.tell()
            yield row

    source.rows = rows()
    return source


def _open_csv(
    path: Path, file: BinaryIO, overrides: Mapping[str, Field | None] | None, resources: ExitStack
) -> Source:
    encoding = encoding_of(path)
    header, delimiter = _delimited_header(path, encoding, overrides)
    stream = resources.enter_context(TextIOWrapper(file, encoding=encoding, newline=""))
    about = {"encoding": encoding, "delimiter": delimiter, "header_row": str(header.row)}
    source = Source(Kind.CSV, about, header, iter(()), path.stat().st_size)

    def grid() -> Iterator[GridRow]:
        for row in read_csv(stream, delimiter):
            source.position = file.tell()
            yield row

    source.rows = _below(header, grid(), strict=True)
    return source


def _delimited_header(
    path: Path, encoding: str, overrides: Mapping[str, Field | None] | None
) -> tuple[Header, str]:
    """The header, and the delimiter under which most of its columns are known."""
    best: tuple[int, Header, str] | None = None
    seen: list[str] = []
    for delimiter in DELIMITERS:
        with path.open(encoding=encoding, newline="") as stream:
            top = list(islice(read_csv(stream, delimiter), HEADER_WITHIN))
        seen = max(seen, next((row.cells for row in top if any(row.cells)), []), key=len)
        header = find_header([(row.number, row.cells) for row in top], overrides)
        if header is not None and (best is None or len(header.places) > best[0]):
            best = (len(header.places), header, delimiter)
    if best is None:
        raise no_header(seen)
    return best[1], best[2]


def _open_xlsx(
    path: Path,
    file: BinaryIO,
    sheet: str | None,
    overrides: Mapping[str, Field | None] | None,
    resources: ExitStack,
) -> Source:
    package = Package(file, path.name)
    resources.callback(package.close)
    book = read_book(package)
    resources.callback(book.texts.close)
    chosen = choose_sheet(book, sheet)
    stream = resources.enter_context(package.open(chosen.part, MAX_PART))
    read = read_sheet(stream, book, chosen.part)
    top = list(islice(read, HEADER_WITHIN))
    header = find_header([(row.number, row.cells) for row, _ in top], overrides)
    others = "、".join(each.name for each in book.sheets if each is not chosen)
    if header is None:
        raise no_header(
            top[0][0].cells if top else (), f"工作表 {chosen.name}" + (f", not {others}" if others else "")
        )
    about = {"sheet": chosen.name, "header_row": str(header.row)}
    source = Source(
        Kind.XLSX, about | ({"other_sheets": others} if others else {}), header, iter(()),
        package.size(chosen.part),
    )  # fmt: skip

    def grid() -> Iterator[GridRow]:
        for row, position in chain(top, read):
            source.position = position
            yield row

    source.rows = _below(header, grid(), strict=False)
    return source


def _below(header: Header, grid: Iterator[GridRow], *, strict: bool) -> Iterator[Row]:
    """The rows below the header, understood by its columns.

    Args:
        header: of the table.
        grid: all rows.
        strict: whether a row must have as many cells as the header: in text files a missing delimiter shifts
            what comes after it.
    """
    width = len(header.names)
    places = tuple(header.places.items())
    corrected = Field.IMPORT in header.places
    for row in grid:
        if row.number <= header.row:
            continue
        found = [unguard(cell) for cell in row.cells] if corrected and strict else row.cells
        if row.fault is not None:
            shown = found[0] if found else ""
            yield Row(row.number, found, {}, (Reason(WHOLE_ROW, shown, row.fault),))
            continue
        count = len(found)
        if count > width and any(cell.strip() for cell in found[width:]):
            yield Row(row.number, found, {}, (Reason(WHOLE_ROW, f"{count} 列 columns", _RAGGED),))
            continue
        values = {each: found[place] for each, place in places if place < count and found[place].strip()}
        unread = [place for _, place in places if place in row.uncomputed]
        if unread:
            reasons = (Reason(header.names[place], None, _UNCOMPUTED) for place in unread)
            yield Row(row.number, found, values, tuple(reasons))
        elif strict and count < width and any(cell.strip() for cell in found):
            yield Row(row.number, found, values, (Reason(WHOLE_ROW, f"{count} 列 columns", _RAGGED),))
        elif values or any(cell.strip() for cell in found):
            yield Row(row.number, found, values)


_FORMULAS: Final = frozenset("=+-@\t\r")
"""First characters that make a spreadsheet take the text of a cell for a formula."""


def guard(text: str) -> str:
    """`text` with an apostrophe before it where a spreadsheet would compute it; see `unguard`."""
    return f"'{text}" if text.lstrip("'")[:1] in _FORMULAS else text


def unguard(text: str) -> str:
    """The reverse of `guard`."""
    return text[1:] if text[:1] == "'" and text.lstrip("'")[:1] in _FORMULAS else text
