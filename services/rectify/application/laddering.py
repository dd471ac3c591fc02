"""The leader's work on ladders: publish what is due, until nothing is (ADR 0041)."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import structlog

from services.rectify.application.ladder_ports import LadderBooks, LadderStore
from services.rectify.application.ladder_translation import due_event
from services.rectify.domain.ladders import Ladderer
from services.rectify.metrics import RectifyMetrics
from shared.events import Envelope
from shared.kernel.clock import Clock
from shared.kernel.errors import TransientError, describe

log = structlog.get_logger(__name__)
BATCH: Final = 200
"""Units that are compared in one go."""
RETRY_S: Final = 1.0
LOOK_S: Final = 0.02
FOLDED_WITHIN_S: Final = 5.0


class KeepLadders:
    """Compares units for which something has changed, and publishes what is due for them."""

    def __init__(
        self,
        ladderer: Ladderer,
        books: LadderBooks,
        store: LadderStore,
        clock: Clock,
        metrics: RectifyMetrics,
    ) -> None:
        """Cases must have been read to their end before `run`."""
        self._ladderer = ladderer
        self._books = books
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._changed: dict[str, None] = {}
        self._wake = asyncio.Event()

    def changed(self, unit_ids: frozenset[str]) -> None:
        """Note that something has changed for units; they are compared soon by whoever leads."""
        self._changed.update(dict.fromkeys(unit_ids))
        self._wake.set()

    async def run(self, leads: Callable[[], bool]) -> None:
        """Keep ladders as long as `leads` says so; through outages of the broker."""
        while leads():
            if not self._has_read():
                await asyncio.sleep(LOOK_S)
                continue
            self._wake.clear()
            batch = list(self._changed)[:BATCH]
            if not batch:
                try:
                    async with asyncio.timeout(RETRY_S):
                        await self._wake.wait()
                except TimeoutError:
                    pass
                continue
            for unit_id in batch:
                del self._changed[unit_id]
            try:
                await self.settle(batch)
            except TransientError as error:
                log.warning("ladders_retried", units=len(batch), reason=str(error))
                self.changed(frozenset(batch))
                await asyncio.sleep(RETRY_S)

    def _has_read(self) -> bool:
        try:
            self._books.require_caught_up()
        except TransientError:
            return False
        return True

    async def settle(self, unit_ids: list[str]) -> int:
        """Publish what is due for these units now; how many events that were.

        Raises:
            TransientError: the broker is away, or the book is behind; compare them again.
        """
        self._books.require_caught_up()
        now = self._clock.now()
        events: list[tuple[Envelope[Any], int]] = []
        for unit_id in unit_ids:
            events += self._due(unit_id, now)
            await asyncio.sleep(0)
        if not events:
            return 0
        outcomes = await self._store.store(events)
        for (event, _), outcome in zip(events, outcomes, strict=True):
            fact = event.type.split(".")[3]
            self._metrics.ladder_events.labels(fact, "stored" if outcome.sequence else "lost").inc()
            if outcome.sequence and not outcome.repeated:
                log.info("ladder_event", fact=fact, subject=event.subject, unit_id=event.data.unit_id)
        # What is due next rests on what was stored now; and who lost looks at what was stored instead.
        await self._folded(max(outcome.sequence for outcome in outcomes))
        self.changed(frozenset(unit_ids))
        if all(outcome.sequence == 0 or outcome.repeated for outcome in outcomes):
            await asyncio.sleep(RETRY_S)  # the book is behind, or can't read what is stored: without haste
        return sum(outcome.sequence > 0 for outcome in outcomes)

    def _due(self, unit_id: str, now: datetime) -> list[tuple[Envelope[Any], int]]:
        try:
            return [(due_event(due, now), due.replaces) for due in self._ladderer.due(unit_id, now)]
        except Exception:
            # Of one unit only: a defect must not keep everybody's timers from firing.
            self._metrics.ladder_events.labels("none", "failed").inc()
            log.exception("ladders_of_a_unit_left_out", unit_id=unit_id)
            return []

    async def _folded(self, sequence: int) -> None:
        try:
            async with asyncio.timeout(FOLDED_WITHIN_S):
                await self._books.reach(sequence)
        except TimeoutError as error:
            raise TransientError(
                describe("a book that is behind", f"it at {sequence}", "it is compared again")
            ) from error
