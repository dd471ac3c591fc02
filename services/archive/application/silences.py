"""How long a stream with trouble of its own is left alone, so that the others go on."""

import asyncio
from typing import Final

FIRST_SILENCE_S: Final = 1.0
LONGEST_SILENCE_S: Final = 15.0
"""A stream without a leader costs the others a request's five seconds whenever it is asked."""


class Silences:
    """Which streams are left out, each twice as long as the last time. Times are those of the event loop."""

    def __init__(self) -> None:
        """Leave none out."""
        self._until: dict[str, tuple[int, float]] = {}

    def __contains__(self, stream: str) -> bool:
        """Whether it is left out now."""
        return _now() < self._until.get(stream, (0, 0.0))[1]

    def begin(self, stream: str) -> tuple[int, float]:
        """Leave it out; how often it failed by now, and for how many seconds it is left out."""
        failures = self._until.get(stream, (0, 0.0))[0] + 1
        delay = min(FIRST_SILENCE_S * 2 ** min(failures - 1, 10), LONGEST_SILENCE_S)
        self._until[stream] = failures, _now() + delay
        return failures, delay

    def end(self, stream: str) -> None:
        """Leave it out no longer, and forget its failures."""
        self._until.pop(stream, None)


def _now() -> float:
    return asyncio.get_running_loop().time()
