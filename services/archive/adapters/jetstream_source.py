"""The archived streams through the broker: durable consumers for the flow, reads by sequence for the rest."""

import json
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import ConsumerInfo
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from services.archive.application.ports import StreamBounds, StreamState
from shared.kernel.errors import describe
from shared.messaging.direct import direct_reads
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.reading import DurableReader
from shared.messaging.session import BrokerSession
from shared.messaging.stored import NANO, StoredMessage

REQUEST_S: Final = 5.0
PACE_S: Final = 1.0
"""How often messages are fetched while they keep coming: entries come later, the disk is spared."""
FETCH_MESSAGES: Final = 500
FETCH_BYTES: Final = 4 * 1024 * 1024
DELETED_NAMED: Final = 10_000
NEARLY_FULL: Final = 0.9
"""Of max_bytes: a stream that drops its oldest messages does so before it is full to the last byte."""


def durable_name(stream: str) -> str:
    """Name of the archive's consumer on ``stream``, as provisioned."""
    return f"archive-{stream.lower()}"


class JetStreamSource:
    """The :class:`~services.archive.application.ports.StreamSource` on a :class:`BrokerSession`."""

    def __init__(self, session: BrokerSession) -> None:
        """Use the connection of ``session``, whenever it has one."""
        self._session = session
        self._readers: dict[str, DurableReader] = {}

    async def take(self, stream: str, most: int, wait_s: float) -> list[StoredMessage]:
        """See :meth:`StreamSource.take`."""
        reader = self._readers.get(stream)
        if reader is None:
            reader = DurableReader(self._session.client, stream, durable_name(stream), pace_s=PACE_S)
            self._readers[stream] = reader
        return await reader.take(most, wait_s)

    def interruptions(self, stream: str) -> int:
        """See :meth:`StreamSource.interruptions`; a reader outlives a reconnect that is fast enough."""
        reader = self._readers.get(stream)
        return 0 if reader is None else reader.openings + reader.reconnects

    async def acknowledge(self, message: StoredMessage) -> None:
        """See :meth:`StreamSource.acknowledge`; a lost one means a repeat, which is recognised."""
        reader = self._readers.get(message.stream)
        if reader is not None and message.reply:
            await reader.acknowledge(message)

    async def bounds(self, stream: str) -> StreamBounds:
        """See :meth:`StreamSource.bounds`; asks the stream's leader."""
        try:
            state = (await self._session.client.jetstream(timeout=REQUEST_S).stream_info(stream)).state
        except (NatsError, JetStreamError, TimeoutError) as error:
            raise _unavailable(f"the state of {stream}", error) from error
        return StreamBounds(state.first_seq, state.last_seq)

    async def state(self, stream: str) -> StreamState:
        """See :meth:`StreamSource.state`; names at most :data:`DELETED_NAMED` holes."""
        request = json.dumps({"deleted_details": True}).encode()
        try:
            answer = await self._session.client.request(
                f"$JS.API.STREAM.INFO.{stream}", request, timeout=REQUEST_S
            )
        except (NatsError, TimeoutError) as error:
            raise _unavailable(f"the state of {stream}", error) from error
        info = json.loads(answer.data)
        if "error" in info:
            raise _unavailable(f"the state of {stream}", RuntimeError(info["error"].get("description")))
        config, state = info["config"], info["state"]
        full = 0 < config["max_bytes"] * NEARLY_FULL <= state["bytes"]
        return StreamState(
            state["first_seq"],
            state["last_seq"],
            state.get("num_deleted", 0),
            tuple(state.get("deleted") or ())[:DELETED_NAMED],
            config["max_age"] / NANO,
            config["discard"] == "old" and full,
        )

    def in_stream(self, stream: str, sequence: int) -> int | None:
        """See :meth:`StreamSource.in_stream`: the broker's numbers are its own."""
        del stream
        return sequence

    async def consumer(self, stream: str) -> ConsumerInfo:
        """State of the archive's consumer on ``stream``.

        Raises:
            BrokerUnavailableError: no answer, or there is no such consumer.
        """
        try:
            jetstream = self._session.client.jetstream(timeout=REQUEST_S)
            info: ConsumerInfo = await jetstream.consumer_info(stream, durable_name(stream))
        except (NatsError, JetStreamError, TimeoutError) as error:
            raise _unavailable(f"consumer {durable_name(stream)}", error) from error
        return info

    async def fetch(self, stream: str, first: int, last: int) -> list[StoredMessage]:
        """See :meth:`StreamSource.fetch`: at most 500 messages or 4 MiB at once.

        Any replica may answer a direct read, so that nothing is missing is asked of the leader.
        """
        client = self._session.client
        count = min(FETCH_MESSAGES, last - first + 1)
        try:
            async with direct_reads(client) as reads:
                read = await reads.batch(stream, first, count, max_bytes=FETCH_BYTES, timeout_s=REQUEST_S)
            found = [
                _stored(stream, each.subject, each.data, each.sequence)
                for each in read
                if each.sequence <= last
            ]
            if not found:
                found = await self._from_leader(client, stream, first, last)
        except (NatsError, JetStreamError, TimeoutError) as error:
            raise _unavailable(f"{stream} from {first} to {last}", error) from error
        return found

    async def _from_leader(self, client: Client, stream: str, first: int, last: int) -> list[StoredMessage]:
        jetstream = client.jetstream(timeout=REQUEST_S)
        first = max(first, (await jetstream.stream_info(stream)).state.first_seq)
        for sequence in range(first, last + 1):
            try:
                message = await jetstream.get_msg(stream, sequence)
            except NotFoundError:
                continue
            return [_stored(stream, message.subject or "", message.data or b"", sequence)]
        return []

    async def close(self) -> None:
        """Stop pulling; the consumers stay."""
        for reader in self._readers.values():
            await reader.close()
        self._readers.clear()


def _unavailable(wanted: str, error: Exception) -> BrokerUnavailableError:
    return BrokerUnavailableError(describe(repr(error), wanted, "it is asked again by itself"))


def _stored(stream: str, subject: str, data: bytes, sequence: int) -> StoredMessage:
    return StoredMessage(subject, data, stream, sequence, 0, 0, 0, 0, "")
