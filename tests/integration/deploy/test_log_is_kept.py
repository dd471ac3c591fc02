"""Nothing makes the log forget: neither a setting nor somebody who may change the database."""

from typing import Any

import pytest
from pydantic import ValidationError
from pymongo import MongoClient

from deploy.local.embedded import MongoServer
from services.archive.adapters.schema import (
    CHECKPOINTS,
    COLLECTIONS,
    ENTRIES,
    TILES,
    ForgettingError,
    bootstrap,
)
from services.archive.settings import Settings

pytestmark = pytest.mark.integration


def test_the_retention_of_the_log_is_never_and_nothing_else_is_taken() -> None:
    assert Settings().archive_retention == "never"
    for value in ("7y", "0", ""):
        with pytest.raises(ValidationError, match="Input should be 'never'"):
            Settings.model_validate({"archive_retention": value})


def test_no_collection_of_the_log_expires_and_the_provisioner_refuses_one_that_would(
    mongo_server: MongoServer, mongo_database: str
) -> None:
    bootstrap(mongo_server.url, mongo_database)
    with MongoClient[dict[str, Any]](mongo_server.url) as client:
        database = client[mongo_database]
        for name in COLLECTIONS:
            assert not [one for one in database[name].list_indexes() if "expireAfterSeconds" in one]
        for name in (ENTRIES, TILES, CHECKPOINTS):
            database[name].create_index("forgotten_at", name="slowly", expireAfterSeconds=3600)
            with pytest.raises(ForgettingError, match=f"{name} with slowly"):
                bootstrap(mongo_server.url, mongo_database)
            database[name].drop_index("slowly")
        bootstrap(mongo_server.url, mongo_database)
        database.drop_collection(TILES)
        database.create_collection(TILES, capped=True, size=1 << 20)
        with pytest.raises(ForgettingError, match="tiles with capped"):
            bootstrap(mongo_server.url, mongo_database)
