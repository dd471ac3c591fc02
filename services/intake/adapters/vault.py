"""The vault: one erasable message for each sealed record, on ``vault.v1.record.<record id>``.

The stream VAULT may delete, unlike FEEDBACK. Deleting a record's messages destroys the text's key, and with
it the text in every stream and archive that ever copied the event. The stream does not drop older messages
of a subject by itself: it would only unlink them, where a deletion overwrites their bytes on disk.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import StreamInfo
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError as NoMessageError

from services.intake.adapters.jetstream_log import not_connected
from services.intake.adapters.sealing import AesGcmSealer, SealedTextParts
from services.intake.application.keeping import StoredRecord
from services.intake.application.ports import SealedRecord
from services.intake.domain.submission import Contact
from shared.kernel.errors import NotFoundError, describe
from shared.messaging.group_commit import WRONG_LAST_SEQUENCE, GroupCommit, Outgoing
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.reading import FoldReader, HistoryChangedError
from shared.messaging.streams import VAULT

NO_SUCH_SEQUENCE: Final = 10057


def record_subject(record_id: str) -> str:
    """The subject of a record."""
    return f"vault.v1.record.{record_id}"


def _unclear(record_id: str) -> BrokerUnavailableError:
    return BrokerUnavailableError(
        describe(f"no clear answer for record {record_id}", "what was done to it", "do it again")
    )


class JetStreamVault:
    """Plays `ports.Vault`, and opens records for who may."""

    def __init__(
        self,
        sealer: AesGcmSealer,
        *,
        max_queued: int,
        observe: Callable[[int], None],
        timeout_s: float = 5.0,
    ) -> None:
        """Bound the queue to `max_queued` records and a round trip to `timeout_s` seconds.

        `observe` is told the size of every commit.
        """
        self._timeout_s = timeout_s
        self._sealer = sealer
        self._max_queued = max_queued
        self._observe = observe
        self._commit: GroupCommit | None = None
        self._jetstream: JetStreamContext | None = None
        self._client: Client | None = None

    async def connect(self, client: Client) -> None:
        """Start storing through `client`; a repeated call replaces the earlier connection."""
        await self.stop()
        commit = GroupCommit(
            client,
            stream=VAULT,
            max_queued=self._max_queued,
            timeout_s=self._timeout_s,
            on_batch=self._observe,
        )
        await commit.start()
        self._commit, self._jetstream, self._client = commit, client.jetstream(timeout=5), client

    async def stop(self) -> None:
        """Finish what is queued, then refuse."""
        if self._commit is not None:
            await self._commit.stop()

    @property
    def queued(self) -> int:
        """Records that wait for a batch."""
        return self._commit.queued if self._commit is not None else 0

    def abandon(self) -> None:
        """Stop waiting for acknowledgements that won't come; see `GroupCommit.abandon`."""
        if self._commit is not None:
            self._commit.abandon()

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
        """See `ports.Vault.erase`; bytes are overwritten, not only unlinked, those of every copy.

        A record that was wrapped again has an older copy until that is deleted; so it goes on until the
        stream's leader has nothing left under the record's name.
        """
        erased, before = False, 0
        while (sequence := await self._last(record_id)) is not None:
            if sequence == before:  # deleted, says the leader, and there: it would say so again and again
                raise _unclear(record_id)
            erased, before = await self._delete(record_id, sequence) or erased, sequence
        return erased

    async def _last(self, record_id: str) -> int | None:
        """Sequence of the newest copy of a record, as the stream's leader knows it."""
        try:
            return (await self._connected().get_last_msg(VAULT, record_subject(record_id))).seq
        except NoMessageError:
            return None
        except (NatsError, JetStreamError, TimeoutError) as error:
            raise _unclear(record_id) from error

    async def _delete(self, record_id: str, sequence: int) -> bool:
        """Overwrite one message; whether it was there."""
        try:
            return await self._connected().delete_msg(VAULT, sequence)
        except NoMessageError:
            return False
        except JetStreamError as error:
            if getattr(error, "err_code", None) == NO_SUCH_SEQUENCE:  # another replica was faster
                return False
            raise _unclear(record_id) from error
        except (NatsError, TimeoutError) as error:
            raise _unclear(record_id) from error

    async def replace(self, record_id: str, payload: bytes, sequence: int) -> bool:
        """Put `payload` in the place of the copy at `sequence`, whose bytes are then overwritten.

        False, and nothing is changed, if that is no longer the record's newest copy: it was erased, or
        somebody else has replaced it. An erased record must not come back.

        Raises:
            TransientError: not known to be replaced; a repeat is harmless.
        """
        headers = {
            "Nats-Expected-Last-Subject-Sequence": str(sequence),
            "Nats-Msg-Id": f"{record_id}@{sequence}",
        }
        try:
            await self._connected().publish(record_subject(record_id), payload, stream=VAULT, headers=headers)
        except JetStreamError as error:
            if getattr(error, "err_code", None) in WRONG_LAST_SEQUENCE:
                await self._delete(record_id, sequence)  # not the newest copy: a crash has left it
                return False
            raise _unclear(record_id) from error
        except (NatsError, TimeoutError) as error:
            raise _unclear(record_id) from error
        await self._delete(record_id, sequence)
        return True

    async def records(self, after: int = 0) -> AsyncIterator[StoredRecord]:
        """Every copy of every record behind the sequence `after`, in the stream's order, up to its end.

        Raises:
            TransientError: the vault can't be read now.
        """
        if self._client is None:
            raise not_connected()
        last = (await self._info()).state.last_seq
        reader = FoldReader(self._client, VAULT, after=after)
        try:
            while reader.position < last and not reader.caught_up:
                for message in await reader.take(wait_s=0.5):
                    if message.sequence > last:  # came since: often one of these, wrapped again
                        return
                    yield StoredRecord(
                        message.subject.rsplit(".", 1)[1],
                        message.data,
                        message.sequence,
                        message.published_ns // 1_000_000,
                    )
        except HistoryChangedError as error:
            raise BrokerUnavailableError(str(error)) from error
        finally:
            await reader.close()

    async def count(self) -> int:
        """How many messages the vault holds.

        Raises:
            TransientError: the vault can't be read now.
        """
        return (await self._info()).state.messages

    async def _info(self) -> StreamInfo:
        try:
            return await self._connected().stream_info(VAULT)
        except (NatsError, JetStreamError, TimeoutError) as error:
            raise BrokerUnavailableError(describe("no answer", "the state of the vault", "retry")) from error

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
