"""Ratings that a rule may fire on, from being read to being settled, and how far all of them are.

The fold that counts ratings hands each one in, in order. Most are quiet and done with. The others are judged
side by side, and those that fail are judged again, as the shared failure policy says. What is settled for
good is a rating whose alerts the broker has acknowledged, or whose dead letter it has.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from enum import Enum, auto
from itertools import count
from typing import Final

from shared.kernel.tasks import end
from shared.messaging.failure import INFRASTRUCTURE, FailedMessage, FailureHandling, Retry
from shared.messaging.positions import Mark
from shared.messaging.stored import NANO, StoredMessage
from shared.messaging.streams import NOTIFY_RATINGS

AT_WORK: Final = 500
"""Most ratings that are being judged: what two commits of alerts take."""
UNSETTLED: Final = 4_000
"""So many ratings may be judged or wait for it, or for another attempt; then nothing more is to be read."""
OUTAGE_S: Final = 30.0
"""Longest wait after a failure of the infrastructure: it says nothing about the rating."""
DRAIN_S: Final = 3.0
"""Limit of :meth:`Judging.drain`."""

Handle = Callable[[StoredMessage], Awaitable[object]]


class Glance(Enum):
    """What a first look at a message of FEEDBACK says."""

    OTHER = auto()
    """It is no rating."""
    QUIET = auto()
    """No rule can fire on it."""
    CONCERN = auto()
    """A rule may fire on it, or it can't be read."""


class Judging:
    """Knows which ratings are not settled; nothing here outlives the process.

    Attributes:
        defect: what no failure policy covers; whoever reads raises it.
    """

    def __init__(self, handle: Handle, failures: FailureHandling) -> None:
        """Judge with `handle`; `failures` decides about what it raises."""
        self.defect: BaseException | None = None
        self._handle = handle
        self._failures = failures
        self._read = Mark(0)
        self._unsettled: dict[int, Mark] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(AT_WORK)
        self._room = asyncio.Event()
        self._room.set()
        self._draining = asyncio.Event()

    def begin(self, after: int) -> None:
        """Take everything up to sequence `after` for settled."""
        self._read = Mark(after)

    @property
    def settled(self) -> Mark:
        """The last message up to which everything is settled."""
        return next(iter(self._unsettled.values()), self._read)

    @property
    def unsettled(self) -> int:
        """Number of ratings that are judged, or wait for it."""
        return len(self._unsettled)

    def take(self, message: StoredMessage, glance: Glance) -> bool:
        """Take the next message in; one that is known already is left, as whoever is behind brings it.

        Returns:
            Whether it was new.
        """
        sequence = message.sequence
        if sequence <= self._read.sequence:
            return False
        if glance is Glance.CONCERN:
            self._unsettled[sequence] = self._read
            if len(self._unsettled) >= UNSETTLED:
                self._room.clear()
            task = asyncio.create_task(self._settle(message))
            self._tasks.add(task)
            task.add_done_callback(self._ended)
        self._read = Mark(sequence, message.published_ns)
        return True

    async def room(self, wait_s: float) -> bool:
        """Return True as soon as there is room for more, or False after `wait_s` seconds."""
        if not self._room.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._room.wait()
        return self._room.is_set()

    async def drain(self) -> None:
        """Let what is being judged end, for a while; what waits for another attempt is left as it is."""
        self._draining.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=DRAIN_S)
        await self.close()

    async def close(self) -> None:
        """Give up what is not settled: it lies behind the position, so it comes again."""
        await end(*self._tasks)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.defect = error

    async def _settle(self, message: StoredMessage) -> None:
        for attempt in count(1):
            async with self._turns:
                delay_s = await self._attempt(message, attempt)
            if delay_s is None:
                break
            if await self._draining_within(delay_s):
                return
        del self._unsettled[message.sequence]
        if len(self._unsettled) < UNSETTLED:
            self._room.set()

    async def _draining_within(self, delay_s: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._draining.wait()
        return self._draining.is_set()

    async def _attempt(self, message: StoredMessage, number: int) -> float | None:
        """Judge once; how many seconds to wait until the next time, None if it is settled."""
        stored_at = datetime.fromtimestamp(message.published_ns / NANO, UTC)
        with self._failures.attempt(number, stored_at) as attempt:
            try:
                await self._handle(message)
            except Exception as error:  # noqa: BLE001 - the boundary where every failure becomes a decision
                failed = FailedMessage(
                    NOTIFY_RATINGS, message.stream, message.sequence, message.subject, message.data, number
                )
                decision = await self._failures.settle(failed, error, attempt)
                if isinstance(decision, Retry):
                    longest_s = OUTAGE_S if isinstance(error, INFRASTRUCTURE) else decision.delay_s
                    return min(decision.delay_s, longest_s)
        return None
