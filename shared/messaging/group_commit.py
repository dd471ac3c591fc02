"""Group commit: concurrent callers share one JetStream atomic batch, and so its fsyncs.

With ``sync_interval: always`` every single publish costs one fsync, an atomic batch of up to 1,000 about
four, and a store of its own that the broker makes and removes (ADR 0008). So while one batch is on its way,
callers queue up and the next batch takes them all; only a large one goes out beside another, and one that
could begin waits as long as callers keep arriving.

One write carries a whole batch (:mod:`shared.messaging.wire`): three times as fast as one ``publish`` call
for each message.
"""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from secrets import token_hex
from typing import Any

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from shared.kernel.errors import PermanentError, TransientError, describe
from shared.messaging.publisher import BrokerUnavailableError, NothingSentError
from shared.messaging.streams import MAX_MESSAGE_BYTES
from shared.messaging.wire import hpub, write

log = structlog.get_logger(__name__)

MAX_BATCH = 1000
"""The server's limit for one atomic batch."""
MIN_ATOMIC = 6
"""Below this, single publishes cost fewer fsyncs than a batch."""
BESIDE = 48
"""So many messages must wait before another batch begins while one is under way. With fewer, small batches
cost the broker as much as large ones; with many more, everybody waits for one and nothing is prepared."""
PATIENCE_S = 0.5
"""After so long without an answer the others no longer wait for a batch: its answer may have been lost."""
CLOCK_S = 0.005
"""Timers of the event loop may come a little early."""
GATHER_S = 0.008
"""Longest time that a commit waits while more callers arrive; with nobody arriving it waits for one turn."""
MAX_BATCH_BYTES = 8 * 1024 * 1024
HEADER_BYTES = 1024
"""Room left for our headers within the stream's message limit."""
DUPLICATE_IN_BATCH = 10201
"""Error code of the server: a Msg-Id in the batch is in its duplicate window, so all of it is refused."""


class PublishOverloadedError(TransientError):
    """More messages wait for the broker than the queue's bound allows."""


WRONG_LAST_SEQUENCE = frozenset({10071, 10164})
"""The server's codes for "the last sequence of the subject is another", alone and within a batch."""


class PublishConflictError(TransientError):
    """Somebody else published on the subject since; nothing of the call was stored."""


class PublishRefusedError(PermanentError):
    """The broker would never take this message."""


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """One message to make durable; a struct of msgspec's for the reason of `reading.StoredMessage`.

    Attributes:
        message_id: what the broker recognises repeats by.
        replaces: what the last sequence of the subject must be before, 0 for none; None: whatever it is. Of
            one call only the first message may say so. If it does not hold, nothing of the call is stored.
        headers: further lines of the header, each with its line end.
    """

    subject: str
    message_id: str
    payload: bytes
    replaces: int | None = None
    headers: bytes = b""


class Stored(msgspec.Struct, frozen=True, gc=False):
    """The broker's answer for one message: its sequence, or that of the earlier message with the same id."""

    sequence: int
    duplicate: bool


@dataclass(slots=True)
class _Call:
    items: Sequence[Outgoing]
    done: "asyncio.Future[list[Stored]]"


