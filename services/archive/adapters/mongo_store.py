"""The log in MongoDB. The only module that imports Motor (ADR 0009).

Motor gets critical fixes until 2027-05-14; moving to PyMongo's own asynchronous client is a change of this
module. Errors and BSON come from PyMongo already.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import suppress
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

from bson import encode
from bson.raw_bson import RawBSONDocument
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection, AsyncIOMotorDatabase
from pymongo import ASCENDING, DESCENDING
from pymongo.errors import BulkWriteError, DuplicateKeyError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from services.archive.adapters import schema
from services.archive.adapters.documents import Document, examine, from_document, require_layout, to_document
from services.archive.adapters.queries import LOOKED_AT, Plan, Segment, cut, last_of, plan
from services.archive.adapters.translating import translated
from services.archive.application.ports import (
    EventQuery,
    HeadInconsistentError,
    HeadMovedError,
    Link,
    Position,
    Row,
    SignedHead,
    Snapshot,
)
from services.archive.domain.entries import Entry, Kind, Stored
from services.archive.domain.tiles import Tile
from shared.kernel.errors import describe
from shared.messaging.streams import AUDIT

SELECT_MS: Final = 2_000
SOCKET_MS: Final = 20_000
QUERY_MS: Final = 10_000
"""Longest time on the server of one query of the API."""
NEIGHBOURS: Final = 20
"""How far to look for an event with a time: what can't be parsed has none."""
SCAN_BATCH: Final = 500
SCAN_BYTES: Final = 2 * 1024 * 1024
PAGE_BYTES: Final = 8 * 1024 * 1024
"""A page ends early behind this many bytes of envelopes: revised rankings can have half a megabyte each."""

_DUPLICATE_KEY: Final = 11000


