"""People's data of ratings that wait in the spool: it can be destroyed there, and nothing of it is shown."""

from services.intake.adapters.jetstream_log import not_connected, read_private
from services.intake.adapters.vault import JetStreamVault
from services.intake.application.people import Private, SealedParts
from services.intake.application.ports import Vault
from services.intake.application.spooling import Spool
from services.intake.domain.submission import Contact


class WaitingRatings:
    """Plays `people.RatingReader` for the negative sequences of a spool."""

    def __init__(self, spool: Spool) -> None:
        """Read from `spool`."""
        self._spool = spool

    async def read_private(self, sequence: int) -> Private:
        """See `people.RatingReader.read_private`."""
        kept = self._spool.read(-sequence)
        found = None if kept is None or not kept.sound else read_private(kept.entry.message.payload)
        if found is None:  # drained meanwhile: asked again, the index knows its place in the stream
            raise not_connected()
        return found


class SpooledPeople:
    """Plays `people.OpeningVault`: opens what the vault has, and destroys it wherever it is."""

    def __init__(self, vault: JetStreamVault, everywhere: Vault) -> None:
        """Open with `vault`; `everywhere` destroys in the spool, too."""
        self._vault = vault
        self._everywhere = everywhere

    async def open_text(self, event_id: str, text: SealedParts) -> str:
        """See `people.OpeningVault.open_text`."""
        return await self._vault.open_text(event_id, text)

    async def open_contact(self, event_id: str, record_id: str) -> Contact | None:
        """See `people.OpeningVault.open_contact`."""
        return await self._vault.open_contact(event_id, record_id)

    async def erase(self, record_id: str) -> bool:
        """See `people.OpeningVault.erase`."""
        return await self._everywhere.erase(record_id)
