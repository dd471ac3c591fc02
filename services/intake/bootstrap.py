"""The composition root of intake: settings in, app out."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import SystemRandom

from fastapi import FastAPI
from nats.aio.client import Client

from services.intake.adapters.jetstream_log import JetStreamFeedbackLog, read_accepted
from services.intake.adapters.live_keys import VaultKeyFile, load_pseudonyms
from services.intake.adapters.people_log import PeopleFold
from services.intake.adapters.people_metrics import PeopleMetrics
from services.intake.adapters.qr_codes import qr_code
from services.intake.adapters.rules import RulePacks
from services.intake.adapters.screen_file import ScreenFile
from services.intake.adapters.screened import StoredRatings
from services.intake.adapters.screening_metrics import PrometheusScreening
from services.intake.adapters.sealing import key_of_record
from services.intake.adapters.shared_quotas import SharedQuotas
from services.intake.adapters.similarity import MinHashSketcher
from services.intake.adapters.sqlite_index import SqliteAcceptedIndex
from services.intake.adapters.sqlite_quarantine import SUBJECTS as DECIDED
from services.intake.adapters.sqlite_quarantine import SqliteQuarantine
from services.intake.adapters.stored_revisions import SUBJECTS, read_revision
from services.intake.adapters.vault import JetStreamVault
from services.intake.application.accepting import Acceptor
from services.intake.application.errors import IndexNotReadyError
from services.intake.application.handlers import Desk
from services.intake.application.holding import Holder
from services.intake.application.keeping import Keeper
from services.intake.application.people import Custodian
from services.intake.application.prepared import Preparer, RandomBytes
from services.intake.application.quotas import QuotaGate
from services.intake.application.revising import Reviser
from services.intake.application.tokens import TokenOffice
from services.intake.domain.addresses import TrustedProxies
from services.intake.domain.event_ids import UNKEYED, EventIds
from services.intake.domain.pseudonyms import Pseudonyms
from services.intake.domain.quotas import QuotaBook
from services.intake.domain.tokens import TokenMint
from services.intake.entrypoints.actors import TRUSTED
from services.intake.entrypoints.events import IndexFold, keep_pruned, keep_written
from services.intake.entrypoints.http import HttpParts, add_routes
from services.intake.entrypoints.keeping import KeeperState, keep_vault
from services.intake.entrypoints.people import PeopleParts, add_people_routes
from services.intake.entrypoints.quarantine import add_quarantine_routes
from services.intake.entrypoints.quarantine_fold import QuarantineFold
from services.intake.entrypoints.revisions import add_revision_routes
from services.intake.entrypoints.screening import ScreeningFold
from services.intake.entrypoints.tokens import add_token_routes
from services.intake.metrics import IntakeMetrics
from services.intake.settings import Settings
from shared.auth.key_files import load_keys
from shared.auth.key_rings import EVENT_IDS_FILE, TOKEN_FILE, load_ring
from shared.auth.secrets import HMAC_FILE, SecretKey
from shared.events import Provenance
from shared.kernel.clock import Clock, SystemClock
from shared.kernel.units import load_units
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


def create_app(
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

    log = JetStreamFeedbackLog(
        pseudonyms, max_queued=settings.max_queued, observe=metrics.commit_observer(FEEDBACK)
    )
    vault = JetStreamVault(
        key_file.sealer, max_queued=settings.max_queued, observe=metrics.commit_observer(VAULT)
    )
    index = SqliteAcceptedIndex(
        settings.data_dir, pseudonyms.references.key_id, horizon_days=settings.index_horizon_days
    )
    metrics.watch_queue(FEEDBACK, lambda: log.queued)
    metrics.watch_queue(VAULT, lambda: vault.queued)
    metrics.watch_index(lambda: index.unwritten)

    async def on_connect(client: Client) -> None:
        await vault.connect(client)
        await log.connect(client)

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

    book = _quota_book(settings, load_keys(settings.secrets_dir / HMAC_FILE).newest, metrics)

    async def check_index() -> str:
        if not index.ready:
            raise IndexNotReadyError(index.position)
        return f"up to {index.position}"

    health.register("nats", session.check)
    health.register("index", check_index, cache_s=0.2)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await session.start()
        async with screening, TaskSupervisor(health) as tasks:
            _keep_index(tasks, fold, index, clock)
            tasks.start("shared-quotas", SharedQuotas(book, session.wait_ready, clock).run())
            people.start(tasks)
            yield
            health.draining()
        # The requests are answered; what their commits still hold is finished before the connection closes.
        await log.stop()
        await vault.stop()
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
        log=log,
        vault=vault,
        sealer=key_file.sealer,
        index=index,
        pseudonyms=pseudonyms,
        units=units,
        tally=metrics,
        sketcher=MinHashSketcher(),
    )
    preparer = Preparer(units, pseudonyms, rules, clock, random_bytes, ids=ids, mint=mint)
    reviser = Reviser(log=log, index=index, pseudonyms=pseudonyms, units=units, tally=metrics)
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
            index=index,
            clock=clock,
            random=random_bytes,
            horizon_days=settings.index_horizon_days,
            tally=metrics,
        ),
    )
    people = _People(
        app, settings, key_file, session, service_metrics, reviser, parts,
        log=log, vault=vault, index=index, pseudonyms=pseudonyms, random_bytes=random_bytes,
    )  # fmt: skip
    add_quarantine_routes(app, parts, screening.quarantine)
    return app


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
        setattr(app.state, TRUSTED, settings.trust_actor_headers)
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
