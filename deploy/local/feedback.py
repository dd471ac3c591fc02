"""Reading the ratings in the stream, and what became of them, for tools that recompute and check."""

import contextlib
from collections.abc import AsyncGenerator

from nats.aio.client import Client

from shared.events import EVENTS, FeedbackRevision, FeedbackSubmitted
from shared.messaging.reading import FoldReader
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import FEEDBACK

COUNTED = tuple(
    spec.pattern for spec in EVENTS if issubclass(spec.data, FeedbackSubmitted | FeedbackRevision)
)
"""Subjects of the events that rankings depend on."""


async def read_feedback(client: Client) -> list[StoredMessage]:
    """Every message about a rating that is in the stream now, in order."""
    messages: list[StoredMessage] = []
    async for batch in feedback_batches(client, COUNTED):
        messages += batch
    return messages


async def feedback_batches(
    client: Client, filters: tuple[str, ...] = ()
) -> AsyncGenerator[list[StoredMessage], None]:
    """What is in the stream now, in order; without ``filters`` all of it, as scoring folds it."""
    async with contextlib.aclosing(stream_batches(client, FEEDBACK, filters)) as found:
        async for batch in found:
            yield batch


async def stream_batches(
    client: Client, stream: str, filters: tuple[str, ...] = ()
) -> AsyncGenerator[list[StoredMessage], None]:
    """What is in any stream now, in order."""
    reader = FoldReader(client, stream, filters=filters)
    try:
        while not reader.caught_up:
            if batch := await reader.take(wait_s=1.0):
                yield batch
    finally:
        await reader.close()