class MongoDatabase:
    """The connection, and the collections as both stores use them.

    Writes with ``w: majority, j: true``. Reads what the majority has: what was read can't vanish in a
    failover, and whoever acknowledges or signs because of a read does so for what is durable.
    """

    def __init__(self, url: str, database: str = schema.DATABASE) -> None:
        """Prepare for ``url``; nothing connects before the first call."""
        self._client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
            url,
            appname="pingyi-archive",
            tz_aware=True,
            serverSelectionTimeoutMS=SELECT_MS,
            connectTimeoutMS=SELECT_MS,
            socketTimeoutMS=SOCKET_MS,
            maxPoolSize=8,
        )
        self._database: AsyncIOMotorDatabase[Document] = self._client.get_database(
            database, read_concern=ReadConcern("majority"), write_concern=WriteConcern(w="majority", j=True)
        )

    def __getitem__(self, name: str) -> "AsyncIOMotorCollection[Document]":
        return self._database[name]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class MongoEntryLog:
    """The :class:`~services.archive.application.ports.EntryLog` in one collection."""

    def __init__(self, database: MongoDatabase) -> None:
        """Keep entries in ``database``."""
        self._entries = database[schema.ENTRIES]
        self._ready: tuple[Sequence[Entry], list[RawBSONDocument]] = ((), [])

    async def ping(self) -> str:
        """Where the log ends, in words, for the health check. Raises as :meth:`size`."""
        return f"{await self.size()} entries"

    async def size(self) -> int:
        """See :meth:`EntryLog.size`."""
        with translated("find the end of the log"):
            last = await self._entries.find_one({}, {"v": 1}, sort=[("_id", DESCENDING)])
        if last is None:
            return 0
        require_layout(last)
        return int(last["_id"]) + 1

    async def positions(self, streams: Collection[str]) -> dict[str, int]:
        """See :meth:`EntryLog.positions`."""
        found: dict[str, int] = {}
        with translated("find the streams' positions"):
            for stream in streams:
                last = await self._entries.find_one(
                    {"stream": stream}, {"_id": 0, "sequence": 1}, sort=[("sequence", DESCENDING)]
                )
                found[stream] = 0 if last is None else last["sequence"]
        return found

    async def data_hashes(
        self, stream: str, first: int, last: int, *, events_only: bool = False
    ) -> dict[int, bytes]:
        """See :meth:`EntryLog.data_hashes`."""
        wanted: Document = {"stream": stream, "sequence": {"$gte": first, "$lte": last}}
        if events_only:
            wanted["kind"] = {"$ne": Kind.UNPARSEABLE.value}
        with translated("find archived sequences"):
            cursor = self._entries.find(
                wanted, {"_id": 0, "sequence": 1, "data_hash": 1}, hint=schema.STREAM_SEQUENCE
            )
            return {one["sequence"]: one["data_hash"] for one in await cursor.to_list(length=None)}

    async def of_type(self, event_type: str, most: int, *, newest_first: bool = False) -> list[Entry]:
        """See :meth:`EntryLog.of_type`."""
        step = DESCENDING if newest_first else ASCENDING
        with translated("find events of a type"):
            sort = [("time", step), ("_id", step)]  # as the index has them: by `_id` alone mongod would sort
            cursor = self._entries.find(
                {"type": event_type}, sort=sort, limit=most, max_time_ms=QUERY_MS, hint=schema.TYPE
            )
            found = [from_document(document) for document in await cursor.to_list(length=most)]
        return sorted(found, key=attrgetter("index"), reverse=newest_first)

    async def first_sequence(self, stream: str) -> int:
        """See :meth:`EntryLog.first_sequence`."""
        with translated("find the first sequence"):
            found = await self._entries.find_one(
                {"stream": stream}, {"_id": 0, "sequence": 1}, sort=[("sequence", ASCENDING)]
            )
        return 0 if found is None else int(found["sequence"])

    async def received_until(self, stream: str, sequence: int) -> datetime | None:
        """See :meth:`EntryLog.received_until`."""
        with translated("find a time of receipt"):
            cursor = self._entries.find(
                {"stream": stream, "sequence": {"$lte": sequence}},
                {"_id": 0, "received_at": 1},
                sort=[("sequence", DESCENDING)],
                hint=schema.STREAM_SEQUENCE,
                limit=NEIGHBOURS,
            )
            found = await cursor.to_list(length=NEIGHBOURS)
        return next((one["received_at"] for one in found if "received_at" in one), None)

    async def indexes_of(self, event_ids: Collection[str]) -> dict[str, int]:
        """See :meth:`EntryLog.indexes_of`."""
        first: dict[str, int] = {}
        with translated("look up event ids"):
            cursor = self._entries.find(
                {"event_id": {"$in": list(event_ids)}},
                {"_id": 1, "event_id": 1},
                hint=schema.EVENT,
                batch_size=len(event_ids) + 1,
            )
            for document in await cursor.to_list(length=None):
                index, event_id = document["_id"], document["event_id"]
                first[event_id] = min(index, first.get(event_id, index))
        return first

    async def event_ids(self, first: int, end: int) -> list[str | None]:
        """See :meth:`EntryLog.event_ids`."""
        with translated("read event ids"):
            found = await self._entries.find(
                {"_id": {"$gte": first, "$lt": end}}, {"_id": 0, "event_id": 1}, sort=[("_id", ASCENDING)]
            ).to_list(length=None)
        return [one.get("event_id") for one in found]

    def make_ready(self, entries: Sequence[Entry]) -> None:
        """See :meth:`EntryLog.make_ready`: MongoDB would wait while documents are made and encoded."""
        self._ready = entries, [RawBSONDocument(encode(to_document(entry))) for entry in entries]

    async def append(self, entries: Sequence[Entry]) -> None:
        """See :meth:`EntryLog.append`."""
        if self._ready[0] is not entries:
            self.make_ready(entries)
        (_, documents), self._ready = self._ready, ((), [])
        with translated("append"):
            try:
                await self._entries.insert_many(documents, ordered=True)
            except BulkWriteError as error:
                if _is_duplicate(error):
                    raise HeadMovedError(
                        describe(
                            f"index {entries[0].index} or one behind it",
                            "a free index and a sequence not archived yet",
                            "the head is read again by itself; look for a second archive process",
                        )
                    ) from error
                raise

    async def last(self, query: EventQuery, size: int) -> Position | None:
        """See :meth:`EntryLog.last`."""
        wanted = last_of(query, size)
        if wanted is None:
            return None
        with translated("find events"):
            found = await self._find(wanted, wanted.segments[0], 1, others=False).to_list(length=1)
        return _position(found[0]) if found else None

    async def page(
        self, query: EventQuery, snapshot: Snapshot, after: Position | None, limit: int
    ) -> tuple[list[Entry], Position | None]:
        """See :meth:`EntryLog.page`; cut short behind :data:`PAGE_BYTES`."""
        entries: list[Entry] = []
        wanted = plan(query, snapshot, after)
        size = 0
        with translated("find events"):
            for whole in wanted.segments:
                segment, behind = await self._cut(wanted, whole)
                cursor = self._find(wanted, segment, limit - len(entries) + 1)
                async for document in cursor:
                    if len(entries) == limit or size > PAGE_BYTES:
                        await cursor.close()
                        return entries, Position.of(entries[-1])
                    entries.append(from_document(document))
                    size += len(document.get("envelope", b""))
                if behind is not None:
                    return entries, behind
        return entries, None

    async def _cut(self, wanted: Plan, segment: Segment) -> tuple[Segment, Position | None]:
        """``segment``, ended where a page has looked at enough, and where to go on behind that."""
        if not wanted.others:
            return segment, None
        found = await self._find(wanted, segment, 1, skip=LOOKED_AT, others=False).to_list(length=1)
        return cut(segment, wanted.step, _position(found[0])) if found else (segment, None)

    def _find(self, wanted: Plan, segment: Segment, limit: int, *, skip: int = 0, others: bool = True) -> Any:  # noqa: ANN401 - Motor's cursor type is not exported
        return self._entries.find(
            {**segment.bounds, **wanted.others} if others else segment.keys,
            None if others else wanted.place,
            sort=wanted.sort,
            skip=skip,
            limit=limit,
            hint=wanted.hint,
            max_time_ms=QUERY_MS,
        )

    async def linked(self, link: Link, values: Collection[str], limit: int) -> list[Entry]:
        """See :meth:`EntryLog.linked`."""
        with translated("find linked events"):
            cursor = self._entries.find(
                {link: {"$in": list(values)}},
                sort=[("_id", ASCENDING)],
                hint=schema.LINKS[link],
                limit=limit,
                max_time_ms=QUERY_MS,
            )
            return [from_document(document) for document in await cursor.to_list(length=None)]

    async def of_event(self, event_id: str) -> list[Entry]:
        """See :meth:`EntryLog.of_event`."""
        with translated("find an event"):
            cursor = self._entries.find(
                {"event_id": event_id}, sort=[("_id", ASCENDING)], hint=schema.EVENT, max_time_ms=QUERY_MS
            )
            return [from_document(document) for document in await cursor.to_list(length=None)]

    async def newest_of_type(self, event_type: str, below: int) -> Entry | None:
        """See :meth:`EntryLog.newest_of_type`."""
        with translated("find the newest event of a type"):
            # From the end of their stream: there are millions of the type, and in the index by time.
            found = await self._entries.find_one(
                {"stream": AUDIT, "type": event_type, "_id": {"$lt": below}},
                sort=[("sequence", DESCENDING)],
                hint=schema.STREAM_SEQUENCE,
            )
        return None if found is None else from_document(found)

    async def scan(self, last: int, first: int = 0) -> AsyncIterator[Sequence[Stored]]:
        """See :meth:`EntryLog.scan`."""
        cursor = self._entries.find(
            {"_id": {"$gte": first, "$lte": last}},
            sort=[("_id", ASCENDING)],
            hint="_id_",
            batch_size=SCAN_BATCH,
        )
        part: list[Stored] = []
        size = 0
        try:
            with translated("read the log"):
                async for document in cursor:
                    part.append(examine(document))
                    size += len(document.get("envelope", b""))
                    if len(part) >= SCAN_BATCH or size > SCAN_BYTES:
                        yield part
                        part, size = [], 0
            if part:
                yield part
        finally:
            await cursor.close()

    async def distinct_event_ids(self, last: int) -> int:
        """See :meth:`EntryLog.distinct_event_ids`; reads the index only."""
        count = 0
        previous: str | None = None
        cursor = self._entries.find(
            {"event_id": {"$gte": ""}, "_id": {"$lte": last}},
            {"_id": 0, "event_id": 1},
            sort=[("event_id", ASCENDING), ("_id", ASCENDING)],
            hint=schema.EVENT,
            batch_size=10_000,
        )
        with translated("count event ids"):
            while documents := await cursor.to_list(length=10_000):
                for document in documents:
                    if document["event_id"] != previous:
                        previous = document["event_id"]
                        count += 1
        return count


