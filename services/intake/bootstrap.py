"""The composition root of intake: settings in, app out."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import SystemRandom
from typing import Any

from fastapi import FastAPI
from nats.aio.client import Client

from services.intake.adapters.good_bad_export import GoodBadExport
from services.intake.adapters.good_bad_review import to_submission
from services.intake.adapters.jetstream_log import JetStreamFeedbackLog, read_accepted
from services.intake.adapters.live_keys import VaultKeyFile, load_pseudonyms
from services.intake.adapters.people_log import PeopleFold
from services.intake.adapters.people_metrics import PeopleMetrics
from services.intake.adapters.qr_codes import qr_code
from services.intake.adapters.registry_log import JetStreamRegistryLog
from services.intake.adapters.rules import RulePacks
from services.intake.adapters.screen_file import ScreenFile
from services.intake.adapters.screened import StoredRatings
from services.intake.adapters.screening_metrics import PrometheusScreening
from services.intake.adapters.sealing import key_of_record
from services.intake.adapters.shared_quotas import SharedQuotas
from services.intake.adapters.similarity import MinHashSketcher
from services.intake.adapters.spooled_messages import classifier, readers
from services.intake.adapters.sqlite_index import SqliteAcceptedIndex
from services.intake.adapters.sqlite_quarantine import SUBJECTS as DECIDED
from services.intake.adapters.sqlite_quarantine import SqliteQuarantine
from services.intake.adapters.sqlite_spool import SqliteSpool
from services.intake.adapters.stored_revisions import SUBJECTS, read_in_force, read_revision
from services.intake.adapters.vault import JetStreamVault
from services.intake.application.accepting import Acceptor
from services.intake.application.approval_messages import apply_approval
from services.intake.application.approving import Approvals
from services.intake.application.carrying_out import CarryingOut
from services.intake.application.draining import Drainer, DrainTally
from services.intake.application.errors import IndexNotReadyError
from services.intake.application.handlers import Desk
from services.intake.application.holding import Holder
from services.intake.application.keeping import Keeper
from services.intake.application.people import Custodian
from services.intake.application.prepared import Preparer, RandomBytes
from services.intake.application.quotas import QuotaGate
from services.intake.application.registering import Registering, apply_registry
from services.intake.application.revising import Reviser
from services.intake.application.safekeeping import AcceptingIndex, SpoolingIndex, SpoolingLog, SpoolingVault
from services.intake.application.supervising import Supervision
from services.intake.application.supervision_messages import apply_supervision
from services.intake.application.tokens import TokenOffice
from services.intake.domain.addresses import TrustedProxies
from services.intake.domain.books import Books
from services.intake.domain.circuit import Circuit
from services.intake.domain.event_ids import UNKEYED, EventIds
from services.intake.domain.pseudonyms import Pseudonyms
from services.intake.domain.quotas import QuotaBook
from services.intake.domain.tokens import TokenMint
from services.intake.entrypoints.approvals import ApprovalRoutes
from services.intake.entrypoints.events import IndexFold, keep_pruned, keep_written
from services.intake.entrypoints.good_bad_review import add_good_bad_review_routes
from services.intake.entrypoints.http import HttpParts, add_routes
from services.intake.entrypoints.keeping import KeeperState, keep_vault
from services.intake.entrypoints.people import PeopleParts, add_people_routes
from services.intake.entrypoints.quarantine import add_quarantine_routes
from services.intake.entrypoints.quarantine_fold import QuarantineFold
from services.intake.entrypoints.registry import RegistryRoutes
from services.intake.entrypoints.registry_fold import RegistryFold, keep_carrying_out
from services.intake.entrypoints.revisions import add_revision_routes
from services.intake.entrypoints.screening import ScreeningFold
from services.intake.entrypoints.spool import DrainLoop, SpoolHealth, watch_broker
from services.intake.entrypoints.supervision import SupervisionRoutes
from services.intake.entrypoints.tokens import add_token_routes
from services.intake.metrics import IntakeMetrics
from services.intake.settings import Settings
from shared.auth.access import Access, protect
from shared.auth.key_files import load_keys
from shared.auth.key_rings import EVENT_IDS_FILE, TOKEN_FILE, load_ring
from shared.auth.secrets import HMAC_FILE, SecretKey
from shared.events import Envelope, Provenance
from shared.kernel.clock import Clock, SystemClock
from shared.kernel.regions import load_divisions
from shared.kernel.units import UnitRegistry, load_units
from shared.messaging.connection import make_broker
from shared.messaging.instance import Instance
from shared.messaging.lease import Lease, SessionLeaseStore
from shared.messaging.session import BrokerSession
from shared.messaging.streams import FEEDBACK, VAULT
from shared.observability import http
from shared.observability.health import Health
from shared.observability.lifecycle import TaskSupervisor
from shared.observability.metrics import ServiceMetrics

NAME = "intake"

_DESCRIPTION = (
    "Takes ratings of civil-affairs service units. An answer of 202 means that the rating is on disk; "
    "every error is a problem detail (RFC 9457) that names field, value, expectation and remedy."
)


class _Screening:
    """Screening, the table of what is held, and the lease that says which replica acts."""

    def __init__(  # noqa: PLR0913 - its parts, keyword-only
        self,
        *,
        session: BrokerSession,
        settings: Settings,
        holder: Holder,
        kept: ScreenFile,
        rules: RulePacks,
        clock: Clock,
        health: Health,
        metrics: PrometheusScreening,
    ) -> None:
        self.quarantine = SqliteQuarantine(settings.data_dir)
        metrics.watch_held(self.quarantine.held)
        self._table = QuarantineFold(self.quarantine, session.wait_ready, DECIDED)
        self._instance = Instance(settings.data_dir)
        self._lease = Lease(SessionLeaseStore(session), NAME, self._instance.name)
        self._fold = ScreeningFold(
            client=session.wait_ready,
            reads=StoredRatings(),
            holder=holder,
            kept=kept,
            rules=rules,
            clock=clock,
            leads=lambda: self._lease.is_leader,
            metrics=metrics,
        )
        self._tasks = TaskSupervisor(health)

    async def __aenter__(self) -> None:
        await self._tasks.__aenter__()
        self._tasks.start("lease", self._lease.keep())
        self._tasks.start("quarantine-fold", self._table.run())
        self._tasks.start("screening", self._fold.run())

    async def __aexit__(self, *raised: object) -> None:
        """Let another replica act, and keep the state."""
        await self._tasks.__aexit__(None, None, None)
        await self._lease.release()
        await self._fold.stop()
        self.quarantine.close()
        self._instance.close()


def _keep_index(tasks: TaskSupervisor, fold: IndexFold, index: SqliteAcceptedIndex, clock: Clock) -> None:
    """Start what folds, writes and prunes the index."""
    tasks.start("index-fold", fold.run())
    tasks.start("index-writer", keep_written(index.flush))
    tasks.start("index-pruner", keep_pruned(index.wait_ready, index.prune, clock))


class _Safe:
    """Where ratings are kept: the ports of the use cases, played by the broker with the spool behind it."""

    def __init__(
        self,
        settings: Settings,
        log: JetStreamFeedbackLog,
        vault: JetStreamVault,
        index: SqliteAcceptedIndex,
        pseudonyms: Pseudonyms,
        clock: Clock,
    ) -> None:
        self._settings, self._log, self._stored, self._index = settings, log, vault, index
        self._pseudonyms = pseudonyms
        self.circuit = Circuit()
        self.spool = SqliteSpool(
            settings.spool_directory,
            pseudonyms,
            clock,
            max_bytes=settings.spool_max_bytes,
            max_queued=settings.max_queued,
        )
        self.index = SpoolingIndex(index, self.spool)
        self.accepting = AcceptingIndex(index, self.spool)
        self.vault = SpoolingVault(vault, self.spool, self.circuit, index)
        self.log = SpoolingLog(
            log,
            self.spool,
            vault=self.vault,
            circuit=self.circuit,
            index=index,
            classify=classifier(pseudonyms),
            read_in_force=read_in_force,
        )

    def start_tasks(
        self, tasks: TaskSupervisor, units: UnitRegistry, tally: DrainTally, session: BrokerSession
    ) -> None:
        watch = watch_broker(session.connected, self.circuit, (self._log, self._stored))
        tasks.start("broker-watch", watch)
        tasks.start("spool-drain", self._drain_loop(units, tally, session).run())

    def _drain_loop(self, units: UnitRegistry, tally: DrainTally, session: BrokerSession) -> DrainLoop:
        drainer = Drainer(
            spool=self.spool,
            log=self._log,
            vault=self._stored,
            index=self._index,
            units=units,
            readers=readers(self._pseudonyms),
            tally=tally,
            circuit=self.circuit,
            front=self.log,
        )
        return DrainLoop(
            drainer,
            self.spool,
            circuit=self.circuit,
            connected=session.connected,
            index_ready=lambda: self._index.ready,
            probe=self._log.probe,
            per_second=self._settings.spool_drain_per_s,
        )


def _watch(
    metrics: IntakeMetrics,
    safe: _Safe,
    log: JetStreamFeedbackLog,
    vault: JetStreamVault,
    index: SqliteAcceptedIndex,
) -> None:
    metrics.watch_spool(safe.spool, lambda: not safe.circuit.closed)
    metrics.watch_queue(FEEDBACK, lambda: log.queued)
    metrics.watch_queue(VAULT, lambda: vault.queued)
    metrics.watch_index(lambda: index.unwritten)


def _register_checks(
    health: Health, settings: Settings, session: BrokerSession, index: SqliteAcceptedIndex, safe: _Safe
) -> None:
    async def check_index() -> str:
        if not index.ready:
            raise IndexNotReadyError(index.position)
        return f"up to {index.position}"

    # Broker and index are no longer required: without them ratings go to the spool.
    health.register("nats", session.check, required=False)
    health.register("index", check_index, cache_s=0.2, required=False)
    spool_health = SpoolHealth(safe.spool, safe.circuit, lambda: index.ready, grace_s=settings.spool_grace_s)
    health.register("accepting", spool_health.accepting, cache_s=0.1)
    health.register("spool", spool_health.empty, cache_s=0.1, required=False)


def create_app(  # noqa: PLR0915 - a list of everything there is, in one place
    settings: Settings, *, clock: Clock | None = None, random_bytes: RandomBytes = os.urandom
) -> FastAPI:
    """Compose intake; nothing connects before the app's lifespan starts.

    Args:
        settings: see `Settings`.
        clock: the system's clock unless a test gives another.
        random_bytes: source of ids, keys and nonces.

    Raises:
        PermanentError: a key, the registry or a rule pack is missing or invalid.
    """
    clock = clock or SystemClock()
    pseudonyms = load_pseudonyms(settings.secrets_dir)
    key_file = VaultKeyFile(settings.secrets_dir, random_bytes)
    ids, mint = _keyed(settings.secrets_dir)
    units = load_units(settings.units_path)
    rules = RulePacks(settings.rules_path)
    rules.at(clock.now())

    service_metrics = ServiceMetrics(NAME)
    metrics = IntakeMetrics(service_metrics)
    health = Health()

    queued, timeout_s = settings.max_queued, settings.broker_timeout_s
    log = JetStreamFeedbackLog(
        pseudonyms, max_queued=queued, observe=metrics.commit_observer(FEEDBACK), timeout_s=timeout_s
    )
    vault = JetStreamVault(
        key_file.sealer, max_queued=queued, observe=metrics.commit_observer(VAULT), timeout_s=timeout_s
    )
    index = SqliteAcceptedIndex(
        settings.data_dir, pseudonyms.references.key_id, horizon_days=settings.index_horizon_days
    )
    safe = _Safe(settings, log, vault, index, pseudonyms, clock)
    _watch(metrics, safe, log, vault, index)

    async def on_connect(client: Client) -> None:
        await vault.connect(client)
        await log.connect(client)
        await registry.log.connect(client)

    session = BrokerSession(make_broker(settings, NAME), on_connect)
    fold = IndexFold(
        index,
        session.wait_ready,
        lambda data, sequence: (
            read_accepted(data, sequence, pseudonyms) or read_revision(data, sequence, pseudonyms)
        ),
        SUBJECTS,
        metrics,
    )

    registry = _Registry(session.wait_ready)
    book = _quota_book(settings, load_keys(settings.secrets_dir / HMAC_FILE).newest, metrics)
    _register_checks(health, settings, session, index, safe)
    # Without it only what rests on it is refused; ratings are accepted all the same.
    health.register("registry", registry.check, cache_s=0.2, required=False)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await safe.spool.start()
        await index.open_as_it_is()
        await session.start()
        async with screening, TaskSupervisor(health) as tasks:
            _keep_index(tasks, fold, index, clock)
            registry.start(tasks)
            tasks.start("shared-quotas", SharedQuotas(book, session.wait_ready, clock).run())
            people.start(tasks)
            safe.start_tasks(tasks, units, metrics, session)
            yield
            health.draining()
        # The requests are answered; what their commits still hold is finished before the connection closes.
        await log.stop()
        await vault.stop()
        await safe.spool.stop()
        await index.close()
        await session.stop()

    app = FastAPI(
        title="Pingyi intake 评议受理",
        version="1",
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    http.install(app, service_metrics, health)
    acceptor = Acceptor(
        log=safe.log,
        vault=safe.vault,
        sealer=key_file.sealer,
        index=safe.accepting,
        pseudonyms=pseudonyms,
        units=units,
        tally=metrics,
        sketcher=MinHashSketcher(),
    )
    panels = registry.log.ready(registry.books.panels)
    preparer = Preparer(units, pseudonyms, rules, clock, random_bytes, panels, ids=ids, mint=mint)
    reviser = Reviser(log=safe.log, index=safe.index, pseudonyms=pseudonyms, units=units, tally=metrics)
    screening = _Screening(
        session=session,
        settings=settings,
        holder=Holder(
            log=log,
            index=index,
            pseudonyms=pseudonyms,
            reviser=reviser,
            tally=metrics,
            facts=lambda key: preparer.facts(Provenance("screening"), idempotency_key=key),
        ),
        kept=ScreenFile(settings.data_dir, pseudonyms.references.key_id),
        rules=rules,
        clock=clock,
        health=health,
        metrics=PrometheusScreening(service_metrics),
    )
    parts = HttpParts(
        desk=Desk(
            preparer, acceptor, metrics, QuotaGate(book, metrics, enforce=settings.quotas == "enforce")
        ),
        reviser=reviser,
        units=units,
        rules=rules,
        proxies=TrustedProxies(settings.proxy_networks),
        metrics=metrics,
        settings=settings,
        clock=clock,
        random=SystemRandom(),
        access=Access.of(settings, session),
    )
    _add_all_routes(
        app,
        parts,
        TokenOffice(
            mint,
            receipts_of=preparer.receipts_of_token,
            pseudonyms=pseudonyms,
            units=units,
            rules=rules,
            index=safe.index,
            clock=clock,
            random=random_bytes,
            horizon_days=settings.index_horizon_days,
            tally=metrics,
        ),
    )
    registry.add_to(app, parts, log, pseudonyms, random_bytes)
    add_good_bad_review_routes(app, parts, to_submission, GoodBadExport(session.wait_ready, units).page)
    people = _People(
        app, settings, key_file, session, service_metrics, reviser, parts,
        log=log, vault=vault, index=index, pseudonyms=pseudonyms, random_bytes=random_bytes,
    )  # fmt: skip
    add_quarantine_routes(app, parts, screening.quarantine)
    return protect(app, parts.access)


class _Registry:
    """Everything that rests on the stream REGISTRY: approvals, supervision, panels."""

    def __init__(self, client: Callable[[], Awaitable[Client]]) -> None:
        self.log, self.books = JetStreamRegistryLog(), Books(load_units(), load_divisions())
        self._fold = RegistryFold(client, self.log, (self._apply,), self.books.forget)
        self._work: CarryingOut | None = None

    def _apply(self, envelope: Envelope[Any], sequence: int) -> None:
        books = self.books
        apply_approval(books.approvals, envelope, sequence)
        apply_supervision(books.campaigns, books.findings, books.panels, envelope)
        apply_registry(books.registry, envelope)

    async def check(self) -> str:
        """Readiness: whether the books are complete, and up to where."""
        self.log.require_ready()
        return f"up to {self.log.position}"

    def start(self, tasks: TaskSupervisor) -> None:
        """Start folding, and carrying out what was granted."""
        tasks.start("registry-fold", self._fold.run())
        if self._work is not None:
            tasks.start("carrying-out", keep_carrying_out(self._work))

    def add_to(
        self,
        app: FastAPI,
        parts: HttpParts,
        feedback: JetStreamFeedbackLog,
        pseudonyms: Pseudonyms,
        random: RandomBytes,
    ) -> None:
        """Compose the use cases and add their routes to `app`."""
        books, reviser = self.books, parts.reviser
        approvals = Approvals(
            book=books.approvals,
            log=self.log,
            feedback=feedback,
            reviser=reviser,
            rules=parts.rules,
            random=random,
        )
        self._work = CarryingOut(
            book=books.approvals,
            log=self.log,
            reviser=reviser,
            preparer=parts.desk.preparer,
            now=parts.clock.now,
        )
        supervision = Supervision(
            campaigns=books.campaigns,
            findings=books.findings,
            panels=books.panels,
            log=self.log,
            pseudonyms=pseudonyms,
            units=parts.units,
            divisions=lambda: books.registry.divisions,
        )
        ApprovalRoutes(parts, approvals, self._work).add_to(app)
        SupervisionRoutes(parts, supervision).add_to(app)
        registering = Registering(
            book=books.registry,
            log=self.log,
            kinds=lambda: parts.rules.at(parts.clock.now()).kinds,
            random=random,
        )
        RegistryRoutes(parts, registering).add_to(app)
        parts.metrics.watch_registry(books, parts.clock)


def _keyed(secrets: Path) -> tuple[EventIds, TokenMint]:
    """What makes ids and tokens, each under keys of its own."""
    ids = load_ring(secrets, EVENT_IDS_FILE, unkeyed=True)
    tokens = load_ring(secrets, TOKEN_FILE)
    return (
        EventIds(ids.current.secret, (UNKEYED if old is None else old.secret for old in ids.former)),
        TokenMint(tokens.current.secret, (old.secret for old in tokens.former if old is not None)),
    )


def _quota_book(settings: Settings, key: SecretKey, metrics: IntakeMetrics) -> QuotaBook:
    book = QuotaBook(key.secret, most=settings.quota_places)
    metrics.watch_places(lambda: book.places)
    return book


def _add_all_routes(app: FastAPI, parts: HttpParts, office: TokenOffice) -> None:
    add_routes(app, parts)
    add_revision_routes(app, parts)
    add_token_routes(app, office, parts.units, qr_code, parts.settings.rating_url)


class _People:
    """Composes what guards people's data: the facts' fold, the custodian, the vault's keeper."""

    def __init__(  # noqa: PLR0913 - what it composes
        self,
        app: FastAPI,
        settings: Settings,
        key_file: VaultKeyFile,
        session: BrokerSession,
        metrics: ServiceMetrics,
        reviser: Reviser,
        http_parts: HttpParts,
        *,
        log: JetStreamFeedbackLog,
        vault: JetStreamVault,
        index: SqliteAcceptedIndex,
        pseudonyms: Pseudonyms,
        random_bytes: RandomBytes,
    ) -> None:
        self._settings, self._key_file, self._index = settings, key_file, index
        self._clock = http_parts.clock
        self._metrics = PeopleMetrics(metrics)
        self._fold = PeopleFold(session.wait_ready)
        self._keeper = Keeper(
            vault=vault,
            sealer=key_file.sealer,
            key_of=key_of_record,
            log=log,
            index=index,
            pseudonyms=pseudonyms,
            erased=self._fold,
            after_days=settings.vault_sweep_after_days,
            horizon_days=settings.index_horizon_days,
        )
        self._state = KeeperState(key_file.keys)
        custodian = Custodian(
            reviser=reviser,
            log=log,
            vault=vault,
            people=self._fold,
            units=http_parts.units,
            rules=http_parts.rules,
            clock=self._clock,
            random=random_bytes,
            tally=self._metrics,
        )
        app.state.vault = vault
        add_people_routes(app, PeopleParts(custodian, self._state, settings, http_parts.random))

    def start(self, tasks: TaskSupervisor) -> None:
        """Start the fold and the keeper."""
        tasks.start("people-fold", self._fold.run())
        keeping = keep_vault(
            self._keeper,
            self._state,
            key_file=self._key_file,
            wait_ready=self._wait_ready,
            metrics=self._metrics,
            clock=self._clock,
            every_s=self._settings.vault_pass_every_s,
            look_s=self._settings.key_look_s,
        )
        tasks.start("vault-keeper", keeping)

    async def _wait_ready(self) -> None:
        await self._index.wait_ready()
        await self._fold.wait_known()
