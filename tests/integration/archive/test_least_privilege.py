"""The archive needs insert and find, and nothing else, on a mongod that asks who it is."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from deploy.local.embedded import NatsServer
from deploy.local.embedded.mongod_secrets import APPEND, BOOTSTRAP, ensure_mongo_secrets, url_as
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
from tests.support.servers import running_mongo

UNAUTHORIZED = 13


@pytest.fixture
def urls(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Addresses for the users `archive` and `bootstrap` of a mongod that authenticates."""
    ensure_mongo_secrets(tmp_path / "secrets")
    with running_mongo(tmp_path, secrets=tmp_path / "secrets") as server:
        yield {user: url_as(server.url, tmp_path / "secrets", user) for user in (APPEND, BOOTSTRAP)}


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
