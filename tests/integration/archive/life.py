"""One life of an archive in this process, whose sequencer and notary a test drives and crashes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from nats.aio.client import Client
from pymongo import MongoClient
from pymongo.database import Database

from services.archive.adapters.audit_stream import AuditStream
from services.archive.adapters.jetstream_source import JetStreamSource
from services.archive.adapters.mongo_store import MongoDatabase, MongoEntryLog, MongoTreeStore
from services.archive.application.notary import Notary
from services.archive.application.ports import Announced, Told
from services.archive.application.replaying import Replay
from services.archive.application.sequencer import Sequencer
from services.archive.application.verifying import Report, Verification
from services.archive.domain.entries import Entry
from services.archive.domain.tiles import Tile
from services.archive.entrypoints.events import feed
from services.archive.metrics import ArchiveMetrics
from shared.events import BatchSequenced, CheckpointSigned
from shared.kernel.clock import SystemClock
from shared.messaging.connection import make_broker
from shared.messaging.session import BrokerSession
from shared.messaging.streams import ARCHIVED, AUDIT
from shared.observability.metrics import ServiceMetrics
from tests.integration.archive.support import Document, Setup
from tests.unit.archive.fakes import Leading

LIMIT_S = 60.0


class CrashError(Exception):
    """The process ends here; no handler knows it."""


class CrashingLog(MongoEntryLog):
    """Crashes at the seams of an insert, where ``seam`` says so."""

    seam = ""

    async def append(self, entries: Sequence[Entry]) -> None:
        if self.seam == "before the entries":
            raise CrashError(self.seam)
        if self.seam == "in the entries":
            await super().append(entries[: len(entries) // 2])
            raise CrashError(self.seam)
        await super().append(entries)
        if self.seam == "after the entries":
            raise CrashError(self.seam)


class CrashingTree(MongoTreeStore):
    """Crashes behind the tiles or the checkpoint."""

    seam = ""

    async def put_tiles(self, tiles: Sequence[Tile]) -> None:
        if self.seam == "in the tiles":
            await super().put_tiles(tiles[: len(tiles) // 2])
            raise CrashError(self.seam)
        await super().put_tiles(tiles)
        if self.seam == "after the tiles":
            raise CrashError(self.seam)

    async def put_checkpoint(self, head: Any) -> None:  # noqa: ANN401 - as the role has it
        await super().put_checkpoint(head)
        if self.seam == "after the checkpoint":
            raise CrashError(self.seam)


class CrashingAudit(AuditStream):
    """Crashes around the announcement, and behind what is told."""

    seam = ""

    async def announce(self, event: BatchSequenced, replaces: int) -> int:
        if self.seam == "before the announcement":
            raise CrashError(self.seam)
        sequence = await super().announce(event, replaces)
        if self.seam == "after the announcement":
            raise CrashError(self.seam)
        return sequence

    async def tell(self, event: CheckpointSigned, replaces: int) -> int:
        sequence = await super().tell(event, replaces)
        if self.seam == "after it is told":
            raise CrashError(self.seam)
        return sequence


LOG_SEAMS = ("before the entries", "in the entries", "after the entries")
NOTARY_SEAMS = (
    "before the announcement",
    "after the announcement",
    "in the tiles",
    "after the tiles",
    "after the checkpoint",
    "after it is told",
)


class Life:
    """The parts of one archive that believes it leads, on real servers."""

    def __init__(self, setup: Setup, seam: str = "", batch_entries: int = 60) -> None:
        settings, clock = setup.settings(), SystemClock()
        self.database = MongoDatabase(setup.mongodb_url, setup.database)
        self.log, self.tree = CrashingLog(self.database), CrashingTree(self.database)
        self.session = BrokerSession(make_broker(settings, "archive"))
        self.source = JetStreamSource(self.session)
        self.audit = CrashingAudit(self.session, clock)
        self.leading = Leading()
        self.metrics = ArchiveMetrics(ServiceMetrics("archive"))
        self.replay = Replay(self.log, self.tree, self.audit, self.source, self.leading, self.metrics)
        self.sequencer = Sequencer(
            self.log, self.source, self.leading, self.replay.run, self.metrics, batch_entries=batch_entries
        )
        self.notary = Notary(
            self.log,
            self.tree,
            self.audit,
            self.leading,
            setup.keys,
            clock,
            self.metrics,
            self.sequencer.sealed,
            interval_s=0,
        )
        self.verification = Verification(
            self.log,
            self.tree,
            setup.keys,
            self.source,
            self.metrics,
            clock,
            ARCHIVED,
            timeout_s=60,
        )
        self.log.seam = self.tree.seam = self.audit.seam = seam
        self.tasks: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Life"]:
        """Sequence until the end, which is a crash: nothing is let finish, nothing released."""
        await self.session.start()
        await self.session.wait_ready()
        self.tasks = [asyncio.create_task(self.sequencer.run())]
        self.tasks += [asyncio.create_task(feed(self.source, self.sequencer, name)) for name in ARCHIVED]
        try:
            yield self
        finally:
            # More than once: the client's own wait_for loses a cancellation that comes with an answer.
            while pending := [task for task in self.tasks if not task.done()]:
                for task in pending:
                    task.cancel()
                await asyncio.wait(pending, timeout=0.5)
            await self.source.close()
            await self.session.stop()
            self.database.close()

    async def crash(self) -> None:
        """Wait for the sequencer's end at its seam."""
        async with asyncio.timeout(LIMIT_S):
            while not self.tasks[0].done():  # noqa: ASYNC110 - the end of a task that must not be awaited
                await asyncio.sleep(0.01)
        assert isinstance(self.tasks[0].exception(), CrashError)

    async def until_archived(self, client: Client) -> int:
        """Wait until the log has all that the streams have now; its size."""
        jetstream = client.jetstream()
        due = {name: (await jetstream.stream_info(name)).state.last_seq for name in ARCHIVED}
        async with asyncio.timeout(LIMIT_S):
            while await self.log.positions(ARCHIVED) != due or self.sequencer.sealed() is None:
                if self.tasks[0].done():
                    self.tasks[0].result()
                await asyncio.sleep(0.02)
        return await self.log.size()

    async def sign(self, client: Client) -> int:
        """Archive and sign until there is nothing left to sign; the last signed size."""
        while True:
            await self.until_archived(client)
            before = await self.tree.newest_checkpoint()
            await self.notary.step()
            after = await self.tree.newest_checkpoint()
            if after == before and self.sequencer.sealed() is not None:
                return 0 if after is None else after.size

    async def announced(self) -> list[Announced]:
        """Every announcement in AUDIT."""
        return [each async for each in self.audit.since(1)]

    async def told(self) -> list[Told]:
        """Every published checkpoint in AUDIT."""
        return [each async for each in self.audit.told_since(1)]

    async def check(self) -> Report:
        """Check that log, tree, checkpoints, announcements and streams tell one story."""
        report = await self.verification.run("stream")
        assert report.findings == []
        announced, told = await self.announced(), await self.told()
        ends = [each.event.size for each in announced]
        assert [each.event.first_index for each in announced] == [0, *ends[:-1]]
        signed = await self.tree.checkpoints(0, 10_000)
        assert {head.size for head in signed} <= set(ends)
        assert [(each.event.size, each.event.note) for each in told] == [
            (head.size, head.note) for head in signed
        ]
        assert report.checkpoints == len(signed)
        return report


def copy_older(setup: Setup, database: str, size: int) -> None:
    """A copy of the collections as they were when the log had ``size`` entries."""
    with MongoClient[Document](setup.mongodb_url) as client:
        source, target = client[setup.database], client[database]
        signed = source["checkpoints"].find_one({"_id": {"$lte": size}}, sort=[("_id", -1)])
        covered = 0 if signed is None else signed["_id"]
        _copy(source, target, "entries", {"_id": {"$lt": size}})
        _copy(source, target, "checkpoints", {"_id": {"$lte": size}})
        whole = [
            tile
            for tile in source["tiles"].find()
            if (int(tile["_id"].split("/")[1]) + 1) * 256 ** (int(tile["_id"].split("/")[0]) + 1) <= covered
        ]
        if whole:
            target["tiles"].insert_many(whole)


def _copy(source: Database[Document], target: Database[Document], name: str, wanted: Document) -> None:
    found = list(source[name].find(wanted))
    if found:
        target[name].insert_many(found)


async def audit_size(client: Client) -> int:
    """Messages in AUDIT."""
    return (await client.jetstream().stream_info(AUDIT)).state.messages
