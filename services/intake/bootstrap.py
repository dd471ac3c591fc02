"""The composition root of intake: settings in, app out."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import SystemRandom

from fastapi import FastAPI
from nats.aio.client import Client

from services.intake.adapters.good_bad_export import GoodBadExport
from services.intake.adapters.good_bad_review import NAME_OF, SUBMITTED, to_submission
from services.intake.adapters.jetstream_log import JetStreamFeedbackLog, read_accepted
from services.intake.adapters.known_events import KnownEvents
from services.intake.adapters.live_keys import VaultKeyFile, load_pseudonyms
from services.intake.adapters.qr_codes import qr_code
from services.intake.adapters.rules import RulePacks
from services.intake.adapters.screen_file import ScreenFile
from services.intake.adapters.screening_metrics import PrometheusScreening
from services.intake.adapters.shared_quotas import SharedQuotas
from services.intake.adapters.similarity import MinHashSketcher
from services.intake.adapters.sqlite_index import SqliteAcceptedIndex
from services.intake.adapters.stored_revisions import SUBJECTS, read_revision
from services.intake.adapters.vault import JetStreamVault
from services.intake.application.accepting import Acceptor
from services.intake.application.errors import IndexNotReadyError
from services.intake.application.handlers import Desk
from services.intake.application.holding import Holder
from services.intake.application.prepared import Preparer, RandomBytes, RequestFacts
from services.intake.application.quotas import QuotaGate
from services.intake.application.revising import Reviser
from services.intake.application.tokens import TokenOffice
from services.intake.composition.people import People
from services.intake.composition.registry import Registry
from services.intake.composition.safekeeping import Safe
from services.intake.composition.screening import Screening
from services.intake.domain.addresses import TrustedProxies
from services.intake.domain.event_ids import UNKEYED, EventIds
from services.intake.domain.quotas import QuotaBook
from services.intake.domain.tokens import TokenMint
from services.intake.entrypoints.doors import Doors
from services.intake.entrypoints.events import IndexFold, keep_pruned, keep_written
from services.intake.entrypoints.good_bad_review import Interface, add_good_bad_review_routes
from services.intake.entrypoints.http import HttpParts, add_routes
from services.intake.entrypoints.quarantine import add_quarantine_routes
from services.intake.entrypoints.revisions import add_revision_routes
from services.intake.entrypoints.screening import Looks
from services.intake.entrypoints.spool import SpoolHealth
from services.intake.entrypoints.tokens import add_token_routes
from services.intake.metrics import IntakeMetrics
from services.intake.settings import Settings
from shared.auth.access import Access, protect
from shared.auth.key_files import EVENT_IDS_FILE, TOKEN_FILE, load_keys, load_recognised
from shared.auth.secrets import HMAC_FILE, SecretKey
from shared.events import Provenance
from shared.kernel.clock import Clock, SystemClock
from shared.kernel.units import CurrentUnits, load_units
from shared.messaging.connection import make_broker
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


def _keep_index(tasks: TaskSupervisor, fold: IndexFold, index: SqliteAcceptedIndex, clock: Clock) -> None:
    """Start what folds, writes and prunes the index."""
    tasks.start("index-fold", fold.run())
    tasks.start("index-writer", keep_written(index.flush))
    tasks.start("index-pruner", keep_pruned(index.wait_ready, index.prune, clock))


def _watch(
    metrics: IntakeMetrics,
    safe: Safe,
    log: JetStreamFeedbackLog,
    vault: JetStreamVault,
    index: SqliteAcceptedIndex,
) -> None:
    metrics.watch_spool(safe.spool, lambda: not safe.circuit.closed)
    metrics.watch_queue(FEEDBACK, lambda: log.queued)
    metrics.watch_queue(VAULT, lambda: vault.queued)
    metrics.watch_index(lambda: index.unwritten)


def _register_checks(
    health: Health, settings: Settings, session: BrokerSession, index: SqliteAcceptedIndex, safe: Safe
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
    settings: Settings,
    *,
    clock: Clock | None = None,
    random_bytes: RandomBytes = os.urandom,
    apart: Looks | None = None,
) -> FastAPI:
    """Compose intake; nothing connects before the app's lifespan starts.

    Args:
        settings: see `Settings`.
        clock: the system's clock unless a test gives another.
        random_bytes: source of ids, keys and nonces.
        apart: the process that screens for this one; without it this one screens itself.

    Raises:
        PermanentError: a key, the registry or a rule pack is missing or invalid.
    """
    clock = clock or SystemClock()
    pseudonyms = load_pseudonyms(settings.secrets_dir)
    key_file = VaultKeyFile(settings.secrets_dir, random_bytes)
    ids, mint = _keyed(settings.secrets_dir)
    units = CurrentUnits(load_units(settings.units_path))
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
    safe = Safe(settings, log, vault, index, pseudonyms, clock)
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

    registry = Registry(session.wait_ready, units)
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

    def own_facts(key: str) -> RequestFacts:
        return preparer.facts(Provenance("screening"), idempotency_key=key)

    screening = Screening(
        session=session,
        settings=settings,
        reviser=reviser,
        facts=own_facts,
        holder=Holder(
            log=log,
            index=index,
            pseudonyms=pseudonyms,
            reviser=reviser,
            tally=metrics,
            facts=own_facts,
        ),
        kept=ScreenFile(settings.data_dir, pseudonyms.references.key_id),
        apart=apart,
        rules=rules,
        clock=clock,
        health=health,
        metrics=PrometheusScreening(service_metrics),
    )
    spread = SystemRandom()
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
        random=spread,
        access=Access.of(settings, session),
        doors=Doors(settings, metrics.refused, spread),
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
    approvals = registry.add_to(app, parts, log, pseudonyms, random_bytes)
    interface = Interface(
        to_submission=lambda record, unit_of: to_submission(record, unit_of, registry.divisions),
        name_of=NAME_OF,
        page=GoodBadExport(session.wait_ready, units, lambda: registry.divisions).page,
        accepted=KnownEvents(safe.index, pseudonyms).among,
        submitted=SUBMITTED,
    )
    add_good_bad_review_routes(app, parts, interface)
    people = People(
        app, settings, key_file, session, service_metrics, reviser, parts,
        log=log, vault=vault, safe=safe, index=index, pseudonyms=pseudonyms, random_bytes=random_bytes,
    )  # fmt: skip
    add_quarantine_routes(app, parts, screening.quarantine, approvals)
    return protect(app, parts.access)


def _keyed(secrets: Path) -> tuple[EventIds, TokenMint]:
    """What makes ids and tokens, each under keys of its own."""
    ids = load_recognised(secrets, EVENT_IDS_FILE, unkeyed=True)
    tokens = load_recognised(secrets, TOKEN_FILE)
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
    add_token_routes(app, office, parts, qr_code)
