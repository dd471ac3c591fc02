"""The archive needs insert and find, and nothing else, on a mongod that asks who it is."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import OperationFailure, PyMongoError

from deploy.local.embedded import ChildProcess, MongoServer, NatsServer
from deploy.local.embedded.mongod_binary import find_mongod
from deploy.secrets import write_secrets
from services.archive.adapters.schema import COLLECTIONS, COSIGNATURES, DATABASE, bootstrap
from shared.messaging.streams import ALERTS, FEEDBACK
from tests.integration.archive.support import (
    SIGNING,
    Setup,
    publish,
    publish_others,
    ratings,
    until_archived,
    until_signed,
    verified,
)
from tests.npm_support import run_node

ROLES = Path(__file__).parents[3] / "deploy/mongo/01-roles.js"
UNAUTHORIZED = 13


@pytest.fixture
def urls(own_mongo_server: MongoServer, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Addresses for the users `archive` and `bootstrap` of deploy/mongo, on a mongod that authenticates."""
    write_secrets(tmp_path / "secrets")
    secrets = tmp_path / "secrets" / "mongo"
    done = run_node("run_mongo_script.mjs", str(ROLES), env={"PINGYI_MONGO_SECRETS": str(secrets)})
    assert done.returncode == 0, done.stderr
    with MongoClient[dict[str, Any]](own_mongo_server.url) as admin:
        for line in done.stdout.splitlines():
            command = json.loads(line)
            admin[command.pop("db")].command(command)
    own_mongo_server.stop()
    key = tmp_path / "key"
    key.write_text("a2V5IG9mIGEgdGVzdA==")
    key.chmod(0o600)
    binary = find_mongod(tmp_path / "lib")
    port = own_mongo_server.port
    arguments = [
        *("--auth", "--keyFile", str(key), "--replSet", "pingyi"),
        *("--bind_ip", "127.0.0.1", "--port", str(port)),
        *("--dbpath", str(own_mongo_server.data / "db")),
    ]
    process = ChildProcess([binary.path, *arguments], log=tmp_path / "auth.log", env=binary.env)
    process.start()
    found = {
        user: f"mongodb://{user}:{(secrets / f'{user}-password').read_text().strip()}"
        f"@127.0.0.1:{port}/?authSource=pingyi&directConnection=true"
        for user in ("archive", "bootstrap")
    }
    try:
        _wait_for_primary(found["archive"])
        yield found
    finally:
        process.kill()


def _wait_for_primary(url: str) -> None:
    deadline = time.monotonic() + 40
    with MongoClient[dict[str, Any]](url, serverSelectionTimeoutMS=500) as client:
        while True:
            try:
                if client.admin.command("hello")["isWritablePrimary"]:
                    return
            except PyMongoError:
                assert time.monotonic() < deadline, "no primary"
            time.sleep(0.1)


async def test_insert_and_find_suffice_for_archiving_reading_and_verifying(
    client: Client, nats_server: NatsServer, urls: dict[str, str], signing_key: Path
) -> None:
    bootstrap(urls["bootstrap"])
    bootstrap(urls["bootstrap"])
    await publish(client, ratings(0, 300))
    await publish_others(client, 5)
    async with Setup(nats_server.url, urls["archive"], DATABASE, signing_key, SIGNING).running() as api:
        await until_archived(api, {FEEDBACK: 300, ALERTS: 5})
        await until_signed(api, 300)
        outcome = await verified(api)
        page = (
            await api.get("/v1/events", params={"unit_id": "U000532", "from": "2026-01-01T00:00:00Z"})
        ).json()
        recent = await api.get("/v1/events", params={"from": "2026-01-01T00:00:00Z", "order": "desc"})
    assert outcome["ok"], outcome["findings"]
    assert outcome["checkpoints"] >= 1
    assert len(page["items"]) == 100
    assert len(recent.json()["items"]) == 100
    with MongoClient[dict[str, Any]](urls["archive"]) as mongo:
        for name in COLLECTIONS:
            collection = mongo[DATABASE][name]
            assert name == COSIGNATURES or collection.find_one() is not None
            for attempt in changes(collection):
                with pytest.raises(OperationFailure) as caught:
                    attempt()
                assert caught.value.code == UNAUTHORIZED


def changes(collection: Collection[dict[str, Any]]) -> list[Callable[[], object]]:
    """What nobody may do to a collection of the log."""
    return [
        lambda: collection.update_one({}, {"$set": {"v": 3}}),
        lambda: collection.delete_one({}),
        lambda: collection.create_index("v"),
        collection.drop,
    ]
