"""Batched direct reads: what a stream holds from a sequence on, without a consumer.

Any replica may answer, so what was stored a moment ago may be missing; what comes is in the stream's order.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from nats.aio.client import Client
from nats.errors import Error as NatsError

from shared.messaging.tap import status_of, tap

READS_AT_ONCE: Final = 64
TIMEOUT_S: Final = 10.0
_ENDS: Final = frozenset({"204", "404"})
"""After the last message, and where there is none."""
_SUBJECT: Final = re.compile(rb"\r\nNats-Subject: ([^\r\n]+)\r\n")
_SEQUENCE: Final = re.compile(rb"\r\nNats-Sequence: (\d+)\r\n")


class Read(NamedTuple):
    """A stored message."""

    subject: str
    sequence: int
    data: bytes


class ReadRefusedError(NatsError):
    """The broker answers a direct read with a status, for example because it does not know the stream."""


class DirectReads:
    """Reads of one connection, one after the other; made by :func:`direct_reads`."""

    def __init__(self, client: Client, inbox: str) -> None:
        """Ask through ``client``; the answers come to ``inbox``, a fresh one."""
        self._client = client
        self._inbox = inbox
        self._found: list[Read] = []
        self._end: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def receive(self, _subject: bytes, _reply: bytes, headers: bytes, payload: bytes) -> None:
        """Take an answer in: a message, or the status behind the last one."""
        status, description = status_of(headers)
        if self._end.done():
            return
        if status:
            self._end.set_result("" if status in _ENDS else f"{status} {description}".strip())
            return
        read = _read(headers, payload)
        if read is None:  # to leave it out would be a hole that the stream does not have
            self._end.set_result(f"a message without its place: {headers!r}")
        else:
            self._found.append(read)

    async def batch(
        self, stream: str, first: int, most: int, *, subjects: str = ">", max_bytes: int = 0, timeout_s: float
    ) -> list[Read]:
        """At most ``most`` messages of ``stream`` on ``subjects``, from sequence ``first`` on, oldest first.

        Args:
            stream: its name; it must allow direct reads.
            first: lowest sequence, from 1.
            most: number of messages; fewer come only at the end, or because of ``max_bytes``.
            subjects: a subject, or a pattern.
            max_bytes: the broker ends behind the message that reaches it; 0: it has a limit of its own.
            timeout_s: for the whole batch.

        Raises:
            ReadRefusedError: it can't be read.
            nats.errors.Error: no connection; TimeoutError likewise.
        """
        self._found, self._end = [], asyncio.get_running_loop().create_future()
        request = {"seq": first, "batch": most, "next_by_subj": subjects}
        if max_bytes:
            request["max_bytes"] = max_bytes
        asked = json.dumps(request).encode()
        await self._client.publish(f"$JS.API.DIRECT.GET.{stream}", asked, reply=self._inbox)
        async with asyncio.timeout(timeout_s):
            refusal = await self._end
        if refusal:
            raise ReadRefusedError(f"{stream} from {first}: {refusal}")
        return self._found


@contextlib.asynccontextmanager
async def direct_reads(client: Client) -> AsyncIterator[DirectReads]:
    """Let direct reads be asked of ``client`` inside; what one of them left unread is nobody's afterwards.

    Raises:
        nats.errors.Error: the client is closed.
    """
    inbox = client.new_inbox()
    reads = DirectReads(client, inbox)
    answers = await tap(client, inbox, reads.receive)
    try:
        yield reads
    finally:
        await answers.close()


async def read_after(client: Client, stream: str, subjects: str, after: int) -> list[Read]:
    """What ``stream`` holds on ``subjects`` behind the sequence ``after``, in its order; empty: nothing.

    Raises:
        nats.errors.Error: no answer; TimeoutError and OSError likewise.
    """
    found: list[Read] = []
    async with direct_reads(client) as reads:
        while part := await reads.batch(
            stream, after + 1, READS_AT_ONCE, subjects=subjects, timeout_s=TIMEOUT_S
        ):
            found += part
            after = part[-1].sequence
    return found


def _read(headers: bytes, payload: bytes) -> Read | None:
    """The message, whose own headers come first and the broker's behind them; None without the latter."""
    subjects, sequences = _SUBJECT.findall(headers), _SEQUENCE.findall(headers)
    if not subjects or not sequences:
        return None
    return Read(subjects[-1].decode(), int(sequences[-1]), payload)
