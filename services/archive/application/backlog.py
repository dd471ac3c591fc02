"""Messages that were delivered and wait for their place in the log, for each stream in order of arrival."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from shared.messaging.stored import StoredMessage

ROOM_MESSAGES: Final = 4_000
"""Two batches under way and two that wait: while one is written, the next must be there."""
ROOM_BYTES: Final = 8 * 1024 * 1024


class Backlog:
    """The queue of one stream, bounded by number and by bytes; the feeder waits for room."""

    def __init__(self, wake: asyncio.Event) -> None:
        """Set ``wake`` whenever something arrives."""
        self._wake = wake
        self._messages: deque[StoredMessage] = deque()
        self._bytes = 0
        self._room = asyncio.Event()
        self._room.set()

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def first(self) -> StoredMessage:
        """The message at the front; there must be one."""
        return self._messages[0]

    async def room(self) -> None:
        """Wait until the queue is below its bounds."""
        await self._room.wait()

    def add(self, messages: Iterable[StoredMessage]) -> None:
        """Append deliveries."""
        for message in messages:
            self._messages.append(message)
            self._bytes += len(message.data)
        self._changed()
        self._wake.set()

    def put_first(self, messages: Sequence[StoredMessage]) -> None:
        """Put messages that had been missing before the others."""
        self._messages.extendleft(reversed(messages))
        self._bytes += sum(len(message.data) for message in messages)
        self._changed()

    def take_run(self, after: int, most: int, most_bytes: int) -> list[StoredMessage]:
        """Take the longest contiguous run from the front that starts at ``after`` + 1.

        At most ``most`` messages and, behind the first one, ``most_bytes`` bytes.
        """
        taken: list[StoredMessage] = []
        size = 0
        for message in islice(self._messages, most):
            size += len(message.data)
            if message.sequence != after + 1 or (taken and size > most_bytes):
                break
            taken.append(message)
            after += 1
        self.drop(len(taken))
        return taken

    def drop(self, count: int) -> StoredMessage | None:
        """Take ``count`` messages from the front; returns the last one."""
        message = None
        for _ in range(count):
            message = self._messages.popleft()
            self._bytes -= len(message.data)
        self._changed()
        return message

    def drop_until(self, position: int) -> StoredMessage | None:
        """Take what is archived already (up to ``position``) from the front; returns the last one."""
        count = 0
        for message in self._messages:
            if message.sequence > position:
                break
            count += 1
        return self.drop(count)

    def clear(self) -> None:
        """Forget everything; unacknowledged, it comes again."""
        self.drop(len(self._messages))

    def _changed(self) -> None:
        if len(self._messages) < ROOM_MESSAGES and self._bytes < ROOM_BYTES:
            self._room.set()
        else:
            self._room.clear()
