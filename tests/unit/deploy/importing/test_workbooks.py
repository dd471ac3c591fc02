"""Workbooks: what Excel, WPS and openpyxl write, read as they would read it themselves."""

import contextlib
import re
import zipfile
from datetime import date, datetime, time, timedelta
from pathlib import Path

import openpyxl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from deploy.local.errors import LocalError
from deploy.local.importing.columns import MAX_COLUMNS, Field
from deploy.local.importing.sources import open_source
from deploy.local.importing.workbook import TextTable
from deploy.local.importing.xlsx_rows import number_text
from deploy.local.importing.xml_parts import WorkbookError
from tests.support.properties import examples
from tests.unit.deploy.importing.files import NAME, CellValue, rows_of, values_of, write_workbook

HEAD = ["单位名称", "评价等级", "评价日期", "办件号", "意见建议"]
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


BOOK = (
    f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><x/>'
    '<sheets><sheet name="一" r:id="r1"/></sheets></workbook>'
)


def raw_workbook(path: Path, sheet: str, *, texts: str = "", styles: str = "", book: str = "") -> Path:
    """A workbook of these parts, as no library would write it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr(
            "xl/workbook.xml",
            book or BOOK.replace("<x/>", ""),
        )
        package.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships><Relationship Id="r1" Type="{OFFICE}/worksheet" Target="/xl/sheet.xml"/>'
            f'<Relationship Id="r2" Type="{OFFICE}/sharedStrings" Target="texts.xml"/></Relationships>',
        )
        package.writestr("xl/sheet.xml", sheet)
        package.writestr("xl/texts.xml", texts or f'<sst xmlns="{MAIN}"/>')
        if styles:
            package.writestr("xl/styles.xml", styles)
    return path


def inline(*rows: str) -> str:
    """A sheet of rows of XML below a header."""
    head = "".join(f'<c t="inlineStr"><is><t>{name}</t></is></c>' for name in HEAD)
    return f'<worksheet xmlns="{MAIN}"><sheetData><row>{head}</row>{"".join(rows)}</sheetData></worksheet>'


def text_cell(text: str) -> str:
    return f'<c t="inlineStr"><is><t>{text}</t></is></c>'


def test_a_sheet_of_an_office_is_read_below_its_merged_header(tmp_path: Path) -> None:
    path = write_workbook(
        tmp_path / "a.xlsx",
        [
            ["2026年3月群众评价表"],
            ["单位名称", "总体评价", "五比", None, "评价人", None, "评价时间"],
            [None, None, "服务", "效率", "姓名", "电话", None],
            [NAME, "非常满意", 5, 4, "张三", 13800138000, datetime.fromisoformat("2026-03-01T09:30")],
            [],
            [NAME, 3, None, 4.0, None, "138-0013-8000", date(2026, 3, 2)],
        ],
        ["A1:G1", "A2:A3", "B2:B3", "C2:D2", "E2:F2", "G2:G3"],
    )
    rows = rows_of(path)
    assert [row.number for row in rows] == [4, 6]
    assert rows[0].values == {
        Field.UNIT_NAME: NAME, Field.GRADE: "非常满意", Field.SERVICE: "5", Field.EFFICIENCY: "4",
        Field.NAME: "张三", Field.PHONE: "13800138000", Field.TIME: "2026-03-01T09:30:00",
    }  # fmt: skip
    assert rows[1].values == {
        Field.UNIT_NAME: NAME, Field.GRADE: "3", Field.EFFICIENCY: "4", Field.PHONE: "138-0013-8000",
        Field.TIME: "2026-03-02",
    }  # fmt: skip


cell_values = st.one_of(
    st.none(),
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), max_size=20).filter(
        lambda text: not text.startswith("=") and "_x" not in text
    ),
    st.integers(-(10**14), 10**14),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.booleans(),
    st.integers(0, 3_000_000_000).map(
        lambda seconds: datetime.fromisoformat("1990-01-01") + timedelta(seconds=seconds)
    ),
)


def shown(value: object) -> str:
    """What a cell of openpyxl means in the words of our reader."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, datetime):
        return value.isoformat() if value.time() != time() else value.date().isoformat()
    if isinstance(value, int | float):
        return number_text(repr(value), is_date=False, epoch_1904=False)
    return str(value)


