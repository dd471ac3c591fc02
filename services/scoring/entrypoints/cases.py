"""The bus side of cases: fold CASES beside the ratings, from the newest snapshot on.

A loop of its own, because cases come seldom and ratings by the thousand: the fold of FEEDBACK knows nothing
of it. What both have come to is published together, and a list says both positions.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
from nats.aio.client import Client

from services.scoring.application.cases import CASES, CaseParser, parsed
from services.scoring.application.fold import Message
from services.scoring.application.handlers import FoldFeedback
from services.scoring.application.older import OlderMessages
from services.scoring.application.ports import CaseObserver, StreamHistory
from services.scoring.application.snapshots import anchor_of
from services.scoring.entrypoints.older import Folded, OlderFeed, runs
from shared.events import InvalidEventError
from shared.kernel.errors import TransientError
from shared.messaging.reading import FoldReader

log = structlog.get_logger(__name__)

READ_WAIT_S: Final = 0.5
BATCH: Final = 500
"""Messages folded at once; one holds the whole state of a case, some kilobytes."""
RETRY_S: Final = 1.0


class CaseStream:
    """Follows CASES into the fold that ``feedback`` keeps."""

    def __init__(
        self,
        feedback: FoldFeedback,
        still: asyncio.Lock,
        history: StreamHistory,
        older: OlderMessages,
        observer: CaseObserver,
        *,
        past_holes: bool,
    ) -> None:
        """Nothing is published before this has caught up.

        Args:
            feedback: keeps the fold.
            still: held while the fold is copied, and while cases change it.
            history: the stream itself.
            older: what it no longer has.
            observer: measures.
            past_holes: see `OlderFeed`.
        """
        self._feedback = feedback
        self._still = still
        self._observer = observer
        self._parser: CaseParser = feedback.fold.case_parser
        self._older = OlderFeed(history, older, self._folded, self._fold, past_holes=past_holes)
        self._pending = -1
        feedback.cases_caught_up = False

    @property
    def blocked(self) -> str | None:
        """What a person must mend; None: nothing."""
        return self._older.blocked

    @property
    def waits(self) -> str | None:
        """Why it waits for the archive; None: it does not."""
        return self._older.waits

    @property
    def progress(self) -> str:
        """How far it has come, in words."""
        behind = "some" if self._pending < 0 else str(self._pending)
        return f"position {self._folded().position} of {CASES} folded, {behind} messages behind"

    async def follow(self, client: Client, restored: asyncio.Event) -> None:
        """Fold the stream for ever, once the fold has been ``restored``.

        Raises:
            HistoryChangedError: the stream no longer continues what was folded; the restart finds out more.
        """
        await restored.wait()
        await _patiently(self._older.fold_expired)
        reader = FoldReader(client, CASES, after=self._folded().position)
        try:
            while True:
                messages = await reader.take(BATCH, READ_WAIT_S)
                self._pending = max(0, reader.pending)
                for start, end in runs(messages):
                    first = messages[start]
                    if first.sequence > self._folded().position + 1:
                        await self._older.fold_up_to(first.sequence, anchor_of(first), self._pending)
                    await self._fold(messages[start:end], self._pending)
                if reader.caught_up:
                    self._feedback.cases_caught_up = True
                await asyncio.sleep(0)
        finally:
            await reader.close()

    async def _fold(self, messages: Sequence[Message], pending: int) -> None:
        states = list(parsed(self._parser, messages, self._leave_out))
        last = messages[-1]
        async with self._still:
            # Looked up only now: another rule pack has another fold, with the same cases.
            self._feedback.fold.take_cases(states, last.sequence, anchor_of(last))
        self._observer.cases_folded(len(messages), pending)

    def _leave_out(self, message: Message, error: InvalidEventError) -> None:
        self._observer.case_left_out()
        log.warning("case_left_out", sequence=message.sequence, reason=str(error))

    def _folded(self) -> Folded:
        cases = self._feedback.fold.cases
        return Folded(cases.position, cases.anchor)


async def _patiently(work: Callable[[], Awaitable[object]]) -> None:
    """Do ``work`` until the broker lets it succeed."""
    while True:
        try:
            await work()
        except TransientError as error:
            log.warning("cases_wait", reason=str(error), delay_s=RETRY_S)
            await asyncio.sleep(RETRY_S)
        else:
            return
