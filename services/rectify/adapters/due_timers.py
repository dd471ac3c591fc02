"""Carrying out what is due: the broker's messages to the use case, oldest first, each until it is done."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import structlog

from services.rectify.adapters.timer_store import JetStreamTimers, timer_of
from services.rectify.application.timekeeping import FireTimer
from shared.events.unreadable import UNREADABLE
from shared.kernel.errors import TransientError
from shared.messaging.stored import StoredMessage

log = structlog.get_logger(__name__)
AT_ONCE: Final = 64
"""Timers that are carried out side by side: their events share commits."""
RETRY_S: Final = 1.0


class TimerLoop:
    """Carries out what is due, oldest first, until it is; then lets the broker forget it."""

    def __init__(self, timers: JetStreamTimers, fire: FireTimer) -> None:
        """Take what is due from `timers` to `fire`."""
        self._timers = timers
        self._fire = fire

    async def run(self, leads: Callable[[], bool]) -> None:
        """Fire as long as `leads` says so."""
        reader = self._timers.due()
        try:
            while leads():
                messages = await reader.take(most=AT_ONCE, wait_s=0.5)
                if not messages:
                    continue
                await asyncio.gather(*(self._carried_out(message, leads) for message in messages))
                if not leads():
                    return  # not all of them may have been
                await _until_done(partial(self._timers.done, messages[-1].sequence), leads)
        finally:
            await reader.close()

    async def _carried_out(self, message: StoredMessage, leads: Callable[[], bool]) -> None:
        try:
            timer = timer_of(message)
        except (*UNREADABLE, ValueError):
            log.exception("timer_unreadable", sequence=message.sequence)
            return
        await _until_done(partial(self._fire, timer), leads)


async def _until_done(work: Callable[[], Awaitable[object]], leads: Callable[[], bool]) -> None:
    """Do `work` through outages of the broker, as long as `leads` says so."""
    while leads():
        try:
            await work()
        except TransientError as error:
            log.warning("timer_work_retried", reason=str(error))
            await asyncio.sleep(RETRY_S)
        else:
            return
