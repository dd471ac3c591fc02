"""What a durable without filters has given out, looked up on a real broker."""

import pytest
from nats.aio.client import Client

from services.rectify.entrypoints.events import FEEDBACK_DURABLE
from services.rectify.entrypoints.outstanding import JetStreamOutstanding
from shared.messaging.reading import DurableReader
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import FEEDBACK

pytestmark = pytest.mark.integration


async def test_all_subjects_of_the_stream_in_order(client: Client) -> None:
    facts = ("submitted", "quarantined", "submitted", "corrected")
    for fact in facts:
        await client.jetstream().publish(f"feedback.v1.{fact}.3601.360102", b"{}")
    reader = DurableReader(client, FEEDBACK, FEEDBACK_DURABLE)
    given: list[StoredMessage] = []
    while len(given) < len(facts):
        given += await reader.take(wait_s=0.2)
    await reader.acknowledge(given[0])
    await reader.close()
    await client.flush()
    outstanding = JetStreamOutstanding(client, FEEDBACK, FEEDBACK_DURABLE)
    assert [each.sequence for each in (await outstanding.given()).messages] == [2, 3, 4]
    before = [each.subject.split(".")[2] for each in await outstanding.before(4)]
    assert before == ["quarantined", "submitted"]
