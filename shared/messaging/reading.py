"""Reading streams fast: pull loops for the folds, the archive and notify's look at every rating.

FastStream's handlers serve the many low-rate events. The hot readers pull by themselves, with overlapping
requests so that the broker never waits for us: ten times the rate, and in order (ADR 0003).
"""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from uuid import uuid4

import msgspec
import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from shared.kernel.errors import PermanentError, TransientError, describe
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.tap import Tap, status_of, tap
from shared.messaging.wire import pub, write

log = structlog.get_logger(__name__)

PULL_BATCH: Final = 1000
PULL_BYTES: Final = 4 * 1024 * 1024
"""Bytes that one request may bring: a thousand revised rankings would be half a gigabyte."""
PULL_EXPIRES_S: Final = 20.0
HEARTBEAT_S: Final = 1.0
SILENCE_S: Final = 3 * HEARTBEAT_S
SMALL_PULL: Final = 32
"""Messages that a paced reader asks for without a pause: whatever trickles in comes at once."""
BACKLOG: Final = 500
"""So many waiting messages are fetched without a pause, too."""
RETRY_S: Final = 0.5
INACTIVE_S: Final = 30.0
NANO: Final = 1_000_000_000

_IDLE = "100"
_ENDED = ("404", "408")
_CONFLICT = "409"
_NO_RESPONDERS = "503"


ACK: Final = b"+ACK"
"""Answer: handled."""
TERM: Final = b"+TERM"
"""Answer: never deliver it again."""


def nak(delay_s: float = 0.0) -> bytes:
    """Answer: deliver it again, at once or after ``delay_s`` seconds."""
    return b'-NAK {"delay": %d}' % round(delay_s * NANO) if delay_s > 0 else b"-NAK"


class HistoryChangedError(PermanentError):
    """The stream no longer continues what was folded: it went back, or it is another stream."""


class ReaderLostError(TransientError):
    """The consumer is gone or silent; reading can be resumed."""


class StoredMessage(msgspec.Struct, frozen=True, gc=False):
    """One message of a stream as the broker delivered it.

    A struct of msgspec's, since one is made for every message of the platform: a frozen dataclass takes five
    times as long.

    Attributes:
        pending: messages of the stream still to come for this consumer; 0 means caught up.
        delivered: how often it was delivered, from 1.
        reply: where to acknowledge it.
    """

    subject: str
    data: bytes
    stream: str
    sequence: int
    consumer_sequence: int
    delivered: int
    pending: int
    published_ns: int
    reply: str

    @classmethod
    def of(cls, subject: bytes, reply: bytes, data: bytes) -> "StoredMessage":
        """Read the broker's metadata out of the ``$JS.ACK`` reply: 9 tokens, 12 with a domain."""
        address = reply.decode()
        tokens = address.split(".")
        if len(tokens) > 9:  # noqa: PLR2004 - domain and account hash come after '$JS.ACK'
            tokens = tokens[:2] + tokens[4:]
        return cls(
            subject.decode(),
            data,
            tokens[2],
            int(tokens[5]),
            int(tokens[6]),
            int(tokens[4]),
            int(tokens[8]),
            int(tokens[7]),
            address,
        )


