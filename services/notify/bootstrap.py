"""Composition root of notify: settings → channels and adapters → use cases → subscribers and routes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta

from fastapi import FastAPI
from nats.aio.client import Client
from nats.js.errors import NotFoundError as ConsumerNotFoundError

from services.notify.adapters.alert_fold import AlertFold
from services.notify.adapters.bus import BusPublisher
from services.notify.adapters.console import ConsoleChannel
from services.notify.adapters.duties import Duties, People, make_people
from services.notify.adapters.mail import MailChannel, read_password
from services.notify.adapters.rule_packs import FileRulePacks
from services.notify.adapters.webhook import WebhookChannel, load_key
from services.notify.application.explaining import ExplainAlert
from services.notify.application.following import FollowUp
from services.notify.application.handlers import AcknowledgeAlert, DeliverAlert, RaiseAlerts, ReadAlerts
from services.notify.application.ports import Channel
from services.notify.application.routing import Router
from services.notify.application.snoozing import SnoozeAlert
from services.notify.application.watching import LookAround, Position
from services.notify.domain.book import AlertBook
from services.notify.domain.watch import Watch
from services.notify.entrypoints.duty import make_duty_router
from services.notify.entrypoints.events import consumers, durables, subscribe
from services.notify.entrypoints.http import make_router
from services.notify.entrypoints.places import AlertPlaces
from services.notify.metrics import NotifyMetrics
from services.notify.settings import Settings, smtp_address
from shared.auth.access import Access, protect
from shared.kernel.clock import Clock, SystemClock
from shared.kernel.errors import TransientError, describe
from shared.kernel.units import UnitRegistry, load_units
from shared.messaging.connection import make_broker
from shared.messaging.consuming import DurableConsumer
from shared.messaging.failure import DeadLetters, FailureHandling, failure_policy
from shared.messaging.session import BrokerSession
from shared.observability.health import Health
from shared.observability.http import install
from shared.observability.lifecycle import TaskSupervisor

SERVICE = "notify"
VERSION = "1"


class ConsumerMissingError(TransientError):
    """A durable consumer is not provisioned (yet)."""


def make_channels(settings: Settings, clock: Clock) -> tuple[Channel, ...]:
    """Return the channels that the settings switch on.

    Raises:
        PermanentError: a channel is on, but its key or password is missing.
    """
    channels: list[Channel] = []
    if settings.console_alerts:
        channels.append(ConsoleChannel())
    if settings.webhook_url is not None:
        key = load_key(settings.secrets_dir / "webhook.key")
        channels.append(
            WebhookChannel(settings.webhook_url, key, clock=clock, timeout_s=settings.delivery_timeout_s)
        )
    if settings.smtp_url is not None:
        has_user = smtp_address(settings.smtp_url).username is not None
        channels.append(
            MailChannel(
                settings.smtp_url,
                password=read_password(settings.secrets_dir / "smtp.password") if has_user else None,
                starttls=settings.smtp_starttls,
                sender=settings.mail_from,
                recipients=settings.recipients,
                timeout_s=settings.delivery_timeout_s,
            )
        )
    return tuple(channels)


async def require_consumers(client: Client, wanted: Sequence[tuple[str, str]]) -> None:
    """Return if every (stream, durable) exists: FastStream would silently make a missing one, with defaults.

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


def make_duties(  # noqa: PLR0913, PLR0917 - what the composition root has made
    people: People,
    raise_alerts: RaiseAlerts,
    fold: AlertFold,
    bus: BusPublisher,
    packs: FileRulePacks,
    units: UnitRegistry,
    clock: Clock,
    metrics: NotifyMetrics,
) -> Duties:
    """Return what notify does by itself beside events; it starts with the broker's connection."""
    follow_up = FollowUp(
        router=people.router, states=fold, publisher=bus, packs=packs, clock=clock, metrics=metrics
    )

    def look_around(watch: Watch, position: Position) -> LookAround:
        return LookAround(
            watch, raise_alerts=raise_alerts, packs=packs, units=units, position=position, clock=clock
        )

    return Duties(people, follow_up, look_around, packs=packs, units=units, clock=clock, metrics=metrics)


