"""The fold of CASES into the book of all cases, and whoever wants to know which case has changed."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import structlog
from nats.aio.client import Client

from services.rectify.application.translation import case_of
from services.rectify.domain.book import CaseBook, Summary
from services.rectify.domain.case import Case
from services.rectify.metrics import RectifyMetrics
from shared.events import Envelope, InvalidEventError, parse_event
from shared.kernel.errors import TransientError, describe
from shared.messaging.reading import FoldReader
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import CASES

log = structlog.get_logger(__name__)
YIELD_EVERY: Final = 200


class FoldBehindError(TransientError):
    """The fold has not read far enough to answer."""


class CaseFold:
    """Keeps a `CaseBook` up to date; tells `on_change` the id of each case that has changed."""

    def __init__(self, book: CaseBook, metrics: RectifyMetrics, on_change: Callable[[str], None]) -> None:
        """Fold into `book`."""
        self.book = book
        self.position = 0
        self._metrics = metrics
        self._on_change = on_change
        self.watch: Callable[[Envelope[Any], Case], None] | None = None
        """Is told each event with the state after it, too."""
        self._caught_up = asyncio.Event()

    async def run(self, client: Client) -> None:
        """Follow the stream until cancelled.

        Raises:
            HistoryChangedError: the stream is another one than before; only a fresh start helps.
        """
        reader = FoldReader(client, CASES)
        try:
            while True:
                messages = await reader.take(wait_s=0.5)
                for number, message in enumerate(messages):
                    self.fold(message)
                    if number % YIELD_EVERY == YIELD_EVERY - 1:
                        await asyncio.sleep(0)  # commands are waiting while history is read
                if messages or reader.caught_up:
                    self.position = reader.position
                if reader.caught_up:
                    self._caught_up.set()
        finally:
            await reader.close()

    def fold(self, message: StoredMessage) -> None:
        """Take one message in; one that is no event is counted and left out."""
        try:
            event = parse_event(message.data)
            case = case_of(event.data)
            summary = Summary.of(case, message.sequence)
        except InvalidEventError as error:
            self._metrics.unreadable.inc()
            log.warning("case_fold_skips", sequence=message.sequence, reason=type(error).__name__)
            return
        self.book.put(summary)
        self._on_change(summary.case_id)
        if self.watch is not None:
            self.watch(event, case)

    async def caught_up(self) -> None:
        """Return once everything that was in the stream has been folded, since the start of the process."""
        await self._caught_up.wait()

    def require_caught_up(self) -> CaseBook:
        """The book, once history has been read.

        Raises:
            FoldBehindError: not yet.
        """
        if not self._caught_up.is_set():
            raise FoldBehindError(
                describe(
                    f"position {self.position}", "the end of the CASES stream", "wait until /readyz says ok"
                ),
                retry_after_s=1.0,
            )
        return self.book

    async def check(self) -> str:
        """Health check: the position, once caught up.

        Raises:
            FoldBehindError: still reading history.
        """
        book = self.require_caught_up()
        return f"position {self.position}, {len(book)} cases"