@examples(40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(cell_values, min_size=1, max_size=6), max_size=6))
def test_cells_are_read_as_openpyxl_wrote_them(tmp_path: Path, rows: list[list[CellValue]]) -> None:
    path = write_workbook(tmp_path / "a.xlsx", [HEAD, *rows])
    oracle = openpyxl.load_workbook(path).active
    assert oracle is not None
    expected = {
        number: [shown(cell) for cell in cells]
        for number, cells in enumerate(oracle.iter_rows(values_only=True), 1)
        if number > 1 and any(cell not in {None, ""} and str(cell).strip() for cell in cells)
    }
    read = {row.number: list(row.cells) for row in rows_of(path)}
    assert read.keys() == expected.keys()
    for number, cells in read.items():
        assert cells == expected[number][: len(cells)]
        assert not any(expected[number][len(cells) :])


def test_texts_of_the_table_are_joined_without_how_to_pronounce_them(tmp_path: Path) -> None:
    texts = (
        f'<sst xmlns="{MAIN}"><si><t>{NAME}</t></si><si><r><t>很</t></r>'
        '<r><t xml:space="preserve">好 </t></r>'
        "<rPh><t>hen</t></rPh></si><si><t>a_x000D_b</t></si></sst>"
    )
    row = '<row r="5"><c r="A5" t="s"><v>0</v></c><c r="B5"><v>5</v></c><c r="E5" t="s"><v>1</v></c></row>'
    more = '<row r="7"><c r="A7" t="s"><v>0</v></c><c r="B7"><v>5</v></c><c r="E7" t="s"><v>2</v></c></row>'
    first, second = rows_of(raw_workbook(tmp_path / "a.xlsx", inline(row, more), texts=texts))
    assert first.values == {Field.UNIT_NAME: NAME, Field.GRADE: "5", Field.TEXT: "很好 "}
    assert second.values[Field.TEXT] == "a\rb"


def test_names_of_elements_are_read_whatever_their_prefix(tmp_path: Path) -> None:
    plain = inline(f"<row>{text_cell(NAME)}{text_cell('5')}</row>")
    prefixed = re.sub(r"<(/?)(\w)", r"<\1x:\2", plain).replace("xmlns=", "xmlns:x=")
    assert prefixed.startswith("<x:worksheet xmlns:x=")
    (row,) = rows_of(raw_workbook(tmp_path / "a.xlsx", prefixed))
    assert row.values == {Field.UNIT_NAME: NAME, Field.GRADE: "5"}


def test_numbers_are_dates_where_their_style_says_so(tmp_path: Path) -> None:
    styles = (
        f'<styleSheet xmlns="{MAIN}"><numFmts><numFmt numFmtId="164" formatCode="[$-804]yyyy&quot;年&quot;"/>'
        '<numFmt numFmtId="165" formatCode="0.00&quot;days&quot;"/></numFmts><cellXfs>'
        '<xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="31"/><xf numFmtId="164"/><xf numFmtId="165"/>'
        "</cellXfs></styleSheet>"
    )  # fmt: skip
    cells = "".join(
        f'<row>{text_cell(NAME)}<c><v>5</v></c><c s="{style}"><v>46082.375</v></c></row>'
        for style in range(5)
    )
    path = raw_workbook(tmp_path / "a.xlsx", inline(cells), styles=styles)
    times = [row.values[Field.DATE] for row in rows_of(path)]
    assert times == ["46082.375", *["2026-03-01T09:00:00"] * 3, "46082.375"]


