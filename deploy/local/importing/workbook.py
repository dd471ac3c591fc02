"""What a workbook says about itself: its sheets, which styles are dates, and its table of texts."""

import re
import tempfile
from array import array
from collections import OrderedDict
from dataclasses import dataclass
from posixpath import normpath
from typing import Final

from deploy.local.importing.rows import MAX_CELL_CHARS
from deploy.local.importing.xml_parts import (
    MAX_PART,
    Handler,
    Package,
    WorkbookError,
    broken,
    parse_part,
    parse_whole,
)
from shared.kernel.errors import describe

MAX_TEXTS: Final = 8_000_000
"""Different texts in a workbook: eight bytes each are kept in memory."""
_KEPT: Final = 4_096
"""Texts kept in memory; the others are read back from a temporary file."""
_DATE_FORMATS: Final = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})
"""Formats of dates and times that need no definition (ECMA-376 part 1, 18.8.30), Chinese ones too."""
_LITERAL: Final = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE)
_ESCAPED: Final = re.compile(r"_x([0-9A-Fa-f]{4})_")
_MAX_STYLES: Final = 100_000
_WORKSHEET: Final = "/worksheet"


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sheet: its name, whether people see it, and the part that holds it."""

    name: str
    visible: bool
    part: str


@dataclass(frozen=True, slots=True)
class Book:
    """What reading a sheet needs to know of its workbook.

    Attributes:
        date_styles: for each style whether its numbers are dates.
        epoch_1904: whether days are counted from 1904.
    """

    sheets: tuple[Sheet, ...]
    date_styles: tuple[bool, ...]
    epoch_1904: bool
    texts: "TextTable"


class TextTable:
    """The workbook's table of texts, in a temporary file: what is kept in memory does not grow with it."""

    def __init__(self) -> None:
        """Start empty."""
        # Unbuffered: each text is read by its exact place.
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - open as long as the table
        self._pending: list[bytes] = []
        self._ends = array("Q", [0])
        self._recent: OrderedDict[int, str] = OrderedDict()

    def add(self, text: str) -> None:
        """Append a text.

        Raises:
            WorkbookError: there are too many.
        """
        if len(self._ends) > MAX_TEXTS:
            raise broken(f"more than {MAX_TEXTS} different texts", f"at most {MAX_TEXTS}")
        raw = text.encode("utf-8", "surrogatepass")
        self._pending.append(raw)
        self._ends.append(self._ends[-1] + len(raw))
        if len(self._pending) >= _KEPT:
            self.flush()

    def flush(self) -> None:
        """Write what has been added."""
        data = memoryview(b"".join(self._pending))
        while data:
            data = data[self._file.write(data) :]
        self._pending = []

    def __len__(self) -> int:
        """Count the texts."""
        return len(self._ends) - 1

    def __getitem__(self, place: int) -> str:
        """The text at `place`; raises IndexError."""
        found = self._recent.get(place)
        if found is None:
            if not 0 <= place < len(self):
                raise IndexError(place)
            start = self._ends[place]
            self._file.seek(start)
            found = self._file.read(self._ends[place + 1] - start).decode("utf-8", "surrogatepass")
            self._recent[place] = found
            if len(self._recent) > _KEPT:
                self._recent.popitem(last=False)
        return found

    def close(self) -> None:
        """Delete the temporary file."""
        self._file.close()


def read_book(package: Package) -> Book:
    """Read everything but the sheets.

    Raises:
        WorkbookError: it is no workbook, or breaks a bound.
    """
    if "xl/workbook.xml" not in package:
        raise broken("a ZIP file without xl/workbook.xml", "a workbook (.xlsx)")
    relations = _Relations()
    parse_whole(package, "xl/_rels/workbook.xml.rels", relations)
    contents = _Contents()
    parse_whole(package, "xl/workbook.xml", contents)
    sheets = tuple(
        Sheet(name, state == "visible", relations.sheets[relation])
        for name, state, relation in contents.sheets
        if relation in relations.sheets
    )
    if not sheets:
        raise broken("a workbook without sheets", "at least one")
    styles = _Styles()
    if "xl/styles.xml" in package:
        parse_whole(package, "xl/styles.xml", styles)
    texts = TextTable()
    try:
        if relations.texts is not None and relations.texts in package:
            with package.open(relations.texts, MAX_PART) as stream:
                for _ in parse_part(stream, _Texts(texts), relations.texts):
                    pass
        texts.flush()
    except BaseException:
        texts.close()
        raise
    return Book(sheets, styles.dates(), contents.epoch_1904, texts)


