"""The bus side: fold FEEDBACK from the newest snapshot on; publish at a steady beat while we lead.

Every replica folds; the one that holds the lease publishes, files dead letters and keeps snapshots. The
others show what it publishes, and are ready to go on at the next beat (ADR 0015).

Not FastStream handlers: the fold needs the stream in order at ten times their rate (ADR 0003), and a
publication is due at midnight without any message.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

import structlog
from nats.aio.client import Client

from services.scoring.application.fold import Message
from services.scoring.application.handlers import FoldFeedback, NotCaughtUpError
from services.scoring.application.older import OlderMessages
from services.scoring.application.ports import StoreConflictError, StreamHistory
from services.scoring.application.publication import Publisher
from services.scoring.application.published import STREAM
from services.scoring.application.snapshots import KeepSnapshots, RestoreFold, Taken, anchor_of
from services.scoring.entrypoints.cases import CaseStream
from services.scoring.entrypoints.memory import StartMemory
from services.scoring.entrypoints.older import Folded, OlderFeed, runs
from shared.kernel.errors import PermanentError, TransientError, describe
from shared.messaging.lease import Lease, NotLeaderError
from shared.messaging.reading import FoldReader, HistoryChangedError

log = structlog.get_logger(__name__)

READ_WAIT_S: Final = 0.5
"""Longest wait for messages; then the day is looked at again."""
BATCH: Final = 1000
"""Messages folded at once: some 10 ms, so that requests never wait long."""
PACE_S: Final = 0.1
"""How often ratings are fetched while they keep coming; what is shown is published once a second anyway."""
RETRY_S: Final = 1.0
STEP_BACK_S: Final = 3.0
"""Pause after another instance has published: long enough to let it lead, if it is alive."""
BEAT_S: Final = 0.1
"""How often the publisher looks whether there is something new; it publishes at most once an interval."""
STANDBY_S: Final = 0.5
"""How often a replica that does not lead reads what the leader has published."""
WARM_S: Final = 30.0
"""How often it ranks what it has folded, to be able to publish at once when it leads."""
BLOCKED_S: Final = 10.0
"""How often a start that waits for a person looks whether the stream is as it was again."""
FINISH_S: Final = 8.0
"""Longest time that a stop spends on a last snapshot; less than what supervisors wait before they kill."""
STALE_S: Final = 15.0
"""A publication that keeps failing for so long makes the service unready."""


class RankingsStaleError(TransientError):
    """What is published is behind, and publishing fails."""


class Snapshots(NamedTuple):
    """What a start begins from and what is kept for the next one.

    Attributes:
        history: the stream itself.
        older: what the stream no longer has.
        accept_new_history: see `RestoreFold.restore`.
        ignore: begin at the stream's beginning whatever is kept, and look at no past.
    """

    restore: RestoreFold
    keep: KeepSnapshots
    history: StreamHistory
    older: OlderMessages
    accept_new_history: bool
    ignore: bool


class FeedbackStream:
    """The loops of the service: fold, publish, store snapshots. All run until cancelled; then `finish`."""

    def __init__(
        self,
        feedback: FoldFeedback,
        publisher: Publisher,
        lease: Lease,
        snapshots: Snapshots,
        cases: CaseStream,
    ) -> None:
        """Feed ``feedback`` and let ``publisher`` publish what it gives, while ``lease`` is ours.

        ``cases`` is the other stream that the fold consists of: nothing is published without it.
        """
        self._cases = cases
        self.restored = asyncio.Event()
        """Set once the fold is what a snapshot gave, or new: from then on cases may be folded into it."""
        self._feedback = feedback
        self._publisher = publisher
        self._lease = lease
        self._snapshots = snapshots
        self._older = OlderFeed(
            snapshots.history,
            snapshots.older,
            self._folded,
            self._fold_older,
            past_holes=snapshots.accept_new_history,
        )
        self._memory = StartMemory()
        self._taken: asyncio.Queue[Taken] = asyncio.Queue(1)
        self._storing = False
        self._blocked: str | None = None
        self._new_past = False
        self._lag = -1
        self._failing_since: float | None = None
        self._failure = ""
        self._warmed = float("-inf")
        self._worked = False
        self._shown = asyncio.Event()

    async def fold(self, client: Client) -> None:
        """Fold the stream from the newest snapshot that may be used, or from its beginning, for ever.

        Raises:
            HistoryChangedError: the stream no longer continues what was folded; the restart finds out more.
            PastRewrittenError: likewise.
        """
        publisher = self._publisher
        self._memory.begin()
        await self._patiently(publisher.load)
        await self._begin()
        self.restored.set()
        await self._patiently(self._older.fold_expired)
        reader = FoldReader(client, STREAM, after=self._feedback.fold.position, pace_s=PACE_S)
        log.info("fold_started", after=reader.position, published=publisher.position)
        try:
            while True:
                if self._renew():
                    self._memory.begin()
                    await reader.close()
                    await self._patiently(self._older.fold_expired)
                    reader = FoldReader(client, STREAM, after=self._feedback.fold.position, pace_s=PACE_S)
                messages = await reader.take(BATCH, READ_WAIT_S)
                self._lag = reader.pending
                pending = max(0, reader.pending)
                for start, end in runs(messages):
                    first, behind = messages[start], pending + len(messages)
                    if first.sequence > self._feedback.fold.position + 1:
                        await self._older.fold_up_to(first.sequence, anchor_of(first), behind - start)
                    self._fold(messages[start:end], behind - end)
                if not messages and reader.caught_up and not self._feedback.caught_up:
                    self._fold((), pending)
                await self._settle_dead_letters()
                await self._take_snapshot_if_due()
                await asyncio.sleep(0)  # a backlog is handed out without waiting; let others have their turn
        finally:
            await reader.close()

    async def _begin(self) -> None:
        """Restore the fold; if the stream's past has changed, wait until it is mended."""
        feedback, (restore, keep, _, _, accept, ignore) = self._feedback, self._snapshots
        if ignore:
            log.warning("snapshots_ignored", remedy="unset IGNORE_SNAPSHOTS for the next start")
            keep.began_from(0, at_once=True)
            return
        while True:
            try:
                restored = await restore.restore(feedback.fold.rules, accept_new_history=accept)
            except TransientError as error:
                log.warning("fold_waits", reason=str(error), delay_s=RETRY_S)
                await asyncio.sleep(RETRY_S)
                continue
            if restored.changed is None or accept:
                break
            self._blocked = restored.changed.reason
            await asyncio.sleep(BLOCKED_S)
        self._blocked = None
        if restored.fold is not None and restored.snapshot is not None:
            feedback.resume(restored.fold, restored.snapshot.message_hash)
        self._new_past = restored.changed is not None
        if accept:
            self._publisher.allow_backwards()
        keep.began_from(feedback.fold.position, at_once=self._new_past)

    def _fold(self, messages: Sequence[Message], pending: int) -> None:
        filed = 0 if self._new_past else self._publisher.position
        self._feedback.fold_messages(messages, pending, filed)

    def _folded(self) -> Folded:
        return Folded(self._feedback.fold.position, self._feedback.anchor)

    async def _fold_older(self, messages: Sequence[Message], pending: int) -> None:
        self._fold(messages, pending)
        await self._settle_dead_letters()

    async def _settle_dead_letters(self) -> None:
        if self._lease.is_leader:
            await self._patiently(self._feedback.file_dead_letters)
        elif not self._new_past:
            self._feedback.forget_dead_letters(self._publisher.position)

    async def _take_snapshot_if_due(self) -> None:
        """Copy the fold between two batches; storing the copy is the other loop's work."""
        feedback, keep = self._feedback, self._snapshots.keep
        ready = self._lease.is_leader and feedback.publishable and not self._storing
        if not ready or not keep.due(feedback.fold.position):
            return
        try:
            self._taken.put_nowait(await keep.take(feedback.fold, feedback.anchor))
        except TransientError as error:
            log.warning("snapshot_not_taken", reason=str(error))
        else:
            self._storing = True

    async def store_snapshots(self) -> None:
        """Store what was taken, for ever."""
        while True:
            taken = await self._taken.get()
            try:
                if self._lease.is_leader:
                    await self._snapshots.keep.store(taken)
            finally:
                self._storing = False

    async def finish(self) -> None:
        """Once the loops have ended: let another replica lead at once, then keep what was folded."""
        self._memory.end()
        led, feedback, keep = self._lease.is_leader, self._feedback, self._snapshots.keep
        await self._lease.release()
        if not led or not feedback.publishable or not keep.changed(feedback.fold.position):
            return
        # No longer the leader, but the pointer's fence lets this through only if nobody else has saved.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FINISH_S):
                try:
                    await keep.store(await keep.take(feedback.fold, feedback.anchor))
                except (TransientError, PermanentError) as error:
                    log.warning("snapshot_not_taken", reason=str(error))

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
        """While we lead, publish what changed, at most once an interval of the rule pack; else follow."""
        term = 0
        loop = asyncio.get_running_loop()
        last = float("-inf")
        pause_s = BEAT_S
        while True:
            await asyncio.sleep(pause_s)
            pause_s = BEAT_S
            if not self._lease.is_leader:
                await self._attempt(self._follow, STANDBY_S)
                await asyncio.sleep(STANDBY_S)
                continue
            if term != self._lease.term:
                if not await self._attempt(self._publisher.begin_term, RETRY_S):
                    continue
                term = self._lease.term
                self._snapshots.keep.begin_term()
            started = loop.time()
            wait_s = last + self._feedback.fold.rules.publication.ranking_min_interval_s - started
            if wait_s > 0:
                pause_s = min(BEAT_S, wait_s)
            elif self._feedback.publishable and await self._attempt(self._publish, RETRY_S):
                # Where there was nothing to do, what comes next need not wait for an interval.
                last = started if self._worked else last

    async def _publish(self) -> None:
        published = await self._publisher.publish(self._feedback.fold)
        self._worked = published or self._publisher.is_waiting
        if not self._publisher.is_behind(self._feedback.fold):
            self._shown.set()
            self._memory.end()

    async def _follow(self) -> None:
        shown = await self._publisher.refresh()
        if self._feedback.caught_up and shown is not None and shown.books is not None:
            self._shown.set()
            self._memory.end()
            now = asyncio.get_running_loop().time()
            if now - self._warmed >= WARM_S:
                self._warmed = now
                await self._publisher.warm(self._feedback.fold)

    async def _attempt(self, work: Callable[[], Awaitable[object]], pause_s: float) -> bool:
        """Do ``work`` once; whether it succeeded. After a failure wait, longer if somebody else published."""
        try:
            await work()
        except NotLeaderError as error:
            log.info("publication_given_up", reason=str(error))
        except StoreConflictError as error:
            self._note_failure(error)
            await asyncio.sleep(STEP_BACK_S)
        except TransientError as error:
            self._note_failure(error)
            await asyncio.sleep(pause_s)
        else:
            self._failing_since = None
            return True
        return False

    def _note_failure(self, error: Exception) -> None:
        self._failure = str(error)
        if self._failing_since is None:
            self._failing_since = asyncio.get_running_loop().time()
        log.warning("publication_failed", reason=self._failure)

    def why_not_ready(self) -> str | None:
        """Why the rankings can't be shown yet; None once they can."""
        why = self._blocked or self._older.blocked or self._older.waits
        why = why or self._cases.blocked or self._cases.waits
        if why is not None:
            return why
        if not self._feedback.caught_up:
            return self._feedback.progress
        if not self._feedback.cases_caught_up:
            return self._cases.progress
        fold, publisher = self._feedback.fold, self._publisher
        if self._lease.is_leader and publisher.is_behind(fold):
            folded = f"position {fold.position} folded, of cases {fold.cases.position}"
            return f"{folded}, but what is published reaches {publisher.position} and {publisher.cases}"
        return None if self._shown.is_set() else "first publication under way"

    async def check_fold(self) -> str:
        """Health check of the fold.

        Raises:
            HistoryChangedError: the stream's past has changed; a person must decide.
            NotCaughtUpError: it has not caught up with the stream since the start.
        """
        blocked = self._blocked or self._older.blocked or self._cases.blocked
        if blocked is not None:
            raise HistoryChangedError(blocked)
        waits = self._older.waits or self._cases.waits
        if waits is not None:
            raise NotCaughtUpError(waits)
        if not (self._feedback.caught_up and self._feedback.cases_caught_up):
            progress = self._cases.progress if self._feedback.caught_up else self._feedback.progress
            raise NotCaughtUpError(describe(progress, "all that was there at the start", "wait; it goes on"))
        return f"position {self._feedback.fold.position}, {max(0, self._lag)} messages behind"

    async def check_publication(self) -> str:
        """Health check of the publication; says who leads.

        Raises:
            NotCaughtUpError: nothing can be shown since the start.
            RankingsStaleError: publishing, or reading what is published, has failed for `STALE_S`.
        """
        why = self.why_not_ready()
        if why is not None:
            raise NotCaughtUpError(describe(why, "a publication", "wait; it follows the fold"))
        since = self._failing_since
        if since is not None and asyncio.get_running_loop().time() - since > STALE_S:
            raise RankingsStaleError(
                describe(self._failure, "publications that succeed", "see the log and the broker's health")
            )
        position = f"position {self._publisher.position}"
        if self._lease.is_leader:
            return f"leader, {position}"
        return f"standby, {position}, led by {self._lease.holder or 'nobody at the moment'}"
