"""Quotas between replicas: each writes its counts to a key of its own, and reads those of the others.

The bucket ``quotas`` holds one message for each replica, which disappears by itself when all its windows have
passed. Places are keyed hashes there. While the broker is away every replica goes by its own counts and what
it last heard; nothing waits for it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from secrets import token_hex
from typing import Final

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError

from services.intake.domain.quotas import QuotaBook
from shared.events.unreadable import UNREADABLE
from shared.kernel.clock import Clock
from shared.kernel.errors import TransientError
from shared.messaging.reading import FoldReader, HistoryChangedError
from shared.messaging.streams import QUOTAS_BUCKET
from shared.observability.logging import get_logger

STREAM: Final = f"KV_{QUOTAS_BUCKET}"
PREFIX: Final = f"$KV.{QUOTAS_BUCKET}."
TELL_S: Final = 1.0
LIFE_S: Final = 2 * 86_400
"""Longer than two of the longest windows a rule pack may have."""

_Report = dict[str, dict[int, dict[bytes, int]]]

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Report).decode
_log = get_logger(component="quotas")


class SharedQuotas:
    """Tells the other replicas what this one counts, about once a second, and learns from them."""

    def __init__(self, book: QuotaBook, client: Callable[[], Awaitable[Client]], clock: Clock) -> None:
        """Share the counts of `book`; `client` waits for the broker."""
        self._book = book
        self._client = client
        self._clock = clock
        # Of this life only: what it counted before a restart is somebody else's then, and still counts.
        self._name = token_hex(8)
        self._told = b""

    async def run(self) -> None:
        """Share until cancelled, through outages."""
        after = 0
        while True:
            try:
                client = await self._client()
                reader = FoldReader(client, STREAM, after=after)
                try:
                    await self._share(client, reader)
                finally:
                    after = reader.position
                    await reader.close()
            except HistoryChangedError:
                after = 0
            except (TransientError, NatsError, JetStreamError, TimeoutError, OSError) as error:
                _log.warning("quotas_not_shared", reason=repr(error), delay_s=TELL_S)
                await asyncio.sleep(TELL_S)

    async def _share(self, client: Client, reader: FoldReader) -> None:
        due = time.monotonic()
        while client.is_connected:
            for message in await reader.take(wait_s=max(0.05, due - time.monotonic())):
                self._learn(message.subject.removeprefix(PREFIX), message.data)
            if time.monotonic() >= due:
                due = time.monotonic() + TELL_S
                await self._tell(client)

    def _learn(self, replica: str, data: bytes) -> None:
        if replica == self._name:
            return
        try:
            self._book.learn(replica, _decode(data))
        except UNREADABLE as error:
            _log.warning("quotas_unreadable", replica=replica, reason=repr(error))

    async def _tell(self, client: Client) -> None:
        moment = self._clock.now().timestamp()
        self._book.forget(moment)
        report = _encode(self._book.report(moment))
        if report == self._told:
            return
        jetstream = client.jetstream(timeout=TELL_S)
        await jetstream.publish(f"{PREFIX}{self._name}", report, headers={"Nats-TTL": f"{LIFE_S}s"})
        self._told = report
