"""No call of the stores, whatever calls it, scans a collection or sorts it: mongod's own profiler says so."""

import inspect
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

from bson import CodecOptions
from pymongo import MongoClient
from pymongo.database import Database

from deploy.local.embedded import MongoServer
from services.archive.adapters import schema
from services.archive.adapters.documents import from_document
from services.archive.adapters.mongo_store import MongoDatabase, MongoEntryLog, MongoTreeStore
from services.archive.application.ports import EventQuery, SignedHead, Snapshot
from services.archive.domain.tiles import Tile
from shared.messaging.streams import ALERTS, FEEDBACK
from shared.testing.clock import NOON
from tests.support.entries import EXCLUDED, RAISED, synthetic_documents

Document = dict[str, Any]
Call = Callable[[], Awaitable[object]]
COUNT = 1_200
NAME = "test_profiled"


@contextmanager
def profiled(database: Database[Document]) -> Iterator[list[Document]]:
    """Everything that mongod does in ``database`` meanwhile, by its profiler."""
    found: list[Document] = []
    database.command("profile", 2)
    try:
        yield found
    finally:
        database.command("profile", 0)
    wanted = {"op": {"$in": ["query", "getmore", "command"]}, "planSummary": {"$exists": True}}
    found += [each for each in database["system.profile"].find(wanted) if "system." not in each["ns"]]


def calls_of(entry_log: MongoEntryLog, store: MongoTreeStore) -> dict[str, tuple[Call, ...]]:
    """Every method with something to find, by name."""
    snapshot = Snapshot(COUNT, None)
    document = next(iter(synthetic_documents(COUNT + 1, start=NOON)))
    entry = from_document(document)
    fresh = [from_document(each) for each in synthetic_documents(COUNT + 1)][COUNT:]
    tile, head = Tile(0, 0, bytes(schema.TILE_BYTES)), SignedHead(COUNT, bytes(32), "note", NOON)

    async def scanned() -> object:
        return [part async for part in entry_log.scan(900, 100)]

    queries = (
        EventQuery(), EventQuery(unit_id="U000001"), EventQuery(type=RAISED), EventQuery(stream=ALERTS),
        EventQuery(actor="city-reviewer"), EventQuery(case_id="case-1"), EventQuery(city="3607"),
        EventQuery(correlation_id="request-8"), EventQuery(start=NOON, order="desc"), EventQuery(since=1_000),
    )  # fmt: skip
    return {
        "ping": (entry_log.ping,),
        "size": (entry_log.size,),
        "positions": (lambda: entry_log.positions([FEEDBACK, ALERTS]),),
        "data_hashes": (
            lambda: entry_log.data_hashes(FEEDBACK, 10, 500),
            lambda: entry_log.data_hashes(FEEDBACK, 10, 500, events_only=True),
        ),
        "of_type": (
            lambda: entry_log.of_type(EXCLUDED, 5),
            lambda: entry_log.of_type(EXCLUDED, 5, newest_first=True),
        ),
        "first_sequence": (lambda: entry_log.first_sequence(FEEDBACK),),
        "received_until": (lambda: entry_log.received_until(FEEDBACK, 700),),
        "indexes_of": (lambda: entry_log.indexes_of([f"{index:032x}" for index in range(50)]),),
        "event_ids": (lambda: entry_log.event_ids(10, 700),),
        "append": (lambda: entry_log.append(fresh),),
        "last": tuple(partial(entry_log.last, query, COUNT) for query in queries),
        "page": tuple(partial(entry_log.page, query, snapshot, None, 20) for query in queries),
        "linked": (
            lambda: entry_log.linked("event_id", [f"{3:032x}"], 9),
            lambda: entry_log.linked("correlation_id", ["request-8"], 9),
            lambda: entry_log.linked("causation_id", [f"{8:032x}"], 9),
            lambda: entry_log.linked("case_id", ["case-0", "case-1"], 9),
        ),
        "of_event": (lambda: entry_log.of_event(f"{entry.index:032x}"),),
        "newest_of_type": (lambda: entry_log.newest_of_type("cn.pingyi.audit.batch-sequenced.v1", COUNT),),
        "scan": (scanned,),
        "distinct_event_ids": (lambda: entry_log.distinct_event_ids(COUNT - 1),),
        "rows": (lambda: store.rows(10, 900),),
        "put_tiles": (lambda: store.put_tiles([tile]), lambda: store.put_tiles([tile])),
        "tiles": (lambda: store.tiles([(0, 0), (0, 1)]),),
        "put_checkpoint": (lambda: store.put_checkpoint(head), lambda: store.put_checkpoint(head)),
        "newest_checkpoint": (store.newest_checkpoint, lambda: store.newest_checkpoint(at_most=COUNT)),
        "checkpoint": (lambda: store.checkpoint(COUNT),),
        "checkpoints": (lambda: store.checkpoints(0, 10),),
        "put_cosignature": (lambda: store.put_cosignature(COUNT, "witness", "line"),),
        "cosignatures": (lambda: store.cosignatures(1, COUNT),),
    }


async def test_no_method_of_the_stores_scans_a_collection_or_sorts_it(
    shared_mongo_server: MongoServer,
) -> None:
    schema.bootstrap(shared_mongo_server.url, NAME)
    with (
        MongoClient[Document](shared_mongo_server.url, tz_aware=True) as client,
        closing(MongoDatabase(shared_mongo_server.url, NAME)) as reading,
    ):
        database = client[NAME].with_options(CodecOptions[Document](tz_aware=True))
        try:
            database[schema.ENTRIES].insert_many(synthetic_documents(COUNT))
            entry_log, store = MongoEntryLog(reading), MongoTreeStore(reading)
            calls = calls_of(entry_log, store)
            methods = {
                name
                for each in (MongoEntryLog, MongoTreeStore)
                for name, method in inspect.getmembers(each, inspect.isfunction)
                if not name.startswith("_")
                and (inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method))
            }
            assert calls.keys() == methods, "a new method is called here, too"
            with profiled(database) as found:
                for each in calls.values():
                    for call in each:
                        await call()
            plans = {(each["ns"], each["planSummary"]) for each in found}
            bad = [each for each in found if "COLLSCAN" in each["planSummary"] or each.get("hasSortStage")]
            assert bad == []
            assert len(found) > len(methods), plans
            with profiled(database) as scanned:  # that the profiler would have said so
                list(database[schema.ENTRIES].find({"source": "/pingyi/notify"}).sort("envelope").limit(3))
            assert any("COLLSCAN" in each["planSummary"] and each["hasSortStage"] for each in scanned)
        finally:
            client.drop_database(NAME)
