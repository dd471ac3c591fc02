"""CSV that a spreadsheet shows and does not run."""

import csv
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.kernel.spreadsheets import csv_lines, safe_cell

RUNS = "=+-@\t\r\n＝＋－＠"


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("+86 call", "'+86 call"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        ("＝1+1", "'＝1+1"),
        ("＋1", "'＋1"),
        ("－1+1", "'－1+1"),
        ("＠SUM(A1)", "'＠SUM(A1)"),
        ("-5", "-5"),
        ("+1.5e3", "+1.5e3"),
        ("-٣", "'-٣"),
        (-5, -5),
        ("婚姻登记处", "婚姻登记处"),
        (None, None),
    ],
)
def test_no_cell_is_a_formula_and_numbers_stay_numbers(value: object, cell: object) -> None:
    assert safe_cell(value) == cell


@given(st.lists(st.text(st.sampled_from('=+-@＝＋－＠\t\r\n",;ab1')), min_size=2, max_size=5))
def test_whatever_the_cells_are_none_of_them_runs_and_none_makes_another(cells: list[str]) -> None:
    (row,) = csv.reader(StringIO(csv_lines([cells]), newline=""))
    assert len(row) == len(cells)
    for written, original in zip(row, cells, strict=True):
        assert written in {original, f"'{original}"}
        if written and written[0] in RUNS:
            float(written)  # a number, which is no formula
