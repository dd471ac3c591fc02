"""What the database itself refuses, whoever writes it: documents of another form than the log's."""

from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import WriteError

from deploy.local.embedded import MongoServer
from services.archive.adapters import schema
from shared.testing.clock import NOON
from tests.support.entries import synthetic_documents

Document = dict[str, Any]
NAME = "test_validators"
REFUSED = 121
"""MongoDB's DocumentValidationFailure."""
ABSENT = object()

GOOD: dict[str, Document] = {
    schema.ENTRIES: next(iter(synthetic_documents(1))),
    schema.TILES: {"_id": "0/0", "v": schema.STORE_LAYOUT, "hashes": bytes(schema.TILE_BYTES)},
    schema.CHECKPOINTS: {
        "_id": 100, "v": schema.STORE_LAYOUT, "note": "text", "root": bytes(32), "signed_at": NOON,
    },
    schema.COSIGNATURES: {"_id": "100/witness", "v": schema.STORE_LAYOUT, "size": 100, "line": "text"},
}  # fmt: skip
"""A document of each collection as the archive writes it."""
BAD: dict[str, dict[str, tuple[object, ...]]] = {
    schema.ENTRIES: {
        "_id": ("first", -1, 1.5), "v": (ABSENT, 1, 3, "2"), "kind": (ABSENT, "rumour"),
        "stream": (ABSENT, 7), "sequence": (ABSENT, 0, "1"), "subject": (ABSENT, None), "type": (b"",),
        "time": ("noon",), "received_at": (7,), "synthetic": (0,), "duplicate_of": (-1, "0"),
        "envelope": ("{}",),
        "data_hash": (ABSENT, bytes(31), bytes(33), b"", "0" * 64), "leaf_hash": (ABSENT, bytes(31), None),
        "archived_at": (NOON,),
    },
    schema.TILES: {
        "_id": (7, "0", "a/b"), "v": (ABSENT, 2), "hashes": (ABSENT, bytes(32), bytes(8191), "0"),
        "size": (1,),
    },
    schema.CHECKPOINTS: {
        "_id": (0, "100"), "v": (ABSENT, 2), "note": (ABSENT, b"text"), "root": (ABSENT, bytes(31), "0"),
        "signed_at": (ABSENT, "noon"), "by": ("me",),
    },
    schema.COSIGNATURES: {
        "_id": ("witness", 100), "v": (ABSENT, 2), "size": (ABSENT, 0, "1"), "line": (ABSENT, 7),
        "at": (NOON,),
    },
}  # fmt: skip
"""By collection and field: values that no version of the archive writes."""


@pytest.fixture(scope="module")
def database(shared_mongo_server: MongoServer) -> Iterator[Database[Document]]:
    schema.bootstrap(shared_mongo_server.url, NAME)
    with MongoClient[Document](shared_mongo_server.url) as client:
        yield client[NAME]
        client.drop_database(NAME)


def refusal(collection: Collection[Document], document: Document) -> int | None:
    """The code with which a document is refused; None: it is taken."""
    try:
        collection.insert_one(document)
    except WriteError as error:
        return error.code
    collection.delete_one({"_id": document["_id"]})
    return None


@pytest.mark.parametrize("name", schema.COLLECTIONS)
def test_a_document_of_another_form_is_refused(database: Database[Document], name: str) -> None:
    collection = database[name]
    wrong: list[tuple[str, object, int | None]] = []
    for field, values in BAD[name].items():
        for value in values:
            document = {**GOOD[name], field: value}
            if value is ABSENT:
                del document[field]
            code = refusal(collection, document)
            if code != REFUSED:
                wrong.append((field, value, code))
    assert wrong == []
    collection.insert_one(dict(GOOD[name]))


def test_every_field_that_has_to_be_there_was_tried_without() -> None:
    for name, (validator, _) in schema.COLLECTIONS.items():
        required = set(validator["$jsonSchema"]["required"]) - {"_id"}  # mongod makes one where there is none
        assert required == {field for field, values in BAD[name].items() if ABSENT in values}