def test_a_workbook_that_counts_from_1904_is_read_so(tmp_path: Path) -> None:
    book = BOOK.replace("<x/>", '<workbookPr date1904="1"/>')
    styles = f'<styleSheet xmlns="{MAIN}"><cellXfs><xf numFmtId="14"/></cellXfs></styleSheet>'
    sheet = inline(f"<row>{text_cell(NAME)}<c t='str'><v>5</v></c><c><v>44620</v></c></row>")
    path = raw_workbook(tmp_path / "a.xlsx", sheet, styles=styles, book=book)
    assert values_of(path)[0][Field.DATE] == "2026-03-01"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("5", "5"), ("5.0", "5"), ("1E3", "1000"), ("0.1", "0.1"), ("-3", "-3"), ("-0", "0"), ("x", "x"),
        ("NaN", "NaN"), ("13800138000", "13800138000"), ("360102199001011234", "3.60102199001011E+17"),
    ],
)  # fmt: skip
def test_numbers_are_shown_whole_or_as_having_lost_digits(raw: str, text: str) -> None:
    assert number_text(raw, is_date=False, epoch_1904=False) == text


def test_the_first_visible_sheet_is_read_unless_another_is_named(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    hidden = book.active
    assert hidden is not None
    hidden.title, hidden.sheet_state = "隐藏", "hidden"
    for name, grade in (("三月", 3), ("四月", 4)):
        sheet = book.create_sheet(name)
        sheet.append(HEAD)
        sheet.append([NAME, grade])
    path = tmp_path / "a.xlsx"
    book.save(path)
    assert rows_of(path)[0].values[Field.GRADE] == "3"
    assert rows_of(path, sheet="四月")[0].values[Field.GRADE] == "4"
    with open_source(path) as source:
        assert source.about["other_sheets"] == "隐藏、四月"
    with pytest.raises(WorkbookError, match=r"五月.*隐藏、三月、四月"):
        open_source(path, sheet="五月")


def test_the_table_of_texts_keeps_them_out_of_memory() -> None:
    table = TextTable()
    texts = [f"第{number}条意见" for number in range(10_000)]
    for text in texts:
        table.add(text)
    table.flush()
    assert [table[place] for place in range(len(table))] == texts
    assert table[0] == texts[0]
    with pytest.raises(IndexError):
        table[10_000]
    table.close()


# --- workbooks that mean harm -------------------------------------------------------------------------------


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = raw_workbook(tmp_path / "a.xlsx", inline("<row/>" * 10_000_000))
    assert path.stat().st_size < 200_000
    with pytest.raises(WorkbookError, match=r"to 1.*200 to 1"):
        open_source(path)


@pytest.mark.parametrize(
    "prologue",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>',
        "<!DOCTYPE x>",
    ],
)
@pytest.mark.parametrize("part", ["sheet", "texts"])
def test_entities_are_refused_wherever_they_stand(tmp_path: Path, prologue: str, part: str) -> None:
    sheet = inline(f"<row>{text_cell(NAME)}{text_cell('5')}</row>")
    texts = f'<sst xmlns="{MAIN}"><si><t>&a;</t></si></sst>'
    if part == "sheet":
        path = raw_workbook(tmp_path / "a.xlsx", prologue + sheet)
    else:
        path = raw_workbook(tmp_path / "a.xlsx", sheet, texts=prologue + texts)
    with pytest.raises(WorkbookError, match="document type"):
        rows_of(path)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("<a>" * 10_000, "nested 65 deep"),
        ("<!--" + "x" * 3_000_000, "1048576 bytes without an element"),
        ('<row r="0"/>', "row 0"), ('<row r="2"/><row r="2"/>', "row 2 after row 2"),
        ('<row r="9999999999999999"/>', "row 9999999999999999"), ('<row r="-1"/>', "row -1"),
        ('<row><c r="A"/></row>', "cell A"), ('<row><c r="AAAA1"/></row>', "cell AAAA1"),
        ('<row><c t="s"><v>7</v></c></row>', "text 7"), ('<row><c t="s"><v>x</v></c></row>', "text x"),
        ("<row>", "well-formed"),
    ],
)  # fmt: skip
def test_a_broken_sheet_is_refused_with_its_place(tmp_path: Path, row: str, told: str) -> None:
    with pytest.raises(WorkbookError, match=told):
        rows_of(raw_workbook(tmp_path / "a.xlsx", inline(row)))


