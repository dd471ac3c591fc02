"""Reading the ratings in the stream, for tools that recompute and check."""

from nats.aio.client import Client

from shared.events import FeedbackSubmitted, spec_for_data
from shared.messaging.reading import FoldReader, StoredMessage
from shared.messaging.streams import FEEDBACK

SUBMITTED = spec_for_data(FeedbackSubmitted).pattern


async def read_feedback(client: Client) -> list[StoredMessage]:
    """Every rating message that is in the stream now, in order."""
    reader = FoldReader(client, FEEDBACK, filters=(SUBMITTED,))
    messages: list[StoredMessage] = []
    try:
        while not reader.caught_up:
            messages += await reader.take(wait_s=1.0)
    finally:
        await reader.close()
    return messages