class MongoTreeStore:
    """The :class:`~services.archive.application.ports.TreeStore` in three collections beside the entries."""

    def __init__(self, database: MongoDatabase) -> None:
        """Keep tiles, checkpoints and cosignatures in ``database``."""
        self._entries = database[schema.ENTRIES]
        self._tiles = database[schema.TILES]
        self._checkpoints = database[schema.CHECKPOINTS]
        self._cosignatures = database[schema.COSIGNATURES]

    async def rows(self, first: int, end: int) -> list[Row]:
        """See :meth:`TreeStore.rows`."""
        with translated("read leaf hashes"):
            found = await self._entries.find(
                {"_id": {"$gte": first, "$lt": end}},
                {"stream": 1, "sequence": 1, "type": 1, "received_at": 1, "duplicate_of": 1, "leaf_hash": 1},
                sort=[("_id", ASCENDING)],
                hint="_id_",
                batch_size=end - first + 1,
            ).to_list(length=None)
        # Whatever somebody made of a document: a row that is none ends the log there.
        return [
            Row(
                one["_id"],
                one.get("stream", ""),
                one.get("sequence", 0),
                one.get("type"),
                _first_receipt(one),
                _bytes(one),
            )
            for one in found
        ]

    async def tiles(self, places: Collection[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        """See :meth:`TreeStore.tiles`."""
        wanted = {f"{level}/{index}": (level, index) for level, index in places}
        with translated("read tiles"):
            found = await self._tiles.find({"_id": {"$in": list(wanted)}}).to_list(length=None)
        return {wanted[one["_id"]]: _bytes(one, "hashes") for one in found}

    async def put_tiles(self, tiles: Sequence[Tile]) -> None:
        """See :meth:`TreeStore.put_tiles`."""
        missing = list(tiles)
        with translated("store tiles"):
            while missing:
                try:
                    await self._tiles.insert_many([_tile_document(tile) for tile in missing], ordered=True)
                except BulkWriteError as error:
                    if not _is_duplicate(error):
                        raise
                else:
                    return
                stored = await self.tiles([(tile.level, tile.index) for tile in missing])
                for tile in missing:
                    found = stored.get((tile.level, tile.index), tile.hashes)
                    if found != tile.hashes:
                        raise HeadInconsistentError(
                            describe(
                                f"another tile {tile.level}/{tile.index} in the store",
                                "the one that the entries give",
                                "see docs/operations.md, 'A head is refused'",
                            )
                        )
                missing = [tile for tile in missing if (tile.level, tile.index) not in stored]

    async def newest_checkpoint(self, at_most: int | None = None) -> SignedHead | None:
        """See :meth:`TreeStore.newest_checkpoint`."""
        wanted = {} if at_most is None else {"_id": {"$lte": at_most}}
        with translated("find the last checkpoint"):
            found = await self._checkpoints.find_one(wanted, sort=[("_id", DESCENDING)])
        return None if found is None else _head(found)

    async def checkpoint(self, size: int) -> SignedHead | None:
        """See :meth:`TreeStore.checkpoint`."""
        with translated("find a checkpoint"):
            found = await self._checkpoints.find_one({"_id": size})
        return None if found is None else _head(found)

    async def checkpoints(self, after: int, most: int) -> list[SignedHead]:
        """See :meth:`TreeStore.checkpoints`."""
        with translated("find checkpoints"):
            found = await self._checkpoints.find(
                {"_id": {"$gt": after}}, sort=[("_id", ASCENDING)], limit=most
            ).to_list(length=None)
        return [_head(one) for one in found]

    async def put_checkpoint(self, head: SignedHead) -> None:
        """See :meth:`TreeStore.put_checkpoint`."""
        document = {
            "_id": head.size,
            "v": schema.STORE_LAYOUT,
            "note": head.note,
            "root": head.root,
            "signed_at": head.signed_at,
        }
        with translated("store a checkpoint"):
            try:
                await self._checkpoints.insert_one(document)
            except DuplicateKeyError as error:
                stored = await self.checkpoint(head.size)
                if stored is None or stored.note != head.note:
                    raise HeadInconsistentError(
                        describe(
                            f"another checkpoint of size {head.size} in the store",
                            "the one that this key signs for this tree",
                            "see docs/operations.md, 'A head is refused'",
                        )
                    ) from error

    async def cosignatures(self, first: int, last: int) -> dict[int, list[str]]:
        """See :meth:`TreeStore.cosignatures`."""
        lines: dict[int, list[str]] = {}
        with translated("find cosignatures"):
            found = await self._cosignatures.find(
                {"size": {"$gte": first, "$lte": last}},
                {"size": 1, "line": 1},
                sort=[("size", ASCENDING), ("_id", ASCENDING)],
                hint=schema.BY_SIZE,
            ).to_list(length=None)
        for one in found:
            lines.setdefault(one["size"], []).append(one["line"])
        return lines

    async def put_cosignature(self, size: int, witness: str, line: str) -> None:
        """See :meth:`TreeStore.put_cosignature`."""
        document = {"_id": f"{size}/{witness}", "v": schema.STORE_LAYOUT, "size": size, "line": line}
        with translated("store a cosignature"), suppress(DuplicateKeyError):
            await self._cosignatures.insert_one(document)


def _tile_document(tile: Tile) -> Document:
    return {"_id": f"{tile.level}/{tile.index}", "v": schema.STORE_LAYOUT, "hashes": tile.hashes}


def _head(document: Document) -> SignedHead:
    return SignedHead(document["_id"], _bytes(document, "root"), document["note"], document["signed_at"])


def _bytes(document: Document, name: str = "leaf_hash") -> bytes:
    value = document.get(name)
    return value if isinstance(value, bytes) else b""


def _first_receipt(document: Document) -> datetime | None:
    """A repeat says when the first one was received, which has been in the log since."""
    received = document.get("received_at")
    return received if isinstance(received, datetime) and "duplicate_of" not in document else None


def _is_duplicate(error: BulkWriteError) -> bool:
    return any(one.get("code") == _DUPLICATE_KEY for one in (error.details or {}).get("writeErrors", ()))


def _position(document: Document) -> Position:
    """Where an entry stands in one order; what another order would need is zero."""
    return Position(document.get("_id", 0), document.get("sequence", 0), document.get("time"))