class GroupCommit:
    """Publishes to **one** stream; every message is fsynced when :meth:`publish` returns.

    Up to ``inflight`` batches are under way at once, more than one only if :data:`BESIDE` messages wait or
    the first takes unusually long; order between calls is not promised. Callers' message ids must be unique
    within one call.
    """

    def __init__(
        self,
        client: Client,
        *,
        stream: str,
        max_queued: int = 20_000,
        inflight: int = 2,
        timeout_s: float = 5.0,
        pace_s: float = 0.0,
        on_batch: Callable[[int], None] | None = None,
    ) -> None:
        """Bound the queue to ``max_queued`` messages and each round trip to ``timeout_s`` seconds.

        Begin a commit at least ``pace_s`` seconds after the one before: for events that come one by one and
        that nobody waits for, since each small commit costs as many fsyncs as a large one. What comes after
        a pause goes out at once.
        ``on_batch`` is told how many messages each commit takes together, for a metric.
        """
        self._client = client
        self._stream = stream.encode()
        self._max_queued = max_queued
        self._inflight = inflight
        self._timeout_s = timeout_s
        self._pace_s = pace_s
        self._begun = float("-inf")
        self._on_batch = on_batch
        self._calls: deque[_Call] = deque()
        self._queued = 0
        self._under_way = 0
        self._late_from = 0.0
        self._wake = asyncio.Event()
        self._replies: dict[str, asyncio.Future[bytes]] = {}
        self._tokens = count(1)
        self._name = token_hex(5)
        self._now: Callable[[], float] = float  # the event loop's clock, once there is one
        self._inbox = ""
        self._subscription: Subscription | None = None
        self._workers: list[asyncio.Task[None]] = []
        self._closing = False

    async def start(self) -> None:
        """Subscribe to the acknowledgements and start the workers."""
        self._inbox = self._client.new_inbox()
        self._subscription = await self._client.subscribe(
            f"{self._inbox}.*", cb=self._on_reply, pending_msgs_limit=-1, pending_bytes_limit=-1
        )
        self._now = asyncio.get_running_loop().time
        self._workers = [
            asyncio.create_task(self._work(), name=f"group-commit-{number}")
            for number in range(self._inflight)
        ]

    async def stop(self) -> None:
        """Finish what is queued (bounded by the time limit of one round trip), then stop."""
        self._closing = True
        self._wake.set()
        if self._workers:
            _, late = await asyncio.wait(self._workers, timeout=self._timeout_s + 1)
            for worker in late:
                worker.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        while self._calls:
            call = self._calls.popleft()
            if not call.done.done():
                call.done.set_exception(
                    BrokerUnavailableError(describe("shutdown", "time to finish", "send it again"))
                )
        if self._subscription is not None:
            with contextlib.suppress(Exception):
                await self._subscription.unsubscribe()

    @property
    def queued(self) -> int:
        """Messages waiting for a batch."""
        return self._queued

    @property
    def awaited(self) -> int:
        """Acknowledgements that are still waited for."""
        return len(self._replies)

    def abandon(self) -> None:
        """Let nobody wait any longer for acknowledgements of what was sent: each outcome is unknown.

        For who learns that the broker is gone before the time limit does.
        """
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(
                    BrokerUnavailableError(
                        describe("no broker any more", "its acknowledgement", "send it again")
                    )
                )
                reply.exception()  # marks it as seen: of single publishes only the first is awaited

    async def publish(self, items: Sequence[Outgoing]) -> list[Stored]:
        """Make ``items`` durable; the answers come in their order.

        Raises:
            PublishOverloadedError: the queue is full; nothing was sent.
            NothingSentError: there is no connection; nothing was sent.
            BrokerUnavailableError: not known to be stored; send the same ids again.
            PublishConflictError: the first message's ``replaces`` does not hold; nothing was stored.
            PublishRefusedError: one of the messages is too large; nothing was sent.
        """
        if not items:
            return []
        for item in items:
            if len(item.payload) + HEADER_BYTES > MAX_MESSAGE_BYTES:
                # The server closes the whole connection over an oversized message; it must never see one.
                raise PublishRefusedError(
                    describe(
                        f"a message of {len(item.payload)} bytes",
                        f"at most {MAX_MESSAGE_BYTES - HEADER_BYTES}",
                        "shorten or split it",
                    )
                )
        if self._closing or not self._client.is_connected:
            raise NothingSentError(
                describe("the broker connection", "to be up", "retry; it reconnects by itself")
            )
        if self._queued + len(items) > self._max_queued:
            raise PublishOverloadedError(
                describe(
                    f"{self._queued} queued messages", f"at most {self._max_queued}", "retry after a second"
                )
            )
        done: asyncio.Future[list[Stored]] = asyncio.get_running_loop().create_future()
        self._calls.append(_Call(items, done))
        self._queued += len(items)
        if self._may_begin():
            self._wake.set()
        return await done

    def _may_begin(self) -> bool:
        if not self._calls:
            return False
        return not self._under_way or self._queued >= BESIDE or self._now() >= self._late_from

    async def _work(self) -> None:
        while True:
            while not self._may_begin():
                if self._closing:
                    return
                self._wake.clear()
                await self._wake.wait()
            await self._keep_pace()
            await self._gather()
            calls = self._take()
            if not calls:
                continue  # another worker has taken them meanwhile
            self._under_way += 1
            self._late_from = self._now() + PATIENCE_S
            late = asyncio.get_running_loop().call_later(PATIENCE_S + CLOCK_S, self._wake.set)
            try:
                await self._serve(calls)
            except (TransientError, PermanentError) as error:
                _fail(calls, error)
            except BaseException as error:
                # Whatever nobody thought of, too: a worker that ends here leaves callers waiting for ever.
                _fail(
                    calls,
                    BrokerUnavailableError(f"publishing stopped unexpectedly: {error!r}; send it again"),
                )
                if not isinstance(error, Exception):
                    raise
                log.exception("group_commit_failed_unexpectedly", calls=len(calls))
            finally:
                late.cancel()
                self._under_way -= 1

    async def _gather(self) -> None:
        """Let callers that are just being served by the event loop come along: the queue grows while they do.

        When a commit answers a hundred clients, their next requests are read over many turns of the loop. The
        first of them alone would be one commit, and the others would wait for it.
        """
        until = self._now() + GATHER_S
        seen = 0
        while seen < self._queued < MAX_BATCH and self._now() < until and not self._closing:
            seen = self._queued
            await asyncio.sleep(0)

    async def _keep_pace(self) -> None:
        if not self._pace_s:
            return
        early_s = self._begun + self._pace_s - self._now()
        if early_s > 0 and self._queued < MAX_BATCH and not self._closing:
            await asyncio.sleep(early_s)
        self._begun = self._now()

    async def _serve(self, calls: list[_Call]) -> None:
        """Commit what the calls hold, and answer them."""
        items = [item for call in calls for item in call.items]
        if self._on_batch is not None:
            self._on_batch(len(items))
        stored = await self._commit_unique(items)
        start = 0
        for call in calls:
            if not call.done.done():
                call.done.set_result(stored[start : start + len(call.items)])
            start += len(call.items)

    def _take(self) -> list[_Call]:
        """Calls for one round: as many as fit into one batch, at least one."""
        taken: list[_Call] = []
        messages = size = 0
        while self._calls:
            call = self._calls[0]
            call_size = sum(len(item.payload) for item in call.items)
            fenced = call.items[0].replaces is not None
            if taken and (
                fenced or messages + len(call.items) > MAX_BATCH or size + call_size > MAX_BATCH_BYTES
            ):
                break
            taken.append(self._calls.popleft())
            messages += len(call.items)
            size += call_size
            if fenced:
                break  # by itself: others must not be refused with it
        self._queued -= messages
        return taken

    async def _commit_unique(self, items: list[Outgoing]) -> list[Stored]:
        """Commit, sending each message id once: a repeat within a batch would refuse all of it."""
        if len({item.message_id for item in items}) == len(items):
            return await self._commit(items)
        first: dict[str, int] = {}
        unique: list[Outgoing] = []
        places: list[int] = []
        for item in items:
            place = first.setdefault(item.message_id, len(unique))
            if place == len(unique):
                unique.append(item)
            places.append(place)
        stored = await self._commit(unique)
        seen: set[int] = set()
        answers: list[Stored] = []
        for place in places:
            answer = stored[place]
            answers.append(answer if place not in seen else Stored(answer.sequence, duplicate=True))
            seen.add(place)
        return answers

    async def _commit(self, items: list[Outgoing]) -> list[Stored]:
        stored: list[Stored] = []
        for start in range(0, len(items), MAX_BATCH):
            stored += await self._commit_batch(items[start : start + MAX_BATCH])
        return stored

    async def _commit_batch(self, items: list[Outgoing]) -> list[Stored]:
        """One atomic batch; on a duplicate the two halves by themselves, down to single publishes."""
        fenced = items[0].replaces is not None
        if len(items) == 1 or (len(items) < MIN_ATOMIC and not fenced):
            return await self._publish_singly(items)
        answer = await self._send_batch(items)
        error = answer.get("error")
        if error is None and answer.get("count") == len(items):
            last = int(answer["seq"])
            return [Stored(last - len(items) + place, duplicate=False) for place in range(1, len(items) + 1)]
        if error is None or error.get("err_code") != DUPLICATE_IN_BATCH:
            if fenced:
                raise _refusal(items[0], error or answer)
            log.warning("batch_refused", answer=answer, messages=len(items))
            return await self._publish_singly(items)
        middle = len(items) // 2
        return await self._commit_batch(items[:middle]) + await self._commit_batch(items[middle:])

    async def _send_batch(self, items: list[Outgoing]) -> dict[str, Any]:
        batch = f"{self._name}{next(self._tokens):x}"
        reply = self._expect(batch)
        prefix = b"NATS/1.0\r\nNats-Batch-Id: %b\r\n" % batch.encode()
        lines: list[bytes] = []
        for number, item in enumerate(items, 1):
            headers = b"%bNats-Batch-Sequence: %d\r\n%b" % (prefix, number, _own_headers(item))
            if number < len(items):
                lines.append(hpub(item.subject, headers + b"\r\n", item.payload))
            else:
                # The stream is named once, since all or nothing is stored: every reader parses each header.
                commit = b"%bNats-Expected-Stream: %b\r\nNats-Batch-Commit: 1\r\n\r\n" % (
                    headers,
                    self._stream,
                )
                reply_to = f"{self._inbox}.{batch}"
                lines.append(hpub(item.subject, commit, item.payload, reply_to=reply_to))
        try:
            await write(self._client, lines)
            return _answer(await self._await_reply(reply))
        finally:
            self._replies.pop(batch, None)

    async def _publish_singly(self, items: list[Outgoing]) -> list[Stored]:
        """Pipelined single publishes: one write, one acknowledgement each."""
        waiting: list[tuple[str, asyncio.Future[bytes]]] = []
        lines: list[bytes] = []
        for item in items:
            token = str(next(self._tokens))
            waiting.append((token, self._expect(token)))
            headers = b"NATS/1.0\r\nNats-Expected-Stream: %b\r\n%b\r\n" % (self._stream, _own_headers(item))
            lines.append(hpub(item.subject, headers, item.payload, reply_to=f"{self._inbox}.{token}"))
        try:
            await write(self._client, lines)
            answers = [_answer(await self._await_reply(reply)) for _, reply in waiting]
        finally:
            for token, _ in waiting:
                self._replies.pop(token, None)
        return [_stored(item, answer) for item, answer in zip(items, answers, strict=True)]

    def _expect(self, token: str) -> "asyncio.Future[bytes]":
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._replies[token] = reply
        return reply

    async def _await_reply(self, reply: "asyncio.Future[bytes]") -> bytes:
        try:
            # Not `wait_for`: where both come at once, it forgets a cancellation over a reply (Python 3.11).
            async with asyncio.timeout(self._timeout_s):
                return await reply
        except TimeoutError as error:
            raise BrokerUnavailableError(
                describe(
                    f"{self._timeout_s} s without an answer", "the broker's acknowledgement", "send it again"
                )
            ) from error

    async def _on_reply(self, message: Msg) -> None:
        reply = self._replies.get(message.subject.rsplit(".", 1)[1])
        if reply is not None and not reply.done():
            reply.set_result(message.data)


