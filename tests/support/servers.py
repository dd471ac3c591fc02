"""Fixtures that give a test a real nats-server and a real mongod on free ports.

Two flavours of each. ``nats_server`` and ``mongo_server`` are started once per pytest process (so once per
xdist worker) and handed out empty: cheap, for everything that leaves the server alone. ``own_nats_server``
and ``own_mongo_server`` belong to one test, which may kill and restart them. ``start_nats`` starts further
ones, for example with an authorization text.
"""

import asyncio
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import nats
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, StreamConfig, StreamInfo
from pymongo import MongoClient

from deploy.local.embedded import MongoServer, NatsServer, free_ports
from deploy.local.errors import PortTakenError, ServerStartError
from shared.messaging.provisioner import provision
from shared.messaging.streams import CONSUMERS, STREAMS

START_ATTEMPTS = 5
"""A free port may be taken by a parallel worker before our server listens on it; then others are tried."""

KEEPER = "KEEPER"
"""A stream that stays: see :func:`delete_streams`."""
REMOVED_WITHIN_S = 60.0
PROVISIONING: Final = {"client", "broker"}
"""Fixtures on ``nats_server`` that call ``provision_again``."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A stream as the broker told it when it had just been made."""

    config: StreamConfig
    consumers: Mapping[str, ConsumerConfig]


_declared: dict[Path, Mapping[str, Declared]] = {}
"""By the data directory of a server that other tests go on using."""


StartNats = Callable[..., NatsServer]


@contextmanager
def running_nats(directory: Path, *, authorization: str = "") -> Iterator[NatsServer]:
    """A nats-server on free ports with its data under ``directory``; stopped at the end."""
    for attempt in range(START_ATTEMPTS):
        port, monitor_port = free_ports(2)
        server = NatsServer(
            directory / "nats",
            port=port,
            monitor_port=monitor_port,
            log=directory / "logs" / "nats.log",
            authorization=authorization,
        )
        try:
            server.start()
        except (PortTakenError, ServerStartError):
            if attempt == START_ATTEMPTS - 1:
                raise
        else:
            break
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def running_mongo(directory: Path, *, secrets: Path | None = None) -> Iterator[MongoServer]:
    """A mongod on a free port with its data under ``directory``; stopped at the end.

    With ``secrets`` (see ``MongoServer``) it asks who everybody is.
    """
    for attempt in range(START_ATTEMPTS):
        (port,) = free_ports(1)
        server = MongoServer(
            directory / "mongo", port=port, log=directory / "logs" / "mongod.log", secrets=secrets
        )
        try:
            server.start()
        except (PortTakenError, ServerStartError):
            if attempt == START_ATTEMPTS - 1:
                raise
        else:
            break
    try:
        yield server
    finally:
        server.kill()  # the data is thrown away; an orderly stop costs half a second


@pytest.fixture(scope="session")
def shared_nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """The process-wide nats-server with whatever other tests left in it; use ``nats_server``."""
    with running_nats(tmp_path_factory.mktemp("shared-nats")) as server:
        yield server


@pytest.fixture(scope="session")
def shared_mongo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    """The process-wide mongod with whatever other tests left in it; use ``mongo_database``."""
    with running_mongo(tmp_path_factory.mktemp("shared-mongo")) as server:
        yield server


@pytest.fixture
def nats_server(shared_nats_server: NatsServer, request: pytest.FixtureRequest) -> NatsServer:
    """A running nats-server without any stream; don't stop it, other tests go on using it.

    For a test that has one of `PROVISIONING`, declared streams that nobody has touched may still be there.
    """
    declared = _declared.get(shared_nats_server.data) if PROVISIONING & set(request.fixturenames) else None
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(_empty(shared_nats_server, declared or {}))
    return shared_nats_server


@pytest.fixture
def mongo_server(shared_mongo_server: MongoServer) -> MongoServer:
    """A running mongod; don't stop it, and use the name from ``mongo_database`` for your data."""
    return shared_mongo_server


