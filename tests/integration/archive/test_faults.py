"""Whatever is killed under load: one chain without holes, every sequence once."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from nats.aio.client import Client

from deploy.local.embedded import MongoServer, NatsServer
from services.archive.adapters.schema import DATABASE, bootstrap
from shared.kernel.errors import TransientError
from shared.messaging.connection import BrokerSettings, connect
from shared.messaging.provisioner import provision
from shared.messaging.streams import ALERTS, AUDIT, FEEDBACK, RANKING
from tests.integration.archive.support import (
    Process,
    Setup,
    connected,
    publish,
    publish_others,
    ratings,
    until_archived,
    until_signed,
    verified,
)

LOAD = 6_000

pytestmark = [
    # nats-py forgets the sockets of connections that break, or that a server which is just starting closes.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.usefixtures("forgotten_sockets"),
]


@pytest.fixture
def forgotten_sockets() -> Iterator[None]:
    """Let what a test forgot be collected in that test, not in a later one."""
    yield
    gc.collect()


@pytest.fixture
async def own_client(own_nats_server: NatsServer) -> AsyncIterator[Client]:
    connection = await connect(BrokerSettings(nats_url=own_nats_server.url), "test")
    await provision(connection)
    yield connection
    await connection.close()


async def load(client: Client, count: int = LOAD) -> None:
    """Publish ``count`` ratings in steps, beside some other events; what fails is sent again."""
    for first in range(0, count, 200):
        while True:
            try:
                await publish(client, ratings(first, 200))
                break
            except TransientError:
                await asyncio.sleep(0.2)
        await asyncio.sleep(0.02)
    await publish_others(client, 100)


async def assert_complete(api: httpx.AsyncClient, limit_s: float = 60, count: int = LOAD) -> None:
    """Everything of :func:`load` is in the log, once."""
    await until_archived(api, {FEEDBACK: count, RANKING: 100, ALERTS: 100}, limit_s)
    await connected(api, limit_s)  # all may have been archived before the last outage
    outcome = await verified(api)
    assert outcome["findings"] == []
    assert outcome["entries"] - outcome["streams"][AUDIT]["entries"] == count + 200
    assert outcome["books"]["archived"] == count


async def test_killed_under_load_the_archive_loses_and_doubles_nothing(
    client: Client, setup: Setup, tmp_path: Path
) -> None:
    # Many small batches: more moments to be killed in.
    setup.options |= {"batch_entries": 50, "checkpoint_every_s": 1, "checkpoint_every_entries": 1000}
    archive = Process(setup, tmp_path / "archive.log")
    archive.start()
    publishing = asyncio.create_task(load(client, LOAD // 2))
    try:
        for last in (300, 900, 1800):
            await until_archived(archive.api, {FEEDBACK: last})
            archive.kill()
            archive.start()
        await publishing
        await assert_complete(archive.api, count=LOAD // 2)
        assert archive.stop() == 0
    finally:
        archive.kill()


async def test_a_mongod_killed_under_load_holds_the_archive_up_and_no_more(
    client: Client, nats_server: NatsServer, own_mongo_server: MongoServer, signing_key: Path
) -> None:
    bootstrap(own_mongo_server.url)
    setup = Setup(nats_server.url, own_mongo_server.url, DATABASE, signing_key, {"batch_entries": 50})
    async with setup.running() as api:
        publishing = asyncio.create_task(load(client))
        for last in (500, 2000):
            await until_archived(api, {FEEDBACK: last})
            await asyncio.to_thread(own_mongo_server.kill)
            answer = await api.get("/v1/head")
            assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
            assert answer.headers["content-type"] == "application/problem+json"
            assert "expected MongoDB to" in answer.json()["detail"]
            assert "Try again after" in answer.json()["detail"]
            assert not [word for word in ("Error", "Topology", "127.0.0.1") if word in answer.text]
            assert (await api.get("/livez")).status_code == httpx.codes.OK
            await asyncio.to_thread(own_mongo_server.start)
        await publishing
        await assert_complete(api)


async def test_a_broker_killed_under_load_holds_the_archive_up_and_no_more(
    own_client: Client,
    own_nats_server: NatsServer,
    mongo_server: MongoServer,
    mongo_database: str,
    signing_key: Path,
) -> None:
    bootstrap(mongo_server.url, mongo_database)
    setup = Setup(own_nats_server.url, mongo_server.url, mongo_database, signing_key, {"batch_entries": 50})
    async with setup.running() as api:
        publishing = asyncio.create_task(load(own_client))
        for last in (500, 2000):
            await until_archived(api, {FEEDBACK: last})
            await asyncio.to_thread(own_nats_server.kill)
            await asyncio.sleep(0.3)
            await asyncio.to_thread(own_nats_server.start)
        await publishing
        await assert_complete(api)


async def is_leading(api: httpx.AsyncClient) -> bool:
    """Whether this process says that it sequences and signs."""
    return "pingyi_archive_leader 1.0" in (await api.get("/metrics")).text


async def until_ready(api: httpx.AsyncClient) -> None:
    """Wait until a process that was just started works."""
    async with asyncio.timeout(60):
        while True:
            with suppress(httpx.TransportError):
                if (await api.get("/readyz")).status_code == httpx.codes.OK:
                    return
            await asyncio.sleep(0.2)


async def test_of_two_archives_one_leads_and_the_other_takes_over_when_it_is_killed(
    client: Client, setup: Setup, tmp_path: Path
) -> None:
    setup.options |= {"batch_entries": 50, "checkpoint_every_s": 2}
    archives = [Process(setup, tmp_path / f"archive-{number}.log") for number in range(2)]
    for archive in archives:
        archive.start()
    try:
        for archive in archives:
            await until_ready(archive.api)
        publishing = asyncio.create_task(load(client, 2000))
        await until_archived(archives[0].api, {FEEDBACK: 600})
        leads = [await is_leading(archive.api) for archive in archives]
        assert sorted(leads) == [False, True]
        leader, follower = archives if leads[0] else reversed(archives)
        assert "pingyi_archive_entries_total{" not in (await follower.api.get("/metrics")).text
        leader.kill()
        await publishing
        await assert_complete(follower.api, count=2000)
        await until_signed(follower.api, 2000 + 200)
    finally:
        for archive in archives:
            archive.kill()


async def test_the_archive_starts_without_broker_and_database_and_becomes_ready_by_itself(
    own_nats_server: NatsServer, own_mongo_server: MongoServer, signing_key: Path
) -> None:
    bootstrap(own_mongo_server.url)
    connection = await connect(BrokerSettings(nats_url=own_nats_server.url), "test")
    await provision(connection)
    await publish(connection, ratings(0, 10))
    await connection.close()
    own_nats_server.stop()
    own_mongo_server.stop()
    setup = Setup(own_nats_server.url, own_mongo_server.url, DATABASE, signing_key)
    async with setup.running() as api:
        assert (await api.get("/livez")).status_code == httpx.codes.OK
        answer = await api.get("/readyz")
        assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
        failed = {name for name, check in answer.json()["checks"].items() if check["status"] == "failed"}
        assert {"nats", "mongodb", "consumer-feedback"} <= failed
        await asyncio.to_thread(own_mongo_server.start)
        await asyncio.to_thread(own_nats_server.start)
        await until_archived(api, {FEEDBACK: 10})
        deadline = time.monotonic() + 60
        while (answer := await api.get("/readyz")).status_code != httpx.codes.OK:
            assert time.monotonic() < deadline, answer.text
            await asyncio.sleep(0.3)
