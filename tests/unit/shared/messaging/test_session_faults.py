"""The broker session when connecting fails in ways that nobody foresaw."""

import asyncio
from typing import cast

import pytest
from faststream.nats import NatsBroker
from nats.aio.client import Client

from shared.messaging import session as module
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.session import BrokerSession


class StubBroker:
    """Connects at once to a client that is there."""

    is_connected = True
    is_closed = True  # as after a drain

    async def connect(self) -> "StubBroker":
        return self

    async def start(self) -> None:
        return

    async def stop(self) -> None:
        return

    async def _process_pong(self) -> None:
        return

    async def flush(self, timeout: float) -> None:  # noqa: ASYNC109 - nats-py's signature
        assert timeout > 0


async def test_a_defect_while_connecting_shows_in_readiness_and_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.05)
    tried = asyncio.Event()
    mended = asyncio.Event()

    async def on_connect(_client: Client) -> None:
        tried.set()
        if not mended.is_set():
            raise KeyError("a defect")

    session = BrokerSession(cast("NatsBroker", StubBroker()), on_connect)
    await session.start()
    async with asyncio.timeout(20):
        await tried.wait()
        await asyncio.sleep(0.01)
        with pytest.raises(BrokerUnavailableError, match=r"KeyError.*a defect"):
            await session.check()
        mended.set()
        await session.wait_ready()
        await session.check()
    await session.stop()
