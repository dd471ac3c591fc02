"""Composition root of scoring: settings → adapters → fold, publisher, queries → routes → app."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from functools import partial
from typing import Final

from fastapi import FastAPI
from nats.aio.client import Client

from services.scoring.adapters.archive_api import HttpFeedbackArchive
from services.scoring.adapters.dead_letters import BusDeadLetterClerk
from services.scoring.adapters.flag_events import BusFlagEvents
from services.scoring.adapters.nats_flag_store import NatsFlagStore
from services.scoring.adapters.nats_ranking_store import NatsRankingStore
from services.scoring.adapters.ranking_events import BusRankingEvents
from services.scoring.adapters.snapshot_store import JetStreamHistory, JetStreamSnapshotStore
from services.scoring.application.awards import ReadAwards, Vetoes
from services.scoring.application.boards import Boards
from services.scoring.application.cases import CASES
from services.scoring.application.fold import Fold
from services.scoring.application.handlers import FoldFeedback, ReadRankings, not_caught_up
from services.scoring.application.looking_back import LookBack
from services.scoring.application.older import OlderMessages
from services.scoring.application.past import Past
from services.scoring.application.publication import Publisher
from services.scoring.application.published import STREAM
from services.scoring.application.snapshots import Cadence, KeepSnapshots, RestoreFold
from services.scoring.application.watch import IntegrityWatch, ReadFlags
from services.scoring.entrypoints.awards import follow_vetoes, make_awards_router
from services.scoring.entrypoints.cases import CaseStream
from services.scoring.entrypoints.events import FeedbackStream, Snapshots
from services.scoring.entrypoints.http import make_router
from services.scoring.entrypoints.integrity import make_integrity_router
from services.scoring.entrypoints.registry import RegistryAwareClerk, RegistryWatch
from services.scoring.entrypoints.watch import watch_integrity
from services.scoring.metrics import CaseMetrics, ScoringMetrics, WatchMetrics
from services.scoring.settings import Settings
from shared.auth.access import Access, protect
from shared.auth.grants import Permission
from shared.kernel.clock import Clock, SystemClock, business_day
from shared.kernel.units import UnitRegistry, load_units
from shared.messaging.connection import make_broker
from shared.messaging.failure import DeadLetters
from shared.messaging.group_commit import GroupCommit
from shared.messaging.instance import Instance
from shared.messaging.lease import Lease, NatsLeaseStore
from shared.messaging.publisher import BrokerUnavailableError, JetStreamPublisher
from shared.messaging.session import BrokerSession
from shared.messaging.streams import RANKING
from shared.observability.health import Health
from shared.observability.http import install
from shared.observability.lifecycle import TaskSupervisor
from shared.observability.metrics import ServiceMetrics
from shared.rules import RulePack, load_pack

SERVICE: Final = "scoring"
VERSION: Final = "1"


class Scoring:
    """The running parts of the service; those that need the broker exist once it is connected."""

    def __init__(self, settings: Settings, registry: UnitRegistry, clock: Clock) -> None:
        """Put together what needs no broker."""
        self.metrics = ServiceMetrics(SERVICE)
        self.health = Health()
        self.tasks = TaskSupervisor(self.health)
        self._observer = ScoringMetrics(self.metrics)
        self._watch_observer = WatchMetrics(self.metrics)
        self._case_observer = CaseMetrics(self.metrics)
        self._settings = settings
        self._registry = registry
        self._clock = clock
        self._still = asyncio.Lock()
        self._publisher: Publisher | None = None
        self._feedback: FoldFeedback | None = None
        self._commit: GroupCommit | None = None
        self._stream: FeedbackStream | None = None
        self._instance = Instance(settings.data_dir)
        url, key = settings.archive_url, settings.archive_key_file
        self._archive = HttpFeedbackArchive(url, STREAM, key) if url else None
        self._archived_cases = HttpFeedbackArchive(url, CASES, key) if url else None
        self._observer.leading(leads=False)
        self._watch: IntegrityWatch | None = None
        self.session = BrokerSession(make_broker(settings, SERVICE), self._connected)
        self.read = ReadRankings(
            registry, lambda: self._publisher.stored if self._publisher else None, self._why_not_ready
        )
        self._vetoes = Vetoes()
        self.awards = ReadAwards(
            self.read,
            self._vetoes,
            registry,
            lambda: self._rules_on(business_day(clock.now())).lists.top,
        )
        self.look_back = LookBack(registry, self._take_past, clock)
        self.boards = Boards(self.read.rankings, settings.most_boards)
        self._observer.watch_boards(lambda: self.boards.following)
        self.health.on_draining(self.boards.close)
        self.read_flags = ReadFlags(
            registry, lambda: self._watch.flags if self._watch else None, self._why_not_ready
        )
        self._registry_watch = RegistryWatch(registry, self.health.renew)
        self.health.register("nats", self.session.check)
        self.health.register("fold", self._check_fold)
        self.health.register("publication", self._check_publication)

    async def _connected(self, client: Client) -> None:
        """Build what needs the broker, once, and start the two loops."""
        if self._stream is not None:
            return
        commit = GroupCommit(client, stream=RANKING)
        await commit.start()
        lease = Lease(
            NatsLeaseStore(client),
            SERVICE,
            self._instance.name,
            on_change=lambda leads: self._observer.leading(leads=leads),
        )
        publisher = Publisher(
            NatsRankingStore(client),
            BusRankingEvents(commit, client, self._registry),
            self._registry,
            self._clock,
            self._observer,
            lease.check,
            self._still,
        )
        publisher.listen(self.boards.tell)
        feedback = self._feedback = FoldFeedback(
            self._registry,
            self._rules_on,
            self._clock,
            RegistryAwareClerk(
                BusDeadLetterClerk(DeadLetters(JetStreamPublisher(client), self._clock, SERVICE)),
                self._registry_watch,
            ),
            self._observer,
            publisher.note_received,
        )
        cases = CaseStream(
            feedback,
            self._still,
            JetStreamHistory(client, CASES),
            OlderMessages(self._archived_cases, CASES),
            self._case_observer,
            past_holes=self._settings.accept_new_history,
        )
        stream = FeedbackStream(feedback, publisher, lease, self._snapshots(client), cases)
        self._commit, self._publisher, self._stream = commit, publisher, stream
        self.tasks.start("registry", self._registry_watch.run(client), may_finish=True)
        self.tasks.start("lease", lease.keep())
        self.tasks.start("fold", stream.fold(client))
        self.tasks.start("cases", cases.follow(client, stream.restored))
        self.tasks.start("vetoes", follow_vetoes(client, self._vetoes))
        self.tasks.start("publish", stream.publish())
        self.tasks.start("snapshots", stream.store_snapshots())
        watch = self._watch = IntegrityWatch(
            NatsFlagStore(client),
            BusFlagEvents(JetStreamPublisher(client), self._registry),
            self._clock,
            self._watch_observer,
            self._still,
        )
        self.tasks.start(
            "watch",
            watch_integrity(
                watch,
                lambda: feedback.fold if feedback.publishable else None,
                lambda: lease.is_leader,
            ),
        )

    def _snapshots(self, client: Client) -> Snapshots:
        store, history = JetStreamSnapshotStore(client), JetStreamHistory(client, STREAM)
        cases = JetStreamHistory(client, CASES)
        settings = self._settings
        return Snapshots(
            RestoreFold(store, history, self._registry, self._clock, self._observer, Fold.load, cases),
            KeepSnapshots(
                store,
                history,
                self._clock,
                self._observer,
                Cadence(settings.snapshot_every_events, settings.snapshot_every_s),
                self._still,
                cases=cases,
            ),
            history,
            OlderMessages(self._archive),
            settings.accept_new_history,
            settings.ignore_snapshots,
        )

    def _rules_on(self, day: date) -> RulePack:
        return load_pack(self._settings.rules_path, day)

    async def _take_past(self) -> Past:
        """See `TakePast`."""
        why, feedback = self._why_not_ready(), self._feedback
        if why is not None or feedback is None:
            raise not_caught_up(why)
        async with self._still:
            return feedback.fold.past()

    def _why_not_ready(self) -> str | None:
        return self._stream.why_not_ready() if self._stream else "no connection to the broker yet"

    async def _check_fold(self) -> str:
        return await self._running().check_fold()

    async def _check_publication(self) -> str:
        return await self._running().check_publication()

    def _running(self) -> FeedbackStream:
        if self._stream is None:
            raise BrokerUnavailableError("no connection to the broker yet: it is retried every second")
        return self._stream

    async def start(self) -> None:
        """Begin connecting; returns at once."""
        await self.session.start()

    async def stop(self) -> None:
        """Stop the loops, let another replica lead, keep a last snapshot, close the connection."""
        self.health.draining()
        await self.tasks.stop()
        if self._stream is not None:
            await self._stream.finish()
        if self._commit is not None:
            await self._commit.stop()
        for archive in (self._archive, self._archived_cases):
            if archive is not None:
                await archive.close()
        await self.session.stop()
        self._instance.close()


def create_app(
    settings: Settings, *, clock: Clock | None = None, registry: UnitRegistry | None = None
) -> FastAPI:
    """Build the service; nothing connects before the app's lifespan starts.

    Args:
        settings: see `Settings`.
        clock: the machine's clock if None.
        registry: the committed registry if None.

    Raises:
        RulePackError: no valid rule pack for today.
    """
    clock = clock or SystemClock()
    load_pack(
        settings.rules_path, business_day(clock.now())
    )  # a broken pack must fail the start, not a request
    units = registry if registry is not None else load_units(settings.units_path)
    scoring = Scoring(settings, units, clock)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await scoring.start()
        try:
            yield
        finally:
            await scoring.stop()

    app = FastAPI(
        title="Pingyi scoring",
        version=VERSION,
        description="Fair rankings of service windows, counties and cities, from the stream of ratings.",
        openapi_tags=[
            {"name": "rankings", "description": "Published lists, scores of single units, the books."},
            {"name": "integrity", "description": "Units whose ratings look made up."},
            {"name": "operations", "description": "Health and metrics."},
        ],
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    install(app, scoring.metrics, scoring.health)
    access = Access.of(settings)
    sees_all = partial(access.sees_whole, permission=Permission.RECORDS_READ)
    app.include_router(make_router(scoring.read, scoring.look_back, scoring.boards, sees_all))
    app.include_router(make_integrity_router(scoring.read_flags))
    app.include_router(make_awards_router(scoring.awards, units))
    return protect(app, access)
