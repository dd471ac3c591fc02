"""Work on many ratings in slices, so that requests of others go on meanwhile."""

import asyncio
from time import monotonic
from typing import Final

SLICE_S: Final = 0.002
"""A single rating takes some ten turns of the event loop, and each may wait for a slice of every batch."""


class Slices:
    """Whether the others have waited for long enough. Of one task."""

    def __init__(self) -> None:
        """The first slice begins."""
        self._until = monotonic() + SLICE_S

    @property
    def over(self) -> bool:
        """Whether it is the others' turn: call `others` then."""
        return monotonic() >= self._until

    async def others(self) -> None:
        """Let them go first, and begin another slice."""
        await asyncio.sleep(0)
        self._until = monotonic() + SLICE_S
