"""Reading a durable in order, each message with its effect before the next. The leader's work.

What can't be handled becomes a dead letter, what the broker's absence prevents is tried until it is there.
Acknowledging a message acknowledges all before it, also what a reader that died, or a broken connection,
took along. So that has its effect first.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final, Protocol, TypeVar

import structlog

from services.rectify.entrypoints.outstanding import Given
from shared.kernel.errors import TransientError
from shared.messaging.failure import FailedMessage, FailureHandling, Retry
from shared.messaging.stored import NANO, StoredMessage

T = TypeVar("T")

log = structlog.get_logger(__name__)
RETRY_S: Final = 1.0
TAKE_S: Final = 0.5

Leads = Callable[[], bool]


class Reader(Protocol):
    """Role: hands out a durable's messages; `DurableReader` plays it."""

    durable: str

    async def take(self, most: int = ..., wait_s: float = ...) -> list[StoredMessage]:
        """What has come, in order; empty after a while without anything."""
        ...

    async def acknowledge(self, message: StoredMessage) -> None:
        """Acknowledge `message` and all before it."""
        ...

    async def close(self) -> None:
        """Give up reading; the durable stays."""
        ...


class Outstanding(Protocol):
    """Role: knows what was given out and not acknowledged; `JetStreamOutstanding` plays it."""

    async def given(self) -> Given:
        """All of that.

        Raises:
            TransientError: the broker is away.
        """
        ...

    async def before(self, sequence: int) -> Sequence[StoredMessage]:
        """What is before `sequence`; raises like `given`."""
        ...


class InOrder:
    """Takes a durable to a handler, message by message."""

    def __init__(
        self,
        open_reader: Callable[[], Reader],
        outstanding: Outstanding,
        handle: Callable[[StoredMessage], Awaitable[None]],
        failures: FailureHandling,
        *,
        matters: Callable[[StoredMessage], bool] = lambda _message: True,
    ) -> None:
        """Hand what `matters` to `handle`; what it can't handle goes to `failures`."""
        self._open_reader = open_reader
        self._outstanding = outstanding
        self._handle = handle
        self._failures = failures
        self._matters = matters

    async def run(self, leads: Leads) -> None:
        """Read as long as `leads` says so."""
        reader = self._open_reader()
        try:
            # What a reader that died had been given: its effect now, not when the broker gives it out again.
            given = await _known(self._outstanding.given, leads)
            if given is None or not await self._all_done(reader, given.messages, leads):
                return
            delivered = given.consumer_sequence
            while leads():
                messages = await reader.take(wait_s=TAKE_S)
                for message in messages:
                    if message.consumer_sequence != delivered + 1:
                        missed = await _known(partial(self._outstanding.before, message.sequence), leads)
                        if missed is None or not await self._all_done(reader, missed, leads):
                            return
                    if not await self._all_done(reader, (message,), leads):
                        return
                    delivered = message.consumer_sequence
                if messages:
                    await reader.acknowledge(messages[-1])
        finally:
            await reader.close()

    async def _all_done(self, reader: Reader, messages: Sequence[StoredMessage], leads: Leads) -> bool:
        """Give each its effect, however often it takes; False: this replica leads no more."""
        for message in messages:
            while self._matters(message) and not await self._handled(reader, message):
                if not leads():
                    return False
                await asyncio.sleep(RETRY_S)
        return True

    async def _handled(self, reader: Reader, message: StoredMessage) -> bool:
        """Give one message its effect; False: try again."""
        stored_at = datetime.fromtimestamp(message.published_ns / NANO, UTC)
        with self._failures.attempt(message.delivered, stored_at) as attempt:
            try:
                await self._handle(message)
            except Exception as error:  # noqa: BLE001 - the boundary where every failure becomes a decision
                failed = FailedMessage(
                    reader.durable,
                    message.stream,
                    message.sequence,
                    message.subject,
                    message.data,
                    message.delivered,
                )
                return not isinstance(await self._failures.settle(failed, error, attempt), Retry)
        return True


async def _known(ask: Callable[[], Awaitable[T]], leads: Leads) -> T | None:
    """What `ask` gives, through outages of the broker; None: this replica leads no more."""
    while leads():
        try:
            return await ask()
        except TransientError as error:
            log.warning("outstanding_unknown", reason=str(error))
            await asyncio.sleep(RETRY_S)
    return None
