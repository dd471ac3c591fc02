"""Where ratings come in: each is read once, counted, judged, and settled; a position says up to where.

A fold reads FEEDBACK from the first day on that surges are compared with, and counts. What lies behind the
position is judged, too. While a fresh process still counts history, a second reader that counts nothing
brings what is to be judged, so no alert waits for the counts; both end up at the same place, and the second
one goes.

The position moves once a second, over what is settled and nothing else (`application/judging.py`). A killed
process leaves it up to a second behind, and the next one judges that again: the same alerts, by their ids. Of
several replicas each judges everything, and the position is that of the farthest.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError

from services.notify.application.judging import Glance, Judging
from services.notify.application.raising import RaiseAlerts
from services.notify.application.watching import LookAround
from services.notify.metrics import NotifyMetrics
from shared.kernel.errors import TransientError, describe
from shared.messaging.positions import KeptPosition
from shared.messaging.reading import FoldReader
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import FEEDBACK

log = structlog.get_logger(__name__)
PACE_S: Final = 0.1
"""How often ratings are fetched while they keep coming, to be counted and judged a hundred at a time."""
TAKE_WAIT_S: Final = 0.25
"""Longest idle wait; also the longest that :meth:`RatingsLoop.drain` waits for an idle loop."""
LOOK_EVERY_S: Final = 1.0
RANKING_EVERY_S: Final = 30.0
SAVE_EVERY_S = 1.0
"""How often the position is written at most."""
LAST_SAVES: Final = 3
"""Tries at the end, where other replicas write at the same time."""
RETRY_S: Final = 1.0
DRAIN_S: Final = 4.0
"""Limit of :meth:`RatingsLoop.drain`: below the time that a supervisor leaves for a stop."""


class PositionUnknownError(TransientError):
    """Nobody knows yet where reading goes on."""


class Counts(Protocol):
    """What counts messages and looks at them."""

    def fold(self, message: StoredMessage) -> Glance:
        """Count a message, and say what a first look at it says."""
        ...

    def glance(self, message: StoredMessage) -> Glance:
        """Say the same, without counting."""
        ...


class RatingsLoop:
    """Reads FEEDBACK for as long as the service runs."""

    def __init__(  # noqa: PLR0913 - the composition root passes every dependency by name
        self,
        client: Client,
        *,
        position: KeptPosition,
        first: Callable[[], Awaitable[int]],
        counts: Counts,
        judging: Judging,
        around: LookAround,
        raise_alerts: RaiseAlerts,
        metrics: NotifyMetrics,
    ) -> None:
        """Count from sequence `first` on, judge behind `position`; look `around` at the stream's end."""
        self._client = client
        self._position = position
        self._first = first
        self._counts = counts
        self._judging = judging
        self._around = around
        self._raise = raise_alerts
        self._metrics = metrics
        self._readers: list[FoldReader] = []
        self._beside: dict[str, asyncio.Task[None]] = {}
        self._draining = False
        self._ended: asyncio.Event | None = None

    async def run(self) -> None:
        """Read until cancelled or drained, through outages of the broker; once.

        Raises:
            HistoryChangedError: the stream is another one than before; only a fresh start helps.
        """
        self._ended = asyncio.Event()
        try:
            start = await self._begin()
            if start is not None:
                await self._read(*start)
                await self._judging.drain()
                await self._end_position()
        finally:
            for task in self._beside.values():
                task.cancel()
            await self._judging.close()
            for reader in self._readers:
                await reader.close()
            self._ended.set()

    async def drain(self) -> None:
        """Settle what is being judged and write the position, for a while; nothing if it does not run."""
        self._draining = True
        if self._ended is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), DRAIN_S)

    async def check(self) -> str:
        """Health check: the position.

        Raises:
            PositionUnknownError: it could not be read yet.
        """
        if not self._readers:
            raise PositionUnknownError(
                describe("no position in FEEDBACK", "one, or an empty bucket for it", "see the log")
            )
        return f"position {self._judging.settled.sequence}, {self._judging.unsettled} ratings under way"

    async def _begin(self) -> tuple[int, int] | None:
        """Where to go on: behind which sequence to judge, and which is the first to be counted."""
        while not self._draining:
            try:
                return await self._position.find(), await self._first()
            except (TransientError, NatsError, JetStreamError, TimeoutError, OSError) as error:
                log.warning("position_waits", reason=str(error))
            await asyncio.sleep(RETRY_S)
        return None

    async def _read(self, settled: int, first: int) -> None:
        self._judging.begin(settled)
        reader = self._reader(min(first - 1, settled))
        if reader.position < settled:
            self._beside["ahead"] = asyncio.create_task(self._judge_ahead(self._reader(settled)))
        self._beside["position"] = asyncio.create_task(self._keep_position())
        now = asyncio.get_running_loop().time
        look_due, ranking_due = now(), now() + RANKING_EVERY_S
        while not self._draining:
            self._raise_defects()
            if not await self._judging.room(TAKE_WAIT_S):
                continue
            messages = await reader.take(wait_s=TAKE_WAIT_S)
            self._take(messages, self._counts.fold)
            self._metrics.watched.inc(len(messages))
            if not reader.caught_up:
                continue
            if "ahead" in self._beside:
                self._beside.pop("ahead").cancel()
            if now() >= look_due:
                look_due = now() + LOOK_EVERY_S
                ranking_due = await self._look(ranking_due, now())

    def _reader(self, after: int) -> FoldReader:
        created = self._position.stream_created
        reader = FoldReader(self._client, FEEDBACK, after=after, pace_s=PACE_S, created=created)
        self._readers.append(reader)
        return reader

    async def _judge_ahead(self, reader: FoldReader) -> None:
        """Judge what comes while history is still being counted."""
        try:
            while True:
                if await self._judging.room(TAKE_WAIT_S):
                    self._take(await reader.take(wait_s=TAKE_WAIT_S), self._counts.glance)
        finally:
            self._readers.remove(reader)
            await reader.close()

    def _take(self, messages: list[StoredMessage], look: Callable[[StoredMessage], Glance]) -> None:
        """Give messages to be judged; no await is in between, so none is counted and then forgotten."""
        quiet = 0
        for message in messages:
            glance = look(message)
            if self._judging.take(message, glance) and glance is Glance.QUIET:
                quiet += 1
        if quiet:
            self._raise.count_quiet_reviews(quiet)

    async def _look(self, ranking_due: float, now: float) -> float:
        """Look around; returns when rankings are to be looked at."""
        try:
            await self._around.look()
            if now >= ranking_due:
                ranking_due = now + RANKING_EVERY_S
                await self._around.look_at_rankings()
        except TransientError as error:
            log.warning("watch_waits", reason=str(error))
        return ranking_due

    async def _keep_position(self) -> None:
        while True:
            await asyncio.sleep(SAVE_EVERY_S)
            settled = self._judging.settled
            end = max(reader.position + max(reader.pending, 0) for reader in self._readers)
            self._metrics.behind.set(max(0, end - settled.sequence))
            self._metrics.unsettled.set(self._judging.unsettled)
            await self._save()

    async def _save(self) -> bool:
        try:
            return await self._position.save(self._judging.settled)
        except TransientError as error:
            log.warning("position_not_written", reason=str(error))
            return False

    async def _end_position(self) -> None:
        """Write the position once more; what it lacks is judged again."""
        self._beside.pop("position").cancel()
        for _ in range(LAST_SAVES):
            if await self._save():
                return

    def _raise_defects(self) -> None:
        if self._judging.defect is not None:
            raise self._judging.defect
        for task in self._beside.values():
            if task.done():
                task.result()
