"""Whatever bytes come, a reader gives rows or one readable error: no crash, no hang, bounded rows."""

import contextlib
import csv
import io
import json
from pathlib import Path

from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st

from deploy.local.errors import LocalError
from deploy.local.importing.columns import MAX_COLUMNS
from deploy.local.importing.csv_rows import read_csv
from deploy.local.importing.rows import MAX_ROW_CHARS, Line, Rejected
from tests.support.properties import examples
from tests.unit.deploy.importing.files import HEADER, NAME, mapper, rows_of, write_workbook

anything = examples(60, suppress_health_check=[HealthCheck.function_scoped_fixture])
csv_text = st.text(st.sampled_from("\",;\t\r\n甲a1 \0='，"), max_size=200)


def judge(path: Path) -> None:
    """Read and map every row; only a readable error may end it."""
    with contextlib.suppress(LocalError):
        for row in rows_of(path):
            assert len(row.cells) <= MAX_COLUMNS
            mapped = mapper().map(row)
            if isinstance(mapped, Line):
                json.loads(mapped.data)
            else:
                assert all(reason.chinese and reason.english for reason in mapped.reasons)
                assert mapped.reasons


@anything
@given(st.binary(max_size=400))
@example(b"\xff\xfe\x00")
@example(b"\xef\xbb\xbf")
def test_any_bytes_are_read_or_refused(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "a.csv"
    for head in (b"", HEADER.encode(), b"PK\x03\x04", b"{"):
        path.write_bytes(head + raw)
        judge(path)


@anything
@given(csv_text)
def test_any_csv_below_a_header_is_read_row_by_row(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(HEADER + text, encoding="utf-8", newline="")
    judge(path)


@anything
@given(
    st.lists(st.lists(st.text(max_size=20), min_size=2, max_size=5), max_size=10), st.sampled_from(",;\t，")
)
def test_what_the_standard_writer_writes_is_read_back(table: list[list[str]], delimiter: str) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(table)
    text.seek(0)
    rows = list(read_csv(text, delimiter))
    assert [row.cells for row in rows] == table
    assert [row.number for row in rows] == list(range(1, len(table) + 1))


@anything
@given(csv_text)
def test_no_text_of_a_csv_is_lost(text: str) -> None:
    rows = list(read_csv(io.StringIO(text, newline=""), ","))
    kept = {char for row in rows for cell in row.cells for char in cell}
    assert {char for char in text if char not in '",\r\n'} <= kept
    assert all(sum(map(len, row.cells)) <= MAX_ROW_CHARS for row in rows)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = (
    *("unit_id", "单位", "grade", "评价", "contact", "contact.phone", "dimensions", "text", "原行号"),
    *("导入编号", "occurred_at", "日期", "transaction_id", "client_ref", "channel", "x"),
)
names = st.sampled_from(NAMES)


@anything
@given(st.lists(st.dictionaries(names, values, max_size=6), max_size=5))
def test_any_json_is_a_line_or_a_reason(tmp_path: Path, objects: list[dict[str, object]]) -> None:
    path = tmp_path / "a.ndjson"
    path.write_text("\n".join(map(json.dumps, objects)), encoding="utf-8")
    judge(path)
    assert len(rows_of(path)) == len(objects)


@anything
@given(
    st.lists(st.tuples(st.integers(0, 65_535), st.integers(0, 255)), min_size=1, max_size=4),
    st.integers(0, 65_535),
)
def test_a_workbook_with_any_bytes_changed_is_read_or_refused(
    tmp_path: Path, changes: list[tuple[int, int]], cut: int
) -> None:
    path = tmp_path / "a.xlsx"
    whole = write_workbook(
        path, [HEADER.strip().split(","), [NAME, 5, "2026-03-01", "BJ1", "好", None]]
    ).read_bytes()
    changed = bytearray(whole)
    for place, value in changes:
        changed[place % len(whole)] = value
    path.write_bytes(changed[: cut % len(whole)] if cut % 2 else changed)
    judge(path)


def test_rows_that_pass_are_lines_and_others_are_not(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(HEADER + f"{NAME},5,,,,\n{NAME},,,,,\n", encoding="utf-8")
    kinds = [type(mapper().map(row)) for row in rows_of(path)]
    assert kinds == [Line, Rejected]
