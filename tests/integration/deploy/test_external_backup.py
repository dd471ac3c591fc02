"""Backup and restore of servers that somebody else runs, with the rights that they give to whom."""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from pymongo import MongoClient

from deploy.local.embedded.mongo_users import ROLES, as_root
from deploy.local.embedded.mongod_secrets import ensure_mongo_secrets
from services.archive.adapters.schema import ENTRIES, bootstrap
from shared.messaging.connection import BrokerSettings, connect
from shared.messaging.streams import FEEDBACK
from tests.integration.archive.support import (
    SIGNING,
    Setup,
    publish,
    ratings,
    until_archived,
    write_signing_key,
)
from tests.support import warm
from tests.support.broker_users import provisioned, running_broker
from tests.support.platform import clean_environment
from tests.support.servers import running_mongo
from tests.support.warm import PINGYI, ROOT

pytestmark = pytest.mark.integration
DATABASE = "province"
PASSWORD = "of somebody else's user"
WAIT_S = 60.0


@dataclass(frozen=True)
class External:
    """A broker and a database with users of their own."""

    nats_url: str
    seeds: dict[str, Path]
    mongodb: str
    broker: Any

    def mongodb_url(self, *roles: str) -> str:
        """The database's address as a user of these roles."""
        return self.mongodb.replace("//", f"//{'-'.join(roles)}:{PASSWORD.replace(' ', '%20')}@") + (
            f"&authSource={DATABASE}"
        )

    async def connect(self) -> Client:
        """The broker as the provisioner."""
        settings = BrokerSettings(nats_url=self.nats_url, nats_nkey_seed_file=self.seeds["provisioner"])
        return await connect(settings, "provisioner")

    def pingyi(self, *roles: str, arguments: tuple[object, ...]) -> "subprocess.CompletedProcess[str]":
        """``pingyi audit …`` beside these servers."""
        return warm.run(
            [str(PINGYI), "audit", *map(str, arguments)],
            env=clean_environment(
                NATS_URL=self.nats_url,
                NATS_NKEY_SEED_FILE=str(self.seeds["provisioner"]),
                MONGODB_URL=self.mongodb_url(*roles),
                MONGODB_DATABASE=DATABASE,
            ),
            cwd=ROOT,
            timeout_s=200,
        )


@contextmanager
def external(directory: Path) -> Iterator[External]:
    """Servers that ask everybody who they are; the database has a user for each role, and one with both."""
    directory.mkdir()
    secrets = directory / "mongo-secrets"
    ensure_mongo_secrets(secrets)
    with running_broker(directory) as (nats, seeds), running_mongo(directory, secrets=secrets) as mongo:
        with as_root(mongo.url, secrets, WAIT_S) as root:
            database = root[DATABASE]
            for role, actions in ROLES.items():
                resource = {"db": DATABASE, "collection": ""}
                privileges = [{"resource": resource, "actions": actions}]
                database.command("createRole", role, privileges=privileges, roles=[])
            for roles in (("archiveAppend",), ("archiveAppend", "archiveBootstrap")):
                database.command("createUser", "-".join(roles), pwd=PASSWORD, roles=list(roles))
        yield External(nats.url, seeds, mongo.url, nats)


async def test_external_servers_are_backed_up_and_restored_with_just_the_rights_for_it(
    tmp_path: Path,
) -> None:
    saved = tmp_path / "backup"
    with external(tmp_path / "one") as source:
        async with provisioned(source.broker, source.seeds) as users:
            client = await users.connect("intake")
            await asyncio.to_thread(
                bootstrap, source.mongodb_url("archiveAppend", "archiveBootstrap"), DATABASE
            )
            await publish(client, ratings(0, 60))
            await client.jetstream().publish("vault.v1.text.r1", b"a key")
            options = {"nats_nkey_seed_file": source.seeds["archive"], **SIGNING}
            append_url = source.mongodb_url("archiveAppend")
            key = write_signing_key(tmp_path)
            setup = Setup(source.nats_url, append_url, DATABASE, key, options)
            async with setup.running() as api:
                await until_archived(api, {FEEDBACK: 60})
        done = source.pingyi("archiveAppend", arguments=("backup", saved, "--data", tmp_path / "nowhere"))
        assert done.returncode == 0, done.stderr
        with MongoClient[dict[str, Any]](append_url) as mongo:
            entries = list(mongo[DATABASE][ENTRIES].find(sort=[("_id", 1)]))
        again = source.pingyi("archiveAppend", arguments=("restore", saved, "--data", tmp_path / "nowhere"))
        assert again.returncode == 1
        assert "servers without these" in again.stderr
        assert "entries, ALERTS, AUDIT" in again.stderr
    assert len(entries) >= 60
    with external(tmp_path / "other") as target:
        restore = ("restore", saved, "--data", tmp_path / "nowhere")
        done = target.pingyi("archiveAppend", "archiveBootstrap", arguments=restore)
        assert done.returncode == 0, done.stderr
        with MongoClient[dict[str, Any]](target.mongodb_url("archiveAppend")) as mongo:
            assert list(mongo[DATABASE][ENTRIES].find(sort=[("_id", 1)])) == entries
        client = await target.connect()
        for stream, last in ((FEEDBACK, 60), ("VAULT", 1)):
            assert (await client.jetstream().stream_info(stream)).state.last_seq == last
        await client.close()
