"""``make bench``: every rate of the platform beside the bare parts that it is made of, in the same run.

And the quality of the ranking beside other ways to rank. A report is the generated part of a page; it is
written when all that stands in it has been measured.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import psutil
import structlog
import typer
from rich.console import Console

from deploy.local.layout import SERVICES
from tests.bench import (
    archive,
    audit,
    batch,
    bus,
    cold_start,
    fold,
    growth,
    importing,
    loads,
    memory,
    notify,
    quality,
    query,
    ranking,
    report,
    single,
    timers,
)
from tests.bench.figures import Section
from tests.bench.processes import own_cpu_s
from tests.bench.stage import Stage, platform

ALONE = "intake alone"
EVERYTHING = "everything running"
RATIO_ALONE = 0.6
RATIO = 0.5
"""Goals of single requests' rate over the bare endpoint's, by itself and with everything running."""
DEFAULT_ROUNDS = 4
TABLE_WIDTH = 150


class Part(StrEnum):
    """What can be measured by itself."""

    SINGLE = "single"
    LATENCY = "latency"
    BATCH = "batch"
    IMPORT = "import"
    BUS = "bus"
    NOTIFY = "notify"
    TIMERS = "timers"
    ARCHIVE = "archive"
    AUDIT = "audit"
    RANKING = "ranking"
    MEMORY = "memory"
    FOLD = "fold"
    GROWTH = "growth"
    START = "start"
    QUALITY = "quality"
    QUERY = "query"


REPORTS: Mapping[report.Place, frozenset[Part]] = {
    report.Place(Path("docs/benchmarks.md"), "figures"): frozenset(
        {Part.SINGLE, Part.BATCH, Part.BUS, Part.ARCHIVE, Part.QUERY, Part.MEMORY}
    ),
    report.Place(Path("docs/benchmarks.md"), "latency"): frozenset({Part.LATENCY}),
    report.Place(Path("docs/benchmarks.md"), "import"): frozenset({Part.IMPORT}),
    report.Place(Path("docs/benchmarks.md"), "ranking"): frozenset({Part.RANKING}),
    report.Place(Path("docs/benchmarks.md"), "fold"): frozenset({Part.FOLD, Part.GROWTH}),
    report.Place(Path("docs/benchmarks.md"), "start"): frozenset({Part.START}),
    report.Place(Path("docs/benchmarks.md"), "audit"): frozenset({Part.AUDIT}),
    report.Place(Path("docs/benchmarks.md"), "notify"): frozenset({Part.NOTIFY}),
    quality.PLACE: frozenset({Part.QUALITY}),
}


class _Run:
    """One run: the sections so far by part, shown as they come."""

    def __init__(self, parts: frozenset[Part], rounds: int, console: Console, *, long: bool) -> None:
        self._parts = parts
        self._rounds = rounds
        self._console = console
        self._long = long
        self.sections: dict[Part, list[Section]] = {part: [] for part in parts}
        self.drawings: dict[Part, Callable[[], None]] = {}

    async def all(self) -> None:
        if self._parts & {Part.SINGLE, Part.LATENCY, Part.BATCH, Part.IMPORT}:
            await self._on_platform(("intake",), ALONE)
        if self._parts & {Part.SINGLE, Part.BATCH, Part.MEMORY}:
            await self._on_platform(SERVICES, EVERYTHING)
        await self._part(Part.BUS, lambda: bus.measure(self._rounds))
        await self._part(Part.NOTIFY, lambda: notify.measure(self._rounds))
        await self._part(Part.TIMERS, lambda: timers.measure(self._rounds, long=self._long))
        await self._part(Part.ARCHIVE, lambda: archive.measure(self._rounds))
        await self._part(Part.AUDIT, lambda: audit.measure(self._rounds))
        await self._part(Part.QUERY, lambda: query.measure(self._rounds))
        await self._part(Part.RANKING, lambda: ranking.measure(self._rounds))
        await self._part(Part.FOLD, lambda: fold.measure(self._rounds))
        await self._part(Part.GROWTH, self._growth)
        await self._part(Part.START, lambda: cold_start.measure(self._rounds, long=self._long))
        await self._part(Part.QUALITY, self._quality)

    async def _growth(self) -> Section:
        section, outcomes = await growth.measure(self._rounds, long=self._long)
        self.drawings[Part.GROWTH] = lambda: growth.draw(outcomes)
        return section

    async def _latency(self, stage: Stage, where: str) -> Section:
        section, points = await loads.measure(stage, self._rounds, where)
        self.drawings[Part.LATENCY] = lambda: loads.draw(points)
        return section

    async def _quality(self) -> Section:
        self.drawings[Part.QUALITY] = quality.draw
        return await asyncio.to_thread(quality.measure)

    async def _on_platform(self, services: tuple[str, ...], where: str) -> None:
        alone = services != SERVICES
        async with platform(services) as stage:
            ratio = RATIO_ALONE if alone else RATIO
            await self._part(Part.SINGLE, lambda: single.measure(stage, self._rounds, where, ratio))
            await self._part(Part.BATCH, lambda: batch.measure(stage, self._rounds, where, alone=alone))
            if alone:
                await self._part(Part.LATENCY, lambda: self._latency(stage, where))
                await self._part(Part.IMPORT, lambda: importing.measure(stage, self._rounds, long=self._long))
            else:
                await self._part(Part.MEMORY, lambda: memory.measure(stage))
            _require_no_restarts(stage)

    async def _part(self, part: Part, measure: Callable[[], Awaitable[Section]]) -> None:
        if part not in self._parts:
            return
        with self._console.status(f"measuring: {part}"):
            section = await measure()
        self.sections[part].append(section)
        report.show(self._console, section)


def _require_no_restarts(stage: Stage) -> None:
    if stage.restarts:
        raise RuntimeError(f"{stage.restarts} restarts while measuring: see the logs of a `pingyi up`")


def main(
    only: Annotated[list[Part] | None, typer.Option(help="Measure only this; may be repeated.")] = None,
    rounds: Annotated[int, typer.Option(min=2, help="Rounds of each pair.")] = DEFAULT_ROUNDS,
    *,
    long: Annotated[
        bool,
        typer.Option(
            "--long",
            help="Growth and start with ten million events, imports of a million rows, 100,000 cases.",
        ),
    ] = False,
    write: Annotated[bool, typer.Option("--write", help="Write figures and plots into docs/.")] = False,
) -> None:
    """Measure the platform beside its bare parts. Exits with 1 if a goal is missed."""
    parts = frozenset(only or Part)
    places = _places(parts) if write else ()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    console = Console(width=max(Console().width, TABLE_WIDTH))
    run = _Run(parts, rounds, console, long=long)
    busy, own, wall = _machine_cpu_s(), own_cpu_s(), time.monotonic()
    asyncio.run(run.all())
    wall = time.monotonic() - wall
    foreign = max(0.0, (_machine_cpu_s() - busy) - (own_cpu_s() - own)) / wall
    machine = report.describe_machine(foreign)
    console.print(machine.sentence())
    for place in places:
        report.write_page(
            [section for part in Part if part in REPORTS[place] for section in run.sections[part]],
            None if place == quality.PLACE else machine,
            place,
        )
        for draw in (run.drawings[part] for part in Part if part in REPORTS[place] & run.drawings.keys()):
            draw()
    sections = [section for part in Part if part in parts for section in run.sections[part]]
    for figure in (missed := report.goals_missed(sections)):
        console.print(f"[red]missed[/]: {' '.join(report.figure_row(figure))}")
    raise typer.Exit(code=1 if missed else 0)


def _places(parts: frozenset[Part]) -> tuple[report.Place, ...]:
    """The reports that these parts fill.

    Raises:
        typer.BadParameter: one would stay half empty.
    """
    for place, needed in REPORTS.items():
        if needed & parts and (missing := needed - parts):
            raise typer.BadParameter(
                f"got --write without {', '.join(sorted(missing))}, expected all of a report ({place.page}, "
                f"{place.mark}): measure {', '.join(sorted(needed))} together, or leave --write out"
            )
    return tuple(place for place, needed in REPORTS.items() if needed <= parts)


def _machine_cpu_s() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
