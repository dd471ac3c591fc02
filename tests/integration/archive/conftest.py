"""A provisioned broker, a bootstrapped database and settings of an archive for them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.client import Client

from deploy.local.embedded import MongoServer, NatsServer
from services.archive.adapters import jetstream_source
from services.archive.adapters.schema import bootstrap
from shared.messaging.connection import BrokerSettings, connect
from tests.integration.archive.support import Setup, write_signing_key
from tests.support.servers import provision_again


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Archives in this process spare no disk: each would wait a second for messages that are there.

    Those that are processes of their own keep their pace.
    """
    monkeypatch.setattr(jetstream_source, "PACE_S", 0.1)


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    """A client of a broker that has exactly the declared streams, all empty."""
    connection = await connect(BrokerSettings(nats_url=nats_server.url), "test")
    await provision_again(connection, nats_server)
    yield connection
    await connection.close()


@pytest.fixture
def signing_key(tmp_path: Path) -> Path:
    """A signing key of the log, in a file."""
    return write_signing_key(tmp_path)


@pytest.fixture
def setup(
    client: Client, nats_server: NatsServer, mongo_server: MongoServer, mongo_database: str, signing_key: Path
) -> Setup:
    """An archive on the provisioned broker and an empty, bootstrapped database."""
    del client
    bootstrap(mongo_server.url, mongo_database)
    return Setup(nats_server.url, mongo_server.url, mongo_database, signing_key)
