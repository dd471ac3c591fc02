"""What ladders rest on, folded: supervision and sanctions from REGISTRY, closed lists from RANKING."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import structlog
from nats.aio.client import Client

from services.rectify.adapters.case_fold import FoldBehindError
from services.rectify.application.ladder_translation import apply_period, apply_registry, case_news
from services.rectify.domain.case import Case
from services.rectify.domain.ladder_book import LadderBook
from services.rectify.metrics import RectifyMetrics
from shared.events import Envelope, InvalidEventError, parse_event
from shared.kernel.errors import describe
from shared.messaging.reading import FoldReader
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import RANKING, REGISTRY

log = structlog.get_logger(__name__)
YIELD_EVERY: Final = 200
IDLE_S: Final = 0.5
FOLLOWED: Final = ("sanctions.v1.>", "supervision.v1.>")
CLOSED: Final = ("ranking.v1.period-closed.>",)

Changed = Callable[[frozenset[str]], None]


class LadderFold:
    """Keeps a `LadderBook` up to date, and tells for which units something has changed."""

    def __init__(self, book: LadderBook, metrics: RectifyMetrics) -> None:
        """Fold into `book`."""
        self.book = book
        self.position = 0
        self._metrics = metrics
        self._on_change: Changed = lambda _units: None
        self._moved = asyncio.Event()
        self._caught_up = {REGISTRY: asyncio.Event(), RANKING: asyncio.Event()}

    def tell(self, on_change: Changed) -> None:
        """Tell `on_change` from now on; before the first message."""
        self._on_change = on_change

    async def follow_registry(self, client: Client) -> None:
        """Follow supervision and sanctions until cancelled.

        Raises:
            HistoryChangedError: the stream is another one than before; only a fresh start helps.
        """
        await self._follow(client, REGISTRY, FOLLOWED)

    async def follow_lists(self, client: Client) -> None:
        """Follow what is closed until cancelled; raises like `follow_registry`."""
        await self._follow(client, RANKING, CLOSED)

    async def _follow(self, client: Client, stream: str, filters: tuple[str, ...]) -> None:
        reader = FoldReader(client, stream, filters=filters)
        try:
            while True:
                for number, message in enumerate(await reader.take(wait_s=IDLE_S)):
                    self.fold(message)
                    if number % YIELD_EVERY == YIELD_EVERY - 1:
                        await asyncio.sleep(0)
                if stream == REGISTRY and self.position != reader.position:
                    self.position = reader.position
                    moved, self._moved = self._moved, asyncio.Event()
                    moved.set()
                if reader.caught_up:
                    self._caught_up[stream].set()
        finally:
            await reader.close()

    def fold(self, message: StoredMessage) -> None:
        """Take one message in; one that is no event is counted and left out, drills are left out."""
        try:
            event = parse_event(message.data)
            if event.synthetic:
                return
            if message.stream == RANKING:
                changed = apply_period(self.book, event)
            else:
                changed = apply_registry(self.book, event, message.sequence)
        except InvalidEventError as error:
            self._metrics.unreadable.inc()
            log.warning(
                "ladder_fold_skips",
                stream=message.stream,
                sequence=message.sequence,
                reason=type(error).__name__,
            )
            return
        if changed:
            self._on_change(changed)

    def on_case(self, event: Envelope[Any], case: Case) -> None:
        """Take one event of a case in, after which `case` is the state."""
        changed = self.book.grounds.take(case_news(event, case))
        if changed:
            self._on_change(changed)

    async def caught_up(self) -> None:
        """Return once everything that was in both streams has been folded."""
        for event in self._caught_up.values():
            await event.wait()

    async def reach(self, sequence: int) -> None:
        """See `LadderBooks.reach`."""
        while self.position < sequence:
            await self._moved.wait()

    def require_caught_up(self) -> LadderBook:
        """The book, once history has been read.

        Raises:
            FoldBehindError: not yet.
        """
        behind = [stream for stream, event in self._caught_up.items() if not event.is_set()]
        if behind:
            raise FoldBehindError(
                describe(
                    f"position {self.position}", f"the end of {behind[0]}", "wait until /readyz says ok"
                ),
                retry_after_s=1.0,
            )
        return self.book

    async def check(self) -> str:
        """Health check: the position, once caught up.

        Raises:
            FoldBehindError: still reading history.
        """
        self.require_caught_up()
        return f"position {self.position}"
