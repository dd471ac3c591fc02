"""Cold start: a fresh process from nothing to all lists, out of a snapshot in the broker's object store.

Time counts from the birth of the process: interpreter, imports, connection, snapshot read and checked, fold
made of it, every list of every span ranked and hashed as a first publication does. Reading back what is
published and publishing are not in it. A million events by default, ten with ``--long``: the
goals are of those ten.
"""

import time
from typing import Any, Final

from shared.messaging.connection import BrokerSettings, connect
from shared.messaging.provisioner import provision
from tests.bench.figures import Bound, Figure, Goal, Section, Series
from tests.bench.fold_events import DAYS
from tests.bench.processes import CostSheet, run_program
from tests.bench.stage import data_directory
from tests.support.servers import running_nats

UNITS: Final = 20_000
EVENTS: Final = 1_000_000
LONG: Final = 10_000_000
SECONDS: Final = Goal(Bound.AT_MOST, 5)
RESIDENT: Final = Goal(Bound.AT_MOST, 800)
SIDES: Final = {
    "scoring": "scoring",
    "decode": "msgspec: read and decode the same bytes, nothing else",
}


async def measure(rounds: int, *, long: bool) -> Section:
    """Make a snapshot once, then start from it with every side in every round."""
    events = LONG if long else EVENTS
    outcomes: dict[str, list[dict[str, Any]]] = {name: [] for name in SIDES}
    with data_directory() as directory, running_nats(directory) as server:
        client = await connect(BrokerSettings(nats_url=server.url), "bench")
        await provision(client)
        await client.close()
        made = await run_program(
            "tests.bench.cold_start_point",
            {
                "side": "make",
                "url": server.url,
                "events": events,
                "units": UNITS,
                "born_s": time.time(),
            },
        )
        for _ in range(rounds):
            for name in SIDES:
                outcomes[name].append(
                    await run_program(
                        "tests.bench.cold_start_point",
                        {
                            "side": name,
                            "url": server.url,
                            "events": events,
                            "units": UNITS,
                            "born_s": time.time(),
                        },
                    )
                )
    return section_of(events, made, outcomes, long=long)


def section_of(
    events: int, made: dict[str, Any], outcomes: dict[str, list[dict[str, Any]]], *, long: bool
) -> Section:
    starts, bare = outcomes["scoring"], outcomes["decode"]
    hashes = {start["lists_hash"] for start in starts}
    if hashes != {made["lists_hash"]}:
        raise AssertionError(f"a start gave other lists than the fold that was kept: {hashes}, {made}")

    def series(found: list[dict[str, Any]], name: str) -> Series:
        return Series(tuple(outcome[name] for outcome in found))

    against = SIDES["decode"]

    def pair(name: str, unit: str, what: str, goal: Goal | None = None) -> Figure:
        return Figure(name, unit, series(starts, what), series(bare, what), against, goal)

    sheets = [CostSheet("cold start", "start"), CostSheet(against, "start")]
    for sheet, found in zip(sheets, (starts, bare), strict=True):
        for outcome in found:
            sheet.add({"process": outcome["cpu_s"]}, 1, outcome["elapsed_s"])
    return Section(
        "Cold start from a snapshot",
        [
            pair(f"{events:,} events, {UNITS:,} units", "s", "elapsed_s", SECONDS if long else None),
            *(
                Figure(f"of it: {part}", "s", Series(tuple(start["parts"][part] for start in starts)))
                for part in starts[0]["parts"]
            ),
            pair("processor time", "s", "cpu_s"),
            pair("resident when ready", "MB", "resident_mb", RESIDENT if long else None),
            pair("resident at its peak", "MB", "peak_mb"),
        ],
        [sheet.cost() for sheet in sheets],
        [_check(events, made)],
    )


def _check(events: int, made: dict[str, Any]) -> str:
    return (
        f"{events:,} events of {DAYS} days in a snapshot of {made['bytes'] / 1e6:,.0f} MB; every start gave "
        f"the {made['lists']} lists of the fold that was kept, byte for byte"
    )
