"""Composition root of rectify: settings → adapters → use cases → loops and routes."""

import hashlib
import hmac
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from fastapi import FastAPI
from nats.aio.client import Client
from nats.js.errors import NotFoundError as ConsumerNotFoundError

from services.rectify.adapters.bulletin_store import JetStreamBulletins
from services.rectify.adapters.case_fold import CaseFold
from services.rectify.adapters.case_store import JetStreamCases
from services.rectify.adapters.due_timers import TimerLoop
from services.rectify.adapters.finding_events import JetStreamFindings
from services.rectify.adapters.rule_packs import FileRulePacks
from services.rectify.adapters.sealing import CaseTexts
from services.rectify.adapters.timer_store import JetStreamTimers
from services.rectify.application.bulletins import PublishBulletin, ReadCasesOfPeriod
from services.rectify.application.desk import Desk
from services.rectify.application.findings import FollowFindings
from services.rectify.application.following import FollowFeedback
from services.rectify.application.handlers import CitizensWord, MoveCase, OpenByHand, ReadCases
from services.rectify.application.leading import LeadersWork, Upkeep
from services.rectify.application.timekeeping import FireTimer, RecomputeClocks, TimerKeeper
from services.rectify.composition.ladders import Ladders
from services.rectify.domain.book import CaseBook
from services.rectify.entrypoints.access import Places
from services.rectify.entrypoints.bulletins import make_bulletins_router
from services.rectify.entrypoints.conflicts import install_errors
from services.rectify.entrypoints.events import durables, feedback_loop, findings_loop
from services.rectify.entrypoints.http import make_citizens_router, make_router
from services.rectify.metrics import RectifyMetrics
from services.rectify.settings import Settings
from shared.auth.access import Access, protect
from shared.auth.secrets import CASES_FILE, RECEIPT_FILE, load_key
from shared.kernel.clock import Clock, SystemClock, business_day
from shared.kernel.errors import TransientError, describe
from shared.kernel.ids import RANDOM_BYTES, uuid7
from shared.kernel.receipts import receipt_of
from shared.kernel.units import CurrentUnits, UnitRegistry, load_units
from shared.messaging.connection import make_broker
from shared.messaging.failure import DeadLetters, FailureHandling
from shared.messaging.instance import Instance
from shared.messaging.lease import Lease, NatsLeaseStore
from shared.messaging.publisher import JetStreamPublisher
from shared.messaging.registry import keep_current
from shared.messaging.session import BrokerSession
from shared.observability.health import Health
from shared.observability.http import install
from shared.observability.lifecycle import TaskSupervisor
from shared.rules.holidays import FileHolidays

SERVICE = "rectify"
VERSION = "1"
LOOK_EVERY_S = 30.0


class ConsumerMissingError(TransientError):
    """A durable consumer is not provisioned (yet)."""


async def require_consumers(client: Client, wanted: Sequence[tuple[str, str]]) -> None:
    """Return if every (stream, durable) exists.

    Raises:
        ConsumerMissingError: one does not; `remedy` names the provisioner.
    """
    jetstream = client.jetstream(timeout=2)
    for stream, durable in wanted:
        try:
            await jetstream.consumer_info(stream, durable)
        except ConsumerNotFoundError as error:
            raise ConsumerMissingError(
                describe(f"no {durable} on {stream}", "it provisioned", "run `python -m deploy.provision`")
            ) from error


def fingerprint_with(secret: bytes) -> Callable[[str], str]:
    """A keyed hash of what clients say, 32 hex digits."""
    key = hmac.digest(secret, b"pingyi/case-command/v1", "sha256")

    def fingerprint(text: str) -> str:
        return hmac.digest(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256)[:16].hex()

    return fingerprint


