"""Looking at dead letters, and handing their messages in once more."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from nats.aio.client import Client
from nats.js.errors import NotFoundError as StreamMessageMissing

from shared.events.deadletter import MessageDeadLettered
from shared.events.envelope import Envelope, InvalidEventError, parse_envelope
from shared.events.registry import parse_event
from shared.kernel.clock import rfc3339
from shared.kernel.errors import NotFoundError, PermanentError, describe
from shared.messaging.reading import FoldReader
from shared.messaging.streams import DEADLETTER

MEMORY: Final = timedelta(days=30)
"""How long after its receipt everybody recognises an event id: the shortest of the memories (ADR 0004)."""


class ReplayTooLateError(PermanentError):
    """The message is so old that those who handled it would take it for a new one and count it twice."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter: its envelope's id and its data."""

    id: str
    data: MessageDeadLettered

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {"id": self.id, **json.loads(self.data.model_dump_json())}


async def list_letters(client: Client) -> list[Letter]:
    """All letters in the stream, oldest first; the stream keeps them 800 days."""
    reader = FoldReader(client, DEADLETTER)
    letters: list[Letter] = []
    try:
        while not reader.caught_up:
            for message in await reader.take(wait_s=1.0):
                try:
                    envelope = parse_envelope(Envelope[MessageDeadLettered], message.data)
                except InvalidEventError:
                    continue  # not written by us; the archive has it as unparseable
                letters.append(Letter(envelope.id, envelope.data))
    finally:
        await reader.close()
    return letters


async def read_original(client: Client, letter_id: str) -> tuple[Letter, bytes]:
    """The letter and the raw body that it is about, from the body's own stream.

    Raises:
        NotFoundError: no such letter, or its message has expired from its stream.
    """
    letter = next((one for one in await list_letters(client) if one.id == letter_id), None)
    if letter is None:
        raise NotFoundError(letter_id, "the id of a dead letter", "list them with `pingyi deadletter list`")
    try:
        message = await client.jetstream(timeout=5).get_msg(letter.data.stream, letter.data.sequence)
    except StreamMessageMissing as error:
        raise NotFoundError(
            f"{letter.data.stream}:{letter.data.sequence}",
            "a message still in its stream",
            "look in the archive",
        ) from error
    return letter, message.data or b""


def producer_of(letter: Letter, body: bytes) -> str:
    """The service that may publish the message once more: the one that published it at first.

    Raises:
        InvalidEventError: the message is not a valid event; it would only die again. Mend its producer.
    """
    return _event(letter, body).source.rsplit("/", 1)[1]


def _event(letter: Letter, body: bytes) -> Envelope[Any]:
    try:
        return parse_event(body)
    except InvalidEventError as error:
        raise InvalidEventError(
            describe(
                f"the message of letter {letter.id}",
                f"an event ({error})",
                "mend its producer; it can't be replayed",
            )
        ) from error


def require_remembered(letter: Letter, body: bytes, now: datetime) -> None:
    """Return if a replay at ``now`` is harmless: everybody else still recognises the event's id.

    Scoring's own letters are no exception. It folds the whole stream anew at every start, so the version that
    can read the message has counted the original, and would count an old repeat once more.

    Raises:
        ReplayTooLateError: it was received longer ago than :data:`MEMORY`.
        InvalidEventError: see :func:`producer_of`.
    """
    received = _event(letter, body).receivedat
    if now - received <= MEMORY:
        return
    remedy = (
        "restart scoring instead: it reads the original again from the stream"
        if letter.data.service == "scoring"
        else f"leave it; {letter.data.stream}:{letter.data.sequence} stays in the stream and in the archive"
    )
    raise ReplayTooLateError(
        describe(
            f"a message received at {rfc3339(received)}",
            f"one of the last {MEMORY.days} days, which a replay can't count twice",
            remedy,
        )
    )


async def replay(producer: Client, letter: Letter, body: bytes, *, now: datetime) -> int:
    """Publish the original body on its subject again; returns the new sequence.

    ``producer`` is connected as the service that :func:`producer_of` names: nobody else may write there.
    Everybody who reads the stream sees the message again and recognises its event id; whoever gave up on it
    gets its second chance. The message id is new, or the broker itself would drop the repeat.

    Raises:
        ReplayTooLateError: see :func:`require_remembered`; nothing was published.
    """
    require_remembered(letter, body, now)
    headers = {"Nats-Msg-Id": f"replay-{letter.id}-{uuid4().hex[:8]}"}
    ack = await producer.jetstream(timeout=5).publish(letter.data.message_subject, body, headers=headers)
    return ack.seq
