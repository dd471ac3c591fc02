"""The county of the scenarios, on the servers of this pytest process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.client import Client

from deploy.local.embedded import MongoServer, NatsServer
from services.archive.adapters.schema import bootstrap
from shared.messaging.connection import BrokerSettings, connect
from tests.integration.archive.support import Setup, write_signing_key
from tests.integration.scenario.stage import County, county
from tests.support.servers import provision_again


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    """A client of a broker that has exactly the declared streams, all empty."""
    connection = await connect(BrokerSettings(nats_url=nats_server.url), "test")
    await provision_again(connection, nats_server)
    yield connection
    await connection.close()


@pytest.fixture
async def here(
    client: Client, nats_server: NatsServer, mongo_server: MongoServer, mongo_database: str, tmp_path: Path
) -> AsyncIterator[County]:
    """The county, open for business."""
    bootstrap(mongo_server.url, mongo_database)
    archive = Setup(nats_server.url, mongo_server.url, mongo_database, write_signing_key(tmp_path))
    async with county(client, nats_server.url, archive, tmp_path) as ready:
        yield ready
