"""A service's session with a real broker."""

import asyncio
import gc

import pytest

from deploy.local.embedded import NatsServer
from shared.messaging.connection import BrokerSettings, make_broker
from shared.messaging.session import BrokerSession


@pytest.mark.parametrize("turns", range(12))
async def test_a_session_stopped_while_it_connects_leaves_no_socket_behind(
    nats_server: NatsServer, turns: int
) -> None:
    session = BrokerSession(make_broker(BrokerSettings(nats_url=nats_server.url), "test"))
    await session.start()
    for _ in range(turns):  # as far into connecting as so many turns of the loop get
        await asyncio.sleep(0)
    await session.stop()
    gc.collect()  # what was forgotten would warn here, and a warning is an error
