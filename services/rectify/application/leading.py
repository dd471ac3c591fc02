"""What one replica does for all: following feedback, keeping and firing timers, comparing the two."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from services.rectify.application.ports import HolidayTable
from services.rectify.application.timekeeping import RecomputeClocks, TimerKeeper
from services.rectify.domain.book import CaseBook
from services.rectify.metrics import RectifyMetrics
from shared.kernel.errors import TransientError
from shared.kernel.tasks import heed_cancellation

log = structlog.get_logger(__name__)
LOOK_S: Final = 0.2
RETRY_S: Final = 1.0

Leads = Callable[[], bool]
Loop = Callable[[Leads], Awaitable[None]]
Term = Callable[[], int | None]
"""Number of the term in which this replica leads; None while it does not."""


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What is looked at now and then.

    Attributes:
        refresh: reads the announced holidays again; whether they have changed.
        recompute: reckons the clocks of open cases anew.
        look_every_s: how often the holidays are looked at.
        compare_every_s: how often cases and timers are compared.
        connections: how often the broker was connected to; one that was away may not hold what it held.
    """

    refresh: Callable[[], bool]
    recompute: RecomputeClocks
    holidays: HolidayTable
    look_every_s: float
    compare_every_s: float
    connections: Callable[[], int]


class LeadersWork:
    """Runs the loops whenever this replica leads, and ends them when it does not.

    All of them live for one term: a lease that is lost and gained again between two looks of a loop would
    otherwise leave some ended and others not, and nobody would begin the ended ones again.
    """

    def __init__(
        self,
        term: Term,
        caught_up: Callable[[], Awaitable[None]],
        keeper: TimerKeeper,
        book: CaseBook,
        loops: tuple[Loop, ...],
        upkeep: Upkeep,
        metrics: RectifyMetrics,
    ) -> None:
        """`loops` end soon after `term` has become another one."""
        self._term = term
        self._caught_up = caught_up
        self._keeper = keeper
        self._book = book
        self._loops = loops
        self._upkeep = upkeep
        self._metrics = metrics

    async def run(self) -> None:
        """Work whenever we lead, until cancelled."""
        await self._caught_up()
        while True:
            term = self._term()
            if term is None:
                await asyncio.sleep(LOOK_S)
                continue
            connection = self._upkeep.connections()
            try:
                await self._keeper.compare()
            except TransientError as error:
                log.warning("timers_not_compared", reason=str(error))
                await asyncio.sleep(RETRY_S)
                continue
            leads = partial(self._leads, term)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keeper.run(leads))
                group.create_task(self._look_after(leads, connection))
                for loop in self._loops:
                    group.create_task(_loop(loop, leads))

    def _leads(self, term: int) -> bool:
        heed_cancellation()  # a loop that has missed its own would keep those from beginning anew that failed
        return self._term() == term

    async def _look_after(self, leads: Leads, connection: int) -> None:
        """Look after holidays and timers; those were compared on the broker's `connection`."""
        loop = asyncio.get_running_loop()
        compared = loop.time()
        self._upkeep.refresh()
        stale = True  # what was announced while nobody led
        while leads():
            try:
                if self._upkeep.refresh() or stale:
                    stale = True
                    await self._upkeep.recompute()
                    stale = False
                newest = self._upkeep.connections()
                if newest != connection or loop.time() - compared >= self._upkeep.compare_every_s:
                    await self._keeper.compare()
                    compared, connection = loop.time(), newest
            except TransientError as error:
                log.warning("upkeep_retried", reason=str(error))
            self._measure_coverage()
            waited = 0.0
            while leads() and waited < self._upkeep.look_every_s:
                await asyncio.sleep(LOOK_S)
                waited += LOOK_S
                if self._upkeep.connections() != connection:
                    break

    def _measure_coverage(self) -> None:
        known = self._upkeep.holidays.current().years
        years = {timer.at.year for case in self._book for timer in case.timers} - known
        self._metrics.calendar_uncovered.set(len(years))
        if years:
            log.warning(
                "holidays_not_announced",
                years=sorted(years),
                remedy="deadlines there count weekdays only; add the years to HOLIDAYS_PATH once announced",
            )


async def _loop(loop: Loop, leads: Leads) -> None:
    await loop(leads)