class _Pull:
    """Overlapping pull requests on one consumer; hands out what arrived, without waiting to fill a batch.

    With a pace, requests are small, and while messages keep coming at most one is sent in that many seconds.
    """

    def __init__(self, client: Client, stream: str, consumer: str, pace_s: float = 0.0) -> None:
        self._client = client
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._pace_s = pace_s
        self._due = 0.0
        self._pending = 0
        self._inbox = client.new_inbox()
        self._requests: dict[str, int] = {}
        self._number = 0
        self._arrived: deque[StoredMessage] = deque()
        self._wake = asyncio.Event()
        self._tap: Tap | None = None
        self._failure: str | None = None
        self._now = asyncio.get_running_loop().time
        self._last_sign = self._now()

    async def start(self) -> None:
        self._tap = await tap(self._client, f"{self._inbox}.*", self._on_message)
        await self._refill()

    async def stop(self) -> None:
        if self._tap is not None:
            await self._tap.close()

    async def drain(self) -> list[StoredMessage]:
        """Stop, and hand out what was delivered but not taken, what was on its way included."""
        if self._tap is not None:
            await self._tap.drain()
        left = list(self._arrived)
        self._arrived.clear()
        return left

    def _on_message(self, subject: bytes, reply: bytes, headers: bytes, payload: bytes) -> None:
        self._last_sign = self._now()
        if reply:
            message = StoredMessage.of(subject, reply, payload)
            self._pending = message.pending
            self._arrived.append(message)
        else:
            self._on_status(subject, headers)
        self._wake.set()

    def _on_status(self, subject: bytes, headers: bytes) -> None:
        status, description = status_of(headers)
        if status == _IDLE:
            return
        self._requests.pop(subject.decode().rsplit(".", 1)[1], None)
        if status in _ENDED:
            return
        if status == _CONFLICT and not any(
            word in description for word in ("Deleted", "Leadership", "Shutdown")
        ):
            return
        self._failure = f"{status} {description}".strip()

    async def _refill(self) -> None:
        outstanding = sum(self._requests.values())
        now = self._now()
        if not self._pace_s or self._pending >= BACKLOG:
            wanted = PULL_BATCH if outstanding < PULL_BATCH else 0
        else:
            wanted = max(SMALL_PULL, self._pending) if outstanding <= 0 and now >= self._due else 0
        if not wanted:
            return
        self._due = now + self._pace_s
        if not self._requests:
            self._last_sign = now  # who asked for nothing heard nothing
        self._number += 1
        self._requests[str(self._number)] = wanted
        await self._client.publish(self._next, _request(wanted), reply=f"{self._inbox}.{self._number}")

    def hasten(self) -> None:
        """Send the next request without waiting for its pace."""
        self._due = 0.0
        self._wake.set()

    def _pause_s(self, left: float) -> float:
        """How long to wait for a message before the next look, of the ``left`` seconds of a :meth:`take`."""
        until_due = self._due - self._now()
        return min(left, HEARTBEAT_S, until_due) if until_due > 0 else min(left, HEARTBEAT_S)

    async def take(self, most: int, wait_s: float) -> list[StoredMessage]:
        """What has arrived, oldest first; empty after ``wait_s`` seconds of an idle but living stream.

        Raises:
            ReaderLostError: the consumer is gone, or nothing, not even a heartbeat, came for three beats.
        """
        deadline = self._now() + wait_s
        while not self._arrived:
            if self._failure is not None:
                raise ReaderLostError(
                    describe(self._failure, "a living consumer", "it is read again by itself")
                )
            if self._requests and self._now() - self._last_sign > SILENCE_S:
                raise ReaderLostError(
                    describe(
                        f"{SILENCE_S} s of silence", "a heartbeat each second", "it is read again by itself"
                    )
                )
            await self._refill()
            left = deadline - self._now()
            if left <= 0:
                return []
            self._wake.clear()
            # Not `wait_for`: where both come at once, it forgets a cancellation over a message (Python 3.11).
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s(left)):
                    await self._wake.wait()
        taken: list[StoredMessage] = []
        while self._arrived and len(taken) < most:
            self._count_down()
            taken.append(self._arrived.popleft())
        await self._refill()
        return taken

    def _count_down(self) -> None:
        # A delivered message does not name its request; the server serves the oldest one first.
        for number, left in self._requests.items():
            if left > 1:
                self._requests[number] = left - 1
            else:
                del self._requests[number]
            return


@lru_cache(maxsize=64)
def _request(batch: int) -> bytes:
    """The body of a pull request for ``batch`` messages."""
    return json.dumps(
        {
            "batch": batch,
            "max_bytes": PULL_BYTES,
            "expires": int(PULL_EXPIRES_S * NANO),
            "idle_heartbeat": int(HEARTBEAT_S * NANO),
        }
    ).encode()


class FoldReader:
    """Reads a stream from a position, in order, each sequence once: the input of a fold.

    An ephemeral consumer without acknowledgements; the position belongs to whoever folds. Whatever happens
    to the consumer, the connection or the broker, reading goes on after the last message handed out.
    """

    def __init__(self, client: Client, stream: str, *, filters: tuple[str, ...] = (), after: int = 0) -> None:
        """Read ``stream`` (only subjects that match ``filters``) from sequence ``after`` + 1."""
        self._client = client
        self._jetstream = client.jetstream(timeout=5)
        self._stream = stream
        self._filters = filters
        self._pull: _Pull | None = None
        self._consumer = ""
        self._consumer_sequence = 0
        self._stream_created = ""
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

        Raises:
            HistoryChangedError: the stream went back behind the position, or was made anew.
        """
        try:
            if self._pull is None:
                await self._open()
            if self._pull is None:  # pragma: no cover - _open sets it or raises
                return []
            messages = await self._pull.take(most, wait_s)
            self._check_contiguous(messages)
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

    async def _open(self) -> None:
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
        self.pending = consumer.num_pending or 0
        self._pull = _Pull(self._client, self._stream, self._consumer)
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
        self._pull: _Pull | None = None
        self.openings = 0
        """How often reading began; the stream may have been replaced in between."""

    @property
    def reconnects(self) -> int:
        """How often the connection was lost and made again; the reader may have gone on over it."""
        return self._client.stats["reconnects"]

    async def take(self, most: int = PULL_BATCH, wait_s: float = 1.0) -> list[StoredMessage]:
        """The next messages; empty when nothing came for ``wait_s`` seconds or the broker is away."""
        try:
            if self._pull is None:
                await self._client.jetstream(timeout=5).consumer_info(self._stream, self.durable)
                self._pull = _Pull(self._client, self._stream, self.durable, self._pace_s)
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