def test_a_row_of_very_many_cells_is_one_bad_row(tmp_path: Path) -> None:
    wide = "<row>" + "<c><v>1</v></c>" * 300_000 + "</row>"
    good = f"<row>{text_cell(NAME)}{text_cell('5')}</row>"
    refused, accepted = rows_of(raw_workbook(tmp_path / "a.xlsx", inline(wide, good)))
    assert str(MAX_COLUMNS) in refused.reasons[0].english
    assert len(refused.cells) <= MAX_COLUMNS
    assert accepted.values[Field.GRADE] == "5"


def test_a_cell_that_is_too_long_is_one_bad_row(tmp_path: Path) -> None:
    long = f"<row>{text_cell(NAME)}{text_cell('5')}<c/><c/>{text_cell('很' * 40_000)}</row>"
    pieces = f"<row>{text_cell(NAME)}{text_cell('&amp;很' * 40_000)}</row>"
    good = f"<row>{text_cell(NAME)}{text_cell('5')}</row>"
    first, second, third = rows_of(raw_workbook(tmp_path / "a.xlsx", inline(long, pieces, good)))
    assert "32767" in first.reasons[0].english
    assert second.reasons
    assert not third.reasons


def test_too_many_parts_and_missing_ones_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    with zipfile.ZipFile(path, "w") as package:
        for number in range(10_001):
            package.writestr(f"{number}", "")
    with pytest.raises(WorkbookError, match="10001 parts"):
        open_source(path)
    with zipfile.ZipFile(path, "w") as package:
        package.writestr("word/document.xml", "<x/>")
    with pytest.raises(WorkbookError, match=r"without xl/workbook\.xml"):
        open_source(path)
    path.write_bytes(b"PK\x03\x04" + b"\0" * 100)
    with pytest.raises(WorkbookError, match="ZIP"):
        open_source(path)


def test_bytes_that_were_cut_or_changed_are_refused(tmp_path: Path) -> None:
    path = write_workbook(
        tmp_path / "a.xlsx", [HEAD, *[[NAME, 5, None, f"BJ{n}", f"意见{n}"] for n in range(500)]]
    )
    whole = path.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 40)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        with contextlib.suppress(LocalError):  # anything else would be a crash
            rows_of(path)


def test_a_formula_that_nobody_computed_refuses_its_row_and_drops_nothing_silently(tmp_path: Path) -> None:
    rows: list[list[CellValue]] = [
        [*HEAD, "备注"],
        [NAME, 5, "=DATE(2026,3,1)", "1", '="a"&"b"', None],
        [NAME, "=2+3", None, None, None, None],
        [NAME, 5, date(2026, 3, 1), "3", "好", "=1+1"],
        [None, None, None, None, None, "=1+1"],
    ]
    read = rows_of(write_workbook(tmp_path / "a.xlsx", rows))
    assert [[each.column for each in row.reasons] for row in read] == [
        ["评价日期", "意见建议"], ["评价等级"], [],
    ]  # fmt: skip
    assert "公式" in read[0].reasons[0].chinese
    cells = (
        f"<row>{text_cell(NAME)}<c><f>2+3</f><v>5</v></c>"
        '<c t="str"><f>""</f><v></v></c><c t="e"><f>1/0</f><v>#DIV/0!</v></c></row>'
    )
    (row,) = rows_of(raw_workbook(tmp_path / "b.xlsx", inline(cells)))
    assert (row.reasons, row.values[Field.GRADE]) == ((), "5")
    assert Field.DATE not in row.values, "Excel computed that it is empty"


def test_the_sheets_that_were_not_looked_at_are_named(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "说明"
    sheet.append(["请看第二页"])
    book.create_sheet("数据").append(HEAD)
    book.save(tmp_path / "a.xlsx")
    with pytest.raises(LocalError, match="工作表 说明, not 数据"), open_source(tmp_path / "a.xlsx"):
        pass
