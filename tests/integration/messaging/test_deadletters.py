"""Dead letters on a real broker: listed, looked up, replayed; never printed."""

from datetime import timedelta

import pytest
from nats.aio.client import Client

from shared.events import InvalidEventError
from shared.kernel.clock import SystemClock
from shared.kernel.errors import NotFoundError, PermanentError
from shared.messaging.deadletters import (
    MEMORY,
    ReplayTooLateError,
    list_letters,
    producer_of,
    read_original,
    replay,
)
from shared.messaging.failure import DeadLetters, FailedMessage
from shared.messaging.publisher import JetStreamPublisher
from shared.messaging.streams import FEEDBACK
from shared.testing.builders import envelope_of, feedback_submitted

SUBJECT = "feedback.v1.submitted.3607.360721"


async def give_up_on(client: Client, body: bytes, service: str = "notify") -> str:
    """Store ``body`` in FEEDBACK and a dead letter of ``service`` about it; the letter's id."""
    ack = await client.jetstream().publish(SUBJECT, body)
    letters = DeadLetters(JetStreamPublisher(client), SystemClock(), service)
    message = FailedMessage("notify-feedback", FEEDBACK, ack.seq, SUBJECT, body, 1)
    return await letters.write(message, PermanentError("unusable"))


async def test_a_letter_names_the_message_and_leads_to_its_body(client: Client) -> None:
    body = envelope_of(feedback_submitted()).to_json()
    letter_id = await give_up_on(client, body)
    (letter,) = await list_letters(client)
    assert (letter.id, letter.data.stream, letter.data.sequence) == (letter_id, FEEDBACK, 1)
    assert letter.data.reason == "unusable"
    assert (await read_original(client, letter_id))[1] == body


async def test_a_replayed_message_is_stored_again_under_the_same_event_id(client: Client) -> None:
    event = envelope_of(feedback_submitted())
    letter, body = await read_original(client, await give_up_on(client, event.to_json()))
    assert producer_of(letter, body) == "intake"
    sequence = await replay(client, letter, body, now=event.receivedat + MEMORY)
    stored = await client.jetstream().get_msg(FEEDBACK, sequence)
    assert stored.data == event.to_json()
    assert sequence > letter.data.sequence


@pytest.mark.parametrize(
    ("service", "remedy"), [("notify", "stays in the stream"), ("scoring", "restart scoring instead")]
)
async def test_a_message_older_than_the_shortest_memory_is_not_replayed(
    client: Client, service: str, remedy: str
) -> None:
    event = envelope_of(feedback_submitted())
    letter, body = await read_original(client, await give_up_on(client, event.to_json(), service))
    too_late = event.receivedat + MEMORY + timedelta(seconds=1)
    with pytest.raises(ReplayTooLateError, match=f"last 30 days.*{remedy}"):
        await replay(client, letter, body, now=too_late)
    assert (await client.jetstream().stream_info(FEEDBACK)).state.messages == 1


async def test_an_invalid_body_is_refused_because_it_would_die_again(client: Client) -> None:
    letter, body = await read_original(client, await give_up_on(client, b'{"broken": '))
    with pytest.raises(InvalidEventError, match="mend its producer"):
        producer_of(letter, body)


async def test_an_unknown_letter_is_said_to_be_unknown(client: Client) -> None:
    with pytest.raises(NotFoundError, match="deadletter list"):
        await read_original(client, "no-such-letter")
