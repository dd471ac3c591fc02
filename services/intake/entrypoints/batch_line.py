"""The line in which batches wait for a place in memory: bounded, and fair between credentials."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from services.intake.domain.admission import Refusal

_NEVER: Final = -1


@dataclass(slots=True)
class _Queue:
    """One credential's part of the line; kept only as long as it has any.

    Attributes:
        served: number of the last turn that it got.
    """

    waiting: deque["asyncio.Future[None]"] = field(default_factory=deque)
    running: int = 0
    served: int = _NEVER


class BatchLine:
    """Gives turns to batches, `at_once` at a time; up to `most_waiting` more wait for theirs.

    A turn that is free goes to the credential with the fewest, of several to the one that got its last turn
    longest ago. So who sends many at once has all turns but one while nobody else wants them, and their share
    as soon as somebody does; nor can they fill more than half of the line. The last turn is for others: a
    body may come as slowly as its time limit allows, and would keep everybody waiting. Of one event loop.
    """

    def __init__(self, at_once: int, most_waiting: int) -> None:
        """Nobody waits."""
        self._free = at_once
        self._of_one = max(1, at_once - 1)
        self._most = most_waiting
        self.share = max(1, most_waiting // 2)
        """Batches of one credential that may wait."""
        self.waiting = 0
        self._queues: dict[str, _Queue] = {}
        self._turns = 0

    def refusal(self, credential: str) -> Refusal | None:
        """Why a batch of `credential` may not even wait; None if it may."""
        if self.waiting >= self._most:
            return Refusal.FULL
        queue = self._queues.get(credential)
        return Refusal.CHANNEL if queue is not None and len(queue.waiting) >= self.share else None

    def waiting_of(self, credential: str) -> int:
        """How many batches of `credential` wait."""
        queue = self._queues.get(credential)
        return 0 if queue is None else len(queue.waiting)

    @asynccontextmanager
    async def turn(self, credential: str) -> AsyncIterator[None]:
        """Wait for a turn of `credential`, and have it."""
        await self._take(credential)
        try:
            yield
        finally:
            self._give_back(credential)

    async def _take(self, credential: str) -> None:
        queue = self._queues.setdefault(credential, _Queue())
        if self._free and queue.running < self._of_one:  # then nobody waits who might have it
            self._grant(queue)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.waiting.append(turn)
        self.waiting += 1
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it got its turn just when its client left
                self._give_back(credential)
            elif turn in queue.waiting:
                queue.waiting.remove(turn)
                self.waiting -= 1
            self._forget(credential, queue)
            raise

    def _grant(self, queue: _Queue) -> None:
        self._free -= 1
        queue.running += 1
        queue.served = self._turns
        self._turns += 1

    def _give_back(self, credential: str) -> None:
        queue = self._queues[credential]
        queue.running -= 1
        self._free += 1
        while self._free and (entitled := [each for each in self._queues.values() if self._may_go(each)]):
            following = min(entitled, key=lambda each: (each.running, each.served))
            turn = following.waiting.popleft()
            self.waiting -= 1
            if not turn.cancelled():  # else its client has left, which it is about to learn
                self._grant(following)
                turn.set_result(None)
        self._forget(credential, queue)

    def _may_go(self, queue: _Queue) -> bool:
        return bool(queue.waiting) and queue.running < self._of_one

    def _forget(self, credential: str, queue: _Queue) -> None:
        if not queue.running and not queue.waiting and self._queues.get(credential) is queue:
            del self._queues[credential]
