"""The composition root of one local platform: layout in, running servers and services out."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version

from deploy.local.embedded import MongoServer, NatsServer
from deploy.local.embedded.logs import open_log
from deploy.local.embedded.mongod_secrets import ensure_mongo_secrets
from deploy.local.embedded.ports import require_free
from deploy.local.layout import SERVICES, Layout
from deploy.local.platform_file import ChildRecord, PlatformRecord, hold, write_record
from deploy.local.secrets import broker_public_keys, ensure_secrets
from deploy.local.supervisor import ProcessSpec, ServerSpec, Supervisor
from shared.auth.nats_permissions import authorization_config

NICENESS = {"notify": 5, "archive": 5, "rectify": 5}
"""On one machine all share its cores: taking ratings and ranking them goes first, the rest catches up."""


def broker_authorization(public_keys: Mapping[str, str]) -> str:
    """The part of the nats-server's configuration that says who may do what.

    Args:
        public_keys: NKey public key of each broker user (the services, ``provisioner``, ``cli``), by name.
    """
    return authorization_config(public_keys)


def service_spec(layout: Layout, name: str) -> ProcessSpec:
    """How a service (a name of ``SERVICES``) is run as a process of its own."""
    return ProcessSpec(
        name=name,
        command=(sys.executable, "-m", f"services.{name}"),
        env=layout.env_for(name),
        log=layout.log(name),
        ready_url=f"{layout.service_url(name)}/readyz",
        nice=NICENESS.get(name, 0),
    )


def provision_spec(layout: Layout) -> ProcessSpec:
    """How streams and indexes are made before the services start."""
    return ProcessSpec(
        name="provision",
        command=(sys.executable, "-m", "deploy.provision"),
        env=layout.env_for("provisioner"),
        log=layout.log("provision"),
    )


def server_specs(layout: Layout) -> tuple[ServerSpec, ...]:
    """The servers that this platform runs itself: none if they are external."""
    if layout.external:
        return ()
    nats = NatsServer(
        layout.nats_data,
        port=layout.nats_port,
        monitor_port=layout.nats_monitor_port,
        log=layout.log("nats"),
        authorization=broker_authorization(broker_public_keys(layout.secrets)),
        staged=True,
    )
    return (
        ServerSpec(name="nats", server=nats, heal=True, settle=nats.settle),
        ServerSpec(
            name="mongod",
            server=MongoServer(
                layout.mongo_data,
                port=layout.mongo_port,
                log=layout.log("mongod"),
                secrets=layout.mongo_secrets,
            ),
        ),
    )


@asynccontextmanager
async def running_platform(
    layout: Layout, *, services: tuple[str, ...] = SERVICES, say: Callable[[str], None]
) -> AsyncIterator[Supervisor]:
    """Start the platform, hand out its supervisor when every service is ready, stop everything at the end.

    SIGINT, SIGTERM and (without nohup) SIGHUP make the supervisor's ``wait`` return and end its ``during``.
    Must be entered on the main thread. ``layout.data`` is created if it does not exist; data that is there is
    taken up.

    Args:
        layout: where everything is.
        services: which services to run, of ``SERVICES``.
        say: called with each sentence on what happens; ``logs/supervisor.log`` gets them too.

    Raises:
        LocalError: the directory or a port is in use, or the platform could not be started or kept running.
    """
    layout = layout.here()
    layout.require_startable()
    with hold(layout):
        for port, purpose in layout.ports(services).items():
            require_free(port, purpose)
        ensure_secrets(layout.secrets)
        ensure_mongo_secrets(layout.mongo_secrets)
        for name in services:
            layout.service_data(name).mkdir(exist_ok=True)
        supervisor = Supervisor(
            servers=server_specs(layout),
            provision=provision_spec(layout),
            services=[service_spec(layout, name) for name in services],
            say=_logged(say, layout),
        )
        record = _Recorder(layout, services, supervisor)
        supervisor.on_change = record.write
        with _stopped_by_signals(supervisor):
            try:
                record.enter("starting")
                await supervisor.start()
                record.enter("ready")
                yield supervisor
            finally:
                record.enter("stopping")
                await supervisor.stop()


def _logged(say: Callable[[str], None], layout: Layout) -> Callable[[str], None]:
    open_log(layout.log("supervisor")).close()  # bounds its size, once per start

    def say_and_log(sentence: str) -> None:
        # Best effort: with a full disk, the console should still get the sentence.
        with suppress(OSError), layout.log("supervisor").open("a", encoding="utf-8") as log:
            log.write(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {sentence}\n")
        say(sentence)

    return say_and_log


class _Recorder:
    """Keeps ``platform.json`` up to date."""

    def __init__(self, layout: Layout, services: tuple[str, ...], supervisor: Supervisor) -> None:
        self._layout = layout
        self._services = services
        self._supervisor = supervisor
        self._state = "starting"
        self._started_at = datetime.now(UTC)
        self._version = version("pingyi")

    def enter(self, state: str) -> None:
        self._state = state
        self.write()

    def write(self) -> None:
        children = {
            name: ChildRecord(pid=child.pid, restarts=child.restarts)
            for name, child in self._supervisor.children.items()
        }
        record = PlatformRecord.of(
            self._layout,
            state=self._state,
            version=self._version,
            started_at=self._started_at,
            services=self._services,
            children=children,
        )
        write_record(self._layout.platform_file, record)


@contextmanager
def _stopped_by_signals(supervisor: Supervisor) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    signals = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup means: go on when the terminal closes
        signals.append(signal.SIGHUP)
    for signum in signals:
        loop.add_signal_handler(signum, supervisor.request_stop)
    try:
        yield
    finally:
        for signum in signals:
            loop.remove_signal_handler(signum)
