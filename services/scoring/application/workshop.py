"""A workshop for answers that take time: in threads, a few at once, each made once, the last ones kept."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sized
from typing import Any, Final, TypeVar, cast

from shared.kernel.errors import TransientError, describe

T = TypeVar("T", bound=Sized)

AT_ONCE: Final = 2
"""Threads: numpy lets others run only part of the time, and the event loop is to be among them."""
MOST_WAITING: Final = 16
"""Computations that may wait for a thread: some seconds' worth."""
ITEMS_KEPT: Final = 60_000
"""Rows (points, moves) of all answers that are kept: some 60 MB."""
RETRY_AFTER_S: Final = 2.0


class OverloadedError(TransientError):
    """More is asked for at once than can be worked out in a bearable time (HTTP 503)."""


class Workshop:
    """Works out answers by key. A key must name all that its answer depends on."""

    def __init__(
        self, at_once: int = AT_ONCE, most_waiting: int = MOST_WAITING, items_kept: int = ITEMS_KEPT
    ) -> None:
        """See the module's constants."""
        self._threads = asyncio.Semaphore(at_once)
        self._most = at_once + most_waiting
        self._items_kept = items_kept
        self._under_way: dict[Hashable, asyncio.Task[Any]] = {}
        self._done: OrderedDict[Hashable, Sized] = OrderedDict()

    async def get(self, key: Hashable, work: Callable[[], T]) -> T:
        """What ``work`` gives, or gave for the same key before.

        Whoever asks for something that is being worked out waits for the same computation; it goes on when
        one of them gives up.

        Raises:
            OverloadedError: too much is under way.
        """
        if key in self._done:
            self._done.move_to_end(key)
            return cast("T", self._done[key])
        task = self._under_way.get(key)
        if task is None:
            if len(self._under_way) >= self._most:
                raise OverloadedError(
                    describe(
                        f"{len(self._under_way)} questions about the past under way",
                        f"at most {self._most}",
                        "ask again",
                    ),
                    RETRY_AFTER_S,
                )
            task = self._under_way[key] = asyncio.create_task(self._work(key, work))
        return cast("T", await asyncio.shield(task))

    async def _work(self, key: Hashable, work: Callable[[], T]) -> T:
        try:
            async with self._threads:
                found = await asyncio.to_thread(work)
            self._keep(key, found)
            return found
        finally:
            del self._under_way[key]

    def _keep(self, key: Hashable, found: Sized) -> None:
        self._done[key] = found
        while len(self._done) > 1 and sum(map(len, self._done.values())) > self._items_kept:
            self._done.popitem(last=False)