def _add_routes(
    app: FastAPI,
    fold: AlertFold,
    bus: BusPublisher,
    packs: FileRulePacks,
    clock: Clock,
    router: Router,
    units: UnitRegistry,
) -> FastAPI:
    read = ReadAlerts(fold)
    snooze = SnoozeAlert(read, states=fold, publisher=bus, packs=packs, clock=clock)
    app.include_router(
        make_router(read, AcknowledgeAlert(read, states=fold, publisher=bus, clock=clock), units)
    )
    app.include_router(make_duty_router(ExplainAlert(read, fold), snooze, router, AlertPlaces(read, units)))
    return app


def _application(lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]]) -> FastAPI:
    return FastAPI(
        title="Pingyi notify",
        version=VERSION,
        description="Alerts about service windows: who was told what, and who takes it over.",
        openapi_tags=[
            {"name": "alerts", "description": "Recent alerts and their acknowledgement."},
            {"name": "operations", "description": "Health and metrics."},
        ],
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )


def create_app(
    settings: Settings,
    *,
    clock: Clock | None = None,
    units: UnitRegistry | None = None,
    channels: Sequence[Channel] | None = None,
) -> FastAPI:
    """Build the service; nothing connects before the app's lifespan starts.

    Args:
        settings: see `Settings`.
        clock: the machine's clock if None.
        units: the committed registry if None.
        channels: those of the settings if None.

    Raises:
        PermanentError: a channel is on, but its key or password is missing.
    """
    clock = clock or SystemClock()
    registry = units if units is not None else load_units(settings.units_path)
    ways = tuple(channels) if channels is not None else make_channels(settings, clock)
    names = tuple(channel.name for channel in ways)
    metrics, health, bus = NotifyMetrics(), Health(), BusPublisher()
    tasks = TaskSupervisor(health)
    packs = FileRulePacks(settings.rules_path)
    registry = units if units is not None else load_units(settings.units_path)
    people = make_people(settings.recipients_path, packs, registry, names, clock, metrics)
    fold = AlertFold(AlertBook(settings.alerts_kept), metrics, people.router.ledger)
    failures = FailureHandling(DeadLetters(bus, clock, SERVICE), settings.retry_delays_s)
    broker = make_broker(settings, SERVICE, middlewares=(failure_policy(failures),), inject=False)
    raise_alerts = RaiseAlerts(
        publisher=bus,
        states=fold,
        packs=packs,
        units=registry,
        channels=names,
        max_age=timedelta(seconds=settings.alert_max_age_s),
        clock=clock,
        metrics=metrics,
        router=people.router,
    )
    duties = make_duties(people, raise_alerts, fold, bus, packs, registry, clock, metrics)
    deliver = {
        way.name: DeliverAlert(
            way,
            states=fold,
            publisher=bus,
            clock=clock,
            metrics=metrics,
            retry_delays_s=settings.retry_delays_s,
        )
        for way in ways
    }
    subscribe(broker, deliver)
    loops: dict[str, DurableConsumer] = {}

    async def on_connect(client: Client) -> None:
        await require_consumers(client, durables(names))
        await bus.bind(client)
        if "alert-fold" not in tasks.running:
            tasks.start("alert-fold", fold.run(client))
        await people.caught_up(client, tasks)
        await fold.caught_up()  # before any delivery: it must know what was delivered in an earlier life
        if not loops:
            loops.update(consumers(client, raise_alerts, deliver, failures))
            for name, loop in loops.items():
                tasks.start(name, loop.run(), may_finish=True)
            duties.start(client, tasks, settings.follow_up_every_s)

    session = BrokerSession(broker, on_connect)

    async def check_consumers() -> None:
        await require_consumers(session.client, durables(names))

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await session.start()
        try:
            yield
        finally:
            health.draining()
            await asyncio.gather(*(loop.drain() for loop in loops.values()))
            await tasks.stop()
            await session.stop()
            await bus.close()
            for way in ways:
                if isinstance(way, WebhookChannel):
                    await way.close()

    app = _application(lifespan)
    health.register("nats", session.check)
    health.register("alerts", fold.check)
    health.register("consumers", check_consumers)
    install(app, metrics.service, health)
    return protect(_add_routes(app, fold, bus, packs, clock, people.router, registry), Access.of(settings))
