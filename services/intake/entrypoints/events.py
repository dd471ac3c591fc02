"""The feedback stream, folded into the index of accepted ratings and their revisions."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime
from typing import Final, Protocol

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError

from services.intake.domain.accepted import Accepted
from services.intake.domain.revisions import Revision
from shared.kernel.clock import Clock
from shared.kernel.errors import TransientError, describe
from shared.kernel.tasks import heed_cancellation
from shared.messaging.reading import FoldReader, HistoryChangedError
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import DAY_S, FEEDBACK
from shared.messaging.subjects import metric_label
from shared.observability.logging import get_logger

WATCH_S: Final = 1.0
"""How often the end of the stream is compared with what the index knows."""
FLUSH_S: Final = 1.0
"""How often the index is written: the more ratings at once, the fewer pages for each. What isn't written is
in memory; after a crash it is read from the stream once more."""
RETRY_S: Final = 1.0
PRUNE_S: Final = DAY_S
TAKE: Final = 1000

_log = get_logger(component="index")


class FoldedIndex(Protocol):
    """Role: an index that is folded from the stream; `adapters.sqlite_index` plays it."""

    @property
    def position(self) -> int:
        """Everything up to this sequence is remembered."""
        ...

    @property
    def broken(self) -> bool:
        """Whether it must be opened again."""
        ...

    async def open(self, stream: str, *, afresh: bool = False) -> None:
        """Take up what was folded from `stream`, or start from nothing."""
        ...

    def fold(self, accepted: list[Accepted], through: int, revisions: list[Revision]) -> None:
        """Remember what was read up to `through`."""
        ...

    def mark_ready(self) -> None:
        """Say that the end of the stream was reached."""
        ...

    def mark_behind(self) -> None:
        """Say that the stream may hold more than was read."""
        ...

    async def flush(self) -> None:
        """Write what is in memory."""
        ...


class FoldMetrics(Protocol):
    """Role: shows the fold to operators."""

    def index_lag(self, messages: int) -> None:
        """How far the index is behind the stream."""
        ...

    def index_skipped(self, messages: int) -> None:
        """Messages that should be ratings or revisions and aren't readable."""
        ...


class IndexFold:
    """Keeps the index at the end of the stream.

    At start it reads everything after the index's position. From then on the acknowledgements of this
    process's own publishes keep the index complete, and the stream is read only where somebody else has
    written: another replica, or an import.
    """

    def __init__(
        self,
        index: FoldedIndex,
        client: Callable[[], Awaitable[Client]],
        read: Callable[[bytes, int], Accepted | Revision | None],
        subjects: Collection[str],
        metrics: FoldMetrics,
    ) -> None:
        """Fold what `read` makes of messages into `index`; `client` waits for the broker.

        `subjects`, with ``*`` for the place, should hold nothing that `read` makes nothing of.
        """
        self._index = index
        self._client = client
        self._read = read
        self._subjects = subjects
        self._metrics = metrics
        self._afresh = False
        self._stream = ""

    async def run(self) -> None:
        """Fold until cancelled, through outages; a stream that went back or is new starts the index anew."""
        while True:
            try:
                client = await self._client()
                await self._open(client)
                while not self._index.broken:
                    await self._read_to_end(client)
                    self._index.mark_ready()
                    await self._wait_for_gap(client)
                self._afresh = True  # what broke the file may be in it
            except HistoryChangedError as error:
                _log.warning("index_starts_anew", reason=str(error))
                self._index.mark_behind()
                self._afresh = True
            except (TransientError, NatsError, JetStreamError, TimeoutError, OSError, sqlite3.Error) as error:
                _log.warning("index_fold_retries", reason=repr(error), delay_s=RETRY_S)
                # Meanwhile another replica may accept what only this index would recognise afterwards: the
                # broker's window for repeats may be shorter than the outage.
                self._index.mark_behind()
                await asyncio.sleep(RETRY_S)

    async def _open(self, client: Client) -> None:
        if self._stream and not (self._index.broken or self._afresh):
            return
        info = await client.jetstream(timeout=5).stream_info(FEEDBACK)
        self._stream = str(info.created)
        await self._index.open(self._stream, afresh=self._afresh)
        self._afresh = False

    async def _read_to_end(self, client: Client) -> None:
        last = (await client.jetstream(timeout=5).stream_info(FEEDBACK)).state.last_seq
        reader = FoldReader(client, FEEDBACK, after=self._index.position)
        try:
            while not self._index.broken:
                messages = await reader.take(TAKE, wait_s=0.2)
                if messages:
                    self._fold(messages)
                    await self._index.flush()
                    self._metrics.index_lag(max(0, reader.pending))
                elif not client.is_connected:
                    raise TimeoutError("the broker went away while the index was reading")
                if reader.caught_up:
                    break
            # Sequences at the end may be expired or deleted: then no message ever moves the position there.
            self._index.fold([], max(last, reader.position) if reader.caught_up else reader.position, [])
        finally:
            await reader.close()

    def _fold(self, messages: list[StoredMessage]) -> None:
        accepted: list[Accepted] = []
        revisions: list[Revision] = []
        unreadable = 0
        for message in messages:
            entry = self._read(message.data, message.sequence)
            if isinstance(entry, Accepted):
                accepted.append(entry)
            elif entry is not None:
                revisions.append(entry)
            elif metric_label(message.subject) in self._subjects:
                unreadable += 1
        if unreadable:
            # Not a dead letter: those who act on the message write it. Here it only can't be looked up.
            _log.warning("index_skipped", messages=unreadable, through=messages[-1].sequence)
            self._metrics.index_skipped(unreadable)
        self._index.fold(accepted, messages[-1].sequence, revisions)

    async def _wait_for_gap(self, client: Client) -> None:
        """Return when the stream has held something for a while that our own publishes did not tell us."""
        jetstream = client.jetstream(timeout=5)
        before = 0
        while not self._index.broken:
            known = self._index.position  # before asking: our own publishes move it while the answer travels
            info = await jetstream.stream_info(FEEDBACK)
            heed_cancellation()
            last = info.state.last_seq
            if last < known or str(info.created) != self._stream:
                raise HistoryChangedError(
                    describe(
                        f"{FEEDBACK} made {info.created}, ending at {last}",
                        f"the stream made {self._stream}, going on after {known}",
                        "nothing: the index is made anew",
                    )
                )
            if self._index.position < before:
                return
            before = last
            self._metrics.index_lag(last - self._index.position)
            await asyncio.sleep(WATCH_S)


async def keep_written(flush: Callable[[], Awaitable[None]]) -> None:
    """Write the index every `FLUSH_S` seconds, until cancelled."""
    while True:
        await asyncio.sleep(FLUSH_S)
        await flush()


async def keep_pruned(
    wait_ready: Callable[[], Awaitable[None]], prune: Callable[[datetime], Awaitable[None]], clock: Clock
) -> None:
    """Let the index forget what is beyond its horizon, once it is ready and then daily, until cancelled."""
    while True:
        await wait_ready()
        await prune(clock.now())
        await asyncio.sleep(PRUNE_S)
