"""The failure policy, in one place (ADR 0003): what happens when handling a message fails.

- Invalid payload or :class:`PermanentError`: dead letter (with the broker's acknowledgement), then terminate.
- :class:`TransientError` or anything unknown: negative acknowledgement with a growing delay; the last attempt
  becomes a dead letter, unless the error is the infrastructure's, which is retried for ever.

The consumers' own ``backoff`` setting does not apply to negative acknowledgements, hence the explicit delay.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from json import JSONDecodeError
from typing import Any, Final

import structlog
from faststream.message import StreamMessage
from faststream.middlewares import BaseMiddleware
from nats.aio.msg import Msg
from pydantic import ValidationError

from shared.events.deadletter import MessageDeadLettered
from shared.events.envelope import Provenance
from shared.events.registry import spec_for_data
from shared.kernel.clock import Clock
from shared.kernel.errors import PermanentError, TransientError
from shared.kernel.ids import derived_id
from shared.messaging.publisher import BrokerUnavailableError, EventPublisher

log = structlog.get_logger(__name__)

RETRY_DELAYS_S: tuple[float, ...] = (1, 5, 30, 120, 600)
"""Delay after the first, second … failed attempt; the attempt after the last delay is the final one."""
LONGEST_DELAY_S = 3600.0
"""A receiver may ask for a longer pause than ours (``TransientError.retry_after_s``), but not for ever."""
MAX_ATTEMPTS = len(RETRY_DELAYS_S) + 1
REASON_LENGTH = 2000

CLOCKS_AGREE: Final = 0.9
"""Share of the delays' sum at which a message is old enough: broker and service have clocks of their own."""

INVALID = (ValidationError, JSONDecodeError, UnicodeDecodeError)
INFRASTRUCTURE: tuple[type[BaseException], ...] = (BrokerUnavailableError, ConnectionError)


@dataclass(frozen=True, slots=True)
class FailedMessage:
    """What is known of a message that could not be handled."""

    consumer: str
    stream: str
    sequence: int
    subject: str
    data: bytes
    attempts: int


@dataclass(frozen=True, slots=True)
class Retry:
    """Decision: try again after ``delay_s`` seconds."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Decision: write a dead letter and take the message off the consumer."""


def decide(
    error: BaseException, attempts: int, delays_s: tuple[float, ...] = RETRY_DELAYS_S
) -> Retry | GiveUp:
    """What to do after ``attempts`` (from 1) deliveries ended in ``error``. Pure."""
    if isinstance(error, (PermanentError, *INVALID)):
        return GiveUp()
    if attempts > len(delays_s) and not isinstance(error, INFRASTRUCTURE):
        return GiveUp()
    delay_s = delays_s[min(attempts, len(delays_s)) - 1]
    if isinstance(error, TransientError) and error.retry_after_s is not None:
        delay_s = max(delay_s, min(error.retry_after_s, LONGEST_DELAY_S))
    return Retry(delay_s)


def fair_attempts(delivered: int, age: timedelta, delays_s: tuple[float, ...] = RETRY_DELAYS_S) -> int:
    """How many attempts to hold against a message that was ``delivered`` so many times. Pure.

    The broker also counts deliveries that ended in a crash or in trouble of the infrastructure, and these
    come quickly one after the other. So the final attempt is only due when the message, stored ``age`` ago,
    is as old as all the delays together make it; until then it counts as the one before.
    """
    old_enough = age.total_seconds() >= CLOCKS_AGREE * sum(delays_s)
    return delivered if old_enough else min(delivered, max(1, len(delays_s)))


_attempt: ContextVar[int] = ContextVar("pingyi_attempt", default=1)


def current_attempt() -> int:
    """The number that :func:`decide` gets if handling the current message fails (:func:`fair_attempts`)."""
    return _attempt.get()


