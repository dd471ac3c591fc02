"""What the broker delivered and a connection lost: it does not deliver it again, and is not asked to."""

import asyncio

import pytest
from nats.aio.client import Client

from deploy.local.embedded import NatsServer
from shared.messaging import reading
from shared.messaging.connection import BrokerSettings, close, connect
from shared.messaging.pulling import Pull
from shared.messaging.reading import FoldReader
from shared.messaging.streams import FEEDBACK, VAULT
from tests.integration.messaging.test_reading import fill, paces, read
from tests.support.proxy import proxied


async def delivered(client: Client, count: int) -> None:
    """Wait until the broker has delivered so many messages to the one fold that reads."""
    jetstream = client.jetstream()
    async with asyncio.timeout(20):
        while True:
            consumers = await jetstream.consumers_info(FEEDBACK)
            (fold,) = [each for each in consumers if each.name.startswith("fold-")]
            if fold.delivered is not None and fold.delivered.consumer_seq == count:
                return
            await asyncio.sleep(0.01)


@paces
async def test_a_fold_reads_what_was_lost_with_a_connection_although_nothing_comes_after_it(
    client: Client, nats_server: NatsServer, pace_s: float
) -> None:
    async with proxied(nats_server) as way:
        through = await connect(BrokerSettings(nats_url=way.url), "test")
        await fill(client, 1, 3)
        reader = FoldReader(through, FEEDBACK, pace_s=pace_s)
        await read(reader, 3)
        await reader.take(wait_s=0.2)
        way.losing = True
        await fill(client, 4, 5)
        await delivered(client, 5 if not pace_s else 4)
        way.cut()
        messages = await read(reader, 2, limit_s=20)
        assert [message.sequence for message in messages] == [4, 5]
        await reader.close()
        await close(through)


@paces
async def test_a_fold_has_caught_up_although_the_last_message_was_deleted_before_it_came(
    client: Client, pace_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "STALLED_S", 0.5)
    jetstream, start = client.jetstream(), Pull.start
    last = (await jetstream.publish("vault.v1.record.1", b"sealed")).seq

    async def late(pull: Pull) -> None:
        await jetstream.delete_msg(VAULT, last)
        await start(pull)

    monkeypatch.setattr(Pull, "start", late)
    reader = FoldReader(client, VAULT, pace_s=pace_s)
    assert await reader.take(wait_s=0.1) == []
    assert reader.pending == 1
    monkeypatch.setattr(Pull, "start", start)
    async with asyncio.timeout(20):
        while not reader.caught_up:
            assert await reader.take(wait_s=0.1) == []
    await reader.close()
