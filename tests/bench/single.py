"""Intake, one rating per request: rate and latency beside an endpoint that only validates."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from shared.messaging.streams import FEEDBACK
from tests.bench.client import Job, Load
from tests.bench.figures import Bound, Figure, Goal, Section, Series
from tests.bench.processes import CLIENT, CostSheet, run_client, watching
from tests.bench.stage import Stage, http_program

PATH = "/v1/feedback"
ACCEPTED = "202"
REFUSED = ("429", "503")
MOST_REFUSED = 0.05
"""Share of a round that may be refused."""
CONNECTIONS = 96
WARM_S = 0.7
SECONDS = 2.5
LATENCY_S = 4.0


@dataclass(slots=True)
class _Pair:
    """Both sides of one measurement, filled round by round."""

    ours: CostSheet
    bare: CostSheet
    our_loads: list[Load] = field(default_factory=list)
    bare_loads: list[Load] = field(default_factory=list)
    refused: int = 0


async def measure(stage: Stage, rounds: int, where: str, least_ratio: float) -> Section:
    """Rate of a closed loop first, then latency at half of the rate that was found, in pairs of rounds."""
    closed = _Pair(CostSheet(f"intake, {where}", "request"), CostSheet("bare endpoint", "request"))
    opened = _Pair(
        CostSheet(f"intake at half load, {where}", "request"), CostSheet("bare, same load", "request")
    )
    async with http_program("tests.bench.bare_endpoint") as (bare_port, bare_pid):
        port = stage.layout.service_port("intake")
        jobs = {
            "ours": Job(port, PATH, 0, CONNECTIONS, warm_s=WARM_S, seconds=SECONDS, proof=stage.proof),
            "bare": Job(bare_port, PATH, 0, CONNECTIONS, warm_s=WARM_S, seconds=SECONDS),
        }
        await _rounds(stage, closed, jobs, {"endpoint": bare_pid}, rounds)
        half = Series(tuple(load.rate for load in closed.our_loads)).middle / 2
        jobs = {
            name: replace(job, seed=1, connections=2 * CONNECTIONS, seconds=LATENCY_S, rate=half)
            for name, job in jobs.items()
        }
        await _rounds(stage, opened, jobs, {"endpoint": bare_pid}, max(3, rounds - 2))
    sent = sum(load.answered for load in closed.our_loads + opened.our_loads)
    refused = closed.refused + opened.refused
    ratio = Goal(Bound.RATIO_AT_LEAST, least_ratio)
    return Section(
        f"Single requests, {where}",
        [
            Figure(
                "ratings accepted",
                "/s",
                _rates(closed.our_loads),
                _rates(closed.bare_loads),
                "bare endpoint",
                ratio,
            ),
            Figure(
                f"p50 at {half:,.0f}/s",
                "ms",
                _latency(opened.our_loads, "p50"),
                _latency(opened.bare_loads, "p50"),
                "bare endpoint",
            ),
            Figure(
                f"p99 at {half:,.0f}/s",
                "ms",
                _latency(opened.our_loads, "p99"),
                _latency(opened.bare_loads, "p99"),
                "bare endpoint",
                Goal(Bound.AT_MOST, 50),
            ),
        ],
        [closed.ours.cost(), closed.bare.cost()],
        [
            (
                f"{sent:,} requests to intake, {refused:,} refused, {sent - refused:,} answers 202 "
                "and as many more messages in FEEDBACK"
            )
        ],
    )


def _rates(loads: list[Load]) -> Series:
    return Series(tuple(load.rate for load in loads))


def _latency(loads: list[Load], which: str) -> Series:
    return Series(tuple(load.latency_ms[which] for load in loads))


async def _rounds(
    stage: Stage, pair: _Pair, jobs: Mapping[str, Job], bare_pids: Mapping[str, int], rounds: int
) -> None:
    for _ in range(rounds):
        before = await stage.last_sequence(FEEDBACK)
        load = await _one(jobs["ours"], stage.pids, pair.ours)
        stored = await stage.last_sequence(FEEDBACK) - before
        refused = sum(load.statuses.get(status, 0) for status in REFUSED)
        if load.statuses.get(ACCEPTED) != stored or stored + refused != load.answered:
            raise AssertionError(
                f"202 and stored, or refused, expected: {load.statuses}, {stored} stored; {load.refusal}"
            )
        if refused > MOST_REFUSED * load.answered:
            raise AssertionError(f"hardly any refusal expected: {load.statuses}; {load.refusal}")
        # A pause of the machine fills intake's places. Rates and latencies are of what was accepted.
        pair.our_loads.append(load)
        pair.refused += refused
        await stage.settle()
        load = await _one(jobs["bare"], bare_pids, pair.bare)
        pair.bare_loads.append(load)
        if set(load.statuses) != {ACCEPTED}:
            raise AssertionError(f"the baseline answered {load.statuses}, expected only 202: {load.refusal}")


async def _one(job: Job, pids: Mapping[str, int], sheet: CostSheet) -> Load:
    with watching(pids) as spent:
        load = await run_client(job)
    sheet.add({CLIENT: load.cpu_s, **spent.seconds}, load.answered, load.total_s)
    return load
