"""Reading streams fast: pull loops for the folds, the archive and notify's durables.

FastStream's handlers serve the many low-rate events. The hot readers pull by themselves, with overlapping
requests so that the broker never waits for us: ten times the rate, and in order (ADR 0003).
"""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Final
from uuid import uuid4

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from shared.kernel.errors import PermanentError, describe
from shared.kernel.tasks import heed_cancellation
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.pulling import PULL_BATCH, Pull, ReaderLostError
from shared.messaging.stored import NANO, StoredMessage
from shared.messaging.wire import pub, write

log = structlog.get_logger(__name__)

RETRY_S: Final = 0.5
INACTIVE_S: Final = 30.0
STALLED_S: Final = 6.0
"""After so long without a message that was announced, it is asked whether there still is one."""

ACK: Final = b"+ACK"
"""Answer: handled."""
TERM: Final = b"+TERM"
"""Answer: never deliver it again."""


def nak(delay_s: float = 0.0) -> bytes:
    """Answer: deliver it again, at once or after ``delay_s`` seconds."""
    return b'-NAK {"delay": %d}' % round(delay_s * NANO) if delay_s > 0 else b"-NAK"


class HistoryChangedError(PermanentError):
    """The stream no longer continues what was folded: it went back, or it is another stream."""


class FoldReader:
    """Reads a stream from a position, in order, each sequence once: the input of a fold.

    An ephemeral consumer without acknowledgements; the position belongs to whoever folds. Whatever happens
    to the consumer, the connection or the broker, reading goes on after the last message handed out.
    """

    def __init__(
        self,
        client: Client,
        stream: str,
        *,
        filters: tuple[str, ...] = (),
        after: int = 0,
        pace_s: float = 0.0,
        created: str = "",
    ) -> None:
        """Read ``stream`` (only subjects that match ``filters``) from sequence ``after`` + 1.

        ``created`` says when the stream was made that ``after`` is a sequence of; empty: whichever there is.

        With a pace, what comes within so many seconds comes in one go; the first message after a quiet time
        and a backlog come at once. Every delivery by itself costs the broker a write and the reader a
        wake-up, which under a steady flow are dearer than what is done with the message.
        """
        self._client = client
        self._pace_s = pace_s
        self._jetstream = client.jetstream(timeout=5)
        self._stream = stream
        self._filters = filters
        self._pull: Pull | None = None
        self._consumer = ""
        self._consumer_sequence = 0
        self._connection = 0
        self._progressed = 0.0
        self._stream_created = created
        self.position = after
        """Sequence of the last message handed out."""
        self.pending = -1
        """Messages still to come, as of the last message; -1 before the first contact, 0 when caught up."""

    @property
    def caught_up(self) -> bool:
        """Whether everything that was in the stream at the last contact has been handed out."""
        return self.pending == 0

    async def take(self, most: int = PULL_BATCH, wait_s: float = 1.0) -> list[StoredMessage]:
        """The next messages, oldest first; empty when nothing came for ``wait_s`` seconds.

        Empty at once if there was nothing to come when the stream was opened: see :attr:`caught_up`.

        Raises:
            HistoryChangedError: the stream went back behind the position, or was made anew.
        """
        heed_cancellation()  # who reads for ever, or until a time limit, would not end
        try:
            if self._pull is not None and self._connection != self._client.stats["reconnects"]:
                await self.close()  # what was on its way over the former connection does not come again
            if self._pull is None:
                await self._open()
                if self.caught_up:
                    wait_s = 0.0  # whoever waits for the end of what there is has reached it
            if self._pull is None:  # pragma: no cover - _open sets it or raises
                return []
            messages = await self._pull.take(most, wait_s)
            self._check_contiguous(messages)
            self._check_progress(messages)
        except (ReaderLostError, NatsError, JetStreamError, TimeoutError) as error:
            log.warning("fold_reader_reopens", stream=self._stream, position=self.position, reason=str(error))
            await self.close()
            await asyncio.sleep(RETRY_S)
            return []
        if messages:
            self.position = messages[-1].sequence
            self.pending = messages[-1].pending
        return messages

    def _check_contiguous(self, messages: list[StoredMessage]) -> None:
        for message in messages:
            self._consumer_sequence += 1
            if message.consumer_sequence != self._consumer_sequence:
                raise ReaderLostError(
                    describe(
                        f"delivery {message.consumer_sequence}", f"{self._consumer_sequence}", "read again"
                    )
                )

    def _check_progress(self, messages: list[StoredMessage]) -> None:
        now = asyncio.get_running_loop().time()
        if messages or self.caught_up:
            self._progressed = now
        elif now - self._progressed > STALLED_S:
            raise ReaderLostError(
                describe(
                    f"{STALLED_S} s without a message", f"{self.pending} to come", "they are counted again"
                )
            )

    async def _open(self) -> None:
        self._connection = self._client.stats["reconnects"]
        info = await self._jetstream.stream_info(self._stream)
        created = str(info.created)
        if info.state.last_seq < self.position or (self._stream_created and created != self._stream_created):
            raise HistoryChangedError(
                describe(
                    f"{self._stream} ends at {info.state.last_seq} (made {created})",
                    f"a stream that goes on after {self.position}",
                    "see docs/operations.md, 'A stream went back'",
                )
            )
        self._stream_created = created
        self._consumer = f"fold-{uuid4().hex}"
        config = ConsumerConfig(
            name=self._consumer,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=self.position + 1,
            ack_policy=AckPolicy.NONE,
            filter_subject=self._filters[0] if len(self._filters) == 1 else None,
            filter_subjects=list(self._filters) if len(self._filters) > 1 else None,
            inactive_threshold=INACTIVE_S,
            mem_storage=True,
            num_replicas=1,
        )
        consumer = await self._jetstream.add_consumer(self._stream, config)
        self._consumer_sequence = 0
        self._progressed = asyncio.get_running_loop().time()
        self.pending = consumer.num_pending or 0
        self._pull = Pull(
            self._client,
            self._stream,
            self._consumer,
            self._pace_s,
            sweeps=self._pace_s > 0,
            pending=self.pending,
        )
        await self._pull.start()

    async def close(self) -> None:
        """Let the consumer go; :meth:`take` opens it again where it stopped."""
        if self._pull is not None:
            await self._pull.stop()
            self._pull = None
        if self._consumer and self._client.is_connected:
            with contextlib.suppress(NatsError, JetStreamError, TimeoutError):
                await self._jetstream.delete_consumer(self._stream, self._consumer)
        self._consumer = ""


