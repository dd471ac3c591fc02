"""Rows of a sheet of a workbook (.xlsx), one after another, in constant memory.

Own code because the libraries keep every text and something of each row (openpyxl) or the whole sheet
(calamine), and build a row of a million cells before anybody can object. Tests compare what it reads with
openpyxl.
"""

import re
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from typing import IO, Final

from deploy.local.importing.columns import MAX_COLUMNS
from deploy.local.importing.csv_rows import TOO_WIDE, GridRow
from deploy.local.importing.faults import Fault
from deploy.local.importing.rows import MAX_CELL_CHARS, MAX_ROW_CHARS
from deploy.local.importing.workbook import Book, unescape
from deploy.local.importing.xml_parts import Handler, broken, parse_part

MAX_ROWS: Final = 1_048_576
_DAY_ZERO: Final = datetime(1899, 12, 30)  # noqa: DTZ001 - Excel's times have no zone
_DAY_ZERO_1904: Final = datetime(1904, 1, 1)  # noqa: DTZ001 - as above
_LAST_SERIAL: Final = 2_958_465
_REFERENCE: Final = re.compile(r"([A-Z]{1,3})([0-9]{1,7})", re.ASCII)
_SHORT_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,14}", re.ASCII)
_LONGEST_NUMBER: Final = 40
_EXACT: Final = 1e15
"""Excel keeps 15 digits; a longer whole number has lost some."""

_TOO_LONG: Final = Fault(
    f"每格至多 {MAX_CELL_CHARS} 个字符、每行至多 {MAX_ROW_CHARS} 个",
    "缩短该行的内容",
    f"at most {MAX_CELL_CHARS} characters in a cell and {MAX_ROW_CHARS} in a row",
    "shorten what stands in the row",
)


def read_sheet(stream: IO[bytes], book: Book, part: str) -> Iterator[tuple[GridRow, int]]:
    """The rows of a sheet that are not blank, each with the bytes of the part that were read by then.

    Cells are texts: whole numbers without a fraction, dates as ``2026-03-01`` or ``2026-03-01T09:30:00``,
    formulas as the value that Excel computed, numbers that lost digits in scientific notation.

    Raises:
        WorkbookError: the sheet is broken or breaks a bound.
    """
    rows = _Rows(book, part)
    for read in parse_part(stream, rows, part):
        while rows.complete:
            yield rows.complete.popleft(), read
    while rows.complete:
        yield rows.complete.popleft(), read


