"""Composition root of the archive: settings → adapters → use cases → app."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from typing import Any, Final

from fastapi import FastAPI

from services.archive.adapters.audit_events import AuditEvents
from services.archive.adapters.audit_stream import AuditStream
from services.archive.adapters.consumer_watch import ConsumerWatch
from services.archive.adapters.jetstream_source import JetStreamSource
from services.archive.adapters.key_files import load_signing_key, load_witness_keys, parse_retired_keys
from services.archive.adapters.mongo_store import MongoDatabase, MongoEntryLog, MongoTreeStore
from services.archive.adapters.read_journal import JetStreamReadJournal
from services.archive.application.cosigning import Cosigning
from services.archive.application.forks import Forks
from services.archive.application.histories import Histories, NumberedSource
from services.archive.application.notary import Keys, Notary
from services.archive.application.ports import HeadInconsistentError
from services.archive.application.proofs import Proofs
from services.archive.application.reading import Reads
from services.archive.application.reconciling import Reconciliation
from services.archive.application.replaying import Replay, ReplayRefusedError
from services.archive.application.sequencer import HistoryContradictedError, Sequencer
from services.archive.application.verifying import Verification
from services.archive.entrypoints.bulk import make_bulk_router
from services.archive.entrypoints.events import feed
from services.archive.entrypoints.http import make_router
from services.archive.entrypoints.log import make_log_router
from services.archive.entrypoints.streams import make_streams_router
from services.archive.entrypoints.tracing import make_trace_router
from services.archive.metrics import ArchiveMetrics
from services.archive.settings import Settings
from shared.auth.access import Access, protect
from shared.kernel.clock import Clock, SystemClock
from shared.messaging.connection import make_broker
from shared.messaging.instance import Instance
from shared.messaging.lease import Lease, SessionLeaseStore
from shared.messaging.session import BrokerSession
from shared.messaging.streams import ARCHIVED
from shared.observability import http
from shared.observability.health import Health
from shared.observability.lifecycle import TaskSupervisor
from shared.observability.metrics import ServiceMetrics

SERVICE: Final = "archive"
DRAIN_S: Final = 3.0


class Archive:
    """The running parts of the service."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Put them together; nothing connects yet.

        Raises:
            SecretMissingError: there is no signing key.
            InvalidValueError: a key is malformed, or another log's.
        """
        self.health = Health()
        self.service_metrics = ServiceMetrics(SERVICE)
        metrics = self._metrics = ArchiveMetrics(self.service_metrics)
        keys = Keys(
            settings.archive_origin,
            load_signing_key(settings.archive_signing_key, settings.archive_origin),
            parse_retired_keys(settings.archive_retired_keys),
        )
        self._database = MongoDatabase(settings.mongodb_url, settings.mongodb_database)
        self.entries, self.tree = MongoEntryLog(self._database), MongoTreeStore(self._database)
        self._session = BrokerSession(make_broker(settings, SERVICE))
        self._broker = JetStreamSource(self._session)
        decisions = AuditEvents(self._session)
        self._histories = Histories(self.entries, decisions)
        self._source = NumberedSource(self._broker, self._histories)
        announcements = AuditStream(self._session, clock)
        metrics.leading(leads=False)
        self._instance = Instance(settings.data_dir)
        self._lease = Lease(
            SessionLeaseStore(self._session),
            SERVICE,
            self._instance.name,
            on_change=lambda leads: metrics.leading(leads=leads),
        )
        self._sequencer = Sequencer(
            self.entries,
            self._source,
            self._lease,
            Replay(self.entries, self.tree, announcements, self._source, self._lease, metrics).run,
            metrics,
            batch_entries=settings.batch_entries,
        )
        self._notary = Notary(
            self.entries,
            self.tree,
            announcements,
            self._lease,
            keys,
            clock,
            metrics,
            self._sequencer.sealed,
            settings.checkpoint_every_s,
            settings.checkpoint_every_entries,
        )
        self._watch = ConsumerWatch(self._broker, metrics, ARCHIVED, settings.lag_limit)
        self.proofs = Proofs(self.entries, self.tree, keys)
        self.reads = Reads(
            self.entries, JetStreamReadJournal(self._session, clock), self._histories.numbering
        )
        self.cosigning = Cosigning(
            self.tree, partial(load_witness_keys, settings.archive_witness_keys), clock
        )
        self.verification = Verification(
            self.entries,
            self.tree,
            keys,
            self._source,
            metrics,
            clock,
            ARCHIVED,
            settings.verify_timeout_s,
        )
        self.forks = Forks(self.entries, self._source, lambda: self._sequencer.refused)
        self._reconciliation = Reconciliation(
            entry_log=self.entries,
            source=self._source,
            reports=decisions,
            refused=lambda: self._sequencer.refused,
            leads=lambda: self._lease.is_leader,
            metrics=metrics,
            clock=clock,
            streams=ARCHIVED,
            interval_s=settings.reconcile_interval_s,
        )
        self._register_checks()

    def _register_checks(self) -> None:
        self.health.register("nats", self._session.check)
        self.health.register("mongodb", self.entries.ping, timeout_s=5.0)
        for stream in ARCHIVED:
            self.health.register(f"consumer-{stream.lower()}", self._watch.check(stream))
        self.health.register("history", self._check_history)
        self.health.register("signing", self._check_signing)
        self.health.register("lag", self._watch.check_lag, required=False)
        self.health.register("reconciliation", self._reconciliation.check, required=False)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run every loop.

        The end lets the insert and the signature under way finish, lets another archive lead, and closes the
        connections.
        """
        await self._session.start()
        async with TaskSupervisor(self.health) as tasks:
            tasks.start("lease", self._lease.keep())
            tasks.start("histories", self._histories.run(self._sequencer, lambda: self._lease.is_leader))
            for stream in ARCHIVED:
                tasks.start(
                    f"feed-{stream}", self._numbered(partial(feed, self._source, self._sequencer, stream))
                )
            tasks.start("sequencer", self._numbered(self._sequencer.run))
            tasks.start("known-ids", self._sequencer.known_ids.run())
            tasks.start("notary", self._notary.run())
            tasks.start("proofs", self.proofs.keep())
            tasks.start("consumer-watch", self._watch.run())
            tasks.start("reconciliation", self._reconciliation.run())
            yield
            self.health.draining()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.gather(self._sequencer.drain(), self._notary.drain()), DRAIN_S)
        await self._lease.release()
        await self._broker.close()
        await self._session.stop()
        self._database.close()
        self._instance.close()

    async def _numbered(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do ``work`` once it is known how the streams are numbered."""
        await self._histories.loaded()
        await work()

    async def _check_history(self) -> str:
        if self._sequencer.blocked is not None:
            raise ReplayRefusedError(self._sequencer.blocked)
        refused = self._sequencer.refused
        if refused:
            raise HistoryContradictedError(
                f"refused: {', '.join(refused)}; the log has stream_refused with the reason"
            )
        return "every stream continues what is archived"

    async def _check_signing(self) -> str:
        if self._notary.refusal is not None:
            raise HeadInconsistentError(self._notary.refusal)
        return "heads are consistent" if self._lease.is_leader else f"{self._lease.holder or 'nobody'} signs"


def create_app(settings: Settings, *, clock: Clock | None = None) -> FastAPI:
    """The archive as an app; it starts and answers while broker and database are away.

    Raises:
        SecretMissingError: there is no signing key.
        InvalidValueError: a key is malformed, or another log's.
    """
    archive = Archive(settings, clock or SystemClock())

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with archive.running():
            yield

    app = FastAPI(
        title="Pingyi archive",
        summary="The audit log of every event: append-only, tamper-evident, verifiable.",
        version="1",
        lifespan=lifespan,
        openapi_tags=[
            {"name": "events", "description": "What was archived."},
            {"name": "log", "description": "The log itself: its end, its signed tree, whether it is intact."},
            {"name": "operations", "description": "Health and metrics."},
        ],
        docs_url=None,
        redoc_url=None,
    )
    http.install(app, archive.service_metrics, archive.health)
    app.include_router(make_router(archive.entries, archive.reads, archive.verification))
    app.include_router(make_trace_router(archive.reads))
    app.include_router(make_log_router(archive.proofs, archive.cosigning))
    app.include_router(make_bulk_router(archive.reads, archive.proofs, archive.cosigning))
    app.include_router(make_streams_router(archive.reads, archive.forks))
    return protect(app, Access.of(settings))
