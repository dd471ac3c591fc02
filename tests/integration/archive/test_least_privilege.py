"""The archive needs insert and find, and nothing else, on a mongod that asks who it is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from deploy.local.embedded import NatsServer
from deploy.local.embedded.mongod_secrets import APPEND, BOOTSTRAP, ensure_mongo_secrets, url_as
from services.archive.adapters.schema import DATABASE, ENTRIES, bootstrap
from shared.messaging.streams import ALERTS, FEEDBACK
from tests.integration.archive.support import (
    Setup,
    publish,
    publish_others,
    ratings,
    until_archived,
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
    client: Client, nats_server: NatsServer, urls: dict[str, str]
) -> None:
    bootstrap(urls["bootstrap"])
    bootstrap(urls["bootstrap"])
    await publish(client, ratings(0, 300))
    await publish_others(client, 5)
    async with Setup(nats_server.url, urls["archive"], DATABASE).running() as api:
        await until_archived(api, {FEEDBACK: 300, ALERTS: 5})
        outcome = await verified(api)
        page = (
            await api.get("/v1/events", params={"unit_id": "U000532", "from": "2026-01-01T00:00:00Z"})
        ).json()
        recent = await api.get("/v1/events", params={"from": "2026-01-01T00:00:00Z", "order": "desc"})
    assert outcome["ok"], outcome["findings"]
    assert len(page["items"]) == 100
    assert len(recent.json()["items"]) == 100
    with MongoClient[dict[str, Any]](urls["archive"]) as mongo:
        entries = mongo[DATABASE][ENTRIES]
        for attempt in (
            lambda: entries.update_one({"_id": 0}, {"$set": {"synthetic": True}}),
            lambda: entries.delete_one({"_id": 0}),
            lambda: entries.create_index("source"),
        ):
            with pytest.raises(OperationFailure) as caught:
                attempt()
            assert caught.value.code == UNAUTHORIZED
