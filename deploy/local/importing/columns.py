"""Which column is what: headers of real files, matched by alias, in one row or in several merged ones."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final

from deploy.local.errors import LocalError
from deploy.local.importing.cells import key
from services.intake.adapters import good_bad_review
from shared.kernel.errors import describe

MAX_COLUMNS: Final = 256
HEADER_WITHIN: Final = 20
"""Rows from the top among which the header is looked for; titles and notes stand above it."""
HEADER_ROWS: Final = 3
"""Most rows that a header is made of, one under another with merged cells."""


class Field(StrEnum):
    """What a column can hold. Values name the place in a submission, where there is one."""

    UNIT_ID = "unit_id"
    UNIT_NAME = "unit"
    REGION = "region"
    KIND = "kind"
    GRADE = "grade"
    SERVICE = "dimensions.service"
    EFFICIENCY = "dimensions.efficiency"
    QUALITY = "dimensions.quality"
    CONDUCT = "dimensions.conduct"
    IMAGE = "dimensions.image"
    SOURCE = "source"
    CHANNEL = "channel"
    DATE = "date"
    TIME = "occurred_at"
    TRANSACTION = "transaction_id"
    REFERENCE = "client_ref"
    TEXT = "text"
    NAME = "contact.name"
    PHONE = "contact.phone"
    ID_NUMBER = "contact.id_number"
    EMAIL = "contact.email"
    ACCOUNT = "contact.account"
    DEVICE = "device_id"
    TOKEN = "token"  # noqa: S105 - a field's name
    STATE = "evaluation_state"
    ROW = "original_row"
    IMPORT = "import_id"
    REASON = "reason"


ROW_COLUMN: Final = "原行号"
IMPORT_COLUMN: Final = "导入编号"
CHANNEL_COLUMN: Final = "导入渠道"
REASON_COLUMNS: Final = ("拒收原因", "Reason")

_ALIASES: Final[Mapping[Field, str]] = {
    Field.UNIT_ID: "unit_id 单位编号 单位编码 单位代码 单位ID 窗口编号 窗口编码 机构编号",
    Field.UNIT_NAME: "unit 单位 单位名称 被评单位 被评价单位 窗口 窗口名称 服务窗口 办理单位 受理单位 部门",
    Field.REGION: "region 行政区划 行政区划代码 区划代码 区划 县区代码",
    Field.KIND: "kind 窗口类别 窗口类型 业务类别 业务类型 类别",
    Field.GRADE: "grade 评价 评价等级 等级 总体评价 总体满意度 满意度 评分 总评 评价结果 满意程度",
    Field.SERVICE: "service 服务 服务评价 服务得分 服务评分 服务满意度",
    Field.EFFICIENCY: "efficiency 效率 效率评价 效率得分 效率评分 效率满意度",
    Field.QUALITY: "quality 质量 质量评价 质量得分 质量评分 质量满意度",
    Field.CONDUCT: "conduct 作风 作风评价 作风得分 作风评分 作风满意度",
    Field.IMAGE: "image 形象 形象评价 形象得分 形象评分 形象满意度",
    Field.SOURCE: "source 评议来源 来源 评价来源 评议类型",
    Field.CHANNEL: f"channel 渠道 评价渠道 评价方式 来源渠道 {CHANNEL_COLUMN}",
    Field.DATE: "date 日期 评价日期 办理日期 办结日期 填表日期",
    Field.TIME: "occurred_at time 时间 评价时间 办理时间 办结时间 提交时间",
    Field.TRANSACTION: "transaction_id 办件号 办件编号 办件编码 业务编号 受理号 受理编号 业务流水号",
    Field.REFERENCE: "client_ref 评价编号 评价流水号 问卷编号",
    Field.TEXT: "text 意见 评价内容 意见建议 意见和建议 意见与建议 评语 留言 建议 文字评价 具体意见",
    Field.NAME: "contact.name 姓名 评价人 评价人姓名 申请人 申请人姓名 联系人 群众姓名",
    Field.PHONE: "contact.phone phone 电话 联系电话 手机 手机号 手机号码 电话号码 联系方式",
    Field.ID_NUMBER: "contact.id_number 身份证 身份证号 身份证号码 证件号码 证件号",
    Field.EMAIL: "contact.email email 邮箱 电子邮箱",
    Field.ACCOUNT: "contact.account 账号 用户账号",
    Field.DEVICE: "device_id 设备号 设备编号 终端编号",
    Field.TOKEN: "token 评价码 评价凭证 一次性评价码",
    Field.STATE: "evaluationState",
    Field.ROW: ROW_COLUMN,
    Field.IMPORT: IMPORT_COLUMN,
    Field.REASON: " ".join(REASON_COLUMNS),
}


def _known() -> dict[str, Field]:
    words = {key(word): field for field, aliases in _ALIASES.items() for word in aliases.split()}
    # The province's interface: its names, wherever a file has them.
    words |= {key(f"dimensions.{each.value.split('.')[1]}"): each for each in DIMENSIONS}
    words |= {key(name): Field(place) for name, place in good_bad_review.FIELDS.items()}
    department, region, _ = good_bad_review.UNIT_FIELDS
    return words | {key(department): Field.UNIT_NAME, key(region): Field.REGION}


DIMENSIONS: Final = (Field.SERVICE, Field.EFFICIENCY, Field.QUALITY, Field.CONDUCT, Field.IMAGE)
CONTACT: Final = (Field.NAME, Field.PHONE, Field.ID_NUMBER, Field.EMAIL, Field.ACCOUNT)
_KNOWN: Final = _known()


class HeaderError(LocalError):
    """The file's columns can't be told."""


def field_of(name: str, overrides: Mapping[str, Field | None] | None = None) -> Field | None:
    """What a column of this name holds, None if that isn't known.

    Args:
        name: as the file has it; levels of a merged header are joined by a slash, the lowest one last.
        overrides: what the user said about columns, by `cells.key`; None takes a column out.
    """
    whole = key(name)
    if overrides and whole in overrides:
        return overrides[whole]
    for word in (whole, whole.replace("/", ""), whole.rpartition("/")[2]):
        found = _KNOWN.get(word) or _KNOWN.get(word.split("(")[0])
        if found is not None:
            return found
    return None


def read_overrides(texts: Iterable[str]) -> dict[str, Field | None]:
    """What the user says about columns: ``NAME=FIELD``, or ``NAME=`` to leave a column out.

    Raises:
        HeaderError: another form, or no such field.
    """
    found: dict[str, Field | None] = {}
    for text in texts:
        name, equals, field = text.rpartition("=")
        if not equals or field not in {"", *Field}:
            expected = f"NAME=FIELD, the field one of {', '.join(Field)}, or nothing to leave the column out"
            raise HeaderError(describe(text, expected, "for example --column 经办窗口=unit"))
        found[key(name)] = Field(field) if field else None
    return found


@dataclass(frozen=True, slots=True)
class Header:
    """The columns of a table.

    Attributes:
        names: of all columns, as the file has them.
        places: where each field stands in a row.
        row: number of the last row of the header.
    """

    names: tuple[str, ...]
    places: Mapping[Field, int]
    row: int

    @property
    def ignored(self) -> tuple[str, ...]:
        """Names of columns that nothing is read from."""
        used = set(self.places.values())
        left = [name for place, name in enumerate(self.names) if name and place not in used]
        return tuple(name for name in left if name not in REASON_COLUMNS)

    def name_of(self, field: Field) -> str:
        """The name of the column that holds `field`; the field's own where there is none."""
        place = self.places.get(field)
        return field.value if place is None else self.names[place]


