"""The command line's own connection to the broker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from nats.aio.client import Client

from deploy.local.errors import NoPlatformError
from deploy.local.layout import Layout
from shared.kernel.errors import describe
from shared.messaging.connection import BrokerSettings, close, connect

CONNECT_S = 10.0


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
    if seed is not None and not await asyncio.to_thread(Path(seed).is_file):
        raise NoPlatformError(
            describe(
                seed, f"the broker seed of {user}", "start a platform with `pingyi up`, or name its --data"
            )
        )
    settings = BrokerSettings(
        nats_url=variables["NATS_URL"],
        nats_nkey_seed_file=Path(seed) if seed else None,
    )
    client = await connect(settings, user, timeout_s=CONNECT_S)
    try:
        yield client
    finally:
        await close(client)
