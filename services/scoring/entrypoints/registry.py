"""A registry that is loaded while we run: the fold has a row for each unit, so the process starts anew."""

from collections.abc import Callable
from typing import Final

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError

from services.scoring.application.fold import Message
from services.scoring.application.ports import DeadLetterClerk
from shared.kernel.errors import TransientError, describe
from shared.kernel.registry_book import RegistryBook, units_hash
from shared.kernel.units import UnitRegistry
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.registry import RegistryReader
from shared.messaging.streams import REGISTRY

log = structlog.get_logger(__name__)

RETRY_S: Final = 0.5


class RegistryOutdatedError(TransientError):
    """What a message means can't be said: another registry is in force, or may be."""


class RegistryWatch:
    """Knows whether the registry that the process works with is in force."""

    def __init__(self, units: UnitRegistry, leave: Callable[[str], None]) -> None:
        """Call `leave` with the reason once others than `units` are in force."""
        self._hash = units_hash(units)
        self._leave = leave
        self._client: Client | None = None
        self._reader: RegistryReader | None = None
        self._outdated = False

    async def run(self, client: Client) -> None:
        """Follow the stream until another registry is in force, or until cancelled.

        Raises:
            HistoryChangedError: the stream is another one than before; only a fresh start helps.
        """
        reader = RegistryReader(client)
        self._client, self._reader = client, reader
        try:
            while not self._outdated:
                if await reader.take():
                    self._look(reader.book)
        finally:
            await reader.close()

    def _look(self, book: RegistryBook) -> None:
        if book.number and (found := units_hash(book.units)) != self._hash:
            self._outdated = True
            log.warning("registry_changed", number=book.number, before=self._hash, now=found)
            self._leave(f"registry {book.number} was loaded: started anew with it")

    async def require_current(self) -> None:
        """Return if no other registry was in force when this was asked.

        Raises:
            RegistryOutdatedError: one is, or that is not known yet.
            BrokerUnavailableError: no answer.
        """
        if self._client is None or self._reader is None:
            raise BrokerUnavailableError("the registry is not read yet")
        try:
            last = (await self._client.jetstream(timeout=5).stream_info(REGISTRY)).state.last_seq
        except (NatsError, TimeoutError, OSError) as error:
            raise BrokerUnavailableError(
                describe(f"no answer ({error!r})", f"the state of {REGISTRY}", "it is asked again")
            ) from error
        if self._outdated or self._reader.position < last:
            raise RegistryOutdatedError(
                describe(f"{REGISTRY} read to {self._reader.position}", f"read to {last}", "wait"), RETRY_S
            )


class RegistryAwareClerk:
    """Plays `DeadLetterClerk`: a rating of a unit that is being loaded is none to give up."""

    def __init__(self, clerk: DeadLetterClerk, watch: RegistryWatch) -> None:
        """File with `clerk` once `watch` is sure."""
        self._clerk = clerk
        self._watch = watch

    async def file(self, message: Message, error: BaseException) -> None:
        """See `DeadLetterClerk.file`.

        Raises:
            TransientError: not filed; call again.
        """
        await self._watch.require_current()
        await self._clerk.file(message, error)
