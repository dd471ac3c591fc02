"""Composition root of notify: settings → endpoints and adapters → use cases → loops and routes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, timedelta
from functools import partial

from fastapi import FastAPI
from nats.aio.client import Client
from nats.js.errors import NotFoundError as ConsumerNotFoundError

from services.notify.adapters.alert_fold import AlertFold
from services.notify.adapters.bus import BusPublisher
from services.notify.adapters.duties import Duties, make_people
from services.notify.adapters.endpoints import Lines, make_lines
from services.notify.adapters.rule_packs import FileRulePacks
from services.notify.adapters.watch_fold import WatchFold, first_since, ranked_position
from services.notify.application.ages import MaxAges
from services.notify.application.disabling import DisableEndpoint, EnableEndpoint, EndpointDirectory
from services.notify.application.dispatching import Deliveries, DispatchAlert
from services.notify.application.explaining import ExplainAlert
from services.notify.application.following import FollowUp
from services.notify.application.handlers import AcknowledgeAlert, DeliverAlert, RaiseAlerts, ReadAlerts
from services.notify.application.judging import Judging
from services.notify.application.lanes import shared_buckets
from services.notify.application.ports import Channel
from services.notify.application.routing import Router
from services.notify.application.snoozing import SnoozeAlert
from services.notify.application.watching import LookAround
from services.notify.domain.book import AlertBook
from services.notify.domain.watch import Watch, start_of
from services.notify.entrypoints.cases import CASE_DURABLES, case_consumers
from services.notify.entrypoints.channels import add_channel_routes
from services.notify.entrypoints.deliveries import DeliveryLoop, delivery_durable, delivery_loop, hasten
from services.notify.entrypoints.duty import make_duty_router
from services.notify.entrypoints.events import DURABLES, consumers, on_rating
from services.notify.entrypoints.http import make_router
from services.notify.entrypoints.places import AlertPlaces
from services.notify.entrypoints.ratings import PositionUnknownError, RatingsLoop
from services.notify.metrics import NotifyMetrics
from services.notify.settings import Settings
from shared.auth.access import Access, protect
from shared.kernel.clock import Clock, SystemClock, business_day
from shared.kernel.errors import TransientError, describe
from shared.kernel.units import CurrentUnits, UnitRegistry, load_units
from shared.messaging.connection import make_broker
from shared.messaging.consuming import DurableConsumer
from shared.messaging.failure import DeadLetters, FailureHandling
from shared.messaging.positions import KeptPosition
from shared.messaging.registry import keep_current
from shared.messaging.session import BrokerSession
from shared.messaging.streams import ALERTS, FEEDBACK, NOTIFY_RATINGS, RETIRED
from shared.observability.health import Health
from shared.observability.http import install
from shared.observability.lifecycle import TaskSupervisor

SERVICE = "notify"
VERSION = "1"


class ConsumerMissingError(TransientError):
    """A durable consumer is not provisioned (yet)."""


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


def _deliveries(
    lines: Lines,
    fold: AlertFold,
    bus: BusPublisher,
    clock: Clock,
    metrics: NotifyMetrics,
    disable: DisableEndpoint,
) -> dict[str, Deliveries]:
    """Return the endpoints by address."""
    made: dict[str, Deliveries] = {}
    buckets = shared_buckets(line.endpoint for line in lines.lines)
    for line in lines.lines:
        delays = line.endpoint.retry_delays_s
        deliver = DeliverAlert(
            line.channel, states=fold, publisher=bus, clock=clock, metrics=metrics, retry_delays_s=delays
        )
        made[line.endpoint.address] = Deliveries(
            line.endpoint, deliver, states=fold, disable=disable, bucket=buckets.get(line.endpoint.address)
        )
    return made


def _lines(settings: Settings, clock: Clock, channels: Sequence[Channel] | None) -> Lines:
    if channels is not None:
        return Lines.of_channels(channels, settings.retry_delays_s)
    return make_lines(settings, clock)


def _max_ages(settings: Settings) -> MaxAges:
    reviews = settings.review_alert_max_age_s
    return MaxAges(
        timedelta(seconds=settings.alert_max_age_s),
        None if reviews is None else timedelta(seconds=reviews),
    )


def _by_kind(deliveries: Mapping[str, Deliveries]) -> dict[str, list[Deliveries]]:
    grouped: dict[str, list[Deliveries]] = {}
    for each in deliveries.values():
        grouped.setdefault(each.endpoint.kind, []).append(each)
    return grouped


def _delivery_loops(
    client: Client,
    deliveries: Mapping[str, Deliveries],
    metrics: NotifyMetrics,
    letters: DeadLetters,
    clock: Clock,
) -> dict[str, DeliveryLoop]:
    return {
        kind: delivery_loop(client, kind, DispatchAlert(kind, mine, metrics), letters, clock)
        for kind, mine in _by_kind(deliveries).items()
    }


def ratings_loop(
    client: Client,
    *,
    raise_alerts: RaiseAlerts,
    failures: FailureHandling,
    packs: FileRulePacks,
    units: UnitRegistry,
    clock: Clock,
    metrics: NotifyMetrics,
) -> RatingsLoop:
    """Return what reads FEEDBACK, on a connection that is there."""
    now = clock.now()
    rule = packs.on(business_day(now)).alerts.surge
    watch = Watch(rule)
    around = LookAround(
        watch,
        raise_alerts=raise_alerts,
        packs=packs,
        units=units,
        position=partial(ranked_position, client),
        clock=clock,
    )
    before = next(each for each in RETIRED if each.position == NOTIFY_RATINGS)
    return RatingsLoop(
        client,
        position=KeptPosition(client, FEEDBACK, NOTIFY_RATINGS, before=before),
        first=partial(first_since, client, FEEDBACK, start_of(rule, now.astimezone(UTC))),
        counts=WatchFold(watch, units, raise_alerts.is_quiet),
        judging=Judging(on_rating(raise_alerts), failures),
        around=around,
        raise_alerts=raise_alerts,
        metrics=metrics,
    )


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
    places = AlertPlaces(read, units, clock)
    app.include_router(
        make_router(read, AcknowledgeAlert(read, states=fold, publisher=bus, clock=clock), places)
    )
    app.include_router(make_duty_router(ExplainAlert(read, fold), snooze, router, places))
    return app


def _application(lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]]) -> FastAPI:
    return FastAPI(
        title="Pingyi notify",
        version=VERSION,
        description="Alerts about service windows: who was told what, and who takes it over.",
        openapi_tags=[
            {"name": "alerts", "description": "Recent alerts and their acknowledgement."},
            {"name": "channels", "description": "Endpoints that alerts go to."},
            {"name": "operations", "description": "Health and metrics."},
        ],
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )


def create_app(  # noqa: PLR0915 - a list of everything there is, in one place
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
    registry = CurrentUnits(units if units is not None else load_units(settings.units_path))
    lines = _lines(settings, clock, channels)
    metrics, health, bus = NotifyMetrics(), Health(), BusPublisher()
    tasks = TaskSupervisor(health)
    packs = FileRulePacks(settings.rules_path)
    people = make_people(settings.recipients_path, settings.holidays_path, packs, registry, clock, metrics)
    fold = AlertFold(AlertBook(settings.alerts_kept), metrics, people.router.ledger)
    letters = DeadLetters(bus, clock, SERVICE)
    failures = FailureHandling(letters, settings.retry_delays_s)
    broker = make_broker(settings, SERVICE, inject=False)
    directory = EndpointDirectory([line.endpoint for line in lines.lines], fold)
    people.router.deliver_to(directory.usable, default=directory.in_use)
    disable = DisableEndpoint(publisher=bus, clock=clock, in_use=directory.in_use)
    raise_alerts = RaiseAlerts(
        publisher=bus,
        states=fold,
        packs=packs,
        units=registry,
        channels=directory.in_use,
        max_ages=_max_ages(settings),
        clock=clock,
        metrics=metrics,
        router=people.router,
    )
    follow_up = FollowUp(
        router=people.router, states=fold, publisher=bus, packs=packs, clock=clock, metrics=metrics
    )
    duties = Duties(people, follow_up)
    deliveries = _deliveries(lines, fold, bus, clock, metrics, disable)
    wanted = (*DURABLES, *CASE_DURABLES, *((ALERTS, delivery_durable(kind)) for kind in _by_kind(deliveries)))
    loops: dict[str, DurableConsumer | DeliveryLoop | RatingsLoop] = {}

    async def on_connect(client: Client) -> None:
        await require_consumers(client, wanted)
        await bus.bind(client)
        if "alert-fold" not in tasks.running:
            tasks.start("alert-fold", fold.run(client))
            tasks.start("registry", keep_current(registry, client))
        await people.caught_up(client, tasks)
        await fold.caught_up()  # before any delivery: it must know what was delivered in an earlier life
        if not loops:
            loops[FEEDBACK] = ratings_loop(
                client,
                raise_alerts=raise_alerts,
                failures=failures,
                packs=packs,
                units=registry,
                clock=clock,
                metrics=metrics,
            )
            loops.update(consumers(client, raise_alerts, failures))
            loops.update(case_consumers(client, raise_alerts, failures, registry))
            ways = _delivery_loops(client, deliveries, metrics, letters, clock)
            fold.on_raised(partial(hasten, ways))
            loops.update({f"deliver-{kind}": loop for kind, loop in ways.items()})
            for name, loop in loops.items():
                tasks.start(name, loop.run(), may_finish=True)
            duties.start(tasks, settings.follow_up_every_s)

    session = BrokerSession(broker, on_connect)

    async def check_consumers() -> None:
        await require_consumers(session.client, wanted)

    async def check_ratings() -> str:
        loop = loops.get(FEEDBACK)
        if not isinstance(loop, RatingsLoop):
            raise PositionUnknownError(describe("no connection yet", "one", "it connects by itself"))
        return await loop.check()

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
            lines.close()

    app = _application(lifespan)
    health.register("nats", session.check)
    health.register("alerts", fold.check)
    health.register("consumers", check_consumers)
    health.register("ratings", check_ratings)
    install(app, metrics.service, health)
    _add_routes(app, fold, bus, packs, clock, people.router, registry)
    enable = EnableEndpoint(directory, fold, publisher=bus, clock=clock, reach=fold.reach)
    add_channel_routes(app, directory, fold, deliveries, enable)
    return protect(app, Access.of(settings))
