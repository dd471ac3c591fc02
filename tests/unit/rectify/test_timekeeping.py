"""Timers and cases in step although the broker goes away between a request and its answer."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from services.rectify.application import timekeeping
from services.rectify.application.leading import LeadersWork, Upkeep
from services.rectify.application.timekeeping import TimerKeeper
from services.rectify.domain import commands as c
from services.rectify.domain.book import CaseBook, Summary
from services.rectify.domain.case import AnnulmentReason, Case
from services.rectify.domain.timers import Timer
from services.rectify.metrics import RectifyMetrics
from shared.messaging.publisher import BrokerUnavailableError
from tests.unit.rectify.lives import TO_PROGRESS, life, new_case
from tests.unit.rectify.one_case import NoHolidays

CASE = "0b0e7a7e-0000-8000-8000-00000000000a"


class Broker:
    """Plays `TimerStore`."""

    def __init__(self) -> None:
        self.timers: dict[str, Timer] = {}
        self.compared = 0
        self.lose_answer = False
        self.between: Callable[[], Awaitable[None]] | None = None
        """What happens, once, between what was read and its answer."""

    async def standing(self) -> Mapping[str, Timer]:
        self.compared += 1
        found = dict(self.timers)
        meanwhile, self.between = self.between, None
        if meanwhile is not None:
            await meanwhile()
        return found

    async def put(self, timers: Sequence[Timer]) -> None:
        self.timers |= {timer.key: timer for timer in timers}
        await asyncio.sleep(0)
        if self.lose_answer:
            self.lose_answer = False
            raise BrokerUnavailableError("the answer was lost")

    async def cancel(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.timers.pop(key, None)


class World:
    """A book of cases, timers and their keeper, who leads as long as the test says."""

    def __init__(self) -> None:
        self.broker = Broker()
        self.metrics = RectifyMetrics()
        self.book = CaseBook(lambda rating_id: rating_id.encode())
        self.keeper = TimerKeeper(self.broker, self.book, self.metrics)
        self.leads = True

    def becomes(self, case: Case) -> None:
        """The fold of the cases has seen `case` as it is now."""
        self.book.put(Summary.of(case, 1))
        self.keeper.changed(case.case_id)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():  # noqa: ASYNC110 - a state, not an event
                await asyncio.sleep(0.001)


async def test_a_timer_whose_setting_had_no_answer_goes_with_its_case() -> None:
    """The broker has stored it and died; the case was annulled before anybody asked again."""
    world = World()
    at_work = life(*TO_PROGRESS[:3], case=new_case(case_id=CASE))
    world.broker.lose_answer = True
    world.becomes(at_work)
    running = asyncio.create_task(world.keeper.run(lambda: world.leads))
    await world.until(lambda: bool(world.broker.timers) and not world.broker.lose_answer)
    world.becomes(life(c.Annul(AnnulmentReason.MISTAKEN), case=at_work))
    await world.until(lambda: not world.broker.timers)
    world.leads = False
    await running
    assert world.metrics.timers._value.get() == 0  # noqa: SLF001 - what /metrics shows


async def test_what_changes_while_timers_are_read_is_set_after_the_comparison() -> None:
    """A comparison that overwrote what was set meanwhile would never cancel it again."""
    world = World()
    running = asyncio.create_task(world.keeper.run(lambda: world.leads))
    at_work = life(*TO_PROGRESS[:3], case=new_case(case_id=CASE))

    async def meanwhile() -> None:
        world.becomes(at_work)
        for _ in range(20):
            await asyncio.sleep(0)
        assert not world.broker.timers, "it waits for the comparison"

    world.broker.between = meanwhile
    await world.keeper.compare()
    await world.until(lambda: len(world.broker.timers) == len(Summary.of(at_work, 1).timers))
    world.becomes(life(c.Annul(AnnulmentReason.MISTAKEN), case=at_work))
    await world.until(lambda: not world.broker.timers)
    world.leads = False
    await running


async def test_timers_are_compared_anew_whenever_the_broker_was_away() -> None:
    """A server that was killed may have back what was cancelled just before."""
    world = World()
    reconnects = 0

    async def nothing() -> int:
        return 0

    upkeep = Upkeep(lambda: False, nothing, NoHolidays(), 3600, 3600, lambda: reconnects)  # type: ignore[arg-type]  # a stand-in
    work = LeadersWork(lambda: 1, nothing, world.keeper, world.book, (), upkeep, world.metrics)  # type: ignore[arg-type]  # likewise
    running = asyncio.create_task(work.run())
    await world.until(lambda: world.broker.compared == 1)
    stray = life(*TO_PROGRESS[:3], case=new_case(case_id=CASE))
    world.broker.timers = {timer.key: timer for timer in Summary.of(stray, 1).timers}
    await asyncio.sleep(timekeeping.RETRY_S / 2)
    assert world.broker.timers, "nobody looks without a reason"
    reconnects = 1
    await world.until(lambda: not world.broker.timers)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
