"""The loop of the watch over integrity: at a steady pace, and at once when the day changes."""

import asyncio
from collections.abc import Callable
from datetime import date
from typing import Final

import structlog

from services.scoring.application.fold import Fold
from services.scoring.application.watch import IntegrityWatch
from shared.kernel.errors import TransientError

log = structlog.get_logger(__name__)

BEAT_S: Final = 0.2
"""How often the loop looks whether an examination is due."""
FOLLOW_S: Final = 2.0
"""How often a replica that does not lead reads what is flagged."""
RETRY_S: Final = 3.0
"""Pause after a failure, or after another instance has written."""


async def watch_integrity(
    watch: IntegrityWatch, fold: Callable[[], Fold | None], leads: Callable[[], bool]
) -> None:
    """Examine again and again while we lead, until cancelled; else show what the leader has flagged.

    A failure is logged and tried again, and leaves the rankings alone.

    Args:
        watch: what examines.
        fold: gives the fold to examine; None while it has not caught up.
        leads: whether this replica is the one to examine.
    """
    loop = asyncio.get_running_loop()
    last, day = float("-inf"), date.min
    while True:
        await asyncio.sleep(BEAT_S)
        present = fold()
        if present is None:
            continue
        if not leads():
            last, day = float("-inf"), date.min  # whoever takes over looks at once
            await _follow(watch)
            await asyncio.sleep(FOLLOW_S)
            continue
        due = loop.time() - last >= present.rules.integrity.evaluate_every_s
        if not due and present.as_of == day:
            continue
        try:
            changed = await watch.look(present)
        except TransientError as error:
            log.warning("watch_failed", reason=str(error), delay_s=RETRY_S)
            await asyncio.sleep(RETRY_S)
            continue
        last, day = loop.time(), present.as_of
        if changed and watch.flags is not None:
            log.info("flags_changed", standing=len(watch.flags.standing), position=present.position)


async def _follow(watch: IntegrityWatch) -> None:
    try:
        await watch.follow()
    except TransientError as error:
        log.warning("watch_failed", reason=str(error), delay_s=FOLLOW_S)
