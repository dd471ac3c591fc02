"""When the watch looks: at its pace, at once on a new day, again after a failure."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from services.scoring.application.fold import Fold
from services.scoring.application.watch import IntegrityWatch
from services.scoring.entrypoints import watch as module
from shared.kernel.units import load_units
from shared.messaging.publisher import BrokerUnavailableError
from shared.rules import load_pack
from tests.unit.scoring.feedback import NOW

RULES = load_pack(None, NOW.date())


class CountedWatch(IntegrityWatch):
    def __init__(self) -> None:
        self.looks = 0
        self.looked = asyncio.Condition()
        self.fail_next = False
        self.followed = 0

    async def follow(self) -> None:
        async with self.looked:
            self.followed += 1
            self.looked.notify_all()

    @property
    def flags(self) -> None:
        return None

    async def look(self, fold: Fold) -> bool:
        del fold
        async with self.looked:
            self.looks += 1
            self.looked.notify_all()
        if self.fail_next:
            self.fail_next = False
            raise BrokerUnavailableError("away")
        return True


class Loop:
    def __init__(self) -> None:
        self.watch = CountedWatch()
        self.fold = Fold(load_units(), RULES, NOW.date())
        self.caught_up = self.leads = True

    def present(self) -> Fold | None:
        return self.fold if self.caught_up else None

    async def looks(self, count: int) -> None:
        """Wait for the look with that number, and make sure that no other follows at once."""
        async with asyncio.timeout(20), self.watch.looked:
            await self.watch.looked.wait_for(lambda: self.watch.looks >= count)
        await asyncio.sleep(0.05)
        assert self.watch.looks == count


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_S", 0.001)
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    monkeypatch.setattr(module, "FOLLOW_S", 0.001)


@asynccontextmanager
async def running() -> AsyncIterator[Loop]:
    loop = Loop()
    task = asyncio.create_task(module.watch_integrity(loop.watch, loop.present, lambda: loop.leads))
    try:
        yield loop
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.usefixtures("quick")
async def test_it_looks_once_at_the_start_and_again_when_the_day_changes() -> None:
    async with running() as loop:
        await loop.looks(1)
        loop.fold.advance(NOW.date() + timedelta(days=1))
        await loop.looks(2)


@pytest.mark.usefixtures("quick")
async def test_it_waits_until_the_fold_has_caught_up() -> None:
    async with running() as loop:
        loop.caught_up = False
        await loop.looks(0)
        loop.caught_up = True
        await loop.looks(1)


@pytest.mark.usefixtures("quick")
async def test_after_a_failure_it_looks_again() -> None:
    async with running() as loop:
        loop.watch.fail_next = True
        await loop.looks(2)


@pytest.mark.usefixtures("quick")
async def test_a_replica_that_does_not_lead_only_follows_and_looks_at_once_when_it_takes_over() -> None:
    async with running() as loop:
        await loop.looks(1)
        loop.leads = False
        async with asyncio.timeout(20), loop.watch.looked:
            await loop.watch.looked.wait_for(lambda: loop.watch.followed >= 3)
        assert loop.watch.looks == 1
        loop.leads = True
        await loop.looks(2)
