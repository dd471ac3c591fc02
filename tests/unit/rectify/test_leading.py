"""The leader's work over several terms: whatever one term ended, the next begins again, all of it."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from services.rectify.application.leading import LeadersWork, Leads, Upkeep
from services.rectify.application.timekeeping import TimerKeeper
from services.rectify.domain.book import CaseBook
from services.rectify.domain.timers import Timer
from services.rectify.metrics import RectifyMetrics
from shared.kernel.holidays import Holidays

MOMENT_S = 0.01


class NoTimers:
    """Plays `TimerStore`: nothing stands, nothing is to be set."""

    async def standing(self) -> Mapping[str, Timer]:
        return {}

    async def put(self, timers: Sequence[Timer]) -> None:
        raise AssertionError(timers)

    async def cancel(self, keys: Sequence[str]) -> None:
        raise AssertionError(keys)


class NoHolidays:
    """Plays `HolidayTable`."""

    def current(self) -> Holidays:
        return Holidays()


async def nothing(*_: Any) -> int:  # noqa: ANN401 - whatever it is asked
    return 0


async def test_a_lease_lost_and_gained_between_two_looks_of_a_loop_ends_and_begins_all_of_them() -> None:
    """One loop looks often and sees that nobody leads; the other is waiting for the broker just then."""
    term: int | None = 1
    began: Counter[str] = Counter()
    waiting = asyncio.Event()

    async def quick(leads: Leads) -> None:
        began["quick"] += 1
        while leads():  # noqa: ASYNC110 - what a loop does
            await asyncio.sleep(0)

    async def slow(leads: Leads) -> None:
        began["slow"] += 1
        while leads():
            await waiting.wait()
            await asyncio.sleep(0)

    metrics = RectifyMetrics()
    book = CaseBook(lambda rating_id: rating_id.encode())
    keeper = TimerKeeper(NoTimers(), book, metrics)
    upkeep = Upkeep(lambda: False, nothing, NoHolidays(), MOMENT_S, 3600, int)  # type: ignore[arg-type]  # a stand-in
    work = LeadersWork(lambda: term, nothing, keeper, book, (quick, slow), upkeep, metrics)  # type: ignore[arg-type]  # likewise
    running = asyncio.create_task(work.run())

    async def begun(times: int) -> None:
        async with asyncio.timeout(20):
            while began != {"quick": times, "slow": times}:  # noqa: ASYNC110 - a count, not an event
                await asyncio.sleep(MOMENT_S)

    await begun(1)
    term = None
    await asyncio.sleep(MOMENT_S)
    term = 2
    await asyncio.sleep(MOMENT_S)
    waiting.set()
    await begun(2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_loop_that_fails_ends_the_others_although_one_missed_its_cancellation() -> None:
    """Otherwise the leader's work would go on without the loop that failed, and begin no more."""
    fails = asyncio.Event()

    async def failing(_leads: Leads) -> None:
        await fails.wait()
        raise OSError("a defect")

    async def forgetful(leads: Leads) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # as `wait_for` of Python 3.11 does at times
            await asyncio.Event().wait()
        while leads():  # noqa: ASYNC110 - what a loop does
            await asyncio.sleep(0)

    metrics = RectifyMetrics()
    book = CaseBook(lambda rating_id: rating_id.encode())
    keeper = TimerKeeper(NoTimers(), book, metrics)
    upkeep = Upkeep(lambda: False, nothing, NoHolidays(), MOMENT_S, 3600, int)  # type: ignore[arg-type]  # a stand-in
    work = LeadersWork(lambda: 1, nothing, keeper, book, (failing, forgetful), upkeep, metrics)  # type: ignore[arg-type]  # likewise
    running = asyncio.create_task(work.run())
    await asyncio.sleep(MOMENT_S)
    fails.set()
    ended, _ = await asyncio.wait({running}, timeout=5)
    running.cancel()
    assert ended
    assert isinstance(running.exception(), ExceptionGroup)
