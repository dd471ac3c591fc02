"""The fold of the REGISTRY stream: who answers for which unit."""

import asyncio
from datetime import date
from typing import Final

import msgspec
import structlog
from nats.aio.client import Client

from services.notify.domain.offices import Offices
from shared.events import Envelope, InvalidEventError, parse_envelope
from shared.events.units import RegistryLoaded, ResponsibilityAssigned
from shared.events.unreadable import UNREADABLE
from shared.messaging.following import follow
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import REGISTRY

log = structlog.get_logger(__name__)
FACT: Final = 2
FILTER: Final = ("registry.v1.>",)


class _Data(msgspec.Struct):
    load_id: str | None = None


class _Part(msgspec.Struct):
    data: _Data


_decode = msgspec.json.Decoder(_Part).decode


class OfficeFold:
    """Keeps `Offices` up to date in one task."""

    def __init__(self, offices: Offices) -> None:
        """Fold into `offices`."""
        self._offices = offices
        self._caught_up = asyncio.Event()

    async def run(self, client: Client) -> None:
        """Follow the stream until cancelled; raises like `follow`."""
        await follow(client, REGISTRY, FILTER, self.fold, self._caught_up)

    async def caught_up(self) -> None:
        """Return once everything that was in the stream has been folded."""
        await self._caught_up.wait()

    def fold(self, message: StoredMessage) -> None:
        """Take one message in; one that is no event is left out."""
        fact = message.subject.split(".")[FACT]
        try:
            if fact == "loaded":
                loaded = parse_envelope(Envelope[RegistryLoaded], message.data).data
                if not self._offices.loaded(loaded.load_id, loaded.number, loaded.changes):
                    log.warning("registry_load_ignored", load_id=loaded.load_id, number=loaded.number)
                return
            load_id = _decode(message.data).data.load_id
            if load_id is not None:
                self._offices.part(load_id)
            if fact == "responsibility-assigned":
                given = parse_envelope(Envelope[ResponsibilityAssigned], message.data).data
                since = date.fromisoformat(given.valid_from)
                self._offices.assigned(given.load_id, given.unit_id, given.role, given.person, since)
        except (InvalidEventError, *UNREADABLE, ValueError) as error:
            log.warning("office_fold_skips", sequence=message.sequence, reason=str(error))
