"""CSV and NDJSON files as they come: encodings, delimiters, broken rows."""

import codecs
import json
from pathlib import Path

import pytest

from deploy.local.importing.columns import Field, HeaderError
from deploy.local.importing.encoding import EncodingError, encoding_of
from deploy.local.importing.rows import MAX_ROW_CHARS, Line, Rejected, Row
from deploy.local.importing.sources import FileKindError, Kind, open_source
from services.intake.application.errors import RejectedError
from services.intake.entrypoints.bodies import parse_line
from tests.unit.deploy.importing.files import HEADER, NAME, UNIT, mapper, rows_of, values_of

ROW = f"{NAME},满意,2026/3/1,BJ1,很好,\n"
EXPECTED = {
    Field.UNIT_NAME: NAME,
    Field.GRADE: "满意",
    Field.TIME: "2026/3/1",
    Field.TRANSACTION: "BJ1",
    Field.TEXT: "很好",
}


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "gb18030", "utf-16"])
def test_every_encoding_that_offices_use_is_read(tmp_path: Path, encoding: str) -> None:
    assert values_of(write(tmp_path / "a.csv", HEADER + ROW, encoding)) == [EXPECTED]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "，"])
def test_the_delimiter_is_the_one_that_the_header_is_split_by(tmp_path: Path, delimiter: str) -> None:
    path = write(tmp_path / "a.csv", (HEADER + ROW).replace(",", delimiter))
    assert values_of(path) == [EXPECTED]


def test_encoding_is_decided_by_the_whole_file(tmp_path: Path) -> None:
    many = ROW.encode() * 30_000
    path = tmp_path / "a.csv"
    path.write_bytes(HEADER.encode() + many + NAME.encode("gbk") + b",5,,,,\n")
    with pytest.raises(EncodingError) as told:
        encoding_of(path)
    assert f"at byte {len(HEADER.encode()) + len(many)}" in str(told.value) or "gb18030" in str(told.value)
    path.write_bytes((HEADER + ROW * 30_000).encode("gbk"))
    assert encoding_of(path) == "gb18030"


def test_a_byte_order_mark_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(codecs.BOM_UTF8 + HEADER.encode("gbk"))
    with pytest.raises(EncodingError, match="utf-8-sig as its byte order mark says"):
        encoding_of(path)
    path.write_bytes(HEADER.encode("utf-16-le"))
    with pytest.raises(EncodingError, match="zero bytes"):
        encoding_of(path)


def test_a_zero_byte_costs_its_own_row_only(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f"{HEADER}{ROW}{NAME},满意,2026/3/1,BJ2,很\x00好,\n{ROW}")
    rows = rows_of(path)
    assert [row.values[Field.TEXT] for row in rows] == ["很好", "很\x00好", "很好"]
    (line,) = (mapper().map(row) for row in rows if "\x00" in row.values[Field.TEXT])
    assert isinstance(line, Line)
    with pytest.raises(RejectedError, match="control characters"):
        parse_line(line.data)  # intake says what is wrong with it, and the others go in


def test_line_ends_within_quotes_belong_to_the_cell(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f'{HEADER}{NAME},5,,,"第一行\r\n第二行, ""好""",\n{NAME},4,,,,\n')
    first, second = rows_of(path)
    assert first.values[Field.TEXT] == '第一行\r\n第二行, "好"'
    assert (first.number, second.number) == (2, 3)


def test_rows_are_numbered_as_a_spreadsheet_does(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f"评价表\n\n{HEADER}\n{ROW}\n\n{ROW}")
    assert [row.number for row in rows_of(path)] == [5, 8]


def test_a_ragged_row_is_refused_and_those_around_it_are_not(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f"{HEADER}{ROW}{NAME},5\n{NAME},5,,,a,b,c\n{NAME},5,,,,,,\n{ROW}")
    rows = rows_of(path)
    assert [bool(row.reasons) for row in rows] == [False, True, True, False, False]
    assert "与表头相同的列数" in rows[1].reasons[0].chinese
    assert "7 列 columns" in rows[2].reasons[0].chinese


