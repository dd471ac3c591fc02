"""The reject file: what was not imported, in the file's own columns and format, with the reasons.

It is made to be corrected and imported again: each row keeps its number in the first file and the import's
id, which together identify the rating, so nothing doubles.
"""

import csv
import json
import os
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final
from xml.sax.saxutils import escape

import msgspec

from deploy.local.importing.columns import (
    CHANNEL_COLUMN,
    IMPORT_COLUMN,
    REASON_COLUMNS,
    ROW_COLUMN,
    Field,
    Header,
    field_of,
)
from deploy.local.importing.faults import Reason
from deploy.local.importing.ndjson_rows import members, refuse_constant
from deploy.local.importing.sources import Kind, guard

PRIVATE: Final = 0o600
"""Reject files hold people's data, as the files do that they come from."""


class Reject(msgspec.Struct, array_like=True):
    """One row of the reject file.

    Attributes:
        row: its number in the file that was imported first.
        cells: what stood in it.
        chinese: the reasons, in Chinese.
        english: the same in English.
    """

    row: int
    cells: list[str]
    chinese: str
    english: str

    @classmethod
    def of(cls, row: int, cells: Sequence[str], reasons: Iterable[Reason]) -> "Reject":
        """A row with its reasons."""
        told = list(reasons)
        return cls(
            row,
            [_clean(cell) for cell in cells],
            _clean("".join(reason.chinese for reason in told)),
            _clean(" ".join(reason.english for reason in told)),
        )


def _clean(text: str) -> str:
    """`text` without lone surrogates, which no file can hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


@dataclass(frozen=True, slots=True)
class Form:
    """What a reject file looks like.

    Attributes:
        header: of the file that was imported; None for NDJSON.
        channel: of rows that name none.
    """

    kind: Kind
    header: Header | None
    import_id: str
    channel: str

    @property
    def names(self) -> list[str]:
        """All columns: the file's own without those of an earlier reject file, then where from and why."""
        own = [self._columns[place] for place in self._own]
        return [*own, *self._added, *REASON_COLUMNS]

    @property
    def _columns(self) -> tuple[str, ...]:
        return () if self.header is None else self.header.names

    @property
    def _own(self) -> list[int]:
        ours = {ROW_COLUMN, IMPORT_COLUMN, *REASON_COLUMNS}
        return [place for place, name in enumerate(self._columns) if name not in ours]

    @property
    def _added(self) -> list[str]:
        has_channel = self.header is not None and Field.CHANNEL in self.header.places
        return [ROW_COLUMN, IMPORT_COLUMN, *([] if has_channel else [CHANNEL_COLUMN])]

    def cells_of(self, reject: Reject) -> list[str]:
        """The cells of one row, in the order of `names`."""
        width = len(self._columns)
        given = reject.cells
        if len(given) > width > 0:  # a row with surplus cells: they stay readable in the last one
            given = [*given[: width - 1], ",".join(each for each in given[width - 1 :] if each)]
        given = given + [""] * (width - len(given))
        added = [str(reject.row), self.import_id, self.channel][: len(self._added)]
        return [*(given[place] for place in self._own), *added, reject.chinese, reject.english]


def write_rejects(path: Path, form: Form, rejects: Iterable[Reject]) -> Path:
    """Write a reject file beside others, never over one: somebody may be correcting it.

    Returns:
        Where it was written: `path`, or with a number if that is taken.
    """
    file, taken = _create(path)
    with file:
        match form.kind:
            case Kind.CSV:
                _write_csv(file, form, rejects)
            case Kind.XLSX:
                _write_xlsx(file, form, rejects)
            case Kind.NDJSON:
                for reject in rejects:
                    file.write(_json_line(form, reject))
        file.flush()
        os.fsync(file.fileno())
    return taken


def _create(path: Path) -> tuple[IO[bytes], Path]:
    number = 1
    while True:
        wanted = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        try:
            return os.fdopen(os.open(wanted, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE), "wb"), wanted
        except FileExistsError:
            number += 1


