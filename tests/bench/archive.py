"""Archive: the real service from stream to MongoDB beside Motor's bare ``insert_many``."""

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from os import environ
from pathlib import Path
from typing import Any

from nats.aio.client import Client
from pymongo import MongoClient

from deploy.local.embedded import MongoServer, NatsServer
from deploy.local.embedded.ports import free_ports
from deploy.local.embedded.process import ChildProcess
from services.archive.adapters.schema import CHECKPOINTS, ENTRIES, bootstrap
from services.archive.application.envelopes import read_attributes
from services.archive.application.sequencer import BATCH_ENTRIES
from services.archive.domain.entries import LOG_ORIGIN, Arrival
from services.archive.domain.leaves import leaf_hash, make_leaf
from services.archive.domain.notes import Checkpoint, SigningKey, sign
from services.archive.domain.tiles import TreeEdge
from shared.messaging.connection import BrokerSettings, connect
from shared.messaging.provisioner import provision
from shared.messaging.streams import FEEDBACK
from tests.bench.figures import Bound, Figure, Goal, Section, Series
from tests.bench.filling import fill_feedback, ratings
from tests.bench.processes import CostSheet, run_program, watching
from tests.bench.stage import data_directory, eventually
from tests.support.servers import running_mongo, running_nats

MESSAGES = 40_000
HASHED = 10_000
CHECKPOINT_EVERY = 1_000
MICRO = 1e6
RATIO = Goal(Bound.RATIO_AT_LEAST, 0.7)
HASHING = Goal(Bound.AT_MOST, 10)
LOOK_S = 0.02
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class _Servers:
    nats: NatsServer
    mongo: MongoServer
    client: Client
    signing_key: Path
    documents: MongoClient[dict[str, Any]]


async def measure(rounds: int) -> Section:
    """Archive the same events in every round, into a new database; then insert its documents barely."""
    ours, bare = CostSheet("archive service", "event"), CostSheet("bare insert_many", "event")
    our_rates: list[float] = []
    bare_rates: list[float] = []
    with data_directory() as directory, ExitStack() as stack:
        nats_server = stack.enter_context(running_nats(directory))
        mongo_server = stack.enter_context(running_mongo(directory))
        documents: MongoClient[dict[str, Any]] = stack.enter_context(MongoClient(mongo_server.url))
        client = await connect(BrokerSettings(nats_url=nats_server.url), "bench")
        signing_key = directory / "archive-signing.key"
        signing_key.write_text(SigningKey.generate(LOG_ORIGIN).text)
        servers = _Servers(nats_server, mongo_server, client, signing_key, documents)
        checkpoints = 0
        await provision(client)
        await fill_feedback(client, MESSAGES)
        for number in range(rounds):
            our_rates.append(await _archive(servers, f"ours_{number}", ours))
            checkpoints += documents[f"ours_{number}"][CHECKPOINTS].count_documents({})
            bare_rates.append(await _insert(servers, f"ours_{number}", f"bare_{number}", bare))
            for name in (f"ours_{number}", f"bare_{number}"):
                documents.drop_database(name)
        await client.close()
    return Section(
        "Archive",
        [
            Figure(
                "events archived", "/s", Series(tuple(our_rates)), Series(tuple(bare_rates)),
                "bare Motor insert_many", RATIO,
            ),
            Figure("hashing and signing, processor time per event", "µs", hashing(rounds), goal=HASHING),
        ],
        [ours.cost(), bare.cost()],
        [
            f"every round: {MESSAGES:,} ratings and the log's own events under indexes without a hole",
            f"signed {checkpoints / rounds:.0f} times a round; then as many documents barely",
            f"hashed: data, leaf, both trees (written, read back); signed every {CHECKPOINT_EVERY:,} ratings",
        ],
    )  # fmt: skip


def hashing(rounds: int) -> Series:
    """Microseconds of processor time that hashes and signatures cost for each event."""
    key = SigningKey.generate(LOG_ORIGIN)
    arrivals = [
        Arrival(FEEDBACK, sequence, each.subject, each.payload, read_attributes(each.payload))
        for sequence, each in enumerate(ratings(HASHED), 1)
    ]
    costs: list[float] = []
    for _ in range(rounds):
        written, read_back = TreeEdge(), TreeEdge()
        started = time.process_time()
        for start in range(0, HASHED, CHECKPOINT_EVERY):
            leaves = [
                leaf_hash(make_leaf(arrival, index, {}))
                for index, arrival in enumerate(arrivals[start : start + CHECKPOINT_EVERY], start)
            ]
            written.extend(leaves)
            read_back.extend(leaves)
            if written.root() != read_back.root():
                raise AssertionError("two trees over the same leaves differ")
            sign(Checkpoint(LOG_ORIGIN, written.size, written.root()), key, datetime.now(UTC))
        costs.append((time.process_time() - started) / HASHED * MICRO)
    return Series(tuple(costs))


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
        "ARCHIVE_SIGNING_KEY": str(servers.signing_key),
    }
    child = ChildProcess(
        [sys.executable, "-m", "services.archive"],
        log=servers.nats.log.with_name("archive.log"),
        env={**environ, **variables},
    )
    child.start()
    try:
        assert child.pid is not None

        def archived() -> int:
            last = entries.find_one({"stream": FEEDBACK}, sort=[("sequence", -1)])
            return 0 if last is None else int(last["sequence"])

        async def stored(at_least: int) -> int:
            async def enough() -> bool:
                return archived() >= at_least

            await eventually(enough, PATIENCE_S, LOOK_S)
            return archived()

        pids = {"archive": child.pid, "mongod": servers.mongo.pid, "nats": servers.nats.pid}
        first = await stored(1)
        started = time.perf_counter()
        with watching(pids) as spent:
            await stored(MESSAGES)
        elapsed = time.perf_counter() - started
    finally:
        child.stop()
    last = entries.find_one({}, sort=[("_id", -1)])
    if last is None or last["_id"] != entries.count_documents({}) - 1:
        raise AssertionError(f"entries without holes expected, the last one is {last}")
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
    if outcome["stored"] != servers.documents[source][ENTRIES].count_documents({}):
        raise AssertionError(f"a copy of {source} expected, {outcome['stored']} documents found")
    sheet.add(outcome["cpu"], outcome["stored"], outcome["elapsed_s"])
    return float(outcome["stored"] / outcome["elapsed_s"])