class DurableReader:
    """Reads a provisioned durable consumer in batches; whoever reads acknowledges after its own commit.

    At least once: after a crash or an outage messages come again, perhaps out of order, and the reader's
    store must recognise them. The consumer must exist (ADR 0005); while it does not, :meth:`take` says so.
    """

    def __init__(self, client: Client, stream: str, durable: str, *, pace_s: float = 0.0) -> None:
        """Read ``durable`` on ``stream``.

        Args:
            client: the connection.
            stream: name of the stream.
            durable: name of the consumer.
            pace_s: while messages keep coming they are fetched together, once in so many seconds; a trickle
                and a backlog come without a pause. A delivery makes the broker write the consumer's state to
                disk, ten times a second at most, and three syncs each that ratings wait for: what a reader
                can do later, it should do in one go.
        """
        self._client = client
        self._stream = stream
        self._pace_s = pace_s
        self.durable = durable
        """Name of the consumer."""
        self._pull: Pull | None = None
        self.openings = 0
        """How often reading began; the stream may have been replaced in between."""

    @property
    def reconnects(self) -> int:
        """How often the connection was lost and made again; the reader may have gone on over it."""
        return self._client.stats["reconnects"]

    async def take(self, most: int = PULL_BATCH, wait_s: float = 1.0) -> list[StoredMessage]:
        """The next messages; empty when nothing came for ``wait_s`` seconds or the broker is away."""
        heed_cancellation()  # as in `FoldReader.take`
        try:
            if self._pull is None:
                await self._client.jetstream(timeout=5).consumer_info(self._stream, self.durable)
                self._pull = Pull(self._client, self._stream, self.durable, self._pace_s)
                self.openings += 1
                await self._pull.start()
            return await self._pull.take(most, wait_s)
        except NotFoundError:
            log.exception(
                "consumer_missing", stream=self._stream, consumer=self.durable, remedy="provision again"
            )
        except (ReaderLostError, NatsError, JetStreamError, TimeoutError) as error:
            log.warning(
                "durable_reader_reopens", stream=self._stream, consumer=self.durable, reason=str(error)
            )
        await self.close()
        await asyncio.sleep(RETRY_S)
        return []

    def hasten(self) -> None:
        """Fetch what is in the stream by now without waiting for the pace, once."""
        if self._pull is not None:
            self._pull.hasten()

    async def acknowledge(self, message: StoredMessage) -> None:
        """Acknowledge ``message``, with ack-all everything before it too. A lost one means a repeat."""
        with contextlib.suppress(NatsError):
            await self._client.publish(message.reply, ACK)

    async def answer(self, answers: Iterable[tuple[StoredMessage, bytes]]) -> None:
        """Tell the broker about many messages in one write: :data:`ACK`, :data:`TERM` or :func:`nak`.

        What can't be told now never is: those messages come again after the consumer's ack wait.
        """
        lines = [pub(message.reply, word) for message, word in answers]
        if lines:
            with contextlib.suppress(BrokerUnavailableError, NatsError):
                await write(self._client, lines)

    async def drain(self) -> list[StoredMessage]:
        """Stop pulling; returns what was delivered but not taken, for the caller to give back."""
        pull, self._pull = self._pull, None
        return [] if pull is None else await pull.drain()

    async def close(self) -> None:
        """Stop pulling; the durable stays."""
        if self._pull is not None:
            await self._pull.stop()
            self._pull = None