def _write_csv(file: IO[bytes], form: Form, rejects: Iterable[Reject]) -> None:
    # With a byte order mark: without one Excel takes UTF-8 for GBK.
    file.write(b"\xef\xbb\xbf")
    lines = _Encoder(file)
    writer = csv.writer(lines)
    writer.writerow(form.names)
    for reject in rejects:
        writer.writerow([guard(cell) for cell in form.cells_of(reject)])


class _Encoder:
    """Lets the standard writer write bytes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, text: str) -> int:
        return self._file.write(text.encode())


def _json_line(form: Form, reject: Reject) -> bytes:
    raw = reject.cells[0] if reject.cells else ""
    try:
        value = json.loads(raw, object_pairs_hook=members, parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        value = {"原文": raw}
    known = {field_of(name) for name in value}
    ours = {ROW_COLUMN: str(reject.row), IMPORT_COLUMN: form.import_id}
    if Field.CHANNEL not in known:
        ours[CHANNEL_COLUMN] = form.channel
    value |= ours | dict(zip(REASON_COLUMNS, (reject.chinese, reject.english), strict=True))
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


# --- a workbook with one sheet of texts ---------------------------------------------------------------------
# Texts and nothing else: a number of 18 digits stays what it was, and "=1+1" is no formula.

_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
_CONTENT = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_PARTS: Final = {
    "[Content_Types].xml": (
        f'{_XML}<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_CONTENT}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_CONTENT}.worksheet+xml"/>'
        f'<Override PartName="/xl/styles.xml" ContentType="{_CONTENT}.styles+xml"/></Types>'
    ),
    "_rels/.rels": (
        f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships">'
        f'<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>'
    ),
    "xl/workbook.xml": (
        f'{_XML}<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}">'
        '<sheets><sheet name="rejects" sheetId="1" r:id="rId1"/></sheets></workbook>'
    ),
    "xl/_rels/workbook.xml.rels": (
        f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships">'
        f'<Relationship Id="rId1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
        f'<Relationship Id="rId2" Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>'
    ),
    # Style 1 is "text": what is typed into such a cell stays as it is typed.
    "xl/styles.xml": (
        f'{_XML}<styleSheet xmlns="{_MAIN}"><fonts count="1"><font/></fonts><fills count="2">'
        '<fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill>'
        "</fills>"
        '<borders count="1"><border/></borders>'
        '<cellStyleXfs count="1"><xf/></cellStyleXfs>'
        '<cellXfs count="2"><xf xfId="0"/><xf numFmtId="49" xfId="0" applyNumberFormat="1"/></cellXfs>'
        '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>'
    ),
}
_UNWRITABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0d\x0e-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")


def _write_xlsx(file: IO[bytes], form: Form, rejects: Iterable[Reject]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as package:
        for name, text in _PARTS.items():
            package.writestr(name, text)
        with package.open("xl/worksheets/sheet1.xml", "w") as sheet:
            sheet.write(f'{_XML}<worksheet xmlns="{_MAIN}"><sheetData>'.encode())
            for number, row in enumerate(_table(form, rejects), 1):
                sheet.write(_xml_row(number, row))
            sheet.write(b"</sheetData></worksheet>")


def _table(form: Form, rejects: Iterable[Reject]) -> Iterator[list[str]]:
    yield form.names
    yield from map(form.cells_of, rejects)


def _xml_row(number: int, row: list[str]) -> bytes:
    written = "".join(
        f'<c r="{_letters(place)}{number}" s="1" t="inlineStr">'
        f'<is><t xml:space="preserve">{_xml(cell)}</t></is></c>'
        for place, cell in enumerate(row)
        if cell
    )
    return f'<row r="{number}">{written}</row>'.encode()


def _xml(text: str) -> str:
    return escape(_UNWRITABLE.sub(lambda found: f"_x{ord(found[0]):04X}_", text))


def _letters(place: int) -> str:
    letters = ""
    place += 1
    while place:
        place, rest = divmod(place - 1, 26)
        letters = chr(65 + rest) + letters
    return letters
