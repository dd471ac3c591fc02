"""A publisher over fakes whose process may die at any moment; the bucket and the bus outlive it."""

import asyncio
from datetime import timedelta

from services.scoring.application.fold import Fold
from services.scoring.application.publication import Publisher
from services.scoring.application.published import STREAM, PublishedList
from services.scoring.application.recompute import diff_lists, recompute
from shared.kernel.grades import Level
from shared.kernel.units import load_units
from shared.messaging.group_commit import Outgoing
from shared.messaging.lease import NotLeaderError
from shared.rules import load_pack
from tests.unit.scoring.fakes import (
    Measured,
    MemoryBucket,
    MemoryRankingStore,
    RecordedEvents,
    SettableClock,
)
from tests.unit.scoring.feedback import NOW, Message, feedback, none_is_invalid

UNITS = load_units()
RULES = load_pack(None, NOW.date())
WINDOWS = UNITS.by_level(Level.WINDOW)


class Platform:
    """A bucket and an event stream that outlive any number of service lives."""

    def __init__(self) -> None:
        self.bucket = MemoryBucket()
        self.events = RecordedEvents(UNITS)
        self.clock = SettableClock(NOW)
        self.measured = Measured()
        self.stream: list[Message] = []
        self.restart()

    def restart(self) -> None:
        """Begin a new life: everything in memory is gone."""
        self.store = MemoryRankingStore(self.bucket)
        self.leads = True
        self.publisher = Publisher(
            self.store, self.events, UNITS, self.clock, self.measured, self._check_lead, asyncio.Lock()
        )
        self.fold = Fold(UNITS, RULES, NOW.date())
        self.take(self.stream)

    def _check_lead(self) -> None:
        if not self.leads:
            raise NotLeaderError("another leads")

    def take(self, found: list[Message]) -> None:
        self.fold.take(found, none_is_invalid, self.publisher.note_received)

    def feed(self, events: list[Outgoing]) -> None:
        first = len(self.stream) + 1
        new = [Message(event.subject, event.payload, first + n) for n, event in enumerate(events)]
        self.stream += new
        self.take(new)

    async def publish(self) -> bool:
        return await self.publisher.publish(self.fold)

    async def live(self) -> dict[str, PublishedList]:
        return dict((await MemoryRankingStore(self.bucket).load()).lists)

    async def assert_recomputable(self) -> None:
        live = await self.live()
        again = recompute(self.stream, UNITS, RULES, NOW.date(), {STREAM: self.publisher.position})
        assert diff_lists(live, again) == []


def good(count: int, unit: int = 0, first: int = 0, grade: int = 5) -> list[Outgoing]:
    """Ratings of one unit, five minutes old."""
    return [
        feedback(WINDOWS[unit], number=first + number, grade=grade, occurred_at=NOW - timedelta(minutes=5))
        for number in range(count)
    ]
