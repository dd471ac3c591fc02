"""Resident memory of the four services after everything else has been measured on them."""

from typing import Final

from deploy.local.layout import SERVICES
from shared.messaging.streams import FEEDBACK
from tests.bench.figures import Bound, Figure, Goal, Section, Series
from tests.bench.processes import peak_resident_mb, resident_mb
from tests.bench.stage import Stage

LIMIT_MB: Final = 600
FOUR: Final = ("intake", "scoring", "notify", "archive")
"""What the limit is for."""


async def measure(stage: Stage) -> Section:
    """What each service holds now, once the load is digested, and the most that it ever held."""
    await stage.settle()
    figures: list[Figure] = []
    total = 0.0
    pids = stage.pids
    for name in SERVICES:
        now = resident_mb(pids[name])
        total += now if name in FOUR else 0.0
        figures.append(Figure(f"{name} now", "MB", Series((now,))))
        figures.append(Figure(f"{name} at its peak", "MB", Series((peak_resident_mb(pids[name]),))))
    figures.append(Figure("the four together", "MB", Series((total,)), goal=Goal(Bound.AT_MOST, LIMIT_MB)))
    ratings = await stage.last_sequence(FEEDBACK)
    return Section("Memory", figures, checks=[f"after {ratings:,} ratings; {stage.restarts} restarts"])
