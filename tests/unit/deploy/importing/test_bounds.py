"""What a hostile file can make the command keep or compute is bounded, however long the file."""

import time
import tracemalloc
from pathlib import Path

import pytest

from deploy.local.importing import cells
from deploy.local.importing.faults import Fault
from deploy.local.importing.rows import Rejected
from deploy.local.importing.running import batches
from deploy.local.importing.sources import open_source
from deploy.local.importing.unit_names import NoUnit, UnitNames
from tests.unit.deploy.importing.files import HEADER, KINDS, NAME, UNITS, mapper

MIB = 1 << 20


@pytest.mark.parametrize("parse", [cells.grade, cells.sub_grade, cells.moment, cells.channel, cells.source])
def test_a_long_text_is_no_word_and_costs_no_time(parse: object) -> None:
    assert callable(parse)
    began = time.process_time()
    for text in ("2026-03-01" + " " * 30_000 + "x", "9" * 30_000, "满意" + "　" * 30_000 + "。"):
        assert isinstance(parse(text), Fault)
    assert time.process_time() - began < 2


def test_similar_names_are_looked_for_a_hundred_times_only() -> None:
    names = UnitNames(UNITS, KINDS)
    first = names.find(None, "东湖区婚姻登记", None, None)
    assert isinstance(first, NoUnit)
    assert NAME in first.fault.remedy_zh
    began = time.process_time()
    for number in range(5_000):
        assert isinstance(names.find(None, f"某某窗口{number}", None, None), NoUnit)
    assert time.process_time() - began < 30


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        path = tmp_path / f"{rows}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            file.write(HEADER)
            for number in range(rows):
                # A new word in every column of every row: nothing that could be remembered comes again.
                file.write(
                    f"{'窗口' * 50}{number},{'很' * 100}{number},{number},{number},{'字' * 3_000},{number}\n"
                )
        tracemalloc.start()
        with open_source(path) as source:
            for batch in batches(source, mapper(), 100):
                assert all(isinstance(each, Rejected) for each in batch.rejected)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    small, large = peak(200), peak(2_000)
    assert large < small + 8 * MIB
