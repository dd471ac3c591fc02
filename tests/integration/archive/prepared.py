"""One signed log over real streams, made once and given back untouched before every test."""

import asyncio
import copy
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

import httpx
import nats
import uvicorn
from fastapi import FastAPI
from nats.aio.client import Client
from pymongo import MongoClient
from pymongo.database import Database

from deploy.audit.keys import Trusted
from deploy.local.embedded import MongoServer, NatsServer
from services.archive.adapters.documents import from_document
from services.archive.adapters.jetstream_source import JetStreamSource
from services.archive.adapters.key_files import load_witness_keys
from services.archive.adapters.mongo_store import MongoDatabase, MongoEntryLog, MongoTreeStore
from services.archive.adapters.schema import CHECKPOINTS, COLLECTIONS, ENTRIES, TILES, bootstrap
from services.archive.application.cosigning import Cosigning
from services.archive.application.proofs import Proofs
from services.archive.application.reading import Reads
from services.archive.application.verifying import Verification
from services.archive.domain import notes
from services.archive.domain.leaves import leaf_hash
from services.archive.domain.notes import Checkpoint, SigningKey
from services.archive.domain.reads import Read
from services.archive.domain.tiles import TreeEdge
from services.archive.entrypoints.bulk import make_bulk_router
from services.archive.entrypoints.http import make_router
from services.archive.entrypoints.log import make_log_router
from services.archive.metrics import ArchiveMetrics
from shared.kernel.clock import SystemClock
from shared.messaging.connection import BrokerSettings, connect, make_broker
from shared.messaging.provisioner import provision
from shared.messaging.session import BrokerSession
from shared.messaging.streams import ALERTS, ARCHIVED, AUDIT, FEEDBACK, RANKING
from shared.observability import http as service_http
from shared.observability.health import Health
from shared.observability.metrics import ServiceMetrics
from tests.integration.archive.support import (
    FEEDBACK_SUBJECT,
    Document,
    Setup,
    publish,
    publish_others,
    rating,
    ratings,
    until_archived,
    write_signing_key,
)
from tests.support.access import guard
from tests.support.servers import delete_streams

ROUNDS = 6
RATINGS, OTHERS = 80, 10
REPEATED = 7
"""The rating of each round that the broker has once more, behind its window of memory."""
SIGNING = {"checkpoint_every_s": 0.3, "checkpoint_every_entries": 50}
PATIENCE_S = 60.0


@dataclass
class PreparedLog:
    """The log in a database of its own, and an archive's API over it that neither sequences nor signs.

    Attributes:
        url: of that API.
        originals: every document by collection.
        saved: the note of a checkpoint in the middle, as an auditor keeps it.
        at: index of the first of four ratings in the first full tile, with checkpoints before and after them.
    """

    setup: Setup
    url: str
    database: Database[Document]
    originals: dict[str, list[Document]]
    witness_keys: Path
    sizes: list[int] = field(init=False)
    saved: str = field(init=False)
    at: int = field(init=False)

    def __post_init__(self) -> None:
        """Find the places that tests tamper with."""
        notes_by_size = {head["_id"]: head["note"] for head in self.originals[CHECKPOINTS]}
        self.sizes = sorted(notes_by_size)
        self.saved = notes_by_size[self.sizes[-3]]
        entries = self.originals[ENTRIES]
        self.at = next(
            index
            for index in range(101, 250)
            if all(
                each["stream"] == FEEDBACK and each["kind"] == "event" for each in entries[index : index + 4]
            )
        )

    @property
    def key(self) -> SigningKey:
        """The key that signed it."""
        return self.setup.keys.signing

    @property
    def trusted(self) -> Trusted:
        """What an auditor believes."""
        return Trusted((self.key.verifier,))

    def restore(self) -> None:
        """Make the database again what it was."""
        for name, documents in self.originals.items():
            self.put(name, documents)

    def put(self, name: str, documents: list[Document]) -> None:
        """Make ``documents`` all that a collection holds, by writing what is different."""
        wanted = {document["_id"]: document for document in documents}
        stored = {document["_id"]: document for document in self.database[name].find()}
        wrong = [key for key, document in stored.items() if wanted.get(key) != document]
        if wrong:
            self.database[name].delete_many({"_id": {"$in": wrong}})
        missing = [document for key, document in wanted.items() if stored.get(key) != document]
        if missing:
            self.database[name].insert_many(missing)

    def entry(self, index: int) -> Document:
        """The document of an entry, as it was."""
        return copy.deepcopy(self.originals[ENTRIES][index])

    def rewrite(self, entries: list[Document], *, tiles: bool = True) -> None:
        """Store other entries under the indexes from 0 on, with hashes and, if wanted, tiles that fit."""
        edge = TreeEdge()
        full = []
        for index, document in enumerate(entries):
            document["_id"] = index
            document["leaf_hash"] = leaf_hash(from_document(document).leaf)
            full += edge.extend([document["leaf_hash"]])
        self.put(ENTRIES, entries)
        for tile in full if tiles else ():
            self.database[TILES].update_one(
                {"_id": f"{tile.level}/{tile.index}"}, {"$set": {"hashes": tile.hashes}}
            )

    def sign_again(self, key: SigningKey) -> None:
        """Sign, at the same sizes, the roots that the entries have now."""
        edge, hashes = (
            TreeEdge(),
            [one["leaf_hash"] for one in self.database[ENTRIES].find(sort=[("_id", 1)])],
        )
        for size in self.sizes:
            edge.extend(hashes[edge.size : size])
            note = str(notes.sign(Checkpoint(key.name, size, edge.root()), key, datetime.now().astimezone()))
            self.database[CHECKPOINTS].update_one(
                {"_id": size}, {"$set": {"note": note, "root": edge.root()}}
            )


