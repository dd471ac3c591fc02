"""A service's session with a real broker."""

import asyncio
import gc
import os
import signal

import pytest

from deploy.local.embedded import NatsServer
from shared.messaging import session as module
from shared.messaging.connection import BrokerSettings, connect, make_broker
from shared.messaging.publisher import BrokerUnavailableError
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


def reconnecting() -> list[asyncio.Task[None]]:
    """What tries to reach a broker that is away."""
    named = [(getattr(task.get_coro(), "__name__", ""), task) for task in asyncio.all_tasks()]
    return [task for name, task in named if name == "_attempt_reconnect"]


async def reconnects() -> asyncio.Task[None]:
    """The same, once it has begun."""
    async with asyncio.timeout(30):
        while not reconnecting():  # noqa: ASYNC110 - the library tells nobody
            await asyncio.sleep(0.01)
    (task,) = reconnecting()
    return task


async def test_a_session_stopped_while_the_broker_is_away_reconnects_no_more(
    own_nats_server: NatsServer,
) -> None:
    session = BrokerSession(make_broker(BrokerSettings(nats_url=own_nats_server.url), "test"))
    await session.start()
    await session.wait_ready()
    own_nats_server.kill()
    assert not (await reconnects()).done()
    await session.stop()
    assert not reconnecting()


async def test_a_session_stops_in_time_although_the_broker_answers_nothing(
    own_nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DRAINED_WITHIN_S", 0.5)
    session = BrokerSession(make_broker(BrokerSettings(nats_url=own_nats_server.url), "test"))
    await session.start()
    client = await session.wait_ready()
    await client.subscribe("anything")
    assert own_nats_server.pid is not None
    os.kill(own_nats_server.pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(30):  # without its limits it waits for as long as the broker is frozen
            await session.stop()
    finally:
        os.kill(own_nats_server.pid, signal.SIGCONT)
    assert client.is_closed


async def test_a_reconnect_that_is_cancelled_while_it_is_refused_ends(
    own_nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await connect(BrokerSettings(nats_url=own_nats_server.url), "test")
    own_nats_server.kill()
    task = await reconnects()

    async def refused(*_: object, **__: object) -> None:
        # At the same turn of the loop; Python 3.11's `wait_for` then knows of the refusal only.
        task.cancel()
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio, "open_connection", refused)
    ended, _ = await asyncio.wait({task}, timeout=30)
    assert ended
    await client.close()


async def looked_at_until_it_fails(session: BrokerSession) -> None:
    """Ask again and again: a process stops a little after it was told to."""
    async with asyncio.timeout(20):
        while True:
            await session.check()


async def test_a_connection_goes_on_hearing_although_the_broker_answered_a_ping_too_late(
    own_nats_server: NatsServer,
) -> None:
    session = BrokerSession(make_broker(BrokerSettings(nats_url=own_nats_server.url), "test"))
    await session.start()
    client = await session.wait_ready()
    assert own_nats_server.pid is not None
    os.kill(own_nats_server.pid, signal.SIGSTOP)
    try:
        with pytest.raises(BrokerUnavailableError, match="no pong"):
            await looked_at_until_it_fails(session)
    finally:
        os.kill(own_nats_server.pid, signal.SIGCONT)
    await client.jetstream(timeout=15).account_info()  # deaf, it would be for half a minute
    await session.check()
    assert client.stats["reconnects"] == 0
    await session.stop()