def choose_sheet(book: Book, name: str | None) -> Sheet:
    """The sheet called `name`; without a name the first one that people see.

    Raises:
        WorkbookError: there is none of that name.
    """
    if name is None:
        return next((sheet for sheet in book.sheets if sheet.visible), book.sheets[0])
    for sheet in book.sheets:
        if sheet.name == name:
            return sheet
    names = "、".join(sheet.name for sheet in book.sheets)
    raise WorkbookError(describe(name, f"the name of a sheet: {names}", "name one of them with --sheet"))


def unescape(text: str) -> str:
    """A text as people see it: ``_x000D_`` stands for a character that XML can't hold."""
    if "_x" not in text:
        return text
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)


class _Relations(Handler):
    def __init__(self) -> None:
        self.sheets: dict[str, str] = {}
        self.texts: str | None = None

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name != "Relationship":
            return
        kind, target = attributes.get("Type", ""), attributes.get("Target", "")
        part = normpath(target[1:] if target.startswith("/") else f"xl/{target}")
        if kind.endswith(_WORKSHEET):
            self.sheets[attributes.get("Id", "")] = part
        elif kind.endswith("/sharedStrings"):
            self.texts = part


class _Contents(Handler):
    def __init__(self) -> None:
        self.sheets: list[tuple[str, str, str]] = []
        self.epoch_1904 = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "workbookPr":
            self.epoch_1904 = attributes.get("date1904", "0") in {"1", "true"}
        elif name == "sheet":
            relation = next((value for key, value in attributes.items() if key.endswith(":id")), "")
            self.sheets.append((attributes.get("name", ""), attributes.get("state", "visible"), relation))


class _Styles(Handler):
    def __init__(self) -> None:
        self._codes: dict[int, str] = {}
        self._formats: list[int] = []
        self._within = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "numFmt":
            self._codes[_number(attributes.get("numFmtId"))] = attributes.get("formatCode", "")
        elif name == "cellXfs":
            self._within = True
        elif name == "xf" and self._within:
            if len(self._formats) >= _MAX_STYLES:
                raise broken(f"more than {_MAX_STYLES} styles", f"at most {_MAX_STYLES}")
            self._formats.append(_number(attributes.get("numFmtId")))

    def end(self, name: str) -> None:
        if name == "cellXfs":
            self._within = False

    def dates(self) -> tuple[bool, ...]:
        return tuple(self._is_date(number) for number in self._formats)

    def _is_date(self, number: int) -> bool:
        code = self._codes.get(number)
        if code is None:
            return number in _DATE_FORMATS
        return any(char in "ymdhs" for char in _LITERAL.sub("", code.split(";")[0]).lower())


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 10 else 0  # noqa: PLR2004 - larger ones name no format


class _Texts(Handler):
    """Texts of the table: their runs joined, without what only says how to pronounce them."""

    def __init__(self, texts: TextTable) -> None:
        self._texts = texts
        self._parts: list[str] = []
        self._size = 0
        self._within = False
        self._phonetic = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        del attributes
        if name == "si":
            self._parts, self._size = [], 0
        elif name == "rPh":
            self._phonetic = True
        elif name == "t":
            self._within = not self._phonetic

    def end(self, name: str) -> None:
        if name == "t":
            self._within = False
        elif name == "rPh":
            self._phonetic = False
        elif name == "si":
            self._texts.add(unescape("".join(self._parts)))

    def text(self, data: str) -> None:
        # What goes beyond a cell is cut one character later, so that the row is refused as too long.
        if self._within and self._size <= MAX_CELL_CHARS:
            self._parts.append(data[: MAX_CELL_CHARS + 1 - self._size])
            self._size += len(data)