@contextmanager
def prepared_log(
    nats_server: NatsServer, mongo_server: MongoServer, directory: Path
) -> Iterator[PreparedLog]:
    """Fill streams that are emptied first, archive and sign them, and serve the outcome."""
    setup = Setup(
        nats_server.url,
        mongo_server.url,
        f"test_{time.time_ns()}",
        write_signing_key(directory),
        dict(SIGNING),
    )
    bootstrap(setup.mongodb_url, setup.database)
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(_archive(nats_server, setup))
    witness_keys = directory / "witness.keys"
    with (
        MongoClient[Document](setup.mongodb_url, tz_aware=True) as client,
        serving(setup, witness_keys) as url,
    ):
        database = client[setup.database]
        originals = {name: list(database[name].find(sort=[("_id", 1)])) for name in COLLECTIONS}
        for name in COLLECTIONS:  # who tampers is not kept from it by a validator
            database.command("collMod", name, validator={})
        yield PreparedLog(setup, url, database, originals, witness_keys)
        client.drop_database(setup.database)


@asynccontextmanager
async def emptied(nats_server: NatsServer) -> AsyncIterator[Client]:
    """A client of the broker, which has exactly the declared streams, all empty."""
    admin = await nats.connect(nats_server.url)
    await delete_streams(admin.jetstream(), nats_server.data)
    await admin.close()
    client = await connect(BrokerSettings(nats_url=nats_server.url), "test")
    await provision(client)
    yield client
    await client.close()


async def _archive(nats_server: NatsServer, setup: Setup) -> None:
    async with emptied(nats_server) as client, setup.running() as api:
        for number in range(1, ROUNDS + 1):
            await publish(client, ratings(number * RATINGS, RATINGS))
            await client.jetstream().publish(FEEDBACK_SUBJECT, rating(number * RATINGS + REPEATED).to_json())
            await publish_others(client, OTHERS)
            wanted = {FEEDBACK: number * (RATINGS + 1), ALERTS: number * OTHERS, RANKING: number * OTHERS}
            await until_archived(api, wanted, PATIENCE_S)
            await _until_signed(api, sum(wanted.values()))
        told = (await client.jetstream().stream_info(AUDIT)).state.last_seq
        await until_archived(api, {AUDIT: told}, PATIENCE_S)


async def _until_signed(api: httpx.AsyncClient, size: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    signed = 0
    while signed < size:
        assert time.monotonic() < deadline, f"signed up to {signed}, not to {size}"
        await asyncio.sleep(0.05)
        answer = await api.get("/v1/log/checkpoint")
        signed = int(answer.text.split("\n")[1]) if answer.is_success else 0


@contextmanager
def serving(setup: Setup, witness_keys: Path) -> Iterator[str]:
    """The API of an archive without its loops, on a free port, in a thread with an event loop of its own.

    It keeps no word of who reads.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(
            uvicorn.Config(_reading_app(setup, witness_keys), log_config=None, lifespan="on")
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + PATIENCE_S
        while not server.started:
            assert thread.is_alive(), "the API ended at its start"
            assert time.monotonic() < deadline, "the API does not start"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(PATIENCE_S)


class SilentJournal:
    """Keeps no word of a read: nothing archives what it would publish, and a verification would miss it."""

    def new_id(self) -> str:
        """See :meth:`ReadJournal.new_id`."""
        return "read"

    async def record(self, read: Read) -> None:
        """See :meth:`ReadJournal.record`."""
        del read


def _reading_app(setup: Setup, witness_keys: Path) -> FastAPI:
    database = MongoDatabase(setup.mongodb_url, setup.database)
    entries, tree = MongoEntryLog(database), MongoTreeStore(database)
    session = BrokerSession(make_broker(setup.settings(), "archive"))
    service_metrics, clock = ServiceMetrics("archive"), SystemClock()
    verification = Verification(
        entries,
        tree,
        setup.keys,
        JetStreamSource(session),
        ArchiveMetrics(service_metrics),
        clock,
        ARCHIVED,
        timeout_s=PATIENCE_S,
        catch_up_s=0,
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await session.start()
        await session.wait_ready()
        yield
        await session.stop()
        database.close()

    app = FastAPI(lifespan=lifespan)
    service_http.install(app, service_metrics, Health())
    proofs = Proofs(entries, tree, setup.keys)
    cosigning = Cosigning(tree, partial(load_witness_keys, witness_keys), clock)
    reads = Reads(entries, SilentJournal())
    app.include_router(make_router(entries, reads, verification))
    app.include_router(make_log_router(proofs, cosigning))
    app.include_router(make_bulk_router(reads, proofs, cosigning))
    guard(app)
    return app
