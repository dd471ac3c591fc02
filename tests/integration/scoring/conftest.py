"""A provisioned broker, and scoring as a process of its own beside it."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from nats.aio.client import Client

from deploy.local.embedded import NatsServer, free_ports
from shared.messaging.connection import BrokerSettings, connect
from shared.messaging.group_commit import GroupCommit, Outgoing
from shared.messaging.streams import FEEDBACK
from tests.support import warm
from tests.support.access import auth_dir, proofs, secrets_directory
from tests.support.servers import provision_again

ROOT = Path(__file__).parents[3]
START_LIMIT_S = 60.0


class ScoringProcess:
    """``python -m services.scoring`` on a free port; may be killed and started again."""

    module = "services.scoring"

    def __init__(self, nats_url: str, log: Path, **settings: str) -> None:
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment: Mapping[str, str] = {
            **os.environ,
            "NATS_URL": nats_url,
            "HTTP_PORT": str(self.port),
            "PYTHONPATH": str(ROOT),
            "AUTH_DIR": str(auth_dir()),
            "ARCHIVE_KEY_FILE": str(secrets_directory() / "keys" / "scoring.key"),
            **settings,
        }
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = warm.start(
                [sys.executable, "-m", self.module],
                cwd=ROOT,
                env=dict(self._environment),
                stdout=log,
                stderr=log,
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End it like a power cut does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    def terminate(self) -> int:
        """Ask it to stop; the exit code."""
        assert self._process is not None
        self._process.terminate()
        code = self._process.wait(15)
        self._process = None
        return code

    def freeze(self) -> None:
        """Stop it in the middle of whatever it does, like a paused machine."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on, unaware that time has passed."""
        os.kill(self.pid, signal.SIGCONT)

    async def metric(self, name: str) -> float:
        """One value of ``/metrics``, e.g. ``leader``; 0 if it is not there."""
        text = (await self.get("/metrics")).text
        full = f"pingyi_scoring_{name} "
        return next((float(line.split()[-1]) for line in text.splitlines() if line.startswith(full)), 0.0)

    async def becomes(self, what: str) -> None:
        """Wait until its readiness says that it is ``what``: leader or standby."""
        await self.answer(
            "/readyz",
            lambda report: (
                report["status"] == "ok" and str(report["checks"]["publication"]["detail"]).startswith(what)
            ),
        )

    async def get(self, path: str, **params: Any) -> httpx.Response:  # noqa: ANN401 - query parameters
        # Rankings as everybody sees them; flags are for staff.
        auth = proofs(self.url) if path.startswith("/v1/integrity") else None
        async with httpx.AsyncClient(base_url=self.url, timeout=20, auth=auth) as client:
            return await client.get(path, params=params)

    async def answer(self, path: str, until: Callable[[Any], bool] = lambda _: True, **params: Any) -> Any:  # noqa: ANN401 - JSON
        """The JSON at ``path`` once it is there and ``until`` holds."""
        deadline = time.monotonic() + START_LIMIT_S
        last: object = None
        while time.monotonic() < deadline:
            try:
                response = await self.get(path, **params)
                last = response.text
                if response.status_code == 200 and until(response.json()):
                    return response.json()
            except httpx.HTTPError as error:
                last = error
            await asyncio.sleep(0.05)
        raise AssertionError(f"{path} did not become what was expected: {last}")

    async def reached(self, position: int) -> Any:  # noqa: ANN401 - JSON
        """The books once they take in the sequence ``position``."""
        return await self.answer("/v1/books", lambda books: books["positions"][FEEDBACK] >= position)


@pytest.fixture(autouse=True)
def _within_one_day(one_day: None) -> None:
    """At midnight all lists are published anew: who counts what is published would find more."""
    del one_day


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    """A client of a broker that has exactly the declared streams, all empty."""
    connection = await connect(BrokerSettings(nats_url=nats_server.url), "test")
    await provision_again(connection, nats_server)
    yield connection
    await connection.close()


@pytest.fixture
def scoring(nats_server: NatsServer, tmp_path: Path) -> Iterator[ScoringProcess]:
    """The service, not started yet."""
    process = ScoringProcess(nats_server.url, tmp_path / "scoring.log")
    yield process
    process.kill()
    print((tmp_path / "scoring.log").read_text()[-8000:])  # noqa: T201 - shown when the test fails


@pytest.fixture
def start_scoring(nats_server: NatsServer, tmp_path: Path) -> Iterator[Callable[..., ScoringProcess]]:
    """Start replicas, each with settings of its own; what still runs at the end is killed."""
    started: list[ScoringProcess] = []

    def start(**settings: str) -> ScoringProcess:
        process = ScoringProcess(nats_server.url, tmp_path / f"scoring-{len(started)}.log", **settings)
        process.start()
        started.append(process)
        return process

    yield start
    for number, process in enumerate(started):
        process.kill()
        print((tmp_path / f"scoring-{number}.log").read_text()[-6000:])  # noqa: T201 - shown on failure


async def publish(client: Client, events: Sequence[Outgoing]) -> int:
    """Store the events like intake does, repeats under ids of their own; the last sequence."""
    commit = GroupCommit(client, stream=FEEDBACK, max_queued=100_000)
    await commit.start()
    try:
        # A Msg-Id of its own for each, so that repeats reach the stream: not the broker's window is tested.
        stored = await commit.publish(
            [
                Outgoing(event.subject, f"{number}-{event.message_id}", event.payload)
                for number, event in enumerate(events)
            ]
        )
    finally:
        await commit.stop()
    return max(each.sequence for each in stored)
