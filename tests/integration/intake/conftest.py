"""Intake in this process, on a real nats-server that fsyncs every message."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI
from nats.aio.client import Client

from deploy.local.embedded import NatsServer
from services.intake.adapters.vault import JetStreamVault
from services.intake.bootstrap import create_app
from services.intake.settings import Settings
from shared.events import Envelope, FeedbackSubmitted, parse_envelope
from shared.messaging.connection import BrokerSettings, connect
from shared.messaging.provisioner import provision
from shared.messaging.streams import FEEDBACK
from shared.observability.health import DEFAULT_CACHE_S
from tests.support.access import auth_dir, proofs
from tests.support.servers import provision_again

READY_S = 60.0


@dataclass(frozen=True)
class Intake:
    """A running intake and a client of its HTTP interface."""

    app: FastAPI
    http: httpx.AsyncClient
    settings: Settings

    @property
    def vault(self) -> JetStreamVault:
        """Its vault."""
        return cast("JetStreamVault", self.app.state.vault)

    async def submit(self, body: dict[str, Any], **headers: str) -> httpx.Response:
        """Submit one rating."""
        return await self.http.post("/v1/feedback", json=body, headers=headers)

    async def submit_lines(self, *lines: str | bytes, **headers: str) -> httpx.Response:
        """Submit a batch."""
        content = b"\n".join(line.encode() if isinstance(line, str) else line for line in lines)
        kinds = {"Content-Type": "application/x-ndjson", **headers}
        return await self.http.post("/v1/feedback/batch", content=content, headers=kinds)

    async def wait_ready(self, *, after_outage: bool = False) -> None:
        """Wait for /readyz; after an outage first for its cached answer to pass away."""
        if after_outage:
            await asyncio.sleep(DEFAULT_CACHE_S + 0.1)
        await eventually(self._ready)

    async def _ready(self) -> bool:
        answer = await self.http.get("/readyz")  # degraded is 200, too: then ratings go to the spool
        return bool(answer.json()["status"] == "ok")


async def eventually(condition: Callable[[], Awaitable[bool]], limit_s: float = READY_S) -> None:
    """Fail unless ``condition`` holds within ``limit_s`` seconds."""
    async with asyncio.timeout(limit_s):
        while not await condition():  # noqa: ASYNC110 - the condition lies in another process
            await asyncio.sleep(0.05)


StartIntake = Callable[..., AbstractAsyncContextManager[Intake]]


def make_secrets(directory: Path) -> Path:
    """Key files, kept if they are there."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, prefix in (
        ("hmac.key", ""),
        ("vault.key", "kek-test:"),
        ("event-ids.key", ""),
        ("token.key", ""),
    ):
        if not (directory / name).exists():
            (directory / name).write_text(prefix + secrets.token_hex(32) + "\n")
    return directory


@pytest.fixture
def start_intake(tmp_path: Path) -> StartIntake:
    """Runs intakes: enter what it returns, on a server, with a data directory of its own."""

    @asynccontextmanager
    async def start(
        server: NatsServer, *, data: str = "intake", wait: bool = True, **options: object
    ) -> AsyncIterator[Intake]:
        settings = Settings(
            nats_url=server.url,
            secrets_dir=make_secrets(tmp_path / "secrets"),
            auth_dir=auth_dir(),
            data_dir=tmp_path / data,
        ).model_copy(update=options)
        app = create_app(settings)
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://intake", auth=proofs()) as client,
        ):
            intake = Intake(app, client, settings)
            if wait:
                await intake.wait_ready()
            yield intake

    return start


@pytest.fixture
async def broker(nats_server: NatsServer) -> AsyncIterator[Client]:
    """A client of a broker that has exactly the declared streams, all empty."""
    client = await connect(BrokerSettings(nats_url=nats_server.url), "test")
    await provision_again(client, nats_server)
    yield client
    await client.close()


@pytest.fixture
async def own_broker(own_nats_server: NatsServer) -> AsyncIterator[Client]:
    """The same on a broker that the test may kill."""
    client = await connect(BrokerSettings(nats_url=own_nats_server.url), "test")
    await provision(client)
    yield client
    await client.close()


@pytest.fixture
async def intake(broker: Client, nats_server: NatsServer, start_intake: StartIntake) -> AsyncIterator[Intake]:
    """A ready intake."""
    assert broker.is_connected
    async with start_intake(nats_server) as running:
        yield running


async def raw_messages(client: Client, stream: str = FEEDBACK) -> list[tuple[str, bytes]]:
    """Subject and body of everything in a stream."""
    jetstream = client.jetstream()
    state = (await jetstream.stream_info(stream)).state
    found = []
    for sequence in range(max(1, state.first_seq), state.last_seq + 1):
        message = await jetstream.get_msg(stream, sequence)
        found.append((message.subject or "", message.data or b""))
    return found


async def submitted(client: Client) -> list[Envelope[FeedbackSubmitted]]:
    """Every rating in FEEDBACK, in order."""
    return [
        parse_envelope(Envelope[FeedbackSubmitted], data)
        for subject, data in await raw_messages(client)
        if subject.startswith("feedback.v1.submitted.")
    ]


RATING: dict[str, Any] = {"unit_id": "U000200", "grade": 5, "channel": "qr", "client_ref": "ref-1"}
