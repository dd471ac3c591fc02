"""Growth: what one event costs the fold, from ten thousand to a million events.

To ten million with ``--long``: the goals are of those.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from tests.bench.figures import Bound, Figure, Goal, Section, Series
from tests.bench.fold_events import DAYS
from tests.bench.processes import run_program

EVENTS: Final = (10_000, 100_000, 1_000_000)
LONG: Final = 10_000_000
UNITS: Final = (1_188, 5_000, 20_000)
REPEATED_UP_TO: Final = 100_000
"""Larger runs average out by themselves."""
FLAT: Final = 1.2 / 0.8
"""Dearest over cheapest event, where all stay within a fifth of the middle."""


class Point(NamedTuple):
    """A number of units and of events."""

    units: int
    events: int


Outcomes = Mapping[Point, list[dict[str, float]]]


async def measure(rounds: int, *, long: bool) -> tuple[Section, Outcomes]:
    """Measure every point; the section, and what `draw` needs."""
    sizes = (*EVENTS, LONG) if long else EVENTS
    outcomes: dict[Point, list[dict[str, float]]] = {}
    for events in sizes:
        for units in UNITS:
            for _ in range(rounds if events <= REPEATED_UP_TO else 1):
                outcome = await run_program("tests.bench.growth_point", {"events": events, "units": units})
                outcomes.setdefault(Point(units, events), []).append(outcome)
    return section_of(outcomes, long=long), outcomes


def cost_us(point: Point, outcome: Mapping[str, float]) -> float:
    """Processor time of one event in microseconds."""
    return outcome["cpu_s"] * 1e6 / point.events


def _costs(outcomes: Outcomes) -> dict[Point, Series]:
    return {
        point: Series(tuple(cost_us(point, outcome) for outcome in found))
        for point, found in outcomes.items()
    }


def section_of(outcomes: Outcomes, *, long: bool) -> Section:
    goal = Goal(Bound.AT_MOST, FLAT) if long else None
    costs = _costs(outcomes)
    figures = [
        Figure(f"one event: {point.events:,} events, {point.units:,} units", "µs", series)
        for point, series in costs.items()
    ]
    for units in UNITS:
        middles = [series.middle for point, series in costs.items() if point.units == units]
        figures.append(
            Figure(
                f"dearest over cheapest event, {units:,} units", "×", Series((max(middles) / min(middles),)),
                goal=goal,
            )
        )  # fmt: skip
    middles = [series.middle for series in costs.values()]
    figures.append(
        Figure(
            "dearest over cheapest event, all of these", "×", Series((max(middles) / min(middles),)),
            goal=goal,
        )
    )  # fmt: skip
    figures += [
        Figure(
            f"all tables read out, {units:,} units", "ms",
            Series(
                tuple(
                    outcome["read_s"] * 1e3
                    for point, found in outcomes.items()
                    for outcome in found
                    if point.units == units
                )
            ),
        )
        for units in UNITS
    ]  # fmt: skip
    figures += [
        Figure(
            f"resident after {point.events:,} events, {point.units:,} units", "MB",
            Series(tuple(outcome["resident_mb"] for outcome in found)),
        )
        for point, found in outcomes.items()
    ]  # fmt: skip
    return Section(
        "Growth",
        figures,
        checks=[
            f"every fold accounted for all of its events; those of each point are spread over {DAYS} days"
        ],
    )


def draw(outcomes: Outcomes) -> None:
    """Write docs/images/fold-growth.svg."""
    from tests.bench.drawing import BLUE, GREEN, ORANGE, plot  # noqa: PLC0415 - matplotlib only where it draws

    costs = _costs(outcomes)
    with plot("fold-growth", 9, 3.6, columns=2) as (left, right):
        for units, colour in zip(UNITS, (BLUE, GREEN, ORANGE), strict=True):
            points = [point for point in costs if point.units == units]
            events = [point.events for point in points]
            label = f"{units:,} units"
            _line(left, events, [costs[point].middle for point in points], colour, label)
            resident = [
                Series(tuple(outcome["resident_mb"] for outcome in outcomes[point])).middle
                for point in points
            ]
            _line(right, events, resident, colour, label)
        left.set(
            title="Processor time of one event", xlabel="events of one year", ylabel="µs", ylim=(0, None)
        )
        right.set(title="Resident memory", xlabel="events of one year", ylabel="MB", ylim=(0, None))
        left.legend()


def _line(axes: Any, events: list[int], values: list[float], colour: str, label: str) -> None:  # noqa: ANN401 - matplotlib is not looked into
    axes.plot(events, values, color=colour, label=label, marker="o", markersize=5, linewidth=1.8)
    axes.set_xscale("log")
