"""Archive: the real service from stream to MongoDB beside Motor's bare ``insert_many``."""

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from os import environ

from nats.aio.client import Client
from pymongo import MongoClient

from deploy.local.embedded import MongoServer, NatsServer
from deploy.local.embedded.ports import free_ports
from deploy.local.embedded.process import ChildProcess
from services.archive.adapters.schema import ENTRIES, bootstrap
from services.archive.application.sequencer import BATCH_ENTRIES
from shared.messaging.connection import BrokerSettings, connect
from shared.messaging.provisioner import provision
from shared.messaging.streams import FEEDBACK
from tests.bench.figures import Figure, Section, Series
from tests.bench.filling import fill_feedback
from tests.bench.processes import CostSheet, run_program, watching
from tests.bench.stage import data_directory, eventually
from tests.support.servers import running_mongo, running_nats

MESSAGES = 40_000
LOOK_S = 0.02
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class _Servers:
    nats: NatsServer
    mongo: MongoServer
    client: Client
    documents: MongoClient[dict[str, object]]


async def measure(rounds: int) -> Section:
    """Archive the same events in every round, into a new database; then insert its documents barely."""
    ours, bare = CostSheet("archive service", "event"), CostSheet("bare insert_many", "event")
    our_rates: list[float] = []
    bare_rates: list[float] = []
    with data_directory() as directory, ExitStack() as stack:
        nats_server = stack.enter_context(running_nats(directory))
        mongo_server = stack.enter_context(running_mongo(directory))
        documents: MongoClient[dict[str, object]] = stack.enter_context(MongoClient(mongo_server.url))
        client = await connect(BrokerSettings(nats_url=nats_server.url), "bench")
        servers = _Servers(nats_server, mongo_server, client, documents)
        await provision(client)
        await fill_feedback(client, MESSAGES)
        for number in range(rounds):
            our_rates.append(await _archive(servers, f"ours_{number}", ours))
            bare_rates.append(await _insert(servers, f"ours_{number}", f"bare_{number}", bare))
            for name in (f"ours_{number}", f"bare_{number}"):
                documents.drop_database(name)
        await client.close()
    return Section(
        "Archive",
        [
            Figure(
                "events archived", "/s", Series(tuple(our_rates)), Series(tuple(bare_rates)),
                "bare Motor insert_many",
            )
        ],
        [ours.cost(), bare.cost()],
        [
            f"every round: {MESSAGES:,} entries under indexes without a hole, then as many documents barely"
        ],
    )  # fmt: skip


async def _archive(servers: _Servers, database: str, sheet: CostSheet) -> float:
    """One run of the service from an empty log to the stream's end; events per second."""
    assert servers.nats.pid is not None
    assert servers.mongo.pid is not None
    await servers.client.jetstream().delete_consumer(FEEDBACK, "archive-feedback")
    await provision(servers.client)
    bootstrap(servers.mongo.url, database)
    entries = servers.documents[database][ENTRIES]
    (port,) = free_ports(1)
    variables = {
        "NATS_URL": servers.nats.url,
        "MONGODB_URL": servers.mongo.url,
        "MONGODB_DATABASE": database,
        "HTTP_PORT": str(port),
    }
    child = ChildProcess(
        [sys.executable, "-m", "services.archive"],
        log=servers.nats.log.with_name("archive.log"),
        env={**environ, **variables},
    )
    child.start()
    try:
        assert child.pid is not None

        async def stored(at_least: int) -> int:
            async def enough() -> bool:
                return entries.estimated_document_count() >= at_least

            await eventually(enough, PATIENCE_S, LOOK_S)
            return entries.estimated_document_count()

        pids = {"archive": child.pid, "mongod": servers.mongo.pid, "nats": servers.nats.pid}
        first = await stored(1)
        started = time.perf_counter()
        with watching(pids) as spent:
            await stored(MESSAGES)
        elapsed = time.perf_counter() - started
    finally:
        child.stop()
    last = entries.find_one({}, sort=[("_id", -1)])
    if last is None or last["_id"] != MESSAGES - 1 or entries.count_documents({}) != MESSAGES:
        raise AssertionError(f"{MESSAGES} entries without holes expected, the last one is {last}")
    sheet.add(spent.seconds, MESSAGES - first, elapsed)
    return (MESSAGES - first) / elapsed


async def _insert(servers: _Servers, source: str, target: str, sheet: CostSheet) -> float:
    """The same documents through Motor alone; documents per second."""
    bootstrap(servers.mongo.url, target)
    outcome = await run_program(
        "tests.bench.bare_motor",
        {
            "url": servers.mongo.url,
            "source": source,
            "target": target,
            "batch": BATCH_ENTRIES,
            "pids": {"mongod": servers.mongo.pid},
        },
    )
    if outcome["stored"] != MESSAGES:
        raise AssertionError(f"{MESSAGES} documents expected, {outcome['stored']} found")
    sheet.add(outcome["cpu"], MESSAGES, outcome["elapsed_s"])
    return float(MESSAGES / outcome["elapsed_s"])
