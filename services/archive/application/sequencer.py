"""Gives every sequence of every archived stream its one place in the log.

One loop over all streams: gather, drop what is archived already, fetch what is missing, seal, append, and
only then acknowledge. Under load the next batch is made ready while the last one is being
written. Where a stream stands is read from the log itself, so a crash at any moment, a second
archive process or a repeat of the broker's can neither lose a sequence nor archive it twice:

- ``_id`` is the next index. Whoever comes second gets a duplicate key, reads the head again and goes on.
- Only the holder of the lease sequences, which saves two of them trouble; the index is what keeps one log.
- A run of a stream is archived from its position + 1 only. Whatever the broker delivered out of order in
  between is fetched by sequence, because acknowledging a later message acknowledges everything before it.

Whenever the state is unknown (at the start, after a conflict or a failure) what AUDIT announces beyond the
log is replayed first, so that a database that was set back grows the same way again.

A stream that does not answer is left out for a while, longer each time: it must not hold up the others.
"""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from time import perf_counter
from typing import Final

import structlog

from services.archive.application.backlog import ROOM_MESSAGES, Backlog
from services.archive.application.envelopes import read_attributes
from services.archive.application.known_ids import KnownIds
from services.archive.application.notary import Sealed
from services.archive.application.ports import (
    EntryLog,
    HeadMovedError,
    Leadership,
    LogUnavailableError,
    StreamSource,
)
from services.archive.application.silences import Silences
from services.archive.domain.entries import Arrival, Entry
from services.archive.domain.leaves import seal
from services.archive.domain.tiles import TreeEdge
from services.archive.metrics import ArchiveMetrics
from shared.kernel.errors import PermanentError, TransientError, describe
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import ARCHIVED

log = structlog.get_logger(__name__)

BATCH_ENTRIES: Final = 1_000
BATCH_BYTES: Final = 8 * 1024 * 1024
FIRST_DELAY_S: Final = 0.1
LONGEST_DELAY_S: Final = 5.0
CONFLICT_DELAY_S: Final = 0.02
LINGER_S: Final = 0.1
"""How long a small batch waits for company: an insert costs two journal syncs and four requests however small
it is, on the disk that intake's ratings wait for. What it adds is the time until an event is archived."""
LOOK_S: Final = 2.0
LOOK_AGAIN_S: Final = 0.5
"""How soon it is looked again at a stream of which more is there than was delivered."""
FOLLOW_S: Final = 0.2
"""How often a process that does not lead looks whether it does."""
REFUSED_RETRY_S: Final = 15.0


Replayer = Callable[[], Awaitable[TreeEdge | None]]
"""Completes the log with what was announced; gives the edge of its tree, None if there is no tree."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Messages that were taken out of their backlogs, and their entries."""

    messages: list[StoredMessage]
    entries: list[Entry]


class HistoryContradictedError(PermanentError):
    """A stream is not the one that was archived: it went back, or has other bytes at an archived sequence."""