def _own_headers(item: Outgoing) -> bytes:
    fence = b"" if item.replaces is None else b"Nats-Expected-Last-Subject-Sequence: %d\r\n" % item.replaces
    return b"Nats-Msg-Id: %b\r\n%b%b" % (item.message_id.encode(), fence, item.headers)


def _answer(raw: bytes) -> dict[str, Any]:
    """The acknowledgement as JSON; an empty body means that no stream listens on the subject."""
    if not raw:
        raise BrokerUnavailableError(
            describe("no responder", "a stream on the subject", "run `python -m deploy.provision`")
        )
    answer: dict[str, Any] = json.loads(raw)
    return answer


def _stored(item: Outgoing, answer: dict[str, Any]) -> Stored:
    error = answer.get("error")
    if error is None:
        return Stored(int(answer["seq"]), duplicate=bool(answer.get("duplicate")))
    raise _refusal(item, error)


def _refusal(item: Outgoing, error: dict[str, Any]) -> TransientError:
    what = f"{item.subject}: {error.get('description')}"
    if error.get("err_code") in WRONG_LAST_SEQUENCE:
        return PublishConflictError(
            describe(what, f"{item.replaces} to be its last sequence", "read what was published, then decide")
        )
    return BrokerUnavailableError(describe(what, "room in the stream", "send it again"))


def _fail(calls: list[_Call], error: Exception) -> None:
    for call in calls:
        if not call.done.done():
            call.done.set_exception(error)
