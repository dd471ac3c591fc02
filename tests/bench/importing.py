"""``pingyi import`` of whole files beside posting the same prepared batches; and the memory that it takes."""

import asyncio
import csv
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import uuid4

import openpyxl

from deploy.local.demo.comments import COMMENTS
from shared.kernel.clock import SHANGHAI
from shared.kernel.grades import Grade, Level
from shared.kernel.units import load_units
from tests.bench.figures import Bound, Figure, Goal, Section, Series
from tests.bench.processes import run_program
from tests.bench.stage import Stage, data_directory

ROWS: Final = 50_000
MILLION: Final = 1_000_000
LONGEST_S: Final = 180
MOST_MB: Final = 128
RATIO: Final = 0.6
COLUMNS: Final = ("单位名称", "评价等级", "评价时间", "办件号", "意见建议", "联系电话")


def rows(count: int, seed: int = 1) -> Iterator[list[str]]:
    """Ratings as an office lists them: names of units, grades in words, some comments and some phones."""
    chance = random.Random(seed)
    names = [unit.name for unit in load_units().by_level(Level.WINDOW)]
    start = datetime.now(SHANGHAI).replace(microsecond=0) - timedelta(days=20)
    for number in range(count):
        grade = chance.choices((5, 4, 3, 2, 1), (62, 22, 9, 4, 3))[0]
        moment = start + timedelta(seconds=chance.randrange(19 * 86_400))
        yield [
            chance.choice(names),
            Grade(grade).label,
            moment.strftime("%Y/%m/%d %H:%M"),
            f"BJ{number:010}",
            chance.choice(COMMENTS[grade]) if number % 5 == 0 else "",
            f"138{number:08}" if number % 4 == 0 else "",
        ]


def write(path: Path, count: int) -> Path:
    """A file of ratings: CSV in GBK, or a workbook."""
    if path.suffix == ".csv":
        with path.open("w", encoding="gb18030", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows(rows(count))
        return path
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("评价")
    sheet.append(COLUMNS)
    for row in rows(count):
        sheet.append(row)
    book.save(path)
    return path


@dataclass(frozen=True, slots=True)
class Imported:
    """What one run of the command took."""

    elapsed_s: float
    peak_mb: float
    accepted: int


PROGRAM: Final = """
import re, sys
from deploy.local.cli import main
try:
    main()
finally:
    print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1], file=sys.stderr)
"""
"""The command, and at its end the most that it held in memory, in KiB: its parent's peak is not its own."""


def run_command(stage: Stage, file: Path, import_id: str) -> Imported:
    """Run ``pingyi import`` as a process of its own, from its start to its end."""
    words = ["import", str(file), "--channel", "paper", "--import-id", import_id, "--json"]
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words, "--data", str(stage.layout.data)],
        capture_output=True,
        text=True,
        check=True,
    )
    elapsed_s = time.perf_counter() - started
    peak_kib = int(done.stderr.splitlines()[-1])
    return Imported(elapsed_s, peak_kib / 1024, int(json.loads(done.stdout)["accepted"]))


async def measure(stage: Stage, rounds: int, *, long: bool) -> Section:
    """Pairs of rounds with CSV and with workbooks; with `long` a million rows of each, once."""
    section = Section(f"Imports of {ROWS:,} rows", [])
    with data_directory() as directory:
        for suffix in (".csv", ".xlsx"):
            file = await asyncio.to_thread(write, directory / f"rows{suffix}", ROWS)
            await _pairs(stage, file, rounds, section)
        if long:
            for suffix in (".csv", ".xlsx"):
                file = await asyncio.to_thread(write, directory / f"million{suffix}", MILLION)
                await _million(stage, file, section)
    return section


async def _pairs(stage: Stage, file: Path, rounds: int, section: Section) -> None:
    ours: list[float] = []
    barely: list[float] = []
    peaks: list[float] = []
    for _ in range(rounds):
        done = await asyncio.to_thread(run_command, stage, file, _fresh_id())
        await stage.settle()
        bare = await run_program(
            "tests.bench.bare_post",
            {
                "file": str(file),
                "import_id": _fresh_id(),
                "url": stage.layout.service_url("intake"),
                "proof": stage.proof,
            },
        )
        await stage.settle()
        if done.accepted != ROWS or bare["accepted"] != ROWS:
            raise AssertionError(f"{ROWS} ratings expected: {done.accepted} and {bare['accepted']} accepted")
        ours.append(ROWS / done.elapsed_s)
        barely.append(ROWS / bare["elapsed_s"])
        peaks.append(done.peak_mb)
    goal = Goal(Bound.RATIO_AT_LEAST, RATIO)
    kind = file.suffix.removeprefix(".").upper()
    section.figures += [
        Figure(
            f"rows of {kind}",
            "/s",
            Series(tuple(ours)),
            Series(tuple(barely)),
            "prepared batches, posted",
            goal,
        ),
        Figure(f"peak memory, {kind}", "MB", Series(tuple(peaks)), goal=Goal(Bound.AT_MOST, MOST_MB)),
    ]
    section.checks.append(f"every round of {kind}: {ROWS:,} rows accepted by each side")


async def _million(stage: Stage, file: Path, section: Section) -> None:
    done = await asyncio.to_thread(run_command, stage, file, _fresh_id())
    await stage.settle()
    if done.accepted != MILLION:
        raise AssertionError(f"{MILLION} ratings expected, {done.accepted} accepted")
    kind = file.suffix.removeprefix(".").upper()
    section.figures += [
        Figure(
            f"{MILLION:,} rows of {kind}", "s", Series((done.elapsed_s,)), goal=Goal(Bound.AT_MOST, LONGEST_S)
        ),
        Figure(
            f"their peak memory, {kind}", "MB", Series((done.peak_mb,)), goal=Goal(Bound.AT_MOST, MOST_MB)
        ),
    ]


def _fresh_id() -> str:
    return f"bench-{uuid4().hex[:12]}"
