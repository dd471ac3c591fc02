"""A provisioned broker, receivers, and settings of notify for them."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from nats.aio.client import Client

from deploy.local.embedded import NatsServer, free_ports
from shared.messaging.connection import BrokerSettings, connect
from tests.integration.notify.support import KEY, Mailbox, Setup, WebhookReceiver, serving
from tests.support.servers import provision_again


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    """A client of a broker that has exactly the declared streams, all empty."""
    connection = await connect(BrokerSettings(nats_url=nats_server.url), "test")
    await provision_again(connection, nats_server)
    yield connection
    await connection.close()


@pytest.fixture
def secrets_dir(tmp_path: Path) -> Path:
    """A folder with the webhook key."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "webhook.key").write_text(KEY.hex() + "\n")
    return folder


@pytest.fixture
def setup(client: Client, nats_server: NatsServer, secrets_dir: Path) -> Setup:
    """Settings of notify on the provisioned broker, with short retry delays and no channel."""
    del client
    return Setup(nats_server.url, secrets_dir)


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    """A webhook receiver that accepts everything until told otherwise."""
    async with serving(WebhookReceiver()) as listening:
        yield listening


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """A mail server that accepts everything until told otherwise."""
    box = Mailbox(free_ports(1)[0])
    box.start()
    yield box
    box.stop()
