"""What a durable has given out and nobody has acknowledged yet, looked up in its stream."""

import time
from dataclasses import dataclass
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from shared.kernel.errors import describe
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.stored import NANO, StoredMessage
from shared.messaging.streams import CONSUMERS

REQUEST_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Given:
    """Deliveries so far, to whomever.

    Attributes:
        consumer_sequence: number of the last one.
        messages: of them, in order, what nobody has acknowledged.
    """

    consumer_sequence: int
    messages: tuple[StoredMessage, ...]


class JetStreamOutstanding:
    """Looks one durable's up; the same subjects as it has."""

    def __init__(self, client: Client, stream: str, durable: str) -> None:
        """Ask through `client`."""
        self._client = client
        self._stream = stream
        self._durable = durable
        # One that has no filters takes everything.
        self._filters = next(each.filters for each in CONSUMERS if each.durable == durable) or (">",)

    async def given(self) -> Given:
        """What was given out and not acknowledged.

        Raises:
            BrokerUnavailableError: the broker does not say.
        """
        try:
            info = await self._jetstream().consumer_info(self._stream, self._durable)
            delivered = info.delivered
            if delivered is None or not info.num_ack_pending:
                return Given(delivered.consumer_seq if delivered else 0, ())
            floor = info.ack_floor.stream_seq if info.ack_floor else 0
            found = await self._between(floor + 1, delivered.stream_seq + 1)
            return Given(delivered.consumer_seq, tuple(found))
        except (NatsError, TimeoutError) as error:
            raise _away(self._durable) from error

    async def before(self, sequence: int) -> list[StoredMessage]:
        """Every message of the durable before `sequence` that was not acknowledged, in order.

        Raises:
            BrokerUnavailableError: the broker does not say.
        """
        try:
            floor = (await self._jetstream().consumer_info(self._stream, self._durable)).ack_floor
            return await self._between((floor.stream_seq if floor else 0) + 1, sequence)
        except (NatsError, TimeoutError) as error:
            raise _away(self._durable) from error

    async def _between(self, first: int, end: int) -> list[StoredMessage]:
        """Go from one message of the durable to the next: a stream may hold thousands in between."""
        heads = {subject: await self._next(subject, first, end) for subject in self._filters}
        found: list[StoredMessage] = []
        while True:
            waiting = [(head.sequence, subject) for subject, head in heads.items() if head is not None]
            if not waiting:
                return found
            sequence, subject = min(waiting)
            head = heads[subject]
            if head is not None:
                found.append(head)
            heads[subject] = await self._next(subject, sequence + 1, end)

    async def _next(self, subject: str, first: int, end: int) -> StoredMessage | None:
        """The first message on `subject` from `first` on; None if there is none before `end`."""
        if first >= end:
            return None
        try:
            raw = await self._jetstream().get_msg(
                self._stream, seq=first, subject=subject, direct=True, next=True
            )
        except NotFoundError:
            return None
        if raw.seq is None or raw.seq >= end:
            return None
        now_ns = int(time.time() * NANO)
        return StoredMessage(raw.subject or "", raw.data or b"", self._stream, raw.seq, 0, 1, 0, now_ns, "")

    def _jetstream(self) -> JetStreamContext:
        return self._client.jetstream(timeout=REQUEST_S)


def _away(durable: str) -> BrokerUnavailableError:
    return BrokerUnavailableError(
        describe(f"no answer about {durable}", "what it has given out", "it is asked again")
    )
