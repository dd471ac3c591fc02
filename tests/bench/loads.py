"""Intake, single requests: how long they take at a quarter, half, three quarters and all of its rate."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from shared.messaging.streams import FEEDBACK
from tests.bench.client import Job, Load
from tests.bench.figures import Figure, Section, Series
from tests.bench.processes import run_client
from tests.bench.single import ACCEPTED, CONNECTIONS, LATENCY_S, PATH, SECONDS, WARM_S
from tests.bench.stage import Stage, http_program

SHARES: Final = (0.25, 0.5, 0.75, 1.0)
PERCENTILES: Final = ("p50", "p99")
BARE: Final = "bare endpoint"


@dataclass(slots=True)
class Point:
    """One load: ours, and the bare endpoint at the same rate."""

    rate: float
    ours: list[Load] = field(default_factory=list)
    bare: list[Load] = field(default_factory=list)


Points = Mapping[float, Point]
"""By share of what intake can do."""


async def measure(stage: Stage, rounds: int, where: str) -> tuple[Section, Points]:
    """What intake can do first, in a closed loop; then open loops at shares of that, in pairs of rounds."""
    port = stage.layout.service_port("intake")
    job = Job(port, PATH, 0, CONNECTIONS, warm_s=WARM_S, seconds=SECONDS, proof=stage.proof)
    closed = [await _ours(stage, replace(job, seed=number)) for number in range(rounds)]
    most = Series(tuple(load.rate for load in closed))
    points = {share: Point(share * most.middle) for share in SHARES}
    async with http_program("tests.bench.bare_endpoint") as (bare_port, _):
        for number in range(max(2, rounds - 1)):
            for point in points.values():
                opened = replace(
                    job, seed=number, connections=2 * CONNECTIONS, seconds=LATENCY_S, rate=point.rate
                )
                point.ours.append(await _ours(stage, opened))
                load = await run_client(replace(opened, port=bare_port, proof=""))
                if set(load.statuses) != {ACCEPTED}:
                    raise AssertionError(f"the baseline answered {load.statuses}: {load.refusal}")
                point.bare.append(load)
    return _section(points, most, where), points


async def _ours(stage: Stage, job: Job) -> Load:
    """One round, after which as much is stored as was accepted; at its limit intake may send some away."""
    before = await stage.last_sequence(FEEDBACK)
    load = await run_client(job)
    stored = await stage.last_sequence(FEEDBACK) - before
    if load.statuses.get(ACCEPTED, 0) != stored or not set(load.statuses) <= {ACCEPTED, "429", "503"}:
        raise AssertionError(f"202 and stored expected: {load.statuses}, {stored} stored; {load.refusal}")
    await stage.settle()
    return load


def _section(points: Points, most: Series, where: str) -> Section:
    figures = [Figure("rate of 128 connections in a closed loop, the load of 100 %", "/s", most)]
    figures += [
        Figure(
            f"{which} at {share:.0%}, {point.rate:,.0f}/s", "ms",
            _latency(point.ours, which), _latency(point.bare, which), BARE,
        )
        for which in PERCENTILES
        for share, point in points.items()
    ]  # fmt: skip
    sent = sum(load.answered for point in points.values() for load in point.ours)
    accepted = sum(load.statuses.get(ACCEPTED, 0) for point in points.values() for load in point.ours)
    return Section(
        f"Latency by load, {where}",
        figures,
        checks=[
            (
                f"{sent:,} requests to intake in open loops, {accepted:,} answers 202 and as many more "
                f"messages in FEEDBACK, {sent - accepted:,} sent away"
            )
        ],
    )


def _latency(loads: list[Load], which: str) -> Series:
    return Series(tuple(load.latency_ms[which] for load in loads))


def draw(points: Points) -> None:
    """Write docs/images/intake-latency.svg."""
    from tests.bench.drawing import BLUE, ORANGE, plot  # noqa: PLC0415 - matplotlib only where it draws

    shares = [100 * share for share in points]
    with plot("intake-latency", 9, 3.6, columns=2) as axes:
        for which, axis in zip(PERCENTILES, axes, strict=True):
            ours = [_latency(point.ours, which) for point in points.values()]
            bare = [_latency(point.bare, which) for point in points.values()]
            _line(axis, shares, ours, BLUE, "intake: on disk")
            _line(axis, shares, bare, ORANGE, "bare endpoint, same rate")
            axis.set(title=which, xlabel="% of what intake can do", ylabel="ms", xticks=shares)
            axis.set_yscale("log")
            for formatted in (axis.yaxis.set_major_formatter, axis.yaxis.set_minor_formatter):
                formatted("{x:g}")
        axes[0].legend()


def _line(axes: Any, shares: list[float], rounds: list[Series], colour: str, label: str) -> None:  # noqa: ANN401 - matplotlib is not looked into
    axes.plot(
        shares, [each.middle for each in rounds], color=colour, label=label, marker="o", markersize=5,
        linewidth=1.8,
    )  # fmt: skip
    axes.fill_between(
        shares, [each.low for each in rounds], [each.high for each in rounds], color=colour, alpha=0.15
    )