class Sequencer:
    """The loop. Feeders :meth:`offer` deliveries and wait for :meth:`room`; :meth:`run` archives them."""

    def __init__(
        self,
        entry_log: EntryLog,
        source: StreamSource,
        leadership: Leadership,
        replay: Replayer,
        metrics: ArchiveMetrics,
        streams: Sequence[str] = ARCHIVED,
        *,
        batch_entries: int = BATCH_ENTRIES,
    ) -> None:
        """Archive ``streams`` of ``source`` in ``entry_log``, at most ``batch_entries`` at once."""
        self._leadership = leadership
        self._replay = replay
        self._tree: TreeEdge | None = None
        self._next_tree = 0.0
        self._since = 0
        self._blocked: str | None = None
        self._log = entry_log
        self.known_ids = KnownIds(entry_log)
        self._source = source
        self._metrics = metrics
        self._batch_entries = batch_entries
        self._wake = asyncio.Event()
        self._backlogs = {stream: Backlog(self._wake) for stream in streams}
        self._size: int | None = None
        self._taken: deque[_Batch] = deque()
        self._insert: asyncio.Task[None] | None = None
        self._pressed = False
        self._positions: dict[str, int] = {}
        self._trusted: set[str] = set()
        self._refused: dict[str, str] = {}
        self._next_look = 0.0
        self._stalled_at: dict[str, int] = {}
        self._silences = Silences()
        self._interruptions: dict[str, int] = {}
        self._turn = 0
        self._step = asyncio.Lock()

    @property
    def refused(self) -> dict[str, str]:
        """Streams that are not archived until an operator has decided, with the reason."""
        return dict(self._refused)

    @property
    def blocked(self) -> str | None:
        """Why nothing at all is archived until an operator has decided; None while it is."""
        return self._blocked

    def sealed(self) -> Sealed | None:
        """The tree over what is durable; None while the state is unknown."""
        return None if self._size is None else Sealed(self._tree, self._since)

    async def room(self, stream: str) -> None:
        """Wait until this process leads and more of ``stream`` can be taken."""
        await self._backlogs[stream].room()
        while not self._leadership.is_leader:  # noqa: ASYNC110 - a lease's end is no event
            await asyncio.sleep(FOLLOW_S)

    def offer(self, stream: str, messages: Sequence[StoredMessage]) -> None:
        """Hand over deliveries of ``stream``."""
        self._backlogs[stream].add(messages)

    def waiting(self, stream: str) -> int:
        """Deliveries of ``stream`` that are not archived yet."""
        return len(self._backlogs[stream])

    async def drain(self) -> None:
        """Let the batch under way finish and begin no other; for the shutdown, :meth:`run` can't go on."""
        await self._step.acquire()
        with contextlib.suppress(TransientError):  # it comes again, unacknowledged
            await self._land()

    @contextlib.asynccontextmanager
    async def renumbering(self, streams: Iterable[str]) -> AsyncIterator[None]:
        """Change the numbering of ``streams`` inside: nothing counted the old way is archived afterwards.

        What was delivered and is forgotten here is fetched by sequence, like all that is missing.
        """
        async with self._step:
            await self._forget()
            yield
            for stream in streams:
                self._backlogs[stream].clear()
                self._trusted.discard(stream)

    async def run(self) -> None:
        """Archive until cancelled. Every failure is tried again: giving up would lose events."""
        failures = 0
        while True:
            if not self._leadership.is_leader:
                await self._step_down()
                await asyncio.sleep(FOLLOW_S)
                continue
            try:
                if self._next_look:
                    await self._wait_for_work()
                async with self._step:
                    await self._look_at_streams()
                    await self._archive_next()
            except PermanentError as error:
                # Announced entries that can't be brought back, a log of another layout: both need a person.
                await self._forget()
                if self._blocked != str(error):
                    log.error("archiving_refused", reason=str(error))  # noqa: TRY400 - the reason says it all
                self._blocked = str(error)
                await asyncio.sleep(REFUSED_RETRY_S)
            except HeadMovedError:
                await self._forget()
                self._metrics.conflicts.inc()
                log.info("head_moved", remedy="reads the head again")
                await asyncio.sleep(CONFLICT_DELAY_S * (1 + random.random()))  # noqa: S311 - spreads two writers
            except TransientError as error:
                await self._forget()
                failures += 1
                self._metrics.retries.inc()
                delay = min(FIRST_DELAY_S * 2 ** min(failures, 10), LONGEST_DELAY_S)
                log.warning("archiving_retries", reason=str(error), failures=failures, delay_s=delay)
                await asyncio.sleep(delay)
            else:
                failures = 0

    async def _forget(self) -> None:
        """Drop the state. What was taken goes back to its backlog; what is written of it is known then."""
        insert, self._insert = self._insert, None
        if insert is not None:
            await asyncio.wait([insert])
            insert.exception()  # said already, or about to be found by reading the log
        while self._taken:
            for message in reversed(self._taken.pop().messages):
                self._backlogs[message.stream].put_first([message])
        self._size = self._tree = None

    async def _step_down(self) -> None:
        """Let go of everything: another process sequences, and the broker delivers to that one."""
        await self._forget()
        self._blocked = None
        self._next_look = 0.0
        for stream, backlog in self._backlogs.items():
            self._trusted.discard(stream)
            backlog.clear()

    async def _wait_for_work(self) -> None:
        if not any(backlog and stream not in self._silences for stream, backlog in self._backlogs.items()):
            await self._land()
            self._wake.clear()
            # Not wait_for: up to Python 3.11 it loses a cancellation that comes together with its result.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
        if not self._pressed and sum(map(len, self._backlogs.values())) < self._batch_entries // 2:
            await asyncio.sleep(LINGER_S)

    async def _look_at_streams(self) -> None:
        """Every few seconds: what the deliveries alone would not tell.

        At the start every stream is compared with the log, later those that were refused. And what was
        delivered to a reader that died with it is fetched, instead of waiting a minute for its redelivery.
        """
        if _now() < self._next_look:
            return
        await self._land()
        if self._size is None or (self._tree is None and _now() >= self._next_tree):
            await self._read_state()
        suspected = dict(self._stalled_at)
        for stream in self._backlogs:
            await self._alone(stream, self._look_at)
        self._next_look = _now() + (LOOK_S if self._stalled_at == suspected else LOOK_AGAIN_S)

    async def _alone(self, stream: str, step: Callable[[str, Backlog], Awaitable[None]]) -> None:
        """Take one step with ``stream``; what is wrong with it stays its own trouble."""
        self._note_interruptions(stream)
        if stream in self._silences:
            return
        try:
            await step(stream, self._backlogs[stream])
        except HistoryContradictedError as error:
            self._refuse(stream, error)
        except (LogUnavailableError, HeadMovedError):
            raise
        except TransientError as error:
            self._leave_out(stream, error)
        else:
            self._silences.end(stream)

    def _note_interruptions(self, stream: str) -> None:
        """Trust ``stream`` no longer if its reading was interrupted: it may be another one since."""
        interruptions = self._source.interruptions(stream)
        if self._interruptions.get(stream) != interruptions:
            self._interruptions[stream] = interruptions
            self._trusted.discard(stream)
            self._silences.end(stream)

    def _leave_out(self, stream: str, error: TransientError) -> None:
        self._trusted.discard(stream)
        failures, delay = self._silences.begin(stream)
        self._metrics.retries.inc()
        log.warning("stream_left_out", stream=stream, reason=str(error), failures=failures, delay_s=delay)

    async def _look_at(self, stream: str, backlog: Backlog) -> None:
        if stream not in self._trusted:
            await self._check_tip(stream)
        if not backlog:
            await self._fetch_stalled(stream, backlog)

    async def _fetch_stalled(self, stream: str, backlog: Backlog) -> None:
        position = self._positions[stream]
        last = (await self._source.bounds(stream)).last
        if last > position and self._stalled_at.get(stream) == position:
            log.info("stalled_messages_fetched", stream=stream, after=position, last=last)
            found: list[StoredMessage] = []
            while position < last and len(found) < ROOM_MESSAGES:
                part = await self._source.fetch(stream, position + 1, last)
                position = part[-1].sequence if part else last
                found += part
            # Who died had read far ahead: if it stalls behind these again, that is no news.
            backlog.put_first(found)
        if last > self._positions[stream]:
            self._stalled_at[stream] = position
        else:
            self._stalled_at.pop(stream, None)

    def _refuse(self, stream: str, error: HistoryContradictedError) -> None:
        self._trusted.discard(stream)
        if stream not in self._refused:
            log.error("stream_refused", stream=stream, reason=str(error))
        self._refused[stream] = str(error)
        self._backlogs[stream].clear()

    async def _archive_next(self) -> None:
        if self._size is None:
            await self._read_state()
        batch = await self._take()
        landed = await self._written()
        if batch is not None:
            self._leadership.check()
            self._insert = asyncio.create_task(self._append(batch.entries))
            await asyncio.sleep(0)  # it is sent before anything else is done
        if landed:
            await self._follow()
        if batch is not None and sum(map(len, self._backlogs.values())) < self._batch_entries // 2:
            await self._land()  # nothing to make ready meanwhile

    async def _take(self) -> _Batch | None:
        """The next batch, behind the one that is being written; None if nothing waits."""
        messages = await self._gather()
        if not messages:
            return None
        arrivals = [
            Arrival(each.stream, each.sequence, each.subject, each.data, read_attributes(each.data))
            for each in messages
        ]
        ids = {arrival.attributes.event_id for arrival in arrivals if arrival.attributes is not None}
        known = await self.known_ids.indexes_of(ids)
        size = self._size or 0
        for before in self._taken:
            size += len(before.entries)
            for entry in before.entries:
                attributes = entry.leaf.attributes
                if attributes is not None and attributes.event_id in ids:
                    known.setdefault(attributes.event_id, entry.index)
        # Behind a large batch more is on its way: to wait for company would only stop the flow.
        self._pressed = len(messages) >= self._batch_entries // 2
        batch = _Batch(messages, seal(size, arrivals, known))
        self._log.make_ready(batch.entries)
        self._taken.append(batch)
        return batch

    async def _append(self, entries: list[Entry]) -> None:
        started = perf_counter()
        await self._log.append(entries)
        self._metrics.written(entries, perf_counter() - started)

    async def _land(self) -> None:
        """Wait until the batch that is being written is durable, then acknowledge it."""
        if await self._written():
            await self._follow()

    async def _written(self) -> bool:
        """Wait until the batch that is being written is durable; whether there was one."""
        insert = self._insert
        if insert is None:
            return False
        await asyncio.wait([insert])
        if self._insert is not insert:
            return False  # the shutdown waits for it, too, and was first
        self._insert = None
        insert.result()
        return True

    async def _follow(self) -> None:
        """Take note of the first batch that was taken, which is durable, and acknowledge it."""
        batch = self._taken.popleft()
        if self._size is not None:
            self._size += len(batch.entries)
            newest = batch.entries[-1].leaf.attributes
            self.known_ids.added(self._size, None if newest is None else newest.event_id)
        if self._tree is not None:
            self._tree.extend([entry.leaf_hash for entry in batch.entries])
        for message in {message.stream: message for message in batch.messages}.values():  # each one's last
            await self._source.acknowledge(message)

    async def _read_state(self) -> None:
        # The size first: positions that are ahead of it end in a duplicate key, which is harmless.
        tree = await self._replay()
        size = await self._log.size() if tree is None else tree.size
        self._blocked = None
        self._tree, self._since = tree, size
        self._next_tree = _now() + REFUSED_RETRY_S  # somebody may put right what gives no tree now
        self._positions = await self._log.positions(self._backlogs.keys())
        await self.known_ids.begin(size)
        self._size = size

    async def _gather(self) -> list[StoredMessage]:
        """The next batch: each stream with work gets its share, and what others leave over."""
        await self._tidy()
        for stream in self._backlogs:
            self._note_interruptions(stream)  # what was delivered while others were asked
        waiting = [
            stream for stream, backlog in self._backlogs.items() if backlog and stream in self._trusted
        ]
        self._turn += 1
        batch: list[StoredMessage] = []
        left, left_bytes = self._batch_entries, BATCH_BYTES
        for place in range(len(waiting)):
            stream = waiting[(place + self._turn) % len(waiting)]
            share = -(-left // (len(waiting) - place))
            if left_bytes <= 0 or share <= 0:
                break
            run = self._backlogs[stream].take_run(self._positions[stream], share, left_bytes)
            if run:
                self._positions[stream] = run[-1].sequence
            batch += run
            left -= len(run)
            left_bytes -= sum(len(message.data) for message in run)
        return batch

    async def _tidy(self) -> None:
        """Bring every backlog to its position + 1: drop repeats, fetch what is missing before the front."""
        if any(backlog and self._is_doubtful(stream, backlog) for stream, backlog in self._backlogs.items()):
            await self._land()  # it is compared with what is archived
        for stream, backlog in self._backlogs.items():
            if backlog:
                await self._alone(stream, self._tidy_one)

    def _is_doubtful(self, stream: str, backlog: Backlog) -> bool:
        return stream not in self._trusted or backlog.first.sequence <= self._positions[stream]

    async def _tidy_one(self, stream: str, backlog: Backlog) -> None:
        if backlog.first.sequence <= self._positions[stream]:
            self._trusted.discard(stream)  # a repeat, or a stream that was made anew and counts from 1 again
        if stream not in self._trusted:
            await self._check_tip(stream)
        if self._insert is not None and backlog.first.sequence <= self._positions[stream]:
            await self._land()  # what is dropped is acknowledged, and may be among what is being written
        repeated = backlog.drop_until(self._positions[stream])
        if repeated is not None:
            await self._source.acknowledge(repeated)
        if backlog and backlog.first.sequence > self._positions[stream] + 1:
            await self._fill_gap(stream, backlog)

    async def _check_tip(self, stream: str) -> None:
        """Compare the last archived message of ``stream`` with the broker's: never trust a sequence alone.

        At the start, and again whenever reading was interrupted or a sequence came again.
        """
        position = self._positions[stream]
        bounds = await self._source.bounds(stream)
        if bounds.last < position:
            raise HistoryContradictedError(
                describe(
                    f"{stream} ends at {bounds.last}",
                    f"a stream that goes on after {position}, the last archived sequence",
                    "see docs/operations.md, 'A stream went back'",
                )
            )
        if 1 <= bounds.first <= position:
            archived = (await self._log.data_hashes(stream, position, position)).get(position)
            found = await self._source.fetch(stream, position, position)
            if archived is not None and found and sha256(found[0].data).digest() != archived:
                raise HistoryContradictedError(
                    describe(
                        f"{stream} with other bytes at sequence {position}",
                        f"SHA-256 {archived.hex()}, as archived",
                        "see docs/operations.md, 'A stream went back'",
                    )
                )
        self._trusted.add(stream)
        self._refused.pop(stream, None)

    async def _fill_gap(self, stream: str, backlog: Backlog) -> None:
        """Fetch what is missing before the front; what the stream has lost is recorded and passed over.

        What had expired before anything of the stream was archived is not lost: the log begins behind it.
        """
        first, last = self._positions[stream] + 1, backlog.first.sequence - 1
        if first == 1:
            first = min(max(1, (await self._source.bounds(stream)).first), last + 1)
            self._positions[stream] = first - 1
        if first > last:
            return
        found = await self._source.fetch(stream, first, last)
        until = found[0].sequence if found else last + 1
        if until > first:
            self._metrics.lost.labels(stream).inc(until - first)
            log.error("sequences_lost", stream=stream, first=first, last=until - 1, archived_after=first - 1)
            self._positions[stream] = until - 1
        backlog.put_first(found)


def _now() -> float:
    return asyncio.get_running_loop().time()
