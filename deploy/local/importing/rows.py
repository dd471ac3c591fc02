"""From the texts of a row to the line that intake gets, or to the reasons why not. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from deploy.local.importing import cells
from deploy.local.importing.columns import CONTACT, DIMENSIONS, ROW_COLUMN, Field
from deploy.local.importing.faults import Fault, Reason
from deploy.local.importing.unit_names import UnitNames
from services.intake.adapters.good_bad_review import CHANNELS, SUBMITTED
from shared.kernel.clock import SHANGHAI, business_day
from shared.kernel.grades import Channel, Source

MAX_ROW_CHARS: Final = 65_536
MAX_CELL_CHARS: Final = 32_767
"""As much as a cell of Excel can hold."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file, read but not understood yet.

    Attributes:
        number: as a spreadsheet numbers it; of NDJSON the line.
        cells: everything in it, in the order of the file's columns, for the reject file.
        values: the texts that are not blank, by what their columns hold.
        reasons: why it could not be read, empty if it could.
    """

    number: int
    cells: Sequence[str]
    values: Mapping[Field, str]
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """A row that intake may get.

    Attributes:
        row: what it came from.
        number: number of the row in the file that was imported first.
        data: its line of a batch, without a line end.
    """

    row: Row
    number: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that can't be sent."""

    row: Row
    number: int
    reasons: tuple[Reason, ...]


WHOLE_ROW: Final = "整行"
"""Stands for a column in reasons that concern all of a row."""

_Parser = Callable[[str], Any]
_PARSERS: Final[tuple[tuple[Field, _Parser], ...]] = (
    (Field.GRADE, cells.grade),
    (Field.SOURCE, cells.source),
    (Field.TRANSACTION, cells.reference),
    (Field.TEXT, cells.comment),
    (Field.DEVICE, cells.reference),
    (Field.TOKEN, cells.reference),
)
_CONTACT: Final[tuple[tuple[Field, str, _Parser], ...]] = tuple(
    (
        each,
        each.value.split(".")[1],
        cells.personal_number if each in {Field.PHONE, Field.ID_NUMBER} else cells.comment,
    )
    for each in CONTACT
)
_DIMENSIONS: Final = tuple((each, each.value.split(".")[1]) for each in DIMENSIONS)
_encode = msgspec.json.Encoder().encode

NO_GRADE: Final = Fault(
    "评价等级",
    "填写所评等级；没有评的行请删去",
    "a grade",
    "fill in the grade that was given, or delete the row",
)
_REVISED: Final = Fault(
    "submitted 或空：评价后来的变化不能作为评价导入",
    "删去该行；评价后来的变化须在本平台办理",
    f"{SUBMITTED}, or nothing: what became of a rating is no rating",
    "delete the row; what becomes of a rating is decided on each platform",
)
_NO_TEXT: Final = Fault(
    "有效的 Unicode 文本",
    "删去无法显示的字符",
    "valid Unicode text",
    "remove the characters that can't be shown",
)
_NO_ORIGINAL: Final = Fault(
    "原文件中的行号",
    "不要改动该列；新增的评价请放入新文件导入",
    "the number of the row in the file that was imported first",
    "leave this column as it is; put new ratings into a new file",
)


