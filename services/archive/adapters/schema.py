"""The collection of the log as data, and its bootstrap by a user who may create indexes.

The service itself has a role with ``insert`` and ``find`` and nothing else (ADR 0010), so it can't run this;
``python -m deploy.provision`` does, before it starts.
"""

from collections.abc import Mapping
from typing import Any, Final

from pymongo import ASCENDING, IndexModel, MongoClient
from pymongo.database import Database
from pymongo.errors import CollectionInvalid, PyMongoError

from services.archive.domain.entries import LAYOUT, Kind
from shared.kernel.errors import TransientError, describe

DATABASE: Final = "pingyi"
ENTRIES: Final = "entries"
"""One document for each entry; ``_id`` is the index of the log."""

CONNECT_MS: Final = 10_000

Document = dict[str, Any]

STREAM_SEQUENCE: Final = "stream_sequence"
EVENT: Final = "event"
UNIT: Final = "unit"
CITY: Final = "city"
COUNTY: Final = "county"
TYPE: Final = "type"
CORRELATION: Final = "correlation"
TIME: Final = "time"

INDEXES: Final[Mapping[str, tuple[str, ...]]] = {
    STREAM_SEQUENCE: ("stream", "sequence"),
    EVENT: ("event_id", "_id"),
    UNIT: ("unit_id", "_id", "time"),
    CITY: ("city", "_id", "time"),
    COUNTY: ("county", "_id", "time"),
    TYPE: ("type", "_id", "time"),
    CORRELATION: ("correlation_id", "_id"),
    TIME: ("time", "_id"),
}
"""Fields by index name, all ascending.

``_id`` comes before ``time``: pages are in the order of the log, the only order in which an event that
arrives later can't land on a page that was read already. ``time`` behind it is filtered on the index keys.
"""

_HASH: Final[Document] = {"bsonType": "binData"}
_TEXT: Final[Document] = {"bsonType": "string"}
_WHOLE: Final[Document] = {"bsonType": ["int", "long"], "minimum": 0}

VALIDATOR: Final[Document] = {
    "$jsonSchema": {
        "bsonType": "object",
        "required": [
            "_id", "v", "kind", "stream", "sequence", "subject", "data_hash", "leaf_hash", "chain_hash",
        ],
        "properties": {
            "_id": _WHOLE,
            "v": {"enum": [LAYOUT]},
            "kind": {"enum": [kind.value for kind in Kind]},
            "stream": _TEXT,
            "sequence": {"bsonType": ["int", "long"], "minimum": 1},
            "subject": _TEXT,
            "event_id": _TEXT,
            "type": _TEXT,
            "unit_id": _TEXT,
            "city": _TEXT,
            "county": _TEXT,
            "source": _TEXT,
            "channel": _TEXT,
            "correlation_id": _TEXT,
            "causation_id": _TEXT,
            "time": {"bsonType": "date"},
            "received_at": {"bsonType": "date"},
            "synthetic": {"bsonType": "bool"},
            "duplicate_of": _WHOLE,
            "envelope": {"bsonType": "binData"},
            "data_hash": _HASH,
            "leaf_hash": _HASH,
            "chain_hash": _HASH,
        },
        "additionalProperties": False,
    }
}  # fmt: skip
"""Keeps another program's mistakes out; what the values must be, verification knows."""


def bootstrap(url: str, database: str = DATABASE) -> None:
    """Create the collection, its validator and its indexes; does nothing where they are as declared.

    Blocks; needs ``createCollection``, ``collMod``, ``createIndex`` and ``listCollections`` on ``database``.

    Raises:
        TransientError: the server is away or refuses; the message has its reason.
    """
    client = MongoClient[Document](url, serverSelectionTimeoutMS=CONNECT_MS, appname="pingyi-provisioner")
    try:
        with client:
            _ensure_collection(client[database])
    except PyMongoError as error:
        raise TransientError(
            describe(
                f"{type(error).__name__}: {error}",
                f"collection {ENTRIES} with its validator and indexes",
                "check MONGODB_URL and that its user has the archiveBootstrap role",
            )
        ) from error


def _ensure_collection(database: Database[Document]) -> None:
    try:
        database.create_collection(ENTRIES, validator=VALIDATOR)
    except CollectionInvalid:  # it exists
        database.command("collMod", ENTRIES, validator=VALIDATOR)
    database[ENTRIES].create_indexes(
        [
            IndexModel(
                [(name, ASCENDING) for name in fields],
                name=index,
                **({"unique": True} if index == STREAM_SEQUENCE else {}),
            )
            for index, fields in INDEXES.items()
        ]
    )
