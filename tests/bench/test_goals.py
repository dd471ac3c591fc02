"""Goals of ten million events are held against ten million events, or against nothing."""

import pytest

from tests.bench import cold_start, growth
from tests.bench.growth import Point


@pytest.mark.parametrize("long", [False, True])
def test_growth_and_start_have_goals_only_with_all_their_events(long: bool) -> None:  # noqa: FBT001 - table-driven
    outcomes = {
        Point(units, events): [{"cpu_s": events * 1e-6, "read_s": 0.1, "resident_mb": 90.0}]
        for units in growth.UNITS
        for events in growth.EVENTS
    }
    goals = [figure for figure in growth.section_of(outcomes, long=long).figures if figure.goal is not None]
    assert len(goals) == (len(growth.UNITS) + 1) * long
    start = {
        "lists_hash": "x", "elapsed_s": 1.0, "cpu_s": 1.0, "resident_mb": 1.0, "peak_mb": 1.0,
        "parts": {"imports": 0.5},
    }  # fmt: skip
    section = cold_start.section_of(
        10, {"lists_hash": "x", "bytes": 1, "lists": 1}, {"scoring": [start], "decode": [start]}, long=long
    )
    assert len([figure for figure in section.figures if figure.goal is not None]) == 2 * long
