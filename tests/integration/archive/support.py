"""The archive as a process or in this one, and streams to archive."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from nats.aio.client import Client
from pymongo import MongoClient
from pymongo.collection import Collection

from deploy.local.embedded import free_ports
from services.archive.adapters.key_files import load_signing_key
from services.archive.adapters.schema import ENTRIES
from services.archive.application.notary import Keys
from services.archive.bootstrap import create_app
from services.archive.domain.entries import LOG_ORIGIN
from services.archive.domain.notes import SigningKey
from services.archive.settings import Settings
from shared.events import Envelope
from shared.kernel.errors import TransientError
from shared.kernel.ids import derived_id
from shared.messaging.group_commit import GroupCommit, Outgoing
from shared.messaging.streams import ALERTS, FEEDBACK, RANKING
from shared.testing.builders import alert_raised, envelope_of, feedback_submitted, unit_score_changed
from shared.testing.clock import NOON
from tests.support import warm
from tests.support.access import auth_dir, proofs

Document = dict[str, Any]

NEVER_SIGNING = {"checkpoint_every_s": 3600, "checkpoint_every_entries": 1_000_000}
"""Without the log's own events, tests know which entries there are."""
SIGNING = {"checkpoint_every_s": 0.3, "checkpoint_every_entries": 100}


def write_signing_key(directory: Path) -> Path:
    """A new signing key of the log, in a file."""
    path = directory / "archive-signing.key"
    path.write_text(SigningKey.generate(LOG_ORIGIN).text + "\n")
    return path


FEEDBACK_SUBJECT = "feedback.v1.submitted.3607.360702"
SUBJECTS = {
    FEEDBACK: FEEDBACK_SUBJECT,
    RANKING: "ranking.v1.score-changed.3607.360702",
    ALERTS: "alerts.v1.raised.3607.360702",
}


def rating(number: int, *, time: datetime = NOON, **fields: object) -> Envelope[Any]:
    """Rating ``number``; the same number gives the same event id."""
    event_id = derived_id("test-rating", str(number))
    return envelope_of(feedback_submitted(**fields), event_id=event_id, time=time)


def outgoing(envelope: Envelope[Any], subject: str = FEEDBACK_SUBJECT) -> Outgoing:
    """``envelope`` as the broker gets it."""
    return Outgoing(subject, envelope.id, envelope.to_json())


def ratings(first: int, count: int, subject: str = FEEDBACK_SUBJECT) -> list[Outgoing]:
    """``count`` ratings from number ``first``."""
    return [outgoing(rating(number), subject) for number in range(first, first + count)]


async def publish(client: Client, messages: Sequence[Outgoing], stream: str = FEEDBACK) -> None:
    """Store ``messages`` in ``stream``."""
    commit = GroupCommit(client, stream=stream, max_queued=100_000)
    await commit.start()
    await commit.publish(messages)
    await commit.stop()


async def publish_others(client: Client, count: int) -> None:
    """``count`` score changes and ``count`` alerts in their streams; what fails is sent again."""
    changes = [outgoing(envelope_of(unit_score_changed()), SUBJECTS[RANKING]) for _ in range(count)]
    alerts = [outgoing(envelope_of(alert_raised()), SUBJECTS[ALERTS]) for _ in range(count)]
    for messages, stream in ((changes, RANKING), (alerts, ALERTS)):
        async with asyncio.timeout(60):
            while True:
                try:
                    await publish(client, messages, stream)
                    break
                except TransientError:
                    await asyncio.sleep(0.2)


@dataclass
class Setup:
    """Where an archive of a test finds its servers, and a direct way into the collection."""

    nats_url: str
    mongodb_url: str
    database: str
    signing_key: Path
    options: dict[str, Any] = field(default_factory=dict)

    def settings(self) -> Settings:
        """Settings of an archive in this process; it signs nothing unless ``options`` say so."""
        return Settings(
            nats_url=self.nats_url,
            auth_dir=auth_dir(),
            mongodb_url=self.mongodb_url,
            mongodb_database=self.database,
            archive_signing_key=self.signing_key,
            **{**NEVER_SIGNING, **self.options},
        )

    @property
    def keys(self) -> Keys:
        """The keys of its log."""
        return Keys(LOG_ORIGIN, load_signing_key(self.signing_key, LOG_ORIGIN))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[httpx.AsyncClient]:
        """An archive in this process, with a client of its API; stopped in order."""
        app = create_app(self.settings())
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(
                transport=transport, base_url="http://archive", timeout=60, auth=proofs()
            ) as api,
        ):
            yield api
            await connected(api)

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[httpx.AsyncClient]:
        """An archive that was never started: for what it answers without its servers."""
        transport = httpx.ASGITransport(create_app(self.settings()))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://archive", timeout=60, auth=proofs()
        ) as api:
            yield api

    @asynccontextmanager
    async def collection(self) -> AsyncIterator[Collection[Document]]:
        """The collection, for a look at it or for tampering."""
        with MongoClient[Document](self.mongodb_url) as client:
            yield client[self.database][ENTRIES]


