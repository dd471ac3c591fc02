"""The stream REGISTRY, folded into the books of approvals, campaigns, findings and panels.

All of it is kept for good and read at each start: some ten thousand small events a year. Every replica folds
all of it, so each knows what the others took down.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError

from services.intake.application.carrying_out import CarryingOut
from shared.events import Envelope, InvalidEventError, parse_event
from shared.kernel.errors import TransientError
from shared.messaging.reading import FoldReader, HistoryChangedError
from shared.messaging.streams import REGISTRY
from shared.observability.logging import get_logger

RETRY_S: Final = 1.0
LOOK_S: Final = 1.0
"""How often a replica looks for work that another has left."""

_log = get_logger(component="registry-fold")


class Position(Protocol):
    """Role: is told how far the fold has come; `adapters.registry_log` plays it."""

    def folded(self, position: int, *, caught_up: bool) -> None:
        """Everything up to `position` is in the books."""
        ...

    def behind(self) -> None:
        """The books start anew."""
        ...


Apply = Callable[[Envelope[Any], int], None]


class RegistryFold:
    """Keeps the books at the end of the stream."""

    def __init__(
        self,
        client: Callable[[], Awaitable[Client]],
        position: Position,
        apply: Sequence[Apply],
        forget: Callable[[], None],
    ) -> None:
        """Hand each event to all of `apply`; `forget` empties the books; `client` waits for the broker."""
        self._client = client
        self._position = position
        self._apply = tuple(apply)
        self._forget = forget

    async def run(self) -> None:
        """Fold until cancelled, through outages; a stream that went back or is new starts the books anew."""
        after = 0
        while True:
            try:
                reader = FoldReader(await self._client(), REGISTRY, after=after)
                try:
                    while True:
                        for message in await reader.take(wait_s=1.0):
                            self._take(message.data, message.sequence)
                        after = reader.position
                        self._position.folded(after, caught_up=reader.caught_up)
                finally:
                    await reader.close()
            except HistoryChangedError as error:
                _log.warning("registry_books_start_anew", reason=str(error))
                self._forget()
                self._position.behind()
                after = 0
            except (TransientError, NatsError, JetStreamError, TimeoutError, OSError) as error:
                _log.warning("registry_fold_retries", reason=repr(error), delay_s=RETRY_S)
                await asyncio.sleep(RETRY_S)

    def _take(self, data: bytes, sequence: int) -> None:
        try:
            envelope = parse_event(data)
        except InvalidEventError as error:
            # Archived all the same; a book can only pass over what no code can read.
            _log.warning("registry_event_unreadable", sequence=sequence, reason=repr(error)[:200])
            return
        for apply in self._apply:
            apply(envelope, sequence)


async def keep_carrying_out(work: CarryingOut) -> None:
    """Carry out what was granted until cancelled, through outages."""
    while True:
        try:
            await work.run_once()
        except TransientError as error:
            _log.warning("carrying_out_retries", reason=str(error)[:200], delay_s=RETRY_S)
            await asyncio.sleep(RETRY_S)
            continue
        await work.wait(LOOK_S)
