"""Broker and database for backups: of the platform that runs, or started for the moment if none does."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nats.aio.client import Client

from deploy.local.embedded import MongoServer, NatsServer
from deploy.local.embedded.mongod_secrets import ensure_mongo_secrets
from deploy.local.layout import Layout
from deploy.local.platform_file import hold
from deploy.local.secrets import ensure_secrets, user_public_key
from services.archive.adapters.schema import DATABASE
from shared.auth.nats_permissions import ACCOUNT, PROVISIONER
from shared.messaging.connection import BrokerSettings, close, connect

CONNECT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Access:
    """Connections that may do what a backup needs.

    Attributes:
        client: the broker, as the provisioner.
        append_url: the database as the archive, which inserts and finds.
        bootstrap_url: the database as the provisioner, who makes collections and indexes.
        database: its name there, MONGODB_DATABASE like the archive's own.
    """

    client: Client
    append_url: str
    bootstrap_url: str
    database: str


@asynccontextmanager
async def running(layout: Layout) -> AsyncIterator[Access]:
    """Access to a platform that runs, or to external servers."""
    async with _access(layout) as access:
        yield access


@asynccontextmanager
async def maintenance(layout: Layout) -> AsyncIterator[Access]:
    """Access to the servers of a stopped platform, started for the length of the block.

    Nobody else gets at them meanwhile: the data directory is held, no service runs, and the broker knows one
    user only, the provisioner, who may do anything. External servers are not started; keep services of other
    machines off them.

    Raises:
        PlatformRunningError: a platform runs on the data directory.
        LocalError: a server does not start.
    """
    with hold(layout):
        if layout.external:
            async with _access(layout) as access:
                yield access
            return
        ensure_secrets(layout.secrets)
        ensure_mongo_secrets(layout.mongo_secrets)
        servers = _servers(layout)
        try:
            await asyncio.gather(*(asyncio.to_thread(server.start) for server in servers))
            async with _access(layout) as access:
                yield access
        finally:
            await asyncio.gather(*(asyncio.to_thread(server.stop) for server in servers))


def _servers(layout: Layout) -> tuple[NatsServer, MongoServer]:
    key = user_public_key(layout.nkey_seed(PROVISIONER).read_text(encoding="ascii"))
    nats = NatsServer(
        layout.nats_data,
        port=layout.nats_port,
        monitor_port=layout.nats_monitor_port,
        log=layout.log("nats"),
        authorization=f'accounts {{ {ACCOUNT} {{ jetstream: enabled, users: [{{ nkey: "{key}" }}] }} }}',
    )
    mongo = MongoServer(
        layout.mongo_data, port=layout.mongo_port, log=layout.log("mongod"), secrets=layout.mongo_secrets
    )
    return nats, mongo


@asynccontextmanager
async def _access(layout: Layout) -> AsyncIterator[Access]:
    variables = layout.env_for(PROVISIONER)
    seed = variables.get("NATS_NKEY_SEED_FILE") or os.environ.get("NATS_NKEY_SEED_FILE")
    settings = BrokerSettings(
        nats_url=variables["NATS_URL"], nats_nkey_seed_file=Path(seed) if seed else None
    )
    client = await connect(settings, PROVISIONER, timeout_s=CONNECT_S)
    try:
        append_url = layout.env_for("archive")["MONGODB_URL"]
        database = os.environ.get("MONGODB_DATABASE") or DATABASE
        yield Access(client, append_url, variables["MONGODB_URL"], database)
    finally:
        await close(client)
