"""``make bench``: every rate of the platform beside the bare parts that it is made of, in the same run."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Annotated

import psutil
import structlog
import typer
from rich.console import Console

from deploy.local.layout import SERVICES
from tests.bench import archive, batch, bus, memory, ranking, report, single
from tests.bench.figures import Section
from tests.bench.processes import own_cpu_s
from tests.bench.stage import Stage, platform

ALONE = "intake alone"
EVERYTHING = "everything running"
DEFAULT_ROUNDS = 4
TABLE_WIDTH = 150


class Part(StrEnum):
    """What can be measured by itself."""

    SINGLE = "single"
    BATCH = "batch"
    BUS = "bus"
    ARCHIVE = "archive"
    RANKING = "ranking"
    MEMORY = "memory"


class _Run:
    """One run: the sections so far, shown as they come."""

    def __init__(self, parts: frozenset[Part], rounds: int, console: Console) -> None:
        self._parts = parts
        self._rounds = rounds
        self._console = console
        self.sections: list[Section] = []

    async def all(self) -> None:
        if self._parts & {Part.SINGLE, Part.BATCH}:
            await self._on_platform(("intake",), ALONE)
        if self._parts & {Part.SINGLE, Part.BATCH, Part.MEMORY}:
            await self._on_platform(SERVICES, EVERYTHING)
        await self._part(Part.BUS, lambda: bus.measure(self._rounds))
        await self._part(Part.ARCHIVE, lambda: archive.measure(self._rounds))
        await self._part(Part.RANKING, lambda: ranking.measure(self._rounds))

    async def _on_platform(self, services: tuple[str, ...], where: str) -> None:
        async with platform(services) as stage:
            await self._part(Part.SINGLE, lambda: single.measure(stage, self._rounds, where))
            await self._part(Part.BATCH, lambda: batch.measure(stage, self._rounds, where))
            if services == SERVICES:
                await self._part(Part.MEMORY, lambda: memory.measure(stage))
            _require_no_restarts(stage)

    async def _part(self, part: Part, measure: Callable[[], Awaitable[Section]]) -> None:
        if part not in self._parts:
            return
        with self._console.status(f"measuring: {part}"):
            section = await measure()
        self.sections.append(section)
        report.show(self._console, section)


def _require_no_restarts(stage: Stage) -> None:
    if stage.restarts:
        raise RuntimeError(f"{stage.restarts} restarts while measuring: see the logs of a `pingyi up`")


def main(
    only: Annotated[list[Part] | None, typer.Option(help="Measure only this; may be repeated.")] = None,
    rounds: Annotated[int, typer.Option(min=2, help="Rounds of each pair.")] = DEFAULT_ROUNDS,
    *,
    write: Annotated[bool, typer.Option("--write", help=f"Write the figures to {report.PAGE}.")] = False,
) -> None:
    """Measure the platform beside its bare parts. Exits with 1 if a goal is missed."""
    if write and only:
        raise typer.BadParameter("got --write with --only, expected a whole run: leave one of them out")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    console = Console(width=max(Console().width, TABLE_WIDTH))
    run = _Run(frozenset(only or Part), rounds, console)
    busy, own, wall = _machine_cpu_s(), own_cpu_s(), time.monotonic()
    asyncio.run(run.all())
    wall = time.monotonic() - wall
    foreign = max(0.0, (_machine_cpu_s() - busy) - (own_cpu_s() - own)) / wall
    machine = report.describe_machine(foreign)
    console.print(machine.sentence())
    if write:
        report.write_page(run.sections, machine)
    for figure in (missed := report.goals_missed(run.sections)):
        console.print(f"[red]missed[/]: {' '.join(report.figure_row(figure))}")
    raise typer.Exit(code=1 if missed else 0)


def _machine_cpu_s() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
