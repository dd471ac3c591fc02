"""The command line's own connection to the broker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from nats.aio.client import Client

from deploy.local.layout import Layout
from shared.messaging.connection import BrokerSettings, connect


@asynccontextmanager
async def cli_connection(layout: Layout) -> AsyncIterator[Client]:
    """A connection as the user ``cli``, who may read all streams but the vault, and publish nothing."""
    async with connection_as(layout, "cli") as client:
        yield client


@asynccontextmanager
async def connection_as(layout: Layout, user: str) -> AsyncIterator[Client]:
    """A connection as ``user``; whoever runs the command must be able to read that user's seed file."""
    variables = layout.env_for(user)
    seed = variables.get("NATS_NKEY_SEED_FILE")
    settings = BrokerSettings(
        nats_url=variables["NATS_URL"],
        nats_nkey_seed_file=Path(seed) if seed else None,
    )
    client = await connect(settings, user)
    try:
        yield client
    finally:
        await client.close()
