"""The registry in force, out of the stream REGISTRY: what each load makes it, the same for everybody.

A load counts once its ``RegistryLoaded`` is there, and then as a whole (ADR 0033).
"""

import asyncio
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any, Final

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError

from shared.events import Envelope, EventData, InvalidEventError, parse_event
from shared.events.units import (
    DivisionChanged,
    RegistryLoaded,
    ResponsibilityAssigned,
    UnitChanged,
    UnitMerged,
    UnitRegistered,
)
from shared.kernel.errors import TransientError
from shared.kernel.ids import UnitId
from shared.kernel.regions import Division
from shared.kernel.registry_book import Change, Merge, Office, RegistryBook, units_hash
from shared.kernel.units import CurrentUnits, Unit, UnitRegistry, load_units
from shared.messaging.connection import BrokerSettings, close, connect
from shared.messaging.reading import FoldReader
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import REGISTRY

log = structlog.get_logger(__name__)

PREFIX: Final = "registry.v1."
WAIT_S: Final = 1.0
START_S: Final = 5.0
"""How long a start waits for the broker to tell the registry."""
PARTS: Final = (UnitRegistered, UnitChanged, UnitMerged, ResponsibilityAssigned, DivisionChanged)
"""The events that a load is made of, before the one that completes it."""


def change_of(said: EventData) -> Change:
    """The change that one event of a load stands for.

    Raises:
        TypeError: it is no part of a load.
    """
    if isinstance(said, UnitRegistered | UnitChanged):
        state = said.unit
        return Unit(
            UnitId(state.unit_id),
            state.name,
            state.level,
            state.kind,
            state.division,
            state.city,
            state.county,
            None if state.parent_id is None else UnitId(state.parent_id),
            date.fromisoformat(state.valid_from),
            None if state.valid_to is None else date.fromisoformat(state.valid_to),
            None if state.successor is None else UnitId(state.successor),
        )
    if isinstance(said, DivisionChanged):
        end = None if said.valid_to is None else date.fromisoformat(said.valid_to)
        start = date.fromisoformat(said.valid_from)
        return Division(said.code, said.name, said.level, said.parent, start, end)
    if isinstance(said, UnitMerged):
        return Merge(said.unit_id, said.into, date.fromisoformat(said.on))
    if isinstance(said, ResponsibilityAssigned):
        return Office(said.unit_id, said.role, said.person, date.fromisoformat(said.valid_from))
    raise TypeError(type(said).__name__)


def apply_registry(book: RegistryBook, envelope: Envelope[Any]) -> None:
    """Fold one event into `book`; events of other kinds change nothing."""
    said = envelope.data
    if isinstance(said, RegistryLoaded):
        book.loaded(said.load_id, said.number, said.changes)
    elif isinstance(said, PARTS):
        book.part(said.load_id, change_of(said))


class RegistryReader:
    """Reads the loads in the stream and keeps a book of them."""

    def __init__(self, client: Client, divisions: Iterable[Division] = ()) -> None:
        """Begin with the committed units, and these divisions, which loads come on top of."""
        self.book = RegistryBook(load_units(), divisions)
        self._reader = FoldReader(client, REGISTRY)

    @property
    def position(self) -> int:
        """Sequence in the stream up to which the book is complete."""
        return self._reader.position

    async def take(self) -> bool:
        """Fold what comes, or wait a second for it; whether all of the stream is in the book.

        Raises:
            HistoryChangedError: the stream is another one than before; only a fresh start helps.
        """
        for message in await self._reader.take(wait_s=WAIT_S):
            if message.subject.startswith(PREFIX):
                self._fold(message)
        return self._reader.caught_up

    async def close(self) -> None:
        """Stop reading."""
        await self._reader.close()

    def _fold(self, message: StoredMessage) -> None:
        try:
            envelope = parse_event(message.data)
        except InvalidEventError as error:
            log.warning("registry_event_unreadable", sequence=message.sequence, reason=repr(error)[:200])
            return
        apply_registry(self.book, envelope)


async def read_registry(client: Client, divisions: Iterable[Division] = ()) -> RegistryBook:
    """The registry in force, folded from all that is in the stream now on top of the committed tables.

    Args:
        client: who may read the stream.
        divisions: the committed ones, for whoever asks about them.
    """
    reader = RegistryReader(client, divisions)
    try:
        while not await reader.take():
            pass
    finally:
        await reader.close()
    return reader.book


async def keep_current(units: CurrentUnits, client: Client) -> None:
    """Let `units` be what is in force, until cancelled; where nothing was ever loaded they stay as they are.

    Raises:
        HistoryChangedError: the stream is another one than before; only a fresh start helps.
    """
    reader = RegistryReader(client)
    try:
        while True:
            if await reader.take():
                take_up(units, reader.book)
    finally:
        await reader.close()


def take_up(units: CurrentUnits, book: RegistryBook) -> None:
    """Let `units` be those of `book`, which has been read to the stream's end."""
    if book.number and units.take_up(book.number, book.units):
        log.info("registry_taken_up", number=book.number, units=len(units), hash=units_hash(units))


async def units_at_start(settings: BrokerSettings, service: str, path: Path | None) -> UnitRegistry:
    """The units in force: as the stream has them; with the broker away, or nothing loaded, those of `path`.

    For services that can't take others up later.
    """
    try:
        async with asyncio.timeout(START_S):
            client = await connect(settings, service, timeout_s=START_S)
            try:
                book = await read_registry(client)
            finally:
                await close(client)
    except (TransientError, NatsError, JetStreamError, TimeoutError, OSError) as error:
        log.warning("registry_not_read", reason=repr(error)[:200], instead=str(path or "the committed table"))
        return load_units(path)
    return UnitRegistry(book.units) if book.number else load_units(path)
