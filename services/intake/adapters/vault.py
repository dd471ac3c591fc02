"""The vault: one erasable message for each sealed record, on ``vault.v1.record.<record id>``.

The stream VAULT keeps one message per subject and may delete, unlike FEEDBACK. Deleting the message destroys
the text's key, and with it the text in every stream and archive that ever copied the event.
"""

from collections.abc import Callable, Sequence

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError as NoMessageError

from services.intake.adapters.jetstream_log import not_connected
from services.intake.adapters.sealing import AesGcmSealer, SealedTextParts
from services.intake.application.ports import SealedRecord
from services.intake.domain.submission import Contact
from shared.kernel.errors import NotFoundError, describe
from shared.messaging.group_commit import GroupCommit, Outgoing
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.streams import VAULT


def record_subject(record_id: str) -> str:
    """The subject of a record."""
    return f"vault.v1.record.{record_id}"


class JetStreamVault:
    """Plays `ports.Vault`, and opens records for who may (tests now, unmasking later)."""

    def __init__(self, sealer: AesGcmSealer, *, max_queued: int, observe: Callable[[int], None]) -> None:
        """Bound the queue to `max_queued` records; tell `observe` the size of every commit."""
        self._sealer = sealer
        self._max_queued = max_queued
        self._observe = observe
        self._commit: GroupCommit | None = None
        self._jetstream: JetStreamContext | None = None

    async def connect(self, client: Client) -> None:
        """Start storing through `client`; a repeated call replaces the earlier connection."""
        await self.stop()
        commit = GroupCommit(client, stream=VAULT, max_queued=self._max_queued, on_batch=self._observe)
        await commit.start()
        self._commit, self._jetstream = commit, client.jetstream(timeout=5)

    async def stop(self) -> None:
        """Finish what is queued, then refuse."""
        if self._commit is not None:
            await self._commit.stop()

    @property
    def queued(self) -> int:
        """Records that wait for a batch."""
        return self._commit.queued if self._commit is not None else 0

    async def store(self, records: Sequence[SealedRecord]) -> None:
        """See `ports.Vault.store`."""
        if self._commit is None:
            raise not_connected()
        await self._commit.publish(
            [
                Outgoing(record_subject(record.record_id), record.record_id, record.payload)
                for record in records
            ]
        )

    async def erase(self, record_id: str) -> bool:
        """See `ports.Vault.erase`; the message's bytes are overwritten, not only unlinked."""
        jetstream = self._connected()
        try:
            found = await jetstream.get_last_msg(VAULT, record_subject(record_id), direct=True)
            return await jetstream.delete_msg(VAULT, found.seq or 0)
        except NoMessageError:
            return False
        except (NatsError, JetStreamError, TimeoutError) as error:
            raise BrokerUnavailableError(
                describe(f"no answer for record {record_id}", "its erasure", "erase it again")
            ) from error

    async def open_text(self, event_id: str, text: SealedTextParts) -> str:
        """The scrubbed text of an event.

        Raises:
            NotFoundError: its record was erased.
            UnsealError: the record does not open it.
            TransientError: the vault can't be read now.
        """
        return self._sealer.open_text(event_id, text, await self._payload(text.record))

    async def open_contact(self, event_id: str, record_id: str) -> Contact | None:
        """The contact of an event; raises like `open_text`."""
        return self._sealer.open_contact(event_id, record_id, await self._payload(record_id))

    async def _payload(self, record_id: str) -> bytes:
        try:
            found = await self._connected().get_last_msg(VAULT, record_subject(record_id), direct=True)
        except NoMessageError as error:
            raise NotFoundError(
                record_id, "a record of the vault", "nothing can open it: it was erased", field="record"
            ) from error
        except (NatsError, JetStreamError, TimeoutError) as error:
            raise BrokerUnavailableError(
                describe(f"no answer for record {record_id}", "its content", "retry")
            ) from error
        return found.data or b""

    def _connected(self) -> JetStreamContext:
        if self._jetstream is None:
            raise not_connected()
        return self._jetstream