class DeadLetters:
    """Writes dead letters. The raw body stays where it is: the letter names stream and sequence only.

    A body that broke the contract may hold anything, identities too, so it is never copied (ADR 0003).
    """

    def __init__(self, publisher: EventPublisher, clock: Clock, service: str) -> None:
        """Write in the name of ``service``."""
        self.clock = clock
        self._publisher = publisher
        self._service = service

    async def write(self, message: FailedMessage, error: BaseException) -> str:
        """Store the letter; the same message on the same consumer gives the same letter. Returns its id.

        Raises:
            TransientError: the broker did not take it; keep the message.
        """
        now = self.clock.now()
        digest = hashlib.sha256(message.data).hexdigest()
        letter = MessageDeadLettered(
            service=self._service,
            consumer=message.consumer,
            stream=message.stream,
            sequence=message.sequence,
            message_subject=message.subject,
            error=type(error).__name__,
            reason=_reason(error),
            attempts=max(1, message.attempts),
            payload_sha256=digest,
            payload_size=len(message.data),
        )
        letter_id = derived_id("deadletter", message.consumer, message.stream, str(message.sequence), digest)
        spec = spec_for_data(MessageDeadLettered)
        envelope = spec.wrap(
            letter,
            event_id=letter_id,
            source=self._service,
            subject=message.consumer,
            time=now,
            received_at=now,
            provenance=Provenance(correlation_id=letter_id),
        )
        await self._publisher.publish(envelope)
        log.error(
            "dead_lettered",
            consumer=message.consumer,
            stream=message.stream,
            sequence=message.sequence,
            error=letter.error,
            letter_id=letter_id,
        )
        return letter_id


def _reason(error: BaseException) -> str:
    """Why, without quoting input: pydantic's own text would repeat values of the payload."""
    if isinstance(error, ValidationError):
        issues = (f"{'.'.join(map(str, issue['loc'])) or 'body'}: {issue['msg']}" for issue in error.errors())
        return "; ".join(issues)[:REASON_LENGTH]
    return str(error)[:REASON_LENGTH]


class FailureHandling:
    """The policy applied to single messages, for whoever reads them: the middleware or a pull loop."""

    def __init__(self, dead_letters: DeadLetters, delays_s: tuple[float, ...] = RETRY_DELAYS_S) -> None:
        """File what is given up in ``dead_letters``; wait ``delays_s`` between attempts."""
        self._dead_letters = dead_letters
        self._delays_s = delays_s

    @contextmanager
    def attempt(self, delivered: int, stored_at: datetime) -> Iterator[int]:
        """Make :func:`current_attempt` that of a message stored at ``stored_at``, and give its number."""
        age = self._dead_letters.clock.now() - stored_at
        token = _attempt.set(fair_attempts(delivered, age, self._delays_s))
        try:
            yield _attempt.get()
        finally:
            _attempt.reset(token)

    async def settle(self, message: FailedMessage, error: Exception, attempt: int) -> Retry | GiveUp:
        """Decide about ``message``, whose handling ended in ``error``; the caller tells the broker.

        After a :class:`GiveUp` its dead letter is durable. One that can't be written is a :class:`Retry`.
        """
        decision = decide(error, attempt, self._delays_s)
        if isinstance(decision, GiveUp):
            try:
                await self._dead_letters.write(message, error)
            except BrokerUnavailableError:
                return Retry(self._delays_s[0])
            return decision
        log.warning(
            "message_retried",
            subject=message.subject,
            attempts=message.attempts,
            delay_s=decision.delay_s,
            error=repr(error),
        )
        return decision


class FailurePolicy(BaseMiddleware):
    """FastStream middleware that acknowledges after success and applies the policy after failure.

    Subscribers must use ``ack_policy=AckPolicy.MANUAL``. Make it with :func:`failure_policy`.
    """

    handling: FailureHandling

    async def consume_scope(
        self, call_next: Callable[[StreamMessage[Msg]], Awaitable[Any]], msg: StreamMessage[Msg]
    ) -> Any:  # noqa: ANN401 - FastStream's signature
        """Handle one message; never raises for a message's own failure."""
        raw = msg.raw_message
        if not raw.reply.startswith("$JS.ACK."):
            return await call_next(msg)
        metadata = raw.metadata
        with self.handling.attempt(metadata.num_delivered or 1, metadata.timestamp) as attempt:
            try:
                result = await call_next(msg)
            except Exception as error:  # noqa: BLE001 - the boundary where every failure becomes a decision
                await self._settle(raw, error, attempt)
                return None
        await raw.ack()
        return result

    async def _settle(self, raw: Msg, error: Exception, attempt: int) -> None:
        metadata = raw.metadata
        failed = FailedMessage(
            metadata.consumer,
            metadata.stream,
            metadata.sequence.stream,
            raw.subject,
            raw.data,
            metadata.num_delivered or 1,
        )
        decision = await self.handling.settle(failed, error, attempt)
        if isinstance(decision, GiveUp):
            await raw.term()
        else:
            await raw.nak(delay=decision.delay_s)


def failure_policy(handling: FailureHandling) -> type[FailurePolicy]:
    """The middleware class to hand to the broker, bound to ``handling``."""
    return type("BoundFailurePolicy", (FailurePolicy,), {"handling": handling})
