"""The feedback stream behind group commit, and reading single ratings back from it."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import Error as JetStreamError

from services.intake.adapters.stored_revisions import GradeValue, read_in_force, read_revision
from services.intake.application.people import Private
from services.intake.application.ports import InForce, Standing
from services.intake.domain.accepted import Accepted
from services.intake.domain.pseudonyms import Pseudonyms
from services.intake.domain.revisions import Revision
from shared.events import FeedbackSubmitted, spec_for_data
from shared.events.unreadable import UNREADABLE
from shared.kernel.clock import parse_rfc3339
from shared.kernel.errors import InvalidValueError, describe
from shared.kernel.ids import is_uuid
from shared.messaging.group_commit import GroupCommit, Outgoing, Stored
from shared.messaging.publisher import BrokerUnavailableError, NothingSentError
from shared.messaging.streams import FEEDBACK

T = TypeVar("T")
_TYPE: Final = spec_for_data(FeedbackSubmitted).event_type


class _Data(msgspec.Struct):
    unit_id: str
    grade: GradeValue
    digest: str
    other_ids: tuple[str, ...] = ()


class _Head(msgspec.Struct):
    type: str


class _Envelope(msgspec.Struct):
    """The few members of a FeedbackSubmitted envelope that intake itself remembers."""

    id: str
    time: str
    receivedat: str
    data: _Data


class _PrivateEnvelope(msgspec.Struct):
    """What of an envelope leads to a vault record; text and contact share one."""

    data: Private


_decode_head = msgspec.json.Decoder(_Head).decode
_decode = msgspec.json.Decoder(_Envelope).decode
_decode_private = msgspec.json.Decoder(_PrivateEnvelope).decode


def read_accepted(data: bytes, sequence: int, pseudonyms: Pseudonyms) -> Accepted | None:
    """What intake remembers of one message of FEEDBACK; None if it isn't a rating.

    Decodes a few members only, four times as fast as the whole envelope: an index is folded from millions.
    Whether the rest keeps the contract is for those who use it.
    """
    try:
        if _decode_head(data).type != _TYPE:
            return None
        envelope = _decode(data)
        if not is_uuid(envelope.id):
            return None
        return Accepted(
            event_id=envelope.id,
            receipt=pseudonyms.receipt(envelope.id),
            digest=envelope.data.digest,
            sequence=sequence,
            received_at=parse_rfc3339(envelope.receivedat),
            occurred_at=parse_rfc3339(envelope.time),
            unit_id=envelope.data.unit_id,
            grade=envelope.data.grade,
            others=tuple(map(pseudonyms.receipt, envelope.data.other_ids)),
        )
    except (*UNREADABLE, InvalidValueError):
        return None


def read_private(data: bytes) -> Private | None:
    """What of one message of FEEDBACK leads to a vault record; None if it isn't a rating."""
    try:
        return _decode_private(data).data
    except UNREADABLE:
        return None


def _read_standing(data: bytes, sequence: int, pseudonyms: Pseudonyms) -> Standing | None:
    """`read_accepted` with the vault record, which the index does without."""
    accepted, private = read_accepted(data, sequence, pseudonyms), read_private(data)
    return None if accepted is None or private is None else Standing(accepted, private.record)


class JetStreamFeedbackLog:
    """Plays `ports.FeedbackLog`; refuses everything until it is connected."""

    def __init__(
        self,
        pseudonyms: Pseudonyms,
        *,
        max_queued: int,
        observe: Callable[[int], None],
        timeout_s: float = 5.0,
    ) -> None:
        """Bound the queue to `max_queued` messages and a round trip to `timeout_s` seconds.

        `observe` is told the size of every commit.
        """
        self._timeout_s = timeout_s
        self._pseudonyms = pseudonyms
        self._max_queued = max_queued
        self._observe = observe
        self._commit: GroupCommit | None = None
        self._jetstream: JetStreamContext | None = None

    async def connect(self, client: Client) -> None:
        """Start publishing through `client`; a repeated call replaces the earlier connection."""
        await self.stop()
        commit = GroupCommit(
            client,
            stream=FEEDBACK,
            max_queued=self._max_queued,
            timeout_s=self._timeout_s,
            on_batch=self._observe,
        )
        await commit.start()
        self._commit, self._jetstream = commit, client.jetstream(timeout=5)

    async def stop(self) -> None:
        """Finish what is queued, then refuse."""
        if self._commit is not None:
            await self._commit.stop()

    @property
    def queued(self) -> int:
        """Messages that wait for a batch."""
        return self._commit.queued if self._commit is not None else 0

    def abandon(self) -> None:
        """Stop waiting for acknowledgements that won't come; see `GroupCommit.abandon`."""
        if self._commit is not None:
            self._commit.abandon()

    async def append(self, messages: Sequence[Outgoing]) -> list[Stored]:
        """See `ports.FeedbackLog.append`."""
        if self._commit is None:
            raise not_connected()
        return await self._commit.publish(messages)

    async def probe(self) -> None:
        """Ask the broker for the stream.

        Raises:
            BrokerUnavailableError: it does not answer.
        """
        if self._jetstream is None:
            raise not_connected()
        try:
            await self._jetstream.stream_info(FEEDBACK)
        except (NatsError, JetStreamError, TimeoutError) as error:
            raise BrokerUnavailableError(
                describe("no answer", f"the state of {FEEDBACK}", "it is asked again by itself")
            ) from error

    async def read(self, sequence: int) -> Standing:
        """See `ports.FeedbackLog.read`."""
        data = await self._message(sequence)
        return _readable(_read_standing(data, sequence, self._pseudonyms), sequence, "a rating")

    async def read_revision(self, sequence: int) -> Revision:
        """See `ports.FeedbackLog.read_revision`."""
        data = await self._message(sequence)
        return _readable(read_revision(data, sequence, self._pseudonyms), sequence, "a revision")

    async def read_in_force(self, sequence: int) -> InForce:
        """See `ports.FeedbackLog.read_in_force`."""
        data = await self._message(sequence)
        return _readable(read_in_force(data), sequence, "a rating or a revision")

    async def read_private(self, sequence: int) -> Private:
        """See `people.RatingReader.read_private`."""
        return _readable(read_private(await self._message(sequence)), sequence, "a rating")

    async def _message(self, sequence: int) -> bytes:
        if self._jetstream is None:
            raise not_connected()
        try:
            message = await self._jetstream.get_msg(FEEDBACK, sequence, direct=True)
        except (NatsError, JetStreamError, TimeoutError) as error:
            # A replica that lags may not have it yet.
            raise BrokerUnavailableError(
                describe(f"no answer for sequence {sequence}", "what is stored there", "send it again")
            ) from error
        return message.data or b""


def _readable(found: T | None, sequence: int, expected: str) -> T:
    if found is None:
        raise BrokerUnavailableError(
            describe(f"sequence {sequence}", expected, "report it: the id was used for something else")
        )
    return found


def not_connected() -> NothingSentError:
    """The error of every call before the first connection."""
    return NothingSentError(
        describe("no connection to the broker yet", "one at NATS_URL", "retry; it connects by itself")
    )