def find_header(
    rows: Sequence[tuple[int, Sequence[str]]], overrides: Mapping[str, Field | None] | None = None
) -> Header | None:
    """The header among the first rows of a table: where most fields are known; None if there is none.

    Args:
        rows: number and cells of the first rows.
        overrides: see `field_of`.

    Raises:
        HeaderError: two columns hold the same.
    """
    best: tuple[tuple[int, int], Header, dict[Field, list[str]]] | None = None
    for start in range(len(rows)):
        for height in range(1, min(HEADER_ROWS, len(rows) - start) + 1):
            levels = [cells for _, cells in rows[start : start + height]]
            names = _joined(levels)
            found, repeated = _places(names, overrides)
            enough = Field.GRADE in found and (Field.UNIT_ID in found or Field.UNIT_NAME in found
                                               or {Field.REGION, Field.KIND} <= found.keys())  # fmt: skip
            # Of equally good ones the lowest: neither a title above nor data beneath is a part of the header.
            merit = (len(found), -height)
            if enough and (best is None or merit > best[0]):
                best = (merit, Header(names, found, rows[start + height - 1][0]), repeated)
    if best is None:
        return None
    for field, names_of_field in best[2].items():
        alike = len(set(names_of_field)) < len(names_of_field)  # --column would leave out both
        raise HeaderError(
            describe(
                "、".join(names_of_field),
                f"one column for {field.value}",
                "name one of the two otherwise, in the file" if alike
                else f"leave one out: --column {names_of_field[-1]}=",
            )
        )  # fmt: skip
    return best[1]


def _joined(levels: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The names of columns from the rows of a header.

    A merged cell has its text in its first cell only: over several columns the text goes on to the right, as
    long as the row beneath has a text; over several rows the cells beneath are blank.
    """
    width = max(map(len, levels))
    tables = [[normal_name(cell) for cell in cells] + [""] * (width - len(cells)) for cells in levels]
    for upper, lower in pairwise(tables):
        for place in range(1, width):
            if not upper[place] and lower[place] and upper[place - 1]:
                upper[place] = upper[place - 1]
    names: list[str] = []
    for column in zip(*tables, strict=True):
        parts: list[str] = []
        for part in column:
            if part and part not in parts:
                parts.append(part)
        names.append("/".join(parts))
    while names and not names[-1]:
        names.pop()
    return tuple(names)


def normal_name(cell: str) -> str:
    """A header's text without the line ends and blanks that make it fit its cell."""
    return "".join(cell.split())


def _places(
    names: Sequence[str], overrides: Mapping[str, Field | None] | None
) -> tuple[dict[Field, int], dict[Field, list[str]]]:
    found: dict[Field, int] = {}
    repeated: dict[Field, list[str]] = {}
    for place, name in enumerate(names[:MAX_COLUMNS]):
        field = field_of(name, overrides) if name else None
        if field is None or field is Field.REASON:
            continue
        if field in found:
            repeated.setdefault(field, [names[found[field]]]).append(name)
        else:
            found[field] = place
    return found, repeated


def no_header(seen: Sequence[str], sheet: str = "") -> HeaderError:
    """The error for a table without a header that can be read; `sheet` says which was looked at."""
    shown = "、".join(name for name in map(normal_name, seen) if name)
    return HeaderError(
        describe(
            (shown or "no text") + (f" ({sheet})" if sheet else ""),
            f"within the first {HEADER_WITHIN} rows a header (表头) with a unit (单位名称 or 单位编号) "
            "and a grade (评价等级)",
            "name columns with --column 列名=unit --column 列名=grade, or choose another --sheet",
        )
    )
