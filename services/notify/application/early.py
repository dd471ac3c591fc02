"""Judging ratings as soon as the fold that counts them has read them, so that each is decoded once.

The fold reads every rating in order, at once, and costs the broker no state on disk. The durable consumer
brings the same ratings a little later, and is what the promise rests on: it acknowledges, retries and
dead-letters. What was judged here it lets pass without another look; all else it judges by itself, as if
there were no fold. Nothing here outlives the process.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import Enum, auto
from typing import Final

import structlog

from shared.messaging.stored import StoredMessage

log = structlog.get_logger(__name__)
AT_WORK: Final = 500
"""Most ratings that are being judged here; what is more is left to the durable consumer."""
KEPT: Final = 20_000
"""Most ratings of concern that are remembered until the durable consumer brings them. At the bound nothing of
what was read is known any more: with a second replica, half of them never come here."""


class Verdict(Enum):
    """What is known of a rating that the durable consumer brings."""

    UNKNOWN = auto()
    """It has to be looked at."""
    QUIET = auto()
    """No rule fires on it."""
    TOLD = auto()
    """Its alerts are stored."""


Handle = Callable[[StoredMessage], Awaitable[object]]
_State = asyncio.Task[bool] | Verdict


class EarlyRaising:
    """Knows what was judged between the fold's first live rating and its newest one."""

    def __init__(self, quiet: Callable[[int, datetime], bool], handle: Handle) -> None:
        """Judge with `handle` what `quiet` does not say of grade and time that no rule can fire on it."""
        self._quiet = quiet
        self._handle = handle
        self._first: int | None = None
        self._last = 0
        self._of_concern: dict[int, _State] = {}
        self._at_work: set[asyncio.Task[bool]] = set()

    def begin(self, after: int) -> None:
        """Judge what comes behind sequence `after`, where the fold's history ends; once."""
        if self._first is None:
            self._first, self._last = after + 1, after

    def look(self, message: StoredMessage, grade: int, received_at: datetime) -> None:
        """Take in the fold's next rating; one that needs judging is judged in the background."""
        if self._first is None:
            return
        sequence = self._last = message.sequence
        if self._quiet(grade, received_at):
            return
        if (state := self._of_concern.get(sequence)) is not None:  # the durable consumer came first
            if state is Verdict.TOLD:
                del self._of_concern[sequence]
            return
        if len(self._at_work) >= AT_WORK:
            self._keep(sequence, Verdict.UNKNOWN)
            return
        task = asyncio.create_task(self._judge(message))
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)
        self._keep(sequence, task)

    def leave(self, message: StoredMessage) -> None:
        """Leave the fold's next message, which it can't read, to the durable consumer."""
        if self._first is not None:
            self._last = message.sequence
            self._keep(message.sequence, Verdict.UNKNOWN)

    def verdict(self, sequence: int) -> Verdict:
        """Return what is known of the rating; of one whose alerts are stored it is forgotten then."""
        if self._first is None or not self._first <= sequence <= self._last:
            return Verdict.UNKNOWN
        state = self._of_concern.get(sequence, Verdict.QUIET)
        if state is Verdict.TOLD:
            del self._of_concern[sequence]
        return state if isinstance(state, Verdict) else Verdict.UNKNOWN

    async def settle(self, message: StoredMessage) -> None:
        """Judge what the durable consumer brought, or wait until that is done here.

        Raises:
            Exception: as `handle` does; the failure policy's business.
        """
        sequence = message.sequence
        state = self._of_concern.get(sequence)
        if isinstance(state, asyncio.Task) and await asyncio.shield(state):
            self._of_concern.pop(sequence, None)
            return
        ahead = self._first is not None and sequence > self._last
        if ahead:
            self._keep(sequence, Verdict.UNKNOWN)
        await self._handle(message)
        if ahead and sequence > self._last:
            self._keep(sequence, Verdict.TOLD)  # until the fold comes here
        else:
            self._of_concern.pop(sequence, None)

    async def close(self) -> None:
        """Give up what is being judged: it is not acknowledged, so it comes again."""
        for task in self._at_work:
            task.cancel()
        await asyncio.gather(*self._at_work, return_exceptions=True)

    async def _judge(self, message: StoredMessage) -> bool:
        try:
            await self._handle(message)
        except Exception as error:  # noqa: BLE001 - whatever it is, the durable consumer meets it, and its policy
            log.info("rating_left_to_its_consumer", sequence=message.sequence, reason=repr(error))
            self._now(message.sequence, Verdict.UNKNOWN)
            return False
        self._now(message.sequence, Verdict.TOLD)
        return True

    def _now(self, sequence: int, state: Verdict) -> None:
        if sequence in self._of_concern:
            self._of_concern[sequence] = state

    def _keep(self, sequence: int, state: _State) -> None:
        if len(self._of_concern) >= KEPT and sequence not in self._of_concern:
            self._of_concern.clear()
            self._first = self._last + 1
        self._of_concern[sequence] = state