def test_an_unclosed_quote_costs_its_own_line_only(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f'{HEADER}{NAME},5,,,"没有关,\n' + ROW * 500)
    rows = rows_of(path)
    assert len(rows) == 501
    assert [row.number for row in rows if row.reasons] == [2]
    assert "引号" in rows[0].reasons[0].chinese
    assert rows[0].cells[0].startswith(NAME)


def test_an_unclosed_quote_near_the_end_of_the_file_is_found_too(tmp_path: Path) -> None:
    rows = rows_of(write(tmp_path / "a.csv", f'{HEADER}{ROW}{NAME},5,,,"没有关,\n{ROW}{ROW}'))
    assert [row.number for row in rows if row.reasons] == [3]
    assert len(rows) == 4


def test_a_line_without_an_end_is_one_bad_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", HEADER + "x" * (3 * MAX_ROW_CHARS) + "\n" + ROW)
    first, second = rows_of(path)
    assert "65536" in first.reasons[0].english
    assert len(first.cells[0]) <= 1_000
    assert second.values == EXPECTED


def test_a_million_columns_are_one_bad_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", HEADER + "," * 60_000 + "\n" + "," * 1_000_000 + "\n" + ROW)
    wide, wider, good = rows_of(path)
    assert "256" in wide.reasons[0].english
    assert "65536" in wider.reasons[0].english
    assert good.values == EXPECTED


def test_a_file_without_a_header_says_what_was_seen(tmp_path: Path) -> None:
    with pytest.raises(HeaderError, match=r"甲、乙、丙.*单位名称.*--column"):
        open_source(write(tmp_path / "a.csv", "甲,乙,丙\n1,2,3\n"))
    with pytest.raises(HeaderError, match="no text"):
        open_source(write(tmp_path / "a.csv", ""))


@pytest.mark.parametrize(
    ("head", "remedy"),
    [
        (b"\xd0\xcf\x11\xe0old", "save it as .xlsx"),
        (b"\x1f\x8bgz", "unpack"),
        (b"%PDF-1.7", "table"),
        (b'[{"a":1}]', "NDJSON"),
    ],
)
def test_files_of_other_kinds_are_named_with_the_way_out(tmp_path: Path, head: bytes, remedy: str) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(head)
    with pytest.raises(FileKindError, match=remedy):
        open_source(path)


def body_of(row: Row) -> dict[str, object]:
    mapped = mapper().map(row)
    assert isinstance(mapped, Line), mapped
    found: dict[str, object] = json.loads(mapped.data)
    return found


def test_ndjson_of_our_own_fields_is_sent_as_it_is(tmp_path: Path) -> None:
    rating = {
        "unit_id": UNIT, "grade": 4, "channel": "hotline", "source": "social", "client_ref": "own-1",
        "transaction_id": "123456789012345678", "dimensions": {"service": 5, "image": None},
        "contact": {"name": "张三", "phone": "13800138000"}, "text": "好",
        "occurred_at": "2026-03-01T09:30:00+08:00", "device_id": None,
    }  # fmt: skip
    path = write(
        tmp_path / "a.ndjson", json.dumps(rating) + "\n\n" + json.dumps(rating | {"grade": "非常满意"})
    )
    first, second = rows_of(path)
    body = body_of(first)
    assert body == {name: value for name, value in rating.items() if value is not None} | {
        "dimensions": {"service": 5}
    }
    assert (second.number, body_of(second)["grade"]) == (3, 5)


def test_the_token_of_a_questionnaire_goes_along(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f"单位编号,满意度,评价码\n{UNIT},5,AWBBnaR-Lkao_7Z6\n{UNIT},4,\n")
    first, second = rows_of(path)
    assert body_of(first)["token"] == "AWBBnaR-Lkao_7Z6"
    assert "token" not in body_of(second)


