"""A broker with the platform's real authorization."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from deploy.local.embedded import NatsServer
from tests.support.broker_users import BrokerUsers, provisioned, running_broker


@pytest.fixture(scope="module")
def guarded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NatsServer, dict[str, Path]]]:
    """One server for a module's tests; use ``broker``."""
    with running_broker(tmp_path_factory.mktemp("guarded-nats")) as started:
        yield started


@pytest.fixture
async def broker(guarded_server: tuple[NatsServer, dict[str, Path]]) -> AsyncIterator[BrokerUsers]:
    """Provisioned, empty, with a user for each service."""
    async with provisioned(*guarded_server) as users:
        yield users