def _client(transport: httpx.ASGITransport) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=transport, base_url="http://archive", timeout=60, auth=proofs())


async def connected(api: httpx.AsyncClient, limit_s: float = 10) -> None:
    """Wait for the broker's connection: one that is given up while it is made leaves its socket behind."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if (await api.get("/readyz")).json()["checks"]["nats"]["status"] == "ok":
            return
        await asyncio.sleep(0.05)


class Process:
    """``python -m services.archive`` as a child of the test."""

    def __init__(self, setup: Setup, log: Path) -> None:
        self._setup = setup
        self._log = log
        (self.port,) = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None
        address = f"http://127.0.0.1:{self.port}"
        self.api = httpx.AsyncClient(base_url=address, timeout=60, auth=proofs(address))

    def start(self) -> None:
        """Start it; it may not be ready yet."""
        environment = os.environ | {
            "NATS_URL": self._setup.nats_url,
            "MONGODB_URL": self._setup.mongodb_url,
            "MONGODB_DATABASE": self._setup.database,
            "AUTH_DIR": str(auth_dir()),
            "HTTP_PORT": str(self.port),
            "ARCHIVE_SIGNING_KEY": str(self._setup.signing_key),
            "DATA_DIR": str(self._log.with_suffix(".data")),
            **{name.upper(): str(value) for name, value in {**NEVER_SIGNING, **self._setup.options}.items()},
        }
        with self._log.open("ab") as log:
            self._process = warm.start(
                [sys.executable, "-m", "services.archive"], env=environment, stdout=log, stderr=log
            )

    @property
    def pid(self) -> int:
        """Process id of the last start."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """Crash it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def stop(self) -> int:
        """Stop it in order; its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=30)


async def until_archived(api: httpx.AsyncClient, wanted: dict[str, int], limit_s: float = 60) -> Document:
    """Wait until the log has each stream up to the sequence given; the state of the log."""
    deadline = time.monotonic() + limit_s
    state: Document = {}
    while time.monotonic() < deadline:
        try:
            answer = await api.get("/v1/head")
        except httpx.TransportError:
            await asyncio.sleep(0.1)
            continue
        state = answer.json()
        if answer.status_code == httpx.codes.OK and all(
            state["streams"][stream] >= last for stream, last in wanted.items()
        ):
            return state
        await asyncio.sleep(0.05)
    raise AssertionError(f"not archived within {limit_s} s: {wanted}, but {state}")


async def until_signed(api: httpx.AsyncClient, at_least: int, limit_s: float = 60) -> Document:
    """Wait until a checkpoint covers ``at_least`` entries; the newest one as the list has it."""
    deadline = time.monotonic() + limit_s
    items: list[Document] = []
    while time.monotonic() < deadline:
        answer = await api.get("/v1/log/checkpoints", params={"limit": 1000})
        items = answer.json().get("items", [])
        if items and items[-1]["size"] >= at_least:
            return items[-1]
        await asyncio.sleep(0.05)
    raise AssertionError(f"no checkpoint of {at_least} entries within {limit_s} s, but {items[-1:]}")


async def until_failing(api: httpx.AsyncClient, check: str, limit_s: float = 60) -> str:
    """Wait until ``/readyz`` fails on ``check``; what it says."""
    deadline = time.monotonic() + limit_s
    answer: Document = {}
    while time.monotonic() < deadline:
        answer = (await api.get("/readyz")).json()["checks"][check]
        if answer["status"] == "failed":
            return str(answer["detail"])
        await asyncio.sleep(0.05)
    raise AssertionError(f"{check} does not fail within {limit_s} s: {answer}")


async def verified(api: httpx.AsyncClient, *, against: str = "stream") -> Document:
    """The verification's outcome."""
    answer = await api.get("/v1/verify", params={"against": against})
    assert answer.status_code == httpx.codes.OK, answer.text
    outcome: Document = answer.json()
    return outcome


async def all_pages(api: httpx.AsyncClient, **conditions: object) -> list[Document]:
    """Every item of a query, page by page."""
    return (await all_pages_of_one_log(api, **conditions))[0]


async def all_pages_of_one_log(api: httpx.AsyncClient, **conditions: object) -> tuple[list[Document], int]:
    """Every item of a query, page by page, and the size of the log that all pages were of."""
    items: list[Document] = []
    sizes: set[int] = set()
    cursor: str | None = None
    while True:
        parameters = {**conditions, **({"cursor": cursor} if cursor else {})}
        answer = await api.get("/v1/events", params={name: str(value) for name, value in parameters.items()})
        assert answer.status_code == httpx.codes.OK, answer.text
        page = answer.json()
        items += page["items"]
        sizes.add(page["size"])
        cursor = page["next"]
        if cursor is None:
            (size,) = sizes
            return items, size