def test_ndjson_of_the_provinces_fields_becomes_ratings(tmp_path: Path) -> None:
    record = {
        "projNo": "360102-1", "satisfaction": "5", "evaluateChannel": "PJQ", "regionCode": "360102000000",
        "kind": "marriage", "transactionTime": "2026-03-01 09:30:00", "applicantName": "张三",
        "applicantPhone": "13800138000", "applicantCardNumber": "11010519491231002X", "projName": "结婚登记",
        "userProp": "1", "handleStateCode": "3",
    }  # fmt: skip
    (row,) = rows_of(write(tmp_path / "a.ndjson", json.dumps(record, ensure_ascii=False)))
    assert body_of(row) == {
        "client_ref": "imp-1:1", "unit_id": UNIT, "grade": 5, "channel": "terminal", "source": "public",
        "transaction_id": "360102-1", "occurred_at": "2026-03-01T09:30:00+08:00",
        "contact": {"name": "张三", "phone": "13800138000", "id_number": "11010519491231002X"},
    }  # fmt: skip


def test_what_became_of_a_rating_is_no_other_rating(tmp_path: Path) -> None:
    record = {
        "projNo": "p1.0", "satisfaction": "5", "evaluateChannel": "3", "serviceDepartmentCode": NAME,
        "transactionTime": "2026-03-01 09:30:00", "evaluationId": "7e933d3a-11ac-8e0c-9abc-13ee718acdd6",
    }  # fmt: skip
    states = ("submitted", " Submitted ", "", "corrected", "withdrawn", "held", "？")
    lines = "\n".join(json.dumps(record | {"evaluationState": each, "revision": "0"}) for each in states)
    results = [mapper().map(row) for row in rows_of(write(tmp_path / "a.ndjson", lines))]
    assert [isinstance(each, Line) for each in results] == [True] * 3 + [False] * 4
    refused = results[3]
    assert isinstance(refused, Rejected)
    (reason,) = refused.reasons
    assert (reason.column, reason.value) == ("evaluation_state", "corrected")
    assert "submitted, or nothing" in reason.english
    assert "submitted 或空" in reason.chinese


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{", "JSON object"), ("[1]", "JSON object"), ("5", "JSON object"), ('{"grade": NaN}', "JSON object"),
        ("[" * 10_000, "JSON object"), ('{"a":' * 10_000, "JSON object"), ("\ufffe", "JSON object"),
        ('{"grade": 5, "grade": 1}', "each name once"), ('{"grade": 5, "评价": 1}', "each name once"),
        ('{"grade": [5]}', "a text or a number"), ('{"grade": true}', "a text or a number"),
        (json.dumps({str(n): n for n in range(300)}), "JSON object"),
        ('{"text": "' + "x" * 300_000 + '"}', "262144 bytes"),
    ],
)  # fmt: skip
def test_a_bad_line_is_one_bad_line(tmp_path: Path, line: str, expected: str) -> None:
    good = json.dumps({"unit_id": UNIT, "grade": 5})
    rows = rows_of(write(tmp_path / "a.ndjson", f"{good}\n{line}\n{good}\n"))
    assert len(rows) == 3
    refused = mapper().map(rows[1])
    assert isinstance(refused, Rejected)
    assert any(expected in reason.english for reason in refused.reasons)
    assert not rows[0].reasons
    assert not rows[2].reasons


def test_a_lone_surrogate_is_refused_and_does_not_end_the_import(tmp_path: Path) -> None:
    (row,) = rows_of(write(tmp_path / "a.ndjson", '{"unit_id": "U000112", "grade": 5, "text": "\\ud800"}'))
    refused = mapper().map(row)
    assert isinstance(refused, Rejected)
    assert "Unicode" in refused.reasons[0].chinese


def test_lines_are_told_from_tables_by_their_first_character(tmp_path: Path) -> None:
    with open_source(write(tmp_path / "a.txt", '\ufeff {"unit_id": "U000112", "grade": 5}')) as source:
        assert source.kind is Kind.NDJSON
        assert [row.number for row in source.rows] == [1]


@pytest.mark.parametrize("delimiter", ["；", "|"])
def test_other_delimiters_of_offices_are_told_by_the_header(tmp_path: Path, delimiter: str) -> None:
    text = (HEADER + ROW).replace(",", delimiter)
    (row,) = rows_of(write(tmp_path / "a.csv", text))
    assert (row.reasons, row.values[Field.UNIT_NAME]) == ((), NAME)
