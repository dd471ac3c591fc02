"""Handling every message of a durable consumer in a pull loop: a FastStream subscriber for high rates.

Same promises as a subscriber under the failure policy's middleware (ADR 0003): at least once, acknowledged
after the effect, retried with the same delays, dead-lettered for the same reasons. What differs is the cost
of a message that needs no work, a twentieth: no task, no framework's message, and its acknowledgement shares
a write with hundreds of others.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from shared.messaging.failure import FailedMessage, FailureHandling, GiveUp
from shared.messaging.reading import ACK, TERM, DurableReader, nak
from shared.messaging.stored import NANO, StoredMessage

TAKE_MESSAGES: Final = 500
"""Messages settled together, and the most that are handled side by side."""
TAKE_WAIT_S: Final = 0.25
"""Longest idle wait; also the longest that :meth:`DurableConsumer.drain` waits for an idle loop."""
LINGER_S: Final = 0.1
"""Pause after a small batch, so that messages that trickle in are settled a hundred at a time: each round
costs a wake-up, a write and the broker's work on it. Far below what anybody notices of an alert."""
LINGER_BELOW: Final = TAKE_MESSAGES // 2
AT_WORK: Final = TAKE_MESSAGES
"""Most messages that are being handled. Those behind them are screened meanwhile: with one batch at a time,
the wait for its slowest message, a commit of a quarter of a second, is what decides the rate."""
DRAIN_S: Final = 4.0
"""Limit of :meth:`DurableConsumer.drain`: below the time that a supervisor leaves for a stop."""

Screen = Callable[[StoredMessage], bool]
"""Says that nothing needs to be done about a message. Must not raise: what it can't judge needs handling."""

Handler = Callable[[StoredMessage], Awaitable[object]]
"""Gives a message its effect; whatever it raises is the failure policy's business."""


class DurableConsumer:
    """Reads a durable, screens each message, handles the rest side by side, and tells the broker.

    Order is not kept: a message that failed comes again after those behind it. So handlers must be
    idempotent and commutative, as subscribers are.
    """

    def __init__(
        self,
        reader: DurableReader,
        handle: Handler,
        failures: FailureHandling,
        *,
        screen: Screen | None = None,
    ) -> None:
        """Handle what ``reader`` brings; messages that ``screen`` lets pass are done without ``handle``."""
        self._reader = reader
        self._handle = handle
        self._failures = failures
        self._screen = screen
        self._draining = False
        self._at_work: dict[asyncio.Task[None], int] = {}
        self._defect: BaseException | None = None
        self._ended: asyncio.Event | None = None

    async def run(self) -> None:
        """Consume until cancelled or drained, through outages of the broker; once."""
        self._ended = asyncio.Event()
        try:
            while not self._draining:
                if self._defect is not None:
                    raise self._defect
                room = AT_WORK - sum(self._at_work.values())
                if room <= 0:
                    await asyncio.wait(self._at_work, return_when=asyncio.FIRST_COMPLETED)
                    continue
                messages = await self._reader.take(min(room, TAKE_MESSAGES), TAKE_WAIT_S)
                await self._settle(messages)
                if 0 < len(messages) < min(room, LINGER_BELOW):
                    await asyncio.sleep(LINGER_S)
            if self._at_work:
                await asyncio.wait(self._at_work)
            left = await self._reader.drain()
            await self._reader.answer([(message, nak()) for message in left])
        finally:
            for task in self._at_work:
                task.cancel()
            await self._reader.close()
            self._ended.set()

    async def drain(self) -> None:
        """Finish the messages under way and give the others back at once, instead of after the ack wait.

        Returns after :data:`DRAIN_S` at the latest; does nothing if it does not run.
        """
        self._draining = True
        if self._ended is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), DRAIN_S)

    async def _settle(self, messages: list[StoredMessage]) -> None:
        """Bring ``messages`` to their end; those that need no work don't wait for those that do."""
        passed: list[tuple[StoredMessage, bytes]] = []
        work: list[StoredMessage] = []
        for message in messages:
            if self._screen is not None and self._screen(message):
                passed.append((message, ACK))
            else:
                work.append(message)
        await self._reader.answer(passed)
        if work:
            task = asyncio.create_task(self._work(work))
            self._at_work[task] = len(work)
            task.add_done_callback(self._worked)

    async def _work(self, messages: list[StoredMessage]) -> None:
        answers = await asyncio.gather(*(self._handled(message) for message in messages))
        await self._reader.answer(zip(messages, answers, strict=True))

    def _worked(self, task: "asyncio.Task[None]") -> None:
        del self._at_work[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._defect = error  # `run` raises it: the supervisor starts the service anew

    async def _handled(self, message: StoredMessage) -> bytes:
        """Handle one message; the word for the broker."""
        stored_at = datetime.fromtimestamp(message.published_ns / NANO, UTC)
        with self._failures.attempt(message.delivered, stored_at) as attempt:
            try:
                await self._handle(message)
            except Exception as error:  # noqa: BLE001 - the boundary where every failure becomes a decision
                failed = FailedMessage(
                    self._reader.durable,
                    message.stream,
                    message.sequence,
                    message.subject,
                    message.data,
                    message.delivered,
                )
                decision = await self._failures.settle(failed, error, attempt)
                return TERM if isinstance(decision, GiveUp) else nak(decision.delay_s)
        return ACK
