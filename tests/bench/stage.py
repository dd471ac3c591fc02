"""What measurements run on: platforms and servers with data of their own, on free ports, gone afterwards.

The data lies below ``./var``, on the disk of the clone: a directory in memory would make fsync free.
"""

import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from nats.aio.client import Client

from deploy.local.embedded.ports import LOOPBACK, free_ports, is_free
from deploy.local.embedded.process import ChildProcess
from deploy.local.layout import SERVICES, Layout
from deploy.local.platform import running_platform
from deploy.local.supervisor import Supervisor
from deploy.local.wallet import Wallet
from shared.messaging.connection import BrokerSettings, connect
from tests.bench.processes import watching

START_S = 30.0
SETTLE_S = 60.0
QUIET_CORES = 0.15
QUIET_LOOK_S = 0.4
PORT_BASES = range(21_000, 60_000, 100)


class NotSettledError(Exception):
    """The platform went on working although nothing came in any more."""


@contextmanager
def data_directory() -> Iterator[Path]:
    """A fresh directory on the clone's disk."""
    parent = Path("var")
    parent.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=parent)).resolve()
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def free_port_base() -> int:
    """A base whose platform ports are all free now."""
    for base in PORT_BASES:
        if all(is_free(port) for port in Layout(Path(), base).ports()):
            return base
    raise RuntimeError(f"no free port range from {PORT_BASES.start} on: end some servers")


@dataclass(frozen=True, slots=True)
class Stage:
    """A running platform.

    Attributes:
        client: a connection as the operators' tool ``cli``.
    """

    layout: Layout
    services: tuple[str, ...]
    supervisor: Supervisor
    client: Client

    @property
    def proof(self) -> str:
        """What the header Authorization of a channel system says: the key of all channels."""
        return f"Bearer {Wallet.of(self.layout).key()}"

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of servers and services that run, by name."""
        return {
            name: child.pid
            for name, child in self.supervisor.children.items()
            if child.pid is not None and name != "provision"
        }

    @property
    def restarts(self) -> int:
        """How often anything was restarted; a measurement with restarts is worth nothing."""
        return sum(child.restarts for child in self.supervisor.children.values())

    async def last_sequence(self, stream: str) -> int:
        """Sequence of the stream's last message."""
        return int((await self.client.jetstream(timeout=10).stream_info(stream)).state.last_seq)

    async def settle(self) -> float:
        """Wait until the platform has digested what it was given; how many seconds it took.

        Raises:
            NotSettledError: it is still busy after a minute.
        """
        started = time.monotonic()
        while time.monotonic() - started < SETTLE_S:
            with watching(self.pids) as spent:
                await asyncio.sleep(QUIET_LOOK_S)
            if sum(spent.seconds.values()) / QUIET_LOOK_S < QUIET_CORES:
                return time.monotonic() - started - QUIET_LOOK_S
        raise NotSettledError(f"still busy after {SETTLE_S:g} s: {spent.seconds}")


@asynccontextmanager
async def platform(services: tuple[str, ...] = SERVICES) -> AsyncIterator[Stage]:
    """A platform with these services, nats-server and mongod, ready and without data."""
    os.environ["QUOTAS"] = "observe"  # one key sends here in a minute what it may in an hour
    with data_directory() as directory:
        layout = Layout(directory, free_port_base())
        async with running_platform(layout, services=services, say=lambda _: None) as supervisor:
            client = await connect(
                BrokerSettings(nats_url=layout.nats_url, nats_nkey_seed_file=layout.nkey_seed("cli")), "cli"
            )
            try:
                yield Stage(layout, services, supervisor, client)
            finally:
                await client.close()


@asynccontextmanager
async def http_program(module: str) -> AsyncIterator[tuple[int, int]]:
    """``python -m <module> PORT`` as a process of its own: its port and process id once it answers."""
    (port,) = free_ports(1)
    with data_directory() as directory:
        child = ChildProcess([sys.executable, "-m", module, str(port)], log=directory / "program.log")
        child.start()
        try:
            await eventually(lambda: _answers(port))
            assert child.pid is not None
            yield port, child.pid
        finally:
            child.stop()


async def _answers(port: int) -> bool:
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            await client.get(f"http://{LOOPBACK}:{port}/")
        except httpx.TransportError:
            return False
    return True


async def eventually(
    condition: Callable[[], Awaitable[bool]], timeout_s: float = START_S, look_s: float = 0.05
) -> None:
    """Wait until ``condition`` holds; look every ``look_s`` seconds.

    Raises:
        TimeoutError: it does not within ``timeout_s``.
    """
    async with asyncio.timeout(timeout_s):
        while not await condition():  # noqa: ASYNC110 - other processes have no event to wait for
            await asyncio.sleep(look_s)
