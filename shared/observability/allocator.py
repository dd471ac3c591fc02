"""How much memory the C library keeps for later: little, since several services share a machine."""

import contextlib
import ctypes
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8
"""glibc's malloc.h."""

SMALL: Final = 128 * 1024
LARGE: Final = 8 * 1024 * 1024


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
