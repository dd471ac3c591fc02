"""Composition root of the archive: settings → adapters → use cases → app."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from typing import Any

from fastapi import FastAPI

from services.archive.adapters.audit_events import AuditEvents
from services.archive.adapters.consumer_watch import ConsumerWatch
from services.archive.adapters.jetstream_source import JetStreamSource
from services.archive.adapters.mongo_store import MongoEntryLog
from services.archive.application.forks import Forks
from services.archive.application.histories import Histories, NumberedSource
from services.archive.application.reconciling import Reconciliation
from services.archive.application.sequencer import HistoryContradictedError, Sequencer
from services.archive.application.verifying import Verification
from services.archive.entrypoints.events import feed
from services.archive.entrypoints.http import make_router
from services.archive.metrics import ArchiveMetrics
from services.archive.settings import Settings
from shared.kernel.clock import Clock, SystemClock
from shared.messaging.connection import make_broker
from shared.messaging.session import BrokerSession
from shared.messaging.streams import ARCHIVED
from shared.observability import http
from shared.observability.health import Health
from shared.observability.lifecycle import TaskSupervisor
from shared.observability.metrics import ServiceMetrics

SERVICE = "archive"
DRAIN_S = 3.0


def create_app(settings: Settings, *, clock: Clock | None = None) -> FastAPI:
    """The archive as an app; it starts and answers while broker and database are away.

    Shutting down lets the insert under way finish and acknowledges it, then closes the connections.
    """
    health = Health()
    service_metrics = ServiceMetrics(SERVICE)
    metrics = ArchiveMetrics(service_metrics)
    entry_log = MongoEntryLog(settings.mongodb_url, settings.mongodb_database)
    session = BrokerSession(make_broker(settings, SERVICE))
    broker, audit = JetStreamSource(session), AuditEvents(session)
    histories = Histories(entry_log, audit)
    source = NumberedSource(broker, histories)
    sequencer = Sequencer(entry_log, source, metrics, ARCHIVED, batch_entries=settings.batch_entries)
    watch = ConsumerWatch(broker, metrics, ARCHIVED, settings.lag_limit)
    verification = Verification(
        entry_log, source, metrics, clock or SystemClock(), ARCHIVED, settings.verify_timeout_s
    )
    reconciliation = Reconciliation(
        entry_log=entry_log,
        source=source,
        reports=audit,
        refused=lambda: sequencer.refused,
        metrics=metrics,
        clock=clock or SystemClock(),
        streams=ARCHIVED,
        interval_s=settings.reconcile_interval_s,
    )
    forks = Forks(entry_log, source, lambda: sequencer.refused)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await session.start()
        async with TaskSupervisor(health) as tasks:
            tasks.start("histories", histories.run(sequencer))
            for stream in ARCHIVED:
                tasks.start(f"feed-{stream}", _numbered(histories, partial(feed, source, sequencer, stream)))
            tasks.start("sequencer", _numbered(histories, sequencer.run))
            tasks.start("consumer-watch", watch.run())
            tasks.start("reconciliation", reconciliation.run())
            yield
            health.draining()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(sequencer.drain(), DRAIN_S)
        await broker.close()
        await session.stop()
        entry_log.close()

    async def check_refused() -> str:
        refused = sequencer.refused
        if refused:
            raise HistoryContradictedError(
                f"refused: {', '.join(refused)}; the log has stream_refused with the reason"
            )
        return "every stream continues what is archived"

    health.register("nats", session.check)
    health.register("mongodb", entry_log.ping, timeout_s=5.0)
    for stream in ARCHIVED:
        health.register(f"consumer-{stream.lower()}", watch.check(stream))
    health.register("history", check_refused)
    health.register("lag", watch.check_lag, required=False)
    health.register("reconciliation", reconciliation.check, required=False)

    app = FastAPI(
        title="Pingyi archive",
        summary="The audit log of every event: append-only, tamper-evident, verifiable.",
        version="1",
        lifespan=lifespan,
        openapi_tags=[
            {"name": "events", "description": "What was archived."},
            {"name": "log", "description": "The log itself: its end, and whether it is intact."},
            {"name": "operations", "description": "Health and metrics."},
        ],
        docs_url=None,
        redoc_url=None,
    )
    http.install(app, service_metrics, health)
    app.include_router(make_router(entry_log, verification, forks))
    return app


async def _numbered(histories: Histories, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do ``work`` once it is known how the streams are numbered."""
    await histories.loaded()
    await work()
