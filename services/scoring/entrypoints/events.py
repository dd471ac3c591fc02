"""The bus side: read FEEDBACK from its beginning and fold it; publish at a steady beat.

Not FastStream handlers: the fold needs the stream in order at ten times their rate (ADR 0003), and a
publication is due at midnight without any message.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from nats.aio.client import Client

from services.scoring.application.handlers import FoldFeedback, NotCaughtUpError
from services.scoring.application.ports import StoreConflictError
from services.scoring.application.publication import Publisher
from services.scoring.application.published import STREAM
from shared.kernel.errors import PermanentError, TransientError, describe
from shared.messaging.reading import FoldReader

log = structlog.get_logger(__name__)

READ_WAIT_S: Final = 0.5
"""Longest wait for messages; then the day is looked at again."""
BATCH: Final = 1000
"""Messages folded at once: some 10 ms, so that requests never wait long."""
RETRY_S: Final = 1.0
STEP_BACK_S: Final = 3.0
"""Pause after another instance has published: long enough to let it lead, if it is alive."""
BEAT_S: Final = 0.1
"""How often the publisher looks whether something is due; it publishes at most once an interval."""
STALE_S: Final = 15.0
"""A publication that keeps failing for so long makes the service unready."""


class RankingsStaleError(TransientError):
    """What is published is behind, and publishing fails."""


class FeedbackStream:
    """The two loops of the service: one folds, one publishes. Both run until cancelled."""

    def __init__(self, feedback: FoldFeedback, publisher: Publisher) -> None:
        """Feed ``feedback`` and let ``publisher`` publish what it gives."""
        self._feedback = feedback
        self._publisher = publisher
        self._lag = -1
        self._failing_since: float | None = None
        self._failure = ""
        self._first_publication = asyncio.Event()

    async def fold(self, client: Client) -> None:
        """Fold the stream from its beginning, for ever.

        Raises:
            HistoryChangedError: the stream no longer continues what was folded; a restart folds it anew.
        """
        publisher = self._publisher
        await self._patiently(publisher.load)
        reader = FoldReader(client, STREAM)
        log.info("fold_started", published=publisher.position)
        try:
            while True:
                if self._renew():
                    await reader.close()
                    reader = FoldReader(client, STREAM)
                messages = await reader.take(BATCH, READ_WAIT_S)
                self._lag = reader.pending
                if messages or (reader.caught_up and not self._feedback.caught_up):
                    self._feedback.fold_messages(messages, max(0, reader.pending), publisher.position)
                await self._patiently(self._feedback.file_dead_letters)
                await asyncio.sleep(0)  # a backlog is handed out without waiting; let others have their turn
        finally:
            await reader.close()

    def _renew(self) -> bool:
        try:
            return self._feedback.renew()
        except PermanentError as error:
            # Better yesterday's windows under yesterday's rules than no rankings; readiness tells.
            self._note_failure(error)
            return False

    async def _patiently(self, work: Callable[[], Awaitable[object]]) -> None:
        """Do ``work`` until the broker lets it succeed."""
        while True:
            try:
                await work()
            except TransientError as error:
                log.warning("fold_waits", reason=str(error), delay_s=RETRY_S)
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def publish(self) -> None:
        """Publish what changed, at most once an interval of the rule pack, for ever."""
        publisher = self._publisher
        loop = asyncio.get_running_loop()
        last = float("-inf")
        while True:
            interval_s = self._feedback.fold.rules.publication.ranking_min_interval_s
            await asyncio.sleep(BEAT_S)
            if not self._feedback.publishable or loop.time() - last < interval_s:
                continue
            started = loop.time()
            try:
                if await publisher.publish(self._feedback.fold):
                    last = started
            except StoreConflictError as error:
                self._note_failure(error)
                await asyncio.sleep(STEP_BACK_S)
            except TransientError as error:
                self._note_failure(error)
                await asyncio.sleep(RETRY_S)
            else:
                self._failing_since = None
                if publisher.position <= self._feedback.fold.position:
                    self._first_publication.set()

    def _note_failure(self, error: Exception) -> None:
        self._failure = str(error)
        if self._failing_since is None:
            self._failing_since = asyncio.get_running_loop().time()
        log.warning("publication_failed", reason=self._failure)

    def why_not_ready(self) -> str | None:
        """Why the rankings can't be shown yet; None once they can."""
        if not self._feedback.caught_up:
            return self._feedback.progress
        position = self._feedback.fold.position
        if self._publisher.position > position:
            return f"position {position} folded, but what is published reaches {self._publisher.position}"
        return None if self._first_publication.is_set() else "first publication under way"

    async def check_fold(self) -> str:
        """Health check of the fold.

        Raises:
            NotCaughtUpError: it has not caught up with the stream since the start.
        """
        if not self._feedback.caught_up:
            raise NotCaughtUpError(
                describe(self._feedback.progress, "all that was there at the start", "wait; it goes on")
            )
        return f"position {self._feedback.fold.position}, {max(0, self._lag)} messages behind"

    async def check_publication(self) -> str:
        """Health check of the publication.

        Raises:
            NotCaughtUpError: nothing has been published since the start.
            RankingsStaleError: publishing has failed for longer than `STALE_S`.
        """
        why = self.why_not_ready()
        if why is not None:
            raise NotCaughtUpError(describe(why, "a publication", "wait; it follows the fold"))
        since = self._failing_since
        if since is not None and asyncio.get_running_loop().time() - since > STALE_S:
            raise RankingsStaleError(
                describe(self._failure, "publications that succeed", "see the log and the broker's health")
            )
        return f"position {self._publisher.position}"
