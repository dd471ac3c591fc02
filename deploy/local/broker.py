"""The command line's own connection to the broker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from nats.aio.client import Client

from deploy.local.layout import Layout
from shared.messaging.connection import BrokerSettings, connect


@asynccontextmanager
async def cli_connection(layout: Layout) -> AsyncIterator[Client]:
    """A connection as the user ``cli``, who may read everything and publish nothing but replays."""
    variables = layout.env_for("cli")
    seed = variables.get("NATS_NKEY_SEED_FILE")
    settings = BrokerSettings(
        nats_url=variables["NATS_URL"],
        nats_nkey_seed_file=Path(seed) if seed else None,
    )
    client = await connect(settings, "cli")
    try:
        yield client
    finally:
        await client.close()
