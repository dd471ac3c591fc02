"""The feedback stream, folded into the table of held ratings."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError

from shared.kernel.errors import TransientError
from shared.messaging.reading import FoldReader, HistoryChangedError
from shared.messaging.streams import FEEDBACK
from shared.observability.logging import get_logger

RETRY_S: Final = 1.0
_log = get_logger(component="quarantine")


class FoldedQuarantine(Protocol):
    """Role: the table; `adapters.sqlite_quarantine` plays it."""

    position: int
    ready: bool

    def open(self, stream: str) -> None:
        """Take up what was folded from `stream`, or begin anew."""
        ...

    def fold(self, messages: Sequence[tuple[int, bytes]], through: int) -> None:
        """Take in decisions."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class QuarantineFold:
    """Keeps the table at the end of the stream."""

    def __init__(
        self, table: FoldedQuarantine, client: Callable[[], Awaitable[Client]], subjects: Sequence[str]
    ) -> None:
        """Fold messages on `subjects` into `table`; `client` waits for the broker."""
        self._table = table
        self._client = client
        self._subjects = tuple(subjects)

    async def run(self) -> None:
        """Fold until cancelled, through outages; a stream that went back or is new starts the table anew."""
        while True:
            try:
                await self._read(await self._client())
            except HistoryChangedError as error:
                _log.warning("quarantine_starts_anew", reason=str(error))
                self._table.close()
                self._table.open("")  # belongs to no stream: the next one begins anew
            except (TransientError, NatsError, JetStreamError, TimeoutError, OSError, sqlite3.Error) as error:
                _log.warning("quarantine_retries", reason=repr(error), delay_s=RETRY_S)
                await asyncio.sleep(RETRY_S)

    async def _read(self, client: Client) -> None:
        info = await client.jetstream(timeout=5).stream_info(FEEDBACK)
        self._table.open(str(info.created))
        reader = FoldReader(client, FEEDBACK, filters=self._subjects, after=self._table.position)
        try:
            while True:
                messages = await reader.take(wait_s=0.5)
                if messages:
                    read = [(message.sequence, message.data) for message in messages]
                    self._table.fold(read, reader.position)
                if reader.caught_up:
                    self._table.ready = True
        finally:
            await reader.close()
