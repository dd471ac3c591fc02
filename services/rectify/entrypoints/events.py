"""What comes in from the bus: feedback, in order. The leader's work.

Order matters here: what becomes of a rating must not be read before the rating itself. So one loop takes
FEEDBACK message by message and acknowledges all up to the last one that had its effect; what can't be
handled becomes a dead letter, what the broker's absence prevents is tried until it is there.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from services.rectify.application.following import FollowFeedback
from shared.events import Envelope, FeedbackSubmitted, parse_envelope, spec_for_type
from shared.kernel.grades import Grade
from shared.messaging.failure import FailedMessage, FailureHandling, Retry
from shared.messaging.reading import NANO, DurableReader, StoredMessage
from shared.messaging.streams import CONSUMERS, FEEDBACK
from shared.observability.tracing import message_context

FEEDBACK_DURABLE: Final = "rectify-feedback"
PACE_S: Final = 0.4
RETRY_S: Final = 1.0
REQUEST_S: Final = 5.0
SUBMITTED: Final = "feedback.v1.submitted."
FOLLOWED: Final = tuple(
    subject.removesuffix(">")
    for consumer in CONSUMERS
    if consumer.durable == FEEDBACK_DURABLE
    for subject in consumer.filters
)


class _Data(msgspec.Struct):
    grade: int


class _Head(msgspec.Struct):
    """The least of a rating that says whether it matters here."""

    data: _Data


_head = msgspec.json.Decoder(_Head).decode


def durables() -> tuple[tuple[str, str], ...]:
    """(stream, durable) of every consumer that is read here; all must be provisioned."""
    return ((FEEDBACK, FEEDBACK_DURABLE),)


class FeedbackLoop:
    """Takes FEEDBACK to `FollowFeedback`, in order."""

    def __init__(self, client: Client, follow: FollowFeedback, failures: FailureHandling) -> None:
        """Read through `client`; what can't be handled goes to `failures`."""
        self._client = client
        self._follow = follow
        self._failures = failures

    async def run(self, leads: Callable[[], bool]) -> None:
        """Follow as long as `leads` says so."""
        reader = DurableReader(self._client, FEEDBACK, FEEDBACK_DURABLE, pace_s=PACE_S)
        delivered = -1
        try:
            while leads():
                messages = await reader.take(wait_s=0.5)
                for message in messages:
                    if message.consumer_sequence != delivered + 1:
                        # An acknowledgement covers all before it, also what a reader that died or a broken
                        # connection took along. So that has its effect first.
                        for missed in await self._unacknowledged(message.sequence):
                            if not await self._done(missed, leads):
                                return
                    if not await self._done(message, leads):
                        return
                    delivered = message.consumer_sequence
                if messages:
                    await reader.acknowledge(messages[-1])
        finally:
            await reader.close()

    async def _done(self, message: StoredMessage, leads: Callable[[], bool]) -> bool:
        """Give a message its effect, however often it takes; False: this replica leads no more."""
        while matters(message) and not await self._handled(message):
            if not leads():
                return False
            await asyncio.sleep(RETRY_S)
        return True

    async def _unacknowledged(self, before: int) -> list[StoredMessage]:
        """What the stream holds for this consumer from its first unacknowledged sequence up to `before`."""
        jetstream = self._client.jetstream(timeout=REQUEST_S)
        while True:
            try:
                floor = (await jetstream.consumer_info(FEEDBACK, FEEDBACK_DURABLE)).ack_floor
                first = (await jetstream.stream_info(FEEDBACK)).state.first_seq
                found: list[StoredMessage] = []
                for sequence in range(max(first, (floor.stream_seq if floor else 0) + 1), before):
                    with contextlib.suppress(NotFoundError):
                        raw = await jetstream.get_msg(FEEDBACK, sequence, direct=True)
                        if (raw.subject or "").startswith(FOLLOWED):
                            found.append(_again(raw.subject or "", raw.data or b"", sequence))
            except (NatsError, TimeoutError):
                await asyncio.sleep(RETRY_S)
            else:
                return found

    async def _handled(self, message: StoredMessage) -> bool:
        """Give one message its effect; False: try again."""
        stored_at = datetime.fromtimestamp(message.published_ns / NANO, UTC)
        with self._failures.attempt(message.delivered, stored_at) as attempt:
            try:
                await self._follow_up(message)
            except Exception as error:  # noqa: BLE001 - the boundary where every failure becomes a decision
                failed = FailedMessage(
                    FEEDBACK_DURABLE,
                    message.stream,
                    message.sequence,
                    message.subject,
                    message.data,
                    message.delivered,
                )
                return not isinstance(await self._failures.settle(failed, error, attempt), Retry)
        return True

    async def _follow_up(self, message: StoredMessage) -> None:
        head = parse_envelope(Envelope[dict[str, Any]], message.data)  # type: ignore[type-var]  # its type only
        event = parse_envelope(spec_for_type(head.type).envelope, message.data)
        with message_context(
            correlation_id=event.correlationid,
            traceparent=event.traceparent,
            causation_id=event.causationid,
            event_id=event.id,
        ):
            if isinstance(event.data, FeedbackSubmitted):
                await self._follow.on_submitted(event)
            else:
                await self._follow.on_revised(event)


def _again(subject: str, data: bytes, sequence: int) -> StoredMessage:
    return StoredMessage(subject, data, FEEDBACK, sequence, 0, 1, 0, int(time.time() * NANO), "")


def matters(message: StoredMessage) -> bool:
    """Whether a message may concern a case: most ratings are good. What can't be read needs a closer look."""
    if not message.subject.startswith(SUBMITTED):
        return True
    try:
        grade = _head(message.data).data.grade
    except msgspec.MsgspecError:
        return True
    return not Grade.FAIR <= grade <= Grade.VERY_SATISFIED
