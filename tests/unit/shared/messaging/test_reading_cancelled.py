"""A reader that is told to stop stops, also when a message comes at that very moment."""

import asyncio
from typing import Any

import pytest

from shared.messaging.pulling import Pull


class Silent:
    """A connection on which nothing comes by itself."""

    def new_inbox(self) -> str:
        return "_INBOX.x"

    async def publish(self, *_: Any, **__: Any) -> None:  # noqa: ANN401 - whatever is asked
        return


async def test_a_cancellation_is_not_forgotten_over_a_message_that_comes_with_it() -> None:
    pull = Pull(Silent(), "CASES", "reader")  # type: ignore[arg-type]  # as far as it is used
    waiting = asyncio.create_task(pull.take(10, wait_s=30))
    await asyncio.sleep(0.01)
    pull._on_message(b"_INBOX.x.1", b"", b"NATS/1.0 100 Idle Heartbeat\r\n\r\n", b"")  # noqa: SLF001 - the wire
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(20):
            await waiting
    assert waiting.cancelled()
