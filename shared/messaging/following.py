"""Following a stream from its beginning with one fold in one task: for folds that are small and fast."""

import asyncio
from collections.abc import Callable
from typing import Final

from nats.aio.client import Client

from shared.messaging.reading import FoldReader
from shared.messaging.stored import StoredMessage

FIRST_S: Final = 0.1
"""A start waits for the fold; most of these streams' parts are small."""
IDLE_S: Final = 1.0


async def follow(
    client: Client,
    stream: str,
    filters: tuple[str, ...],
    fold: Callable[[StoredMessage], None],
    caught_up: asyncio.Event,
) -> None:
    """Hand each message to ``fold`` until cancelled; set ``caught_up`` once all that was there is folded.

    Raises:
        HistoryChangedError: the stream is another one than before; only a fresh start helps.
    """
    reader = FoldReader(client, stream, filters=filters)
    try:
        while True:
            for message in await reader.take(wait_s=IDLE_S if caught_up.is_set() else FIRST_S):
                fold(message)
            if reader.caught_up:
                caught_up.set()
    finally:
        await reader.close()
