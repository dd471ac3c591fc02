"""Work on many ratings in slices, so that requests of others go on meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Final

SLICE_S: Final = 0.002
"""A single rating takes some ten turns of the event loop, and each may wait for a slice."""


class Slices:
    """Lets one batch at a time work, each for a slice in its turn.

    However many there are, a turn of the event loop has one slice. Of one event loop.
    """

    def __init__(self) -> None:
        """Nobody works."""
        self._baton = asyncio.Lock()  # whoever waits longest is next

    @asynccontextmanager
    async def work(self) -> AsyncIterator["Slice"]:
        """Work in slices within the block, which awaits nothing but `Slice.others`."""
        slice_ = Slice(self._baton)
        await slice_.begin()
        try:
            yield slice_
        finally:
            slice_.end()


class Slice:
    """One batch's part of the work."""

    def __init__(self, baton: asyncio.Lock) -> None:
        self._baton = baton
        self._until = 0.0
        self._has_it = False

    @property
    def over(self) -> bool:
        """Whether it is the others' turn: call `others` then."""
        return monotonic() >= self._until

    async def others(self) -> None:
        """Let them go first, and begin another slice."""
        self.end()
        await self.begin()

    async def begin(self) -> None:
        """Begin a slice when it is our turn."""
        await self._baton.acquire()
        self._has_it = True
        self._until = monotonic() + SLICE_S

    def end(self) -> None:
        """Leave the next turns to others."""
        if self._has_it:
            self._has_it = False
            # Not at once: whoever comes next in this turn of the loop would have a slice in it, too.
            asyncio.get_running_loop().call_soon(self._baton.release)
