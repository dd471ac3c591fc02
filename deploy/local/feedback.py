"""Reading the ratings in the stream, and what became of them, for tools that recompute and check."""

from nats.aio.client import Client

from shared.events import EVENTS, FeedbackRevision, FeedbackSubmitted
from shared.messaging.reading import FoldReader, StoredMessage
from shared.messaging.streams import FEEDBACK

COUNTED = tuple(
    spec.pattern for spec in EVENTS if issubclass(spec.data, FeedbackSubmitted | FeedbackRevision)
)
"""Subjects of the events that rankings depend on."""


async def read_feedback(client: Client) -> list[StoredMessage]:
    """Every message about a rating that is in the stream now, in order."""
    reader = FoldReader(client, FEEDBACK, filters=COUNTED)
    messages: list[StoredMessage] = []
    try:
        while not reader.caught_up:
            messages += await reader.take(wait_s=1.0)
    finally:
        await reader.close()
    return messages
