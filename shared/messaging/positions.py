"""How far a reader is that acts on what a fold brings it: kept in the broker, and where a restart goes on.

A durable consumer with explicit acknowledgements knows of each message whether it is settled, and costs the
broker a delivery and an acknowledgement each. A position says as much once a second: everything up to it is
settled, and what that led to is stored. What lies behind it comes again after a kill, so whoever acts must
recognise what it has done (ADR 0066).

A position is worth something only in the stream that it was of. With it stand when its message was stored,
which a backup keeps and another message never has, and when the stream was made, for a message that is there
no more. A stream that was made anew, or an older copy that has grown since, is read from its beginning.
"""

import contextlib
from typing import Final, NamedTuple

import msgspec
import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import StreamInfo
from nats.js.errors import APIError, NotFoundError
from nats.js.errors import Error as JetStreamError

from shared.events.unreadable import UNREADABLE
from shared.kernel.errors import TransientError, describe
from shared.messaging.group_commit import WRONG_LAST_SEQUENCE
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.stored import NANO
from shared.messaging.streams import POSITIONS_BUCKET, RetiredConsumer

log = structlog.get_logger(__name__)

STREAM: Final = f"KV_{POSITIONS_BUCKET}"
PREFIX: Final = f"$KV.{POSITIONS_BUCKET}."
TIMEOUT_S: Final = 5.0
SAME_NS: Final = 10_000
"""The client cuts times of stored messages off at microseconds."""


class Mark(NamedTuple):
    """A message of a stream.

    Attributes:
        sequence: its sequence; 0 is before the first one.
        stored_ns: when the broker stored it; 0 where nobody has looked.
    """

    sequence: int
    stored_ns: int = 0


class Position(msgspec.Struct, frozen=True):
    """What stands in the bucket.

    Attributes:
        sequence: everything up to it is settled.
        stored_ns: when the message there was stored; 0 if that is not known.
        stream_created: when the stream was made, in the broker's words.
    """

    sequence: int
    stored_ns: int
    stream_created: str


class PositionConflictError(TransientError):
    """Somebody else wrote the position since we read it."""


_decode = msgspec.json.Decoder(Position).decode


async def read_position(client: Client, key: str) -> tuple[Position | None, int]:
    """Return what stands under ``key``, None if that is nothing, and the sequence that a write replaces.

    Raises:
        BrokerUnavailableError: no answer, or no bucket.
    """
    try:
        found = await client.jetstream(timeout=TIMEOUT_S).get_last_msg(STREAM, PREFIX + key, direct=True)
    except NotFoundError:
        return None, 0
    except (NatsError, JetStreamError, TimeoutError, OSError) as error:
        raise _unavailable(key, error) from error
    try:
        return _decode(found.data or b""), int(found.seq or 0)
    except UNREADABLE as error:
        log.warning("position_unreadable", key=key, reason=str(error), remedy="the next one replaces it")
        return None, int(found.seq or 0)


async def write_position(client: Client, key: str, position: Position, replaces: int) -> None:
    """Write ``key``, if what stands there is still of sequence ``replaces`` (0: nothing).

    Raises:
        PositionConflictError: something else stands there.
        BrokerUnavailableError: it is not known whether it was written.
    """
    if not client.is_connected:
        raise _unavailable(key, "there is no connection")
    headers = {"Nats-Expected-Last-Subject-Sequence": str(replaces)}
    jetstream = client.jetstream(timeout=TIMEOUT_S)
    try:
        await jetstream.publish(PREFIX + key, msgspec.json.encode(position), headers=headers)
    except APIError as error:
        if error.err_code in WRONG_LAST_SEQUENCE:
            raise PositionConflictError(
                describe(f"another position of {key}", f"sequence {replaces}", "read it again")
            ) from error
        raise _unavailable(key, error) from error
    except (NatsError, JetStreamError, TimeoutError, OSError) as error:
        raise _unavailable(key, error) from error


class KeptPosition:
    """The position of one reader in one stream; replicas share it, and it is the farthest of theirs.

    Attributes:
        stream_created: when the stream was made that the position is of; empty before :meth:`find`.
    """

    def __init__(
        self, client: Client, stream: str, key: str, *, before: RetiredConsumer | None = None
    ) -> None:
        """Keep the position under ``key``; where there is none, ``before`` may know how far things are."""
        self.stream_created = ""
        self._client = client
        self._jetstream = client.jetstream(timeout=TIMEOUT_S)
        self._stream = stream
        self._key = key
        self._before = before
        self._of_no_use = -1
        self._written = -1

    async def find(self) -> int:
        """Return the sequence up to which everything is settled; 0 where nobody knows, or of another stream.

        Raises:
            BrokerUnavailableError: no answer, or stream or bucket are not provisioned yet.
        """
        try:
            # In this order: a replica that is at work may write one behind any end that was read before.
            position, revision = await read_position(self._client, self._key)
            info = await self._jetstream.stream_info(self._stream)
            self.stream_created = str(info.created)
            if position is None:
                return await self._take_over()
            if await self._is_of(position, info):
                self._written = position.sequence
                return position.sequence
        except (NatsError, JetStreamError, TimeoutError, OSError) as error:
            raise _unavailable(self._key, error) from error
        log.warning(
            "position_of_another_stream",
            key=self._key,
            position=position.sequence,
            of_stream_made=position.stream_created,
            stream=self._stream,
            ends_at=info.state.last_seq,
            made=self.stream_created,
            remedy="nothing to do: it is read from its first message on",
        )
        self._of_no_use = revision
        return 0

    async def _is_of(self, position: Position, info: StreamInfo) -> bool:
        """Whether a position is one of this stream as it is now."""
        if position.sequence > info.state.last_seq:
            return False
        if position.stored_ns:
            with contextlib.suppress(NotFoundError):  # expired
                message = await self._jetstream.get_msg(self._stream, position.sequence)
                stored_ns = 0 if message.time is None else round(message.time.timestamp() * NANO)
                return abs(stored_ns - position.stored_ns) <= SAME_NS
        return position.stream_created == str(info.created)

    async def _take_over(self) -> int:
        """Go on where the durable of an earlier version was, if it is still there."""
        if self._before is None:
            return 0
        try:
            consumer = await self._jetstream.consumer_info(self._before.stream, self._before.durable)
        except NotFoundError:
            return 0
        floor = 0 if consumer.ack_floor is None else consumer.ack_floor.stream_seq
        log.info("position_taken_over", key=self._key, durable=self._before.durable, position=floor)
        if not await self.save(Mark(floor)):  # the provisioner waits for it
            raise PositionConflictError(
                describe(f"a position of {self._key}", "none yet", "it is looked for again")
            )
        return floor

    async def save(self, mark: Mark) -> bool:
        """Write ``mark``, unless as much stands there; return whether that is so now.

        Raises:
            BrokerUnavailableError: it is not known whether it was written.
        """
        if mark.sequence == self._written:
            return True
        standing, revision = await read_position(self._client, self._key)
        if (
            standing is None
            or revision == self._of_no_use
            or standing.stream_created != self.stream_created
            or standing.sequence < mark.sequence
        ):
            position = Position(mark.sequence, mark.stored_ns, self.stream_created)
            try:
                await write_position(self._client, self._key, position, revision)
            except PositionConflictError:
                return False  # by another replica; the next look tells how far that one is
        self._written = mark.sequence
        return True


def _unavailable(key: str, error: BaseException | str) -> BrokerUnavailableError:
    return BrokerUnavailableError(
        describe(f"position {key}", f"an answer from {STREAM}", f"it is tried again: {error!r}")
    )
