"""The way in from the streams: one feeder for each archived stream, into the sequencer.

Consumes every stream of :data:`shared.messaging.streams.ARCHIVED` by its durable ``archive-<stream>``.
"""

import asyncio
from typing import Final

import structlog

from services.archive.application.ports import StreamSource
from services.archive.application.sequencer import Sequencer
from shared.kernel.errors import TransientError

log = structlog.get_logger(__name__)
TAKE_MESSAGES: Final = 500
TAKE_WAIT_S: Final = 1.0
RETRY_S: Final = 0.5


async def feed(source: StreamSource, sequencer: Sequencer, stream: str) -> None:
    """Pull ``stream`` into ``sequencer`` as it has room, until cancelled; an outage is waited out."""
    while True:
        await sequencer.room(stream)
        try:
            messages = await source.take(stream, TAKE_MESSAGES, TAKE_WAIT_S)
        except TransientError as error:
            log.debug("feeder_waits", stream=stream, reason=str(error))
            await asyncio.sleep(RETRY_S)
            continue
        if messages:
            sequencer.offer(stream, messages)
