"""The archive's collections as files of BSON documents and back, byte for byte; mongodump's own format.

Effects are written before their causes: a checkpoint is stored after the entries that it covers, so entries
are copied last, and whatever else the copy holds is covered by them. Loading goes the other way.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument
from pymongo import ASCENDING, MongoClient
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from deploy.local.errors import LocalError
from services.archive.adapters import schema
from shared.kernel.errors import describe

COPY_ORDER: Final = (schema.COSIGNATURES, schema.CHECKPOINTS, schema.TILES, schema.ENTRIES)
BATCH: Final = 1000
CONNECT_MS: Final = 10_000
LENGTH_BYTES: Final = 4


class DocumentFileError(LocalError):
    """The database did not give or take its documents, or a file of them is damaged."""


def file_name(collection: str) -> str:
    """The name of the collection's file."""
    return f"{collection}.bson"


def save_documents(url: str, database: str, directory: Path) -> dict[str, int]:
    """Write every collection, in the order of ``_id``; how many documents each has. Blocks.

    Raises:
        DocumentFileError: the database does not answer, or refuses.
    """
    counts = dict.fromkeys(COPY_ORDER, 0)
    try:
        with _connect(url) as client:
            for name in COPY_ORDER:
                collection = client[database].get_collection(name, read_concern=ReadConcern("majority"))
                cursor = collection.find({}, sort=[("_id", ASCENDING)], hint="_id_", batch_size=BATCH)
                with (directory / file_name(name)).open("wb") as file, cursor:
                    for document in cursor:
                        file.write(document.raw)
                        counts[name] += 1
    except PyMongoError as error:
        raise _failed(error, f"the documents of {database}") from error
    return counts


def occupied(url: str, database: str) -> list[str]:
    """Collections of ``database`` that hold anything. Blocks.

    Raises:
        DocumentFileError: the database does not answer, or refuses.
    """
    try:
        with _connect(url) as client:
            return [
                name for name in COPY_ORDER if client[database][name].find_one({}, {"_id": 1}) is not None
            ]
    except PyMongoError as error:
        raise _failed(error, f"a look into {database}") from error


def load_documents(url: str, database: str, directory: Path, counts: Mapping[str, int]) -> None:
    """Insert what :func:`save_documents` wrote into empty collections, which must have been made. Blocks.

    Needs the archive's own role, which inserts and finds and can't change anything.

    Raises:
        DocumentFileError: a file is damaged, or the database does not take all of it.
    """
    try:
        with _connect(url) as client:
            for name in reversed(COPY_ORDER):
                collection = client[database].get_collection(
                    name,
                    write_concern=WriteConcern(w="majority", j=True),
                    read_concern=ReadConcern("majority"),
                )
                inserted = 0
                for batch in _batches(directory / file_name(name)):
                    collection.insert_many(batch, ordered=True)
                    inserted += len(batch)
                if inserted != counts[name]:
                    raise DocumentFileError(
                        describe(f"{inserted} documents of {name}", f"{counts[name]}", "use another backup")
                    )
    except PyMongoError as error:
        raise _failed(error, f"{database} to take the documents") from error


def _batches(path: Path) -> Iterator[list[RawBSONDocument]]:
    batch: list[RawBSONDocument] = []
    with path.open("rb") as file:
        while head := file.read(LENGTH_BYTES):
            length = int.from_bytes(head, "little")
            raw = head + file.read(length - LENGTH_BYTES)
            try:
                batch.append(RawBSONDocument(raw))
            except InvalidBSON as error:
                raise DocumentFileError(
                    describe(f"{path} damaged at byte {file.tell()}", "BSON documents", "use another backup")
                ) from error
            if len(batch) == BATCH:
                yield batch
                batch = []
    if batch:
        yield batch


def _connect(url: str) -> MongoClient[RawBSONDocument]:
    return MongoClient(
        url, document_class=RawBSONDocument, serverSelectionTimeoutMS=CONNECT_MS, appname="pingyi-backup"
    )


def _failed(error: PyMongoError, expected: str) -> DocumentFileError:
    found: Any = f"{type(error).__name__}: {error}"
    return DocumentFileError(describe(found, expected, "check that MongoDB runs and who may do what there"))