class _Parts:
    """What lives as long as the app."""

    def __init__(self, settings: Settings, clock: Clock, units: CurrentUnits) -> None:
        kek = load_key(settings.secrets_dir / CASES_FILE)
        receipts = load_key(settings.secrets_dir / RECEIPT_FILE).secret
        self._settings, self._clock, self._units = settings, clock, units
        self.metrics, self.health = RectifyMetrics(), Health()
        self.tasks = TaskSupervisor(self.health)
        self.holidays = FileHolidays(settings.holidays_path)
        self.bulletins = JetStreamBulletins()
        self.cases = JetStreamCases()
        self.texts = CaseTexts(kek, os.urandom)
        self.timers = JetStreamTimers(lambda: new_id(clock.now()))
        self.instance = Instance(None)
        book = CaseBook(lambda rating_id: receipt_of(receipts, rating_id))
        self.keeper = TimerKeeper(self.timers, book, self.metrics)
        self.fold = CaseFold(book, self.metrics, self.keeper.changed)
        self.desk = Desk(
            self.cases, FileRulePacks(settings.rules_path), self.holidays, clock, self.metrics, new_id
        )
        self.ladders = Ladders(
            self.fold, FileRulePacks(settings.rules_path), self.holidays, clock, units, self.metrics
        )
        fingerprint = fingerprint_with(kek.secret)
        self.move = MoveCase(self.desk, self.texts, fingerprint)
        self.open_by_hand = OpenByHand(self.desk, self.texts, units, fingerprint)
        self.read = ReadCases(self.cases, self.texts, self.fold, self.desk)
        self.word = CitizensWord(self.move, self.texts, self.fold, self.desk)
        max_age = timedelta(days=settings.open_max_age_days)
        self._follow = FollowFeedback(self.desk, units, self.metrics, max_age=max_age)
        self._recorded = JetStreamFindings()
        self._findings = FollowFindings(self.desk, self._recorded, units, self.metrics, max_age=max_age)
        self.lease: Lease | None = None
        self.session = BrokerSession(make_broker(settings, SERVICE, inject=False), self._on_connect)

    async def _on_connect(self, client: Client) -> None:
        await require_consumers(client, durables())
        await self.bulletins.start(client, self.tasks)
        await self.cases.bind(client)
        await self.timers.bind(client)
        self.texts.bind(client)
        await self.ladders.bind(client)
        self._recorded.bind(client)
        if "case-fold" in self.tasks.running:
            return
        self.tasks.start("case-fold", self.fold.run(client))
        self.tasks.start("registry", keep_current(self._units, client))
        self.ladders.start(client, self.tasks)
        lease = self.lease = Lease(
            NatsLeaseStore(client),
            SERVICE,
            self.instance.name,
            on_change=self.metrics.leader.set,
        )
        self.tasks.start("lease", lease.keep())
        failures = FailureHandling(DeadLetters(JetStreamPublisher(client), self._clock, SERVICE))
        work = LeadersWork(
            lambda: lease.leading_term,
            self.fold.caught_up,
            self.keeper,
            self.fold.book,
            (
                feedback_loop(client, self._follow, failures).run,
                findings_loop(client, self._findings, failures).run,
                TimerLoop(self.timers, FireTimer(self.desk, self.metrics)).run,
                self.ladders.loop,
            ),
            Upkeep(
                self.holidays.refresh,
                RecomputeClocks(self.desk, self.fold.book),
                self.holidays,
                LOOK_EVERY_S,
                self._settings.sweep_every_s,
                lambda: client.stats["reconnects"],
            ),
            self.metrics,
        )
        self.tasks.start("leaders-work", work.run())

    async def stop(self) -> None:
        self.health.draining()
        await self.tasks.stop()
        if self.lease is not None:
            await self.lease.release()
        await self.bulletins.close()
        await self.cases.close()
        await self.timers.close()
        await self.ladders.close()
        await self.session.stop()
        self.instance.close()

    async def check_consumers(self) -> None:
        await require_consumers(self.session.client, durables())

    async def check_cases(self) -> str:
        found = await self.fold.check()
        book, now = self.fold.book, self._clock.now()
        overdue = book.overdue(now)
        self.metrics.open.labels("open").set(book.unsettled - overdue)
        self.metrics.open.labels("overdue").set(overdue)
        return found


def new_id(now: datetime) -> str:
    """A new event id."""
    return uuid7(int(now.timestamp() * 1000), os.urandom(RANDOM_BYTES))


def create_app(
    settings: Settings, *, clock: Clock | None = None, units: UnitRegistry | None = None
) -> FastAPI:
    """Build the service; nothing connects before the app's lifespan starts.

    Args:
        settings: see `Settings`.
        clock: the machine's clock if None.
        units: the committed registry if None.

    Raises:
        PermanentError: a key is missing, or the file of holidays can't be used.
    """
    registry = CurrentUnits(units if units is not None else load_units(settings.units_path))
    parts = _Parts(settings, clock or SystemClock(), registry)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await parts.session.start()
        try:
            yield
        finally:
            await parts.stop()

    app = FastAPI(
        title="Pingyi rectify",
        version=VERSION,
        description="Cases: who answers for a complaint, by when, and what became of it.",
        openapi_tags=[
            {"name": "bulletins", "description": "Bulletins: what they rest on, which were published."},
            {"name": "cases", "description": "Cases, for those who work on them."},
            {"name": "sanctions", "description": "Sanctions, nominations, quarterly checks."},
            {"name": "citizens", "description": "One's own case, by the receipt's code."},
            {"name": "operations", "description": "Health and metrics."},
        ],
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    parts.health.register("nats", parts.session.check)
    parts.health.register("cases", parts.check_cases)
    parts.health.register("consumers", parts.check_consumers)
    install(app, parts.metrics.service, parts.health)
    install_errors(app)
    now = clock or SystemClock()
    places = Places(registry, lambda: business_day(now.now()))
    app.include_router(
        make_bulletins_router(
            parts.bulletins,
            PublishBulletin(parts.bulletins, registry, now),
            ReadCasesOfPeriod(parts.fold, now),
            places,
            registry,
        )
    )
    app.include_router(
        make_router(parts.desk, parts.read, parts.move, parts.open_by_hand, parts.texts, places)
    )
    app.include_router(make_citizens_router(parts.word))
    parts.ladders.add_to(app, parts.health)
    return protect(app, Access.of(settings))
