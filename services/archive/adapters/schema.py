"""The collections of the log as data, and their bootstrap by a user who may create indexes.

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
TILES: Final = "tiles"
"""Full tiles of the Merkle tree; ``_id`` is ``<level>/<index>``."""
CHECKPOINTS: Final = "checkpoints"
"""Signed heads; ``_id`` is the size of the tree."""
COSIGNATURES: Final = "cosignatures"
"""What witnesses added to a checkpoint; ``_id`` is ``<size>/<witness>``."""

STORE_LAYOUT: Final = 1
"""Version of the documents of tiles, checkpoints and cosignatures; entries have that of their leaves."""
TILE_BYTES: Final = 256 * 32

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

_ENTRY: Final[Document] = {
    "$jsonSchema": {
        "bsonType": "object",
        "required": [
            "_id", "v", "kind", "stream", "sequence", "subject", "data_hash", "leaf_hash",
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
            "region": _TEXT,
            "source": _TEXT,
            "channel": _TEXT,
            "actor": _TEXT,
            "case_id": _TEXT,
            "correlation_id": _TEXT,
            "causation_id": _TEXT,
            "time": {"bsonType": "date"},
            "received_at": {"bsonType": "date"},
            "synthetic": {"bsonType": "bool"},
            "duplicate_of": _WHOLE,
            "envelope": {"bsonType": "binData"},
            "data_hash": _HASH,
            "leaf_hash": _HASH,
        },
        "additionalProperties": False,
    }
}  # fmt: skip

_TILE: Final[Document] = {
    "$jsonSchema": {
        "bsonType": "object",
        "required": ["_id", "v", "hashes"],
        "properties": {
            "_id": {"bsonType": "string", "pattern": "^[0-9]+/[0-9]+$"},
            "v": {"enum": [STORE_LAYOUT]},
            "hashes": {"bsonType": "binData"},
        },
        "additionalProperties": False,
    },
    "$expr": {"$eq": [{"$binarySize": "$hashes"}, TILE_BYTES]},
}

_CHECKPOINT: Final[Document] = {
    "$jsonSchema": {
        "bsonType": "object",
        "required": ["_id", "v", "note", "root", "signed_at"],
        "properties": {
            "_id": {"bsonType": ["int", "long"], "minimum": 1},
            "v": {"enum": [STORE_LAYOUT]},
            "note": _TEXT,
            "root": _HASH,
            "signed_at": {"bsonType": "date"},
        },
        "additionalProperties": False,
    },
    "$expr": {"$eq": [{"$binarySize": "$root"}, 32]},
}

_COSIGNATURE: Final[Document] = {
    "$jsonSchema": {
        "bsonType": "object",
        "required": ["_id", "v", "size", "line"],
        "properties": {
            "_id": {"bsonType": "string", "pattern": "^[0-9]+/.+$"},
            "v": {"enum": [STORE_LAYOUT]},
            "size": {"bsonType": ["int", "long"], "minimum": 1},
            "line": _TEXT,
        },
        "additionalProperties": False,
    }
}

BY_SIZE: Final = "size"

COLLECTIONS: Final[Mapping[str, tuple[Document, Mapping[str, tuple[str, ...]]]]] = {
    ENTRIES: (_ENTRY, INDEXES),
    TILES: (_TILE, {}),
    CHECKPOINTS: (_CHECKPOINT, {}),
    COSIGNATURES: (_COSIGNATURE, {BY_SIZE: ("size", "_id")}),
}
"""Validator and indexes of each collection. Validators keep another program's mistakes out; what the values
must be, verification knows."""

UNIQUE: Final = frozenset({STREAM_SEQUENCE})


def bootstrap(url: str, database: str = DATABASE) -> None:
    """Create the collections, their validators and indexes; does nothing where they are as declared.

    Blocks; needs ``createCollection``, ``collMod``, ``createIndex`` and ``listCollections`` on ``database``.

    Raises:
        TransientError: the server is away or refuses; the message has its reason.
    """
    client = MongoClient[Document](url, serverSelectionTimeoutMS=CONNECT_MS, appname="pingyi-provisioner")
    try:
        with client:
            for name in COLLECTIONS:
                _ensure_collection(client[database], name)
    except PyMongoError as error:
        raise TransientError(
            describe(
                f"{type(error).__name__}: {error}",
                f"collections {', '.join(COLLECTIONS)} with validators and indexes",
                "check MONGODB_URL and that its user has the archiveBootstrap role",
            )
        ) from error


def _ensure_collection(database: Database[Document], name: str) -> None:
    validator, indexes = COLLECTIONS[name]
    try:
        database.create_collection(name, validator=validator)
    except CollectionInvalid:  # it exists
        database.command("collMod", name, validator=validator)
    if indexes:
        database[name].create_indexes(
            [
                IndexModel(
                    [(field, ASCENDING) for field in fields],
                    name=index,
                    **({"unique": True} if index in UNIQUE else {}),
                )
                for index, fields in indexes.items()
            ]
        )
