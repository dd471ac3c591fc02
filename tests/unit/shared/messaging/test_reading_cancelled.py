"""A reader that is told to stop stops, also when a message comes at that very moment."""

import asyncio
from typing import Any

import pytest

from shared.messaging import reading
from shared.messaging.pulling import Pull
from shared.messaging.reading import DurableReader, FoldReader


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


class Answering:
    """A broker whose first answer cancels the task that it comes to, and says nothing, as all others."""

    is_connected = False

    def __init__(self) -> None:
        self.asked = 0
        self.stats = {"reconnects": 0}

    def jetstream(self, **_: float) -> "Answering":
        return self

    async def consumer_info(self, *_: str) -> None:
        self.asked += 1
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        reader = asyncio.current_task()
        if self.asked == 1 and reader is not None:
            answer.add_done_callback(lambda _: reader.cancel())
        asyncio.get_running_loop().call_soon(answer.set_result, None)
        await asyncio.wait_for(answer, 60)  # as nats-py does; in Python 3.11 it then forgets the cancellation
        raise TimeoutError("no answer that says anything")

    stream_info = consumer_info


@pytest.mark.parametrize("kind", [FoldReader, DurableReader])
async def test_who_reads_for_ever_ends_although_an_answer_came_with_the_cancellation(
    kind: type[FoldReader | DurableReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "RETRY_S", 0)
    reader = kind(Answering(), "CASES", "reader") if kind is DurableReader else kind(Answering(), "CASES")  # type: ignore[arg-type, call-arg]  # as far as it is used

    async def read() -> None:
        while True:
            await reader.take()

    task = asyncio.create_task(read())
    ended, _ = await asyncio.wait({task}, timeout=5)
    task.cancel()
    assert ended
    assert task.cancelled()
