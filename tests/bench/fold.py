"""Fold: events in memory to four windows, by scoring, by Bytewax and by Redis; and parsing alone, to compare.

Twice: a year's events, where a unit has a rating every other day, and ten days', where it has seventeen a
day, which is what a province of this size sees. The baselines do less (see `bare_fold`). Rates are events in
a second of processor time, of all processes that a side needs: each side keeps one processor busy and no
more, so that this is its rate on a core of its own, whoever else uses the machine. A missing redis-server is
said, and its comparison left out.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from deploy.local.embedded.ports import LOOPBACK, free_ports, is_free
from deploy.local.embedded.process import ChildProcess
from shared.kernel.errors import describe
from tests.bench.figures import Bound, Figure, Goal, Section, Series
from tests.bench.fold_events import DAYS
from tests.bench.processes import CostSheet, run_program
from tests.bench.stage import data_directory, eventually

EVENTS: Final = 200_000
UNITS: Final = 1_188
SPREAD: Final = {"a year's events": DAYS, "ten days' events": 10}
"""Over how many days the same number of events is spread."""
MEASURED: Final = "{} in a second of processor time"
RATE: Final = Goal(Bound.RATE_AT_LEAST, 200_000)

_NAMES: Final = {
    "bytewax_map": "Bytewax, stateful_map",
    "bytewax_batch": "Bytewax, stateful_batch",
    "redis": "one pipelined Redis",
    "msgspec": "msgspec: bare parse, nothing else",
    "pydantic": "pydantic: the contract's parse, nothing else",
}
_GOALS: Final = {"bytewax_map": Goal(Bound.RATIO_AT_LEAST, 2), "redis": Goal(Bound.RATIO_AT_LEAST, 3)}
_FOLDING: Final = ("scoring", "bytewax_map", "bytewax_batch", "redis")


async def measure(rounds: int) -> Section:
    """Fold the same events with every side, one after the other, in every round."""
    with _redis() as server:
        if server is not None:
            port = server[0]
            await eventually(lambda: _listens(port))
        parts = [await _measure(whose, days, server, rounds) for whose, days in SPREAD.items()]
    return Section(
        "Fold",
        [figure for part in parts for figure in part.figures],
        [cost for part in parts for cost in part.costs],
        [*(check for part in parts for check in part.checks), *([] if server is not None else [_skipped()])],
    )


async def _measure(whose: str, days: int, server: tuple[int, int] | None, rounds: int) -> Section:
    sides = ["scoring", *(name for name in _NAMES if name != "redis" or server is not None)]
    if days != DAYS:
        sides = [side for side in sides if side in _FOLDING]  # what only parses does not look at the days
    sheets = {name: CostSheet(f"{name}, {whose}", "event") for name in sides}
    rates: dict[str, list[float]] = {name: [] for name in sides}
    counted: set[tuple[int, ...]] = set()
    for _ in range(rounds):
        for name in sides:
            redis_too = server is not None and name == "redis"
            outcome = await run_program(
                "tests.bench.fold_sides",
                {
                    "side": name,
                    "events": EVENTS,
                    "days": days,
                    "units": UNITS,
                    "url": f"redis://{LOOPBACK}:{server[0]}/0" if server is not None else "",
                    "pids": {"redis-server": server[1]} if server is not None and redis_too else {},
                },
            )
            rates[name].append(EVENTS / sum(outcome["cpu"].values()))
            sheets[name].add(outcome["cpu"], EVENTS, outcome["elapsed_s"])
            if name in _FOLDING:
                counted.add(tuple(outcome["counted"]))
    if len(counted) != 1:
        raise AssertionError(f"the sides counted differently: {counted}")
    series = {name: Series(tuple(values)) for name, values in rates.items()}
    ours, measured = series.pop("scoring"), MEASURED.format(whose)
    return Section(
        "Fold",
        [
            Figure(measured, "/s", ours, goal=RATE),
            *(
                Figure(measured, "/s", ours, bare, _NAMES[name], _GOALS.get(name))
                for name, bare in series.items()
            ),
        ],
        [sheet.cost() for sheet in sheets.values()],
        [_check(whose, counted.pop())],
    )


def _check(whose: str, counted: tuple[int, ...]) -> str:
    return (
        f"{EVENTS:,} of {whose} about {UNITS:,} units; every side that folds counted "
        f"{', '.join(f'{count:,}' for count in counted)} ratings in the four windows in every round"
    )


def _skipped() -> str:
    return "Redis was skipped: " + describe(
        "no redis-server on PATH", "Debian's redis-server", "apt-get install redis-server, then run again"
    )


@contextmanager
def _redis() -> Iterator[tuple[int, int] | None]:
    """Port and process id of a Redis of our own, without persistence; None where there is no redis-server."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    (port,) = free_ports(1)
    with data_directory() as directory:
        command = [program, "--port", str(port), "--bind", LOOPBACK, "--save", "", "--appendonly", "no"]
        child = ChildProcess([*command, "--dir", str(directory)], log=directory / "redis.log")
        child.start()
        try:
            assert child.pid is not None
            yield port, child.pid
        finally:
            child.stop()


async def _listens(port: int) -> bool:
    return not is_free(port)
