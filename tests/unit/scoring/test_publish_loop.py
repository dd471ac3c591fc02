"""When the publisher looks and publishes: at once after quiet, then once an interval."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, Final, cast

from services.scoring.entrypoints.cases import CaseStream
from services.scoring.entrypoints.events import BEAT_S, FeedbackStream, Snapshots

INTERVAL_S: Final = 0.35
"""Three beats and a half."""


class NotedPublisher:
    """Publishes when there is news; notes when it was asked to."""

    def __init__(self) -> None:
        self.news = False
        self.is_waiting = False
        self.looked: list[float] = []
        self.published: list[float] = []
        self.changed = asyncio.Condition()

    async def begin_term(self) -> None:
        """Nothing to take over."""

    def is_behind(self, _fold: object) -> bool:
        return False

    async def publish(self, _fold: object) -> bool:
        now, news = asyncio.get_running_loop().time(), self.news
        async with self.changed:
            self.looked.append(now)
            if news:
                self.published.append(now)
            self.changed.notify_all()
        return news

    async def until(self, noted: list[float], count: int) -> None:
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(lambda: len(noted) >= count)


@asynccontextmanager
async def publishing(interval_s: float = INTERVAL_S) -> AsyncIterator[NotedPublisher]:
    """The loop of a replica that leads and has caught up."""
    publisher = NotedPublisher()
    rules = SimpleNamespace(publication=SimpleNamespace(ranking_min_interval_s=interval_s))
    keep = SimpleNamespace(begin_term=lambda: None)
    nothing = cast("Any", None)
    stream = FeedbackStream(
        cast("Any", SimpleNamespace(fold=SimpleNamespace(rules=rules), publishable=True)),
        cast("Any", publisher),
        cast("Any", SimpleNamespace(is_leader=True, term=1)),
        Snapshots(nothing, cast("Any", keep), nothing, nothing, accept_new_history=False, ignore=False),
        cast("CaseStream", nothing),
    )
    loop = asyncio.create_task(stream.publish())
    try:
        yield publisher
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)


async def test_what_comes_after_a_quiet_time_waits_for_no_interval() -> None:
    async with publishing(interval_s=60) as publisher:
        await publisher.until(publisher.looked, 3)
        publisher.news = True
        await publisher.until(publisher.published, 1)


async def test_under_steady_traffic_it_publishes_once_an_interval_and_no_sooner() -> None:
    async with publishing() as publisher:
        publisher.news = True
        await publisher.until(publisher.published, 6)
    gaps = [after - before for before, after in pairwise(publisher.published)]
    assert min(gaps) > 3 * BEAT_S
    assert min(gaps) < 4 * BEAT_S - 0.005, "to the moment, not to the beat that follows"


async def test_moves_that_wait_to_be_announced_are_looked_at_once_an_interval() -> None:
    async with publishing() as publisher:
        publisher.is_waiting = True
        await publisher.until(publisher.looked, 3)
    assert min(after - before for before, after in pairwise(publisher.looked)) > 3 * BEAT_S
