"""How much memory the C library keeps for later: little, since several services share a machine."""

import contextlib
import ctypes
import time
from collections.abc import Callable
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8
"""glibc's malloc.h."""

SMALL: Final = 128 * 1024
LARGE: Final = 8 * 1024 * 1024

LOOK_S: Final = 0.5
REST: Final = 0.2
"""Share of one processor below which a process is at rest."""
BUSY_S: Final = 0.2
"""Processor time after which there may be something to give back."""


def keep_little_memory(threshold: int = SMALL) -> bool:
    """Use one heap for all threads, and give back what was needed once; False where there is no glibc.

    By itself glibc makes a heap for each thread, although the interpreter lets one work at a time, and keeps
    blocks as large as the largest that was ever freed: what one large batch took stays for good.

    Args:
        threshold: bytes from which on a block comes from the system and goes back to it, which costs some
            microseconds each time. :data:`LARGE` for who works with large arrays or batches all the time.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        return all(
            mallopt(parameter, value) == 1
            for parameter, value in (
                (_ARENA_MAX, 1),
                (_MMAP_THRESHOLD, threshold),
                (_TRIM_THRESHOLD, threshold),
            )
        )
    return False


def give_back() -> None:
    """Give free pages back to the system, wherever in the heap they lie; nothing where there is no glibc."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


class Tidying:
    """Gives back what a load needed once the load is over.

    By itself the C library gives back only what lies at the end of its heap: after a burst of batches, a
    third of the archive's memory was free pages between others.
    """

    def __init__(
        self, spent_s: Callable[[], float] = time.process_time, trim: Callable[[], None] = give_back
    ) -> None:
        """Begin with a process that has worked."""
        self._spent_s = spent_s
        self._trim = trim
        self._last = spent_s()
        self._since = BUSY_S

    def look(self) -> None:
        """To be called every :data:`LOOK_S`; trims only at rest, and once for each stretch of work."""
        now = self._spent_s()
        spent, self._last = now - self._last, now
        self._since += spent
        if spent < REST * LOOK_S and self._since >= BUSY_S:
            self._trim()
            self._last, self._since = self._spent_s(), 0.0