@dataclass(slots=True)
class Mapper:
    """Makes lines of rows, all of one import.

    Attributes:
        import_id: of the import; with the row's number it identifies the rating.
        channel: of rows that name none.
        source: of rows that name none.
        name_of: the file's name for the column of a field.
        own_references: whether the file's own references identify its ratings.
        corrected: whether the file is a reject file: then each row must say which row it was.
    """

    import_id: str
    channel: Channel
    source: Source
    units: UnitNames
    name_of: Callable[[Field], str]
    own_references: bool = True
    corrected: bool = False

    def map(self, row: Row) -> Line | Rejected:
        """The line for intake, or every reason why there is none."""
        number = row.number
        if row.reasons:
            return Rejected(row, number, row.reasons)
        values = row.values
        reasons: list[Reason] = []
        if self.corrected:
            number = self._original(values, reasons) or number
        state = values.get(Field.STATE, SUBMITTED)
        if cells.key(state) != cells.key(SUBMITTED):
            reasons.append(Reason(self.name_of(Field.STATE), state, _REVISED))
        body: dict[str, Any] = {"client_ref": f"{self.import_id}:{number}"}
        self._moment(values, body, reasons)
        self._unit(values, body, reasons)
        self._channel(values, body, reasons)
        body["source"] = self.source.value
        if Field.GRADE not in values:
            reasons.append(Reason(self.name_of(Field.GRADE), None, NO_GRADE))
        for each, parse in _PARSERS:
            if each in values:
                body[each.value] = self._parsed(each, parse, values[each], reasons)
        if self.own_references and Field.REFERENCE in values:
            body["client_ref"] = self._parsed(
                Field.REFERENCE, cells.reference, values[Field.REFERENCE], reasons
            )
        self._nested(values, body, reasons)
        if reasons:
            return Rejected(row, number, tuple(reasons))
        try:
            return Line(row, number, _encode(body))
        except UnicodeEncodeError:
            return Rejected(row, number, (Reason(WHOLE_ROW, None, _NO_TEXT),))

    def _parsed(self, each: Field, parse: _Parser, text: str, reasons: list[Reason]) -> Any:  # noqa: ANN401 - whatever the field holds
        value = parse(text)
        if isinstance(value, Fault):
            reasons.append(Reason(self.name_of(each), text, value))
        return value

    def _original(self, values: Mapping[Field, str], reasons: list[Reason]) -> int | None:
        """The row's number in the first file, from a reject file that has been corrected."""
        given = cells.normal(values.get(Field.ROW, ""))
        mine = cells.normal(values.get(Field.IMPORT, "")) == self.import_id
        if mine and given.isascii() and given.isdecimal() and len(given) < 10:  # noqa: PLR2004 - no file has 10⁹ rows
            return int(given)
        reasons.append(Reason(ROW_COLUMN, given or None, _NO_ORIGINAL))
        return None

    def _unit(self, values: Mapping[Field, str], body: dict[str, Any], reasons: list[Reason]) -> None:
        found = self.units.find(
            values.get(Field.UNIT_ID),
            values.get(Field.UNIT_NAME),
            values.get(Field.REGION),
            values.get(Field.KIND),
            lambda: self._day(body.get("occurred_at")),
        )
        if isinstance(found, str):
            body["unit_id"] = found
        else:
            which = Field.UNIT_ID if Field.UNIT_ID in values else Field.UNIT_NAME
            reasons.append(Reason(self.name_of(which), found.value, found.fault))

    @staticmethod
    def _day(moment: object) -> str:
        """The day that a row is about; without a time it is that of the import."""
        given = datetime.fromisoformat(moment) if isinstance(moment, str) else datetime.now(SHANGHAI)
        return business_day(given).isoformat()

    def _channel(self, values: Mapping[Field, str], body: dict[str, Any], reasons: list[Reason]) -> None:
        text = values.get(Field.CHANNEL)
        if text is None:
            body["channel"] = self.channel.value
            return
        of_province = CHANNELS.get(cells.key(text))
        if of_province is not None:
            body["channel"] = of_province.value
        else:
            body["channel"] = self._parsed(Field.CHANNEL, cells.channel, text, reasons)

    def _moment(self, values: Mapping[Field, str], body: dict[str, Any], reasons: list[Reason]) -> None:
        text = cells.joined_moment(values.get(Field.DATE, ""), values.get(Field.TIME, ""))
        if text:
            which = Field.TIME if Field.TIME in values else Field.DATE
            body["occurred_at"] = self._parsed(which, cells.moment, text, reasons)

    def _nested(self, values: Mapping[Field, str], body: dict[str, Any], reasons: list[Reason]) -> None:
        dimensions = {
            name: self._parsed(each, cells.sub_grade, values[each], reasons)
            for each, name in _DIMENSIONS
            if each in values
        }
        if dimensions:
            body["dimensions"] = dimensions
        contact = {
            name: self._parsed(each, parse, values[each], reasons)
            for each, name, parse in _CONTACT
            if each in values
        }
        if contact:
            body["contact"] = contact
