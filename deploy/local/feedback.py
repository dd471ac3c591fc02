"""Reading feedback in the stream, for tools that recompute and check."""

from collections.abc import AsyncGenerator

from nats.aio.client import Client

from shared.events import FeedbackSubmitted, spec_for_data
from shared.messaging.reading import FoldReader, StoredMessage
from shared.messaging.streams import FEEDBACK

SUBMITTED = spec_for_data(FeedbackSubmitted).pattern


async def read_feedback(client: Client) -> list[StoredMessage]:
    """Every rating message that is in the stream now, in order; what was decided about them is left out."""
    messages: list[StoredMessage] = []
    async for batch in feedback_batches(client, (SUBMITTED,)):
        messages += batch
    return messages


async def feedback_batches(
    client: Client, filters: tuple[str, ...] = ()
) -> AsyncGenerator[list[StoredMessage], None]:
    """What is in the stream now, in order; without ``filters`` all of it, as scoring folds it."""
    reader = FoldReader(client, FEEDBACK, filters=filters)
    try:
        while not reader.caught_up:
            if batch := await reader.take(wait_s=1.0):
                yield batch
    finally:
        await reader.close()
