"""Queries of the log: a page by unit and time among a million entries, beside Motor's bare ``find``."""

import asyncio
import itertools
from collections.abc import Mapping
from contextlib import ExitStack
from time import perf_counter
from typing import Any, Final

from pymongo import MongoClient

from deploy.local.embedded import MongoServer
from services.archive.adapters.schema import ENTRIES, bootstrap
from shared.messaging.connection import BrokerSettings, connect
from shared.messaging.provisioner import provision
from tests.bench.figures import Bound, Figure, Goal, Section, Series
from tests.bench.processes import run_program
from tests.bench.stage import data_directory
from tests.support.entries import synthetic_documents
from tests.support.servers import running_mongo, running_nats

MILLION: Final = 1_000_000
UNITS: Final = 1_188
QUERIES: Final = 400
LIMIT: Final = 100
AT_ONCE: Final = 10_000
DATABASE: Final = "bench"
GOAL_MS: Final = 20


async def measure(rounds: int, entries: int = MILLION) -> Section:
    """Fill a log, then ask the same questions of the API, of the store and of bare Motor, in turn."""
    with data_directory() as directory, ExitStack() as stack:
        nats_server = stack.enter_context(running_nats(directory))
        mongo_server = stack.enter_context(running_mongo(directory))
        client = await connect(BrokerSettings(nats_url=nats_server.url), "bench")
        await provision(client)
        await client.close()
        filled_s = await asyncio.to_thread(_fill, mongo_server, entries)
        job = {
            "nats_url": nats_server.url,
            "mongodb_url": mongo_server.url,
            "database": DATABASE,
            "entries": entries,
            "units": UNITS,
            "queries": QUERIES,
            "limit": LIMIT,
        }
        outcomes = [
            await run_program("tests.bench.query_program", job | {"seed": seed}) for seed in range(rounds)
        ]
    return _section(outcomes, entries, filled_s)


def _fill(server: MongoServer, entries: int) -> float:
    """``entries`` documents, then the indexes: the other way round takes three times as long."""
    started = perf_counter()
    documents = synthetic_documents(entries, units=UNITS)
    with MongoClient[dict[str, Any]](server.url, w=1, journal=False) as client:
        collection = client[DATABASE][ENTRIES]
        while part := list(itertools.islice(documents, AT_ONCE)):
            collection.insert_many(part, ordered=False)
    bootstrap(server.url, DATABASE)
    return perf_counter() - started


def _section(outcomes: list[dict[str, Any]], entries: int, filled_s: float) -> Section:
    def series(name: str) -> Series:
        return Series(tuple(float(outcome[name]) for outcome in outcomes))

    goal = Goal(Bound.AT_MOST, GOAL_MS)
    rows = {name: sum(outcome["rows"][name] for outcome in outcomes) for name in ("api", "store", "bare")}
    if len(set(rows.values())) != 1:
        raise AssertionError(f"the same rows expected from all sides, got {rows}")
    ours = (("GET /v1/events", "api", goal), ("page of the store alone", "store", None))
    return Section(
        "Query",
        [
            Figure(
                f"{name} by unit and time, {share}",
                "ms",
                series(f"{side}_{share}"),
                series(f"bare_{share}"),
                "bare Motor find",
                aim if share == "p99" else None,
            )
            for name, side, aim in ours
            for share in ("p99", "p50")
        ],
        checks=[
            f"{entries:,} entries of {UNITS:,} units, made in {filled_s:.0f} s",
            f"each round {QUERIES} periods from an hour to all of it, pages of {LIMIT}, both directions",
            f"all sides gave the same {_sum(rows)} rows",
            "over HTTP every page is a read of citizens' records: the broker has synced it to disk before",
        ],
    )


def _sum(rows: Mapping[str, int]) -> str:
    return f"{next(iter(rows.values())):,}"
