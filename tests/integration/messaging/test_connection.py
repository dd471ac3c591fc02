"""Closing a connection, whatever the broker does meanwhile."""

import asyncio
import gc
import os
import signal

import pytest

from deploy.local.embedded import NatsServer
from shared.messaging import connection as module
from shared.messaging.connection import BrokerSettings, close, connect


async def test_a_connection_closes_although_the_broker_takes_nothing_any_more(
    own_nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLOSED_WITHIN_S", 0.1)
    client = await connect(BrokerSettings(nats_url=own_nats_server.url), "test")
    assert own_nats_server.pid is not None
    os.kill(own_nats_server.pid, signal.SIGSTOP)
    try:
        for _ in range(40):
            await client.publish("anything", bytes(500_000))
        await asyncio.sleep(0)
        async with asyncio.timeout(20):
            await close(client)
        assert client.is_closed
        await asyncio.sleep(0)
        del client
        gc.collect()  # a socket that was left open would warn here, and a warning is an error
    finally:
        os.kill(own_nats_server.pid, signal.SIGCONT)


async def test_a_connection_with_something_to_send_closes_although_the_broker_has_gone(
    own_nats_server: NatsServer,
) -> None:
    client = await connect(BrokerSettings(nats_url=own_nats_server.url), "test")
    own_nats_server.kill()
    async with asyncio.timeout(20):
        while client.is_connected:  # noqa: ASYNC110 - the library tells nobody
            await asyncio.sleep(0.01)
    await client.publish("anything", b"when it is back")
    await close(client)
    assert client.is_closed
