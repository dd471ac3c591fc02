"""A provisioned broker and a connected client for every test of the messaging layer."""

from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client

from deploy.local.embedded import NatsServer
from shared.messaging.connection import BrokerSettings, connect
from shared.messaging.provisioner import provision
from tests.support.servers import provision_again


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    """A client of a broker that has exactly the declared streams, all empty."""
    connection = await connect(BrokerSettings(nats_url=nats_server.url), "test")
    await provision_again(connection, nats_server)
    yield connection
    await connection.close()


@pytest.fixture
async def own_client(own_nats_server: NatsServer) -> AsyncIterator[Client]:
    """The same on a broker that the test may kill."""
    connection = await connect(BrokerSettings(nats_url=own_nats_server.url), "test")
    await provision(connection)
    yield connection
    await connection.close()
