"""Keeping timers in step with cases, and carrying out what a timer that fired means (ADR 0038).

The state of a case says which timers it needs; the broker holds them. Whatever went wrong in between (a crash
after the event and before the timer, a purged stream, a week without us) is found by comparing the two.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from services.rectify.application.desk import Desk
from services.rectify.application.ports import TimerStore
from services.rectify.domain import commands as c
from services.rectify.domain.book import CaseBook
from services.rectify.domain.errors import CaseNotFoundError
from services.rectify.domain.timers import Timer
from services.rectify.metrics import RectifyMetrics
from shared.kernel.errors import TransientError
from shared.kernel.ids import derived_id

log = structlog.get_logger(__name__)
BATCH: Final = 500
RETRY_S: Final = 1.0


class TimerKeeper:
    """Sets, moves and cancels timers after each change of a case; one at work among all replicas."""

    def __init__(self, timers: TimerStore, book: CaseBook, metrics: RectifyMetrics) -> None:
        """Keep `timers` as the cases in `book` need them."""
        self._timers = timers
        self._book = book
        self._metrics = metrics
        self._standing: dict[str, dict[str, Timer | None]] = {}
        """What stands, by case and key; None: not known, it was being set when the broker went."""
        self._count = 0
        self._changed: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._at_work = asyncio.Lock()

    def changed(self, case_id: str) -> None:
        """Note that a case has changed; its timers are looked at soon."""
        self._changed[case_id] = None
        self._wake.set()

    async def compare(self) -> int:
        """Read all timers and mend what does not fit the cases; how many were missing, wrong or too many.

        Raises:
            TransientError: the broker is away; nothing is known then, compare again.
        """
        async with self._at_work:  # what is set meanwhile would be missing in what was read
            return await self._compare()

    async def _compare(self) -> int:
        found = await self._timers.standing()
        self._standing = {}
        for key, timer in found.items():
            self._standing.setdefault(timer.case_id, {})[key] = timer
        self._count = len(found)
        unknown = [case_id for case_id in self._standing if self._book.get(case_id) is None]
        wrong = [case.case_id for case in self._book if self._differs(case.case_id)]
        mended = 0
        for place in range(0, len(wrong) + len(unknown), BATCH):
            mended += await self._settle([*wrong, *unknown][place : place + BATCH])
        self._metrics.timers_mended.inc(mended)
        log.info("timers_compared", standing=self._count, mended=mended)
        return mended

    def _wanted(self, case_id: str) -> dict[str, Timer]:
        case = self._book.get(case_id)
        return {} if case is None else {timer.key: timer for timer in case.timers}

    def _differs(self, case_id: str) -> bool:
        return self._wanted(case_id) != self._standing.get(case_id, {})

    async def run(self, leads: Callable[[], bool]) -> None:
        """Settle what has changed, as long as `leads` says so; through outages of the broker."""
        while leads():
            self._wake.clear()
            batch = list(self._changed)[:BATCH]
            for case_id in batch:
                del self._changed[case_id]
            try:
                if batch:
                    async with self._at_work:
                        await self._settle(batch)
                    continue
            except TransientError as error:
                log.warning("timers_retried", cases=len(batch), reason=str(error))
                self._changed.update(dict.fromkeys(batch))
                await asyncio.sleep(RETRY_S)
                continue
            try:
                async with asyncio.timeout(RETRY_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _settle(self, case_ids: list[str]) -> int:
        put: list[Timer] = []
        cancel: list[str] = []
        wanted_by_case: dict[str, dict[str, Timer]] = {}
        for case_id in case_ids:
            wanted, standing = self._wanted(case_id), self._standing.get(case_id, {})
            put += [timer for key, timer in wanted.items() if standing.get(key) != timer]
            cancel += [key for key in standing if key not in wanted]
            wanted_by_case[case_id] = wanted
        if put:
            self._expect(put)
            await self._timers.put(put)
        if cancel:
            await self._timers.cancel(cancel)
        for case_id, wanted in wanted_by_case.items():
            self._count += len(wanted) - len(self._standing.pop(case_id, {}))
            if wanted:
                self._standing[case_id] = dict(wanted)
        self._metrics.timers_set.inc(len(put))
        self._metrics.timers.set(self._count)
        return len(put) + len(cancel)

    def _expect(self, put: list[Timer]) -> None:
        """Until the broker has said so, `put` may stand or not: to be set again, or cancelled if unwanted."""
        for timer in put:
            standing = self._standing.setdefault(timer.case_id, {})
            self._count += timer.key not in standing
            standing[timer.key] = None


class FireTimer:
    """What a timer that fired means: the case announces how much of its time is used up, once."""

    def __init__(self, desk: Desk, metrics: RectifyMetrics) -> None:
        """Announce through `desk`."""
        self._desk = desk
        self._metrics = metrics

    async def __call__(self, timer: Timer) -> bool:
        """Announce; False if the case has moved on, so that nothing is to be said.

        Raises:
            TransientError: not known to be stored; fire it again.
        """
        command = c.ReachMark(timer.clock, timer.round, timer.percent, timer.at)
        event_id = derived_id(
            "case-clock", timer.case_id, timer.clock.value, str(timer.round), str(timer.percent)
        )
        try:
            after = await self._desk.tell(timer.case_id, command, event_id=event_id)
        except CaseNotFoundError:
            after = None
        self._metrics.fired.labels("stale" if after is None else "announced").inc()
        if after is None:
            return False
        late = (self._desk.now() - timer.at).total_seconds()
        self._metrics.lateness_seconds.observe(max(0.0, late))
        return True


class RecomputeClocks:
    """After a holiday was announced: reckon the clocks of all open cases anew."""

    def __init__(self, desk: Desk, book: CaseBook) -> None:
        """Look at the cases in `book`, change them through `desk`."""
        self._desk = desk
        self._book = book

    async def __call__(self) -> int:
        """Recompute; how many cases have other moments now.

        Raises:
            TransientError: the broker is away; do it again.
        """
        moved = 0
        for case in [case for case in self._book if case.timers]:
            stored = await self._desk.load(case.case_id)
            if self._desk.moved_by_calendar(stored.case):
                moved += await self._desk.tell(case.case_id, c.Reschedule()) is not None
        log.info("clocks_recomputed", moved=moved)
        return moved
