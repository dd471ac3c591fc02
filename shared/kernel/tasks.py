"""Ending tasks, also where a library has forgotten that they were told to.

`asyncio.wait_for` of Python 3.11 forgets a cancellation that comes at the same turn of the event loop as what
it waits for, and nats-py waits for every answer with it. Whoever goes on for ever after such an answer would
never end, nor would who waits for the end.
"""

import asyncio
from typing import Any, Final

AGAIN_S: Final = 0.5
"""After so long a task that has not ended is told once more."""


def heed_cancellation() -> None:
    """Raise the cancellation that the running task was sent and somebody below it has forgotten.

    Raises:
        CancelledError: somebody wants this task to end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def end(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel `tasks`, again and again, until each of them has ended; how it did is its own affair."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        ended, pending = await asyncio.wait(pending, timeout=AGAIN_S)
        for task in ended:
            if not task.cancelled():
                task.exception()  # marks it as seen