@pytest.fixture
def mongo_database(mongo_server: MongoServer) -> Iterator[str]:
    """Name of a database on ``mongo_server`` that no other test uses; dropped afterwards."""
    name = f"test_{uuid.uuid4().hex}"
    yield name
    with MongoClient[dict[str, object]](mongo_server.url) as client:
        client.drop_database(name)


@pytest.fixture
def own_nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A running nats-server of this test alone: kill it, stop it, start it again."""
    with running_nats(tmp_path) as server:
        yield server


@pytest.fixture
def own_mongo_server(tmp_path: Path) -> Iterator[MongoServer]:
    """A running mongod of this test alone: kill it, stop it, start it again."""
    with running_mongo(tmp_path) as server:
        yield server


@pytest.fixture
def start_nats(tmp_path: Path) -> Iterator[StartNats]:
    """``start_nats(authorization="…")`` starts one more nats-server; stopped when the test ends."""
    with ExitStack() as started:

        def start(*, authorization: str = "") -> NatsServer:
            directory = tmp_path / f"nats-{uuid.uuid4().hex[:8]}"
            return started.enter_context(running_nats(directory, authorization=authorization))

        yield start


async def provision_again(client: Client, server: NatsServer) -> None:
    """Give ``nats_server`` all declared streams and consumers, as new; to make them takes 0.1 s each time."""
    jetstream = client.jetstream()
    there = {info.config.name for info in await jetstream.streams_info()}
    await provision(
        client,
        streams=tuple(each for each in STREAMS if each.name not in there),
        consumers=tuple(each for each in CONSUMERS if each.stream not in there),
    )
    if server.data not in _declared:
        _declared[server.data] = {
            info.config.name or "": Declared(info.config, await _consumers(jetstream, info))
            for info in await jetstream.streams_info()
            if info.config.name != KEEPER
        }


async def _consumers(jetstream: JetStreamContext, info: StreamInfo) -> dict[str, ConsumerConfig]:
    if not info.state.consumer_count:
        return {}
    return {each.name: each.config for each in await jetstream.consumers_info(info.config.name or "")}


async def _is_untouched(jetstream: JetStreamContext, info: StreamInfo, declared: Declared | None) -> bool:
    """Whether nothing was ever stored, and nobody changed the stream or its consumers."""
    return (
        declared is not None
        and info.state.last_seq == 0
        and info.config == declared.config
        and info.state.consumer_count == len(declared.consumers)
        and await _consumers(jetstream, info) == declared.consumers
    )


async def _empty(server: NatsServer, declared: Mapping[str, Declared]) -> None:
    client = await nats.connect(server.url)
    try:
        await delete_streams(client.jetstream(), server.data, declared)
    finally:
        await client.close()


async def delete_streams(
    jetstream: JetStreamContext, data: Path, declared: Mapping[str, Declared] = MappingProxyType({})
) -> None:
    """Delete every stream of an account, so that all can be made again; ``data`` is the server's directory.

    Those stay that are as ``declared`` and have never been used.

    The server goes on deleting after its answer: it renames a stream's directory to ``.<name>``, removes that
    in the background, then the account's ``streams`` directory if nothing is in it any more. Who deletes a
    name again before that meets the old messages in the next stream of that name; who creates one just then
    gets "error creating store for stream". So one stream always stays, and the leftovers are waited for.
    """
    await jetstream.add_stream(StreamConfig(name=KEEPER, subjects=["keeper"]))
    await _await_removal(data)
    for stream in await jetstream.streams_info():
        name = stream.config.name or ""
        if name != KEEPER and not await _is_untouched(jetstream, stream, declared.get(name)):
            await jetstream.delete_stream(name)
    await _await_removal(data)


async def _await_removal(data: Path) -> None:
    async with asyncio.timeout(REMOVED_WITHIN_S):
        while any(data.glob("**/streams/.*")):  # noqa: ASYNC110, ASYNC240 - the server tells nobody
            await asyncio.sleep(0.01)