class _Rows(Handler):
    """Collects cells into rows."""

    def __init__(self, book: Book, part: str) -> None:
        self._book = book
        self._part = part
        self.complete: deque[GridRow] = deque()
        self._number = 0
        self._cells: list[str] = []
        self._size = 0
        self._fault: Fault | None = None
        self._place = 0
        self._kind = "n"
        self._style = 0
        self._parts: list[str] = []
        self._length = 0
        self._collecting = False
        self._phonetic = False
        self._formula = False
        self._uncomputed: list[int] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "c":
            reference = attributes.get("r")
            self._place = self._place + 1 if reference is None else _column(reference, self._part)
            self._kind = attributes.get("t", "n")
            style = attributes.get("s", "0")
            self._style = int(style) if style.isdecimal() and len(style) < 7 else 0  # noqa: PLR2004 - no such style
            self._parts, self._length = [], 0
            self._formula = False
        elif name == "f":
            self._formula = True
        elif name in {"v", "t"}:
            self._collecting = not self._phonetic
        elif name == "rPh":
            self._phonetic = True
        elif name == "row":
            self._begin(attributes.get("r"))

    def _begin(self, number: str | None) -> None:
        last = self._number
        self._number = last + 1
        if number is not None:
            if not (number.isascii() and number.isdecimal()) or not last < int(number[:8]) <= MAX_ROWS:
                raise broken(
                    f"row {number[:20]} after row {last} in {self._part}", f"rising up to {MAX_ROWS}"
                )
            self._number = int(number)
        elif self._number > MAX_ROWS:
            raise broken(f"row {self._number} in {self._part}", f"at most {MAX_ROWS} rows")
        self._cells, self._size, self._fault, self._place = [], 0, None, 0
        self._uncomputed = []

    def end(self, name: str) -> None:
        if name in {"v", "t"}:
            self._collecting = False
        elif name == "rPh":
            self._phonetic = False
        elif name == "c":
            self._end_cell()
        elif name == "row" and (self._fault is not None or any(self._cells) or self._uncomputed):
            self.complete.append(GridRow(self._number, self._cells, self._fault, self._uncomputed))

    def _end_cell(self) -> None:
        # A text that Excel computed may be empty; a number, date or truth is not.
        if self._formula and not self._parts and self._kind != "str" and self._place <= MAX_COLUMNS:
            self._uncomputed.append(self._place - 1)
        if not self._parts or self._fault is not None:
            return
        if self._place > MAX_COLUMNS:
            self._fault = TOO_WIDE
            return
        text = self._text_of("".join(self._parts))
        if not text:
            return
        self._size += len(text)
        if self._size > MAX_ROW_CHARS or len(text) > MAX_CELL_CHARS:
            self._fault = _TOO_LONG
        else:
            missing = self._place - len(self._cells)
            if missing > 0:
                self._cells.extend([""] * missing)
            self._cells[self._place - 1] = text

    def text(self, data: str) -> None:
        if not self._collecting or self._fault is not None:
            return
        self._length += len(data)
        if self._length > MAX_CELL_CHARS:
            self._fault = _TOO_LONG
        else:
            self._parts.append(data)

    def _text_of(self, raw: str) -> str:
        if self._kind == "s":
            try:
                return self._book.texts[int(raw)]
            except (ValueError, IndexError) as error:
                raise broken(
                    f"text {raw[:20]} in row {self._number} of {self._part}", "a text that the workbook has"
                ) from error
        if self._kind == "n":
            styles = self._book.date_styles
            is_date = self._style < len(styles) and styles[self._style]
            return number_text(raw, is_date=is_date, epoch_1904=self._book.epoch_1904)
        if self._kind == "b":
            return "TRUE" if raw == "1" else "FALSE"
        return unescape(raw)


def number_text(raw: str, *, is_date: bool, epoch_1904: bool) -> str:
    """What a number of a sheet means, as text; see `read_sheet`."""
    if len(raw) > _LONGEST_NUMBER:
        return raw
    return _number_text(raw, is_date=is_date, epoch_1904=epoch_1904)


@lru_cache(65_536)
def _number_text(raw: str, *, is_date: bool, epoch_1904: bool) -> str:
    if not is_date and _SHORT_INTEGER.fullmatch(raw):
        return raw
    try:
        number = float(raw)
    except ValueError:
        return raw
    if is_date and 0 <= number <= _LAST_SERIAL:
        return _moment_text(number, _DAY_ZERO_1904 if epoch_1904 else _DAY_ZERO)
    if number != number or abs(number) == float("inf"):  # noqa: PLR0124 - the test for "not a number"
        return raw
    if abs(number) >= _EXACT:
        return f"{number:.14E}"
    return str(int(number)) if number.is_integer() else repr(number)


def _moment_text(days: float, zero: datetime) -> str:
    # To the second: the fraction of a day is a binary number and never quite the time that was typed.
    seconds = round(days * 86_400)
    if days < 1:
        return f"{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    moment = zero + timedelta(seconds=seconds)
    return moment.isoformat() if seconds % 86_400 else moment.date().isoformat()


_letters: dict[str, int] = {}


def _column(reference: str, part: str) -> int:
    """The number of a cell's column, from 1."""
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        raise broken(f"cell {reference[:20]} in {part}", "a place such as B17")
    letters = found[1]
    place = _letters.get(letters)
    if place is None:
        place = 0
        for letter in letters:
            place = place * 26 + ord(letter) - 64
        _letters[letters] = place
    return place
