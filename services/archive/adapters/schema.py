"""The collections of the log as data, and their bootstrap by a user who may create indexes.

The service itself has a role with ``insert`` and ``find`` and nothing else (ADR 0010), so it can't run this;
``python -m deploy.provision`` does, before it starts.
"""

from collections.abc import Mapping
from typing import Any, Final

from pymongo import ASCENDING, IndexModel, MongoClient
from pymongo.database import Database
from pymongo.errors import CollectionInvalid, PyMongoError

from services.archive.adapters.documents import READABLE
from services.archive.domain.entries import WHOLE, Kind
from shared.kernel.errors import PermanentError, TransientError, describe

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
HASH_BYTES: Final = 32
TILE_BYTES: Final = 256 * HASH_BYTES

CONNECT_MS: Final = 10_000

Document = dict[str, Any]

STREAM_SEQUENCE: Final = "stream_sequence"
EVENT: Final = "event"
UNIT: Final = "unit_time"
CITY: Final = "city_time"
TYPE: Final = "type_time"
ACTOR: Final = "actor_time"
TIME: Final = "time_index"
CORRELATION: Final = "correlation"
CAUSE: Final = "cause"
CASE: Final = "case"
BY_INDEX: Final = "_id_"
"""MongoDB's own, on ``_id``."""

INDEXES: Final[Mapping[str, tuple[str, ...]]] = {
    STREAM_SEQUENCE: ("stream", "sequence"),
    EVENT: ("event_id", "_id"),
    UNIT: ("unit_id", "time", "_id"),
    CITY: ("city", "time", "_id", "county"),
    TYPE: ("type", "time", "_id"),
    ACTOR: ("actor", "time", "_id"),
    TIME: ("time", "_id"),
    CORRELATION: ("correlation_id", "_id"),
    CAUSE: ("causation_id", "_id"),
    CASE: ("case_id", "_id"),
}
"""Fields by index name, all ascending: what the pages of the API need (ADR 0020), and nothing else, because
each index costs the write path 3 to 7 µs of mongod's time for an entry.

Where ``time`` comes before ``_id``, pages are in order of time, over a log of fixed size. A county is found
within its city's range, on the keys alone.
"""

COMMONEST_TYPE: Final = "cn.pingyi.feedback.submitted.v1"
"""Most of the log. Its entries are found through their stream, so the index of types leaves them out."""

PARTIAL: Final[Mapping[str, Document]] = {
    UNIT: {"unit_id": {"$exists": True}},
    CITY: {"city": {"$lt": "a"}},
    TYPE: {"$or": [{"type": {"$lt": COMMONEST_TYPE}}, {"type": {"$gt": COMMONEST_TYPE}}]},
    ACTOR: {"actor": {"$exists": True}},
    CAUSE: {"causation_id": {"$exists": True}},
    CASE: {"case_id": {"$exists": True}},
}
"""Which entries an index holds, where it is not all. Cities are digits; the word "all" stands for no city."""

NOT_INDEXED: Final[Mapping[str, frozenset[str]]] = {
    "city": frozenset({WHOLE}),
    "type": frozenset({COMMONEST_TYPE}),
}
"""Values that the partial indexes can't find."""

LINKS: Final[Mapping[str, str]] = {
    "event_id": EVENT, "correlation_id": CORRELATION, "causation_id": CAUSE, "case_id": CASE,
}  # fmt: skip
"""The index of each field that ties entries together."""

MOST_INDEX: Final = (1 << 63) - 1
"""Behind every index of the log."""

_HASH: Final[Document] = {"bsonType": "binData"}
_TEXT: Final[Document] = {"bsonType": "string"}
_WHOLE: Final[Document] = {"bsonType": ["int", "long"], "minimum": 0}


def _sized(field: str, size: int) -> Document:
    """That a field is so many bytes; what is no bytes at all is for the schema to refuse."""
    return {
        "$eq": [
            {"$cond": [{"$eq": [{"$type": f"${field}"}, "binData"]}, {"$binarySize": f"${field}"}, size]},
            size,
        ]
    }


_ENTRY: Final[Document] = {
    "$jsonSchema": {
        "bsonType": "object",
        "required": [
            "_id", "v", "kind", "stream", "sequence", "subject", "data_hash", "leaf_hash",
        ],
        "properties": {
            "_id": _WHOLE,
            "v": {"enum": list(READABLE)},
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
    },
    "$expr": {"$and": [_sized("data_hash", HASH_BYTES), _sized("leaf_hash", HASH_BYTES)]},
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
    "$expr": _sized("hashes", TILE_BYTES),
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
    "$expr": _sized("root", HASH_BYTES),
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


class ForgettingError(PermanentError):
    """A collection of the log would lose documents by itself: by age, or because it is full."""


def bootstrap(url: str, database: str = DATABASE) -> None:
    """Create the collections, their validators and indexes; does nothing where they are as declared.

    Blocks; needs ``createCollection``, ``collMod``, ``createIndex`` and ``listCollections`` on ``database``.

    Raises:
        TransientError: the server is away or refuses; the message has its reason.
        ForgettingError: somebody made a collection drop what it holds.
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
    _require_kept(database, name)
    if indexes:
        database[name].create_indexes(
            [
                IndexModel(
                    [(field, ASCENDING) for field in fields],
                    name=index,
                    **({"unique": True} if index in UNIQUE else {}),
                    **({"partialFilterExpression": PARTIAL[index]} if index in PARTIAL else {}),
                )
                for index, fields in indexes.items()
            ]
        )


def _require_kept(database: Database[Document], name: str) -> None:
    """Make sure that it forgets nothing, by age or for want of room: retention is "never" (ADR 0036)."""
    (described,) = database.list_collections(filter={"name": name})
    options = described.get("options", {})
    found = [option for option in ("capped", "expireAfterSeconds", "timeseries") if options.get(option)]
    found += [index["name"] for index in database[name].list_indexes() if "expireAfterSeconds" in index]
    if found:
        raise ForgettingError(
            describe(
                f"{name} with {', '.join(found)}",
                "a collection that keeps every document",
                "drop that index, or copy the documents to a collection without it, and find out who made it",
            )
        )
