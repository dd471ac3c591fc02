"""Rows of a CSV file, with bounds on everything: one bad row is one bad row, whatever follows it.

The standard reader does the splitting. Around it: an unclosed quote would swallow the rest of the file, so a
row ends after so many characters and lines; its first line is reported, the lines after it are read anew.
"""

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TextIO

from deploy.local.importing.columns import MAX_COLUMNS
from deploy.local.importing.faults import Fault
from deploy.local.importing.rows import MAX_ROW_CHARS

DELIMITERS: Final = (",", "\t", ";", "，", "；", "|")
MAX_ROW_LINES: Final = 200
"""Lines of one row, from line ends within quotes."""
_SHOWN: Final = 1_000

TOO_LONG: Final = Fault(
    f"至多 {MAX_ROW_CHARS} 个字符的一行",
    "检查引号是否成对，或缩短该行",
    f"a row of at most {MAX_ROW_CHARS} characters",
    "look for a quotation mark without its other half, or shorten the row",
)
UNCLOSED: Final = Fault(
    f"成对的引号，且一行不超过 {MAX_ROW_LINES} 个换行",
    "补上或删去引号",
    f"quotation marks in pairs, and at most {MAX_ROW_LINES} line ends within a row",
    "add the missing quotation mark or delete its other half",
)
TOO_WIDE: Final = Fault(
    f"至多 {MAX_COLUMNS} 列", "删去多余的列", f"at most {MAX_COLUMNS} columns", "delete the surplus ones"
)


@dataclass(frozen=True, slots=True)
class GridRow:
    """One row of a table before anybody knows its columns.

    Attributes:
        number: as a spreadsheet numbers it, from 1; blank rows count.
        cells: its texts; of a row that can't be read, what there is of it.
        fault: why it can't be read.
        uncomputed: places of formulas without a value, from 0.
    """

    number: int
    cells: list[str]
    fault: Fault | None = None
    uncomputed: Sequence[int] = ()


class _UnreadableError(Exception):
    """The row that is being read breaks a bound."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.expected_en)
        self.fault = fault


class _Lines:
    """Physical lines, for the reader of rows; the lines of the row under way can be given back."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._returned: deque[str] = deque()
        self.taken: list[str] = []
        self._size = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._returned.popleft() if self._returned else self._stream.readline(MAX_ROW_CHARS + 1)
        if not line:
            raise StopIteration
        self.taken.append(line)
        self._size += len(line)
        if len(line) > MAX_ROW_CHARS:
            self._skip_rest(line)
            raise _UnreadableError(TOO_LONG)
        if len(self.taken) > MAX_ROW_LINES:
            raise _UnreadableError(UNCLOSED)
        if self._size > MAX_ROW_CHARS:
            raise _UnreadableError(UNCLOSED if len(self.taken) > 1 else TOO_LONG)
        return line

    def _skip_rest(self, line: str) -> None:
        while line and not line.endswith(("\n", "\r")):
            line = self._stream.readline(MAX_ROW_CHARS + 1)

    def begin(self) -> None:
        """A new row begins."""
        self.taken = []
        self._size = 0

    def give_back(self) -> str:
        """Let all lines of the row but its first be read again: the first."""
        first, *others = self.taken
        self._returned.extendleft(reversed(others))
        self.begin()
        return first


def read_csv(stream: TextIO, delimiter: str) -> Iterator[GridRow]:
    """The rows of `stream`, which must have been opened with ``newline=""``.

    Rows that can't be read come with a fault and never end the iteration.

    Raises:
        UnicodeDecodeError: not text in the stream's encoding.
    """
    lines = _Lines(stream)
    reader = csv.reader(lines, delimiter=delimiter)
    number = 0
    while True:
        lines.begin()
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (_UnreadableError, csv.Error) as error:
            fault = error.fault if isinstance(error, _UnreadableError) else TOO_LONG
            yield GridRow(number, [lines.give_back()[:_SHOWN].rstrip("\r\n")], fault)
            reader = csv.reader(lines, delimiter=delimiter)
            continue
        if len(lines.taken) > 1 and sum(line.count('"') for line in lines.taken) % 2:
            # The end of the file closed what nobody had closed.
            yield GridRow(number, [lines.give_back()[:_SHOWN].rstrip("\r\n")], UNCLOSED)
            reader = csv.reader(lines, delimiter=delimiter)
        elif len(cells) > MAX_COLUMNS:
            yield GridRow(number, cells[:MAX_COLUMNS], TOO_WIDE)
        else:
            yield GridRow(number, cells)
