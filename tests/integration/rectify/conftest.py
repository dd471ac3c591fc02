"""A provisioned broker, and rectify on it: within the test under a clock of its own, or as a process."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from nats.aio.client import Client

from deploy.local.embedded import NatsServer
from deploy.local.secrets import ensure_secrets
from services.rectify.application.desk import LostRaceError
from services.rectify.bootstrap import create_app
from services.rectify.settings import Settings
from shared.auth.secrets import RECEIPT_FILE, load_key
from shared.events import FeedbackSubmitted
from shared.kernel.clock import Clock, SystemClock
from shared.kernel.receipts import receipt_code, receipt_of
from shared.messaging.connection import BrokerSettings, connect
from shared.messaging.publisher import JetStreamPublisher
from shared.testing.builders import CITY, COUNTY, envelope_of, feedback_submitted
from tests.support.access import as_staff, auth_dir
from tests.support.servers import provision_again

LIMIT_S = 60.0
MOST_REMINDERS = 10
"""Reminders of a case that may come between somebody's look at it and their move, and one more."""


class Office:
    """Rectify and what tests ask of it."""

    def __init__(self, app: FastAPI, http: httpx.AsyncClient) -> None:
        self.app = app
        self.http = http

    async def until(self, path: str, holds: Callable[[Any], bool], **params: Any) -> Any:  # noqa: ANN401 - JSON
        """The JSON at ``path`` once ``holds`` is true of it."""
        answer: Any = None
        try:
            async with asyncio.timeout(LIMIT_S):
                while True:
                    response = await self.http.get(path, params=params)
                    answer = response.json()
                    if response.status_code == 200 and holds(answer):
                        return answer
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            raise AssertionError(f"{path} did not become what was expected: {answer}") from error

    async def move(self, case_id: str, move: str, *, key: str | None = None, etag: str | None = None,
                   **fields: object) -> httpx.Response:  # fmt: skip
        """Make a move as an officer."""
        headers = {"Idempotency-Key": key} if key else {}
        if etag:
            headers["If-Match"] = etag
        body = {"move": move, "by": "county-handler", **fields}
        return await self.http.post(f"/v1/cases/{case_id}/moves", json=body, headers=headers)

    async def moved(self, case_id: str, move: str, **fields: object) -> Any:  # noqa: ANN401 - JSON
        """Make a move that must be possible, again where a reminder came in between; the case after it."""
        for _ in range(MOST_REMINDERS):
            response = await self.move(case_id, move, **fields)  # type: ignore[arg-type]  # a test's own fields
            if response.status_code != 409 or response.json()["title"] != LostRaceError.title:
                break
        assert response.status_code == 200, response.text
        return response.json()

    async def case(self, case_id: str) -> Any:  # noqa: ANN401 - JSON
        """One case."""
        return (await self.http.get(f"/v1/cases/{case_id}")).json()


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    """A client of a broker that has exactly the declared streams, all empty."""
    connection = await connect(BrokerSettings(nats_url=nats_server.url), "test")
    await provision_again(connection, nats_server)
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
def secrets_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all keys."""
    folder = tmp_path_factory.mktemp("secrets")
    ensure_secrets(folder)
    return folder


@asynccontextmanager
async def serving(settings: Settings, clock: Clock) -> AsyncIterator[Office]:
    """Rectify within this process, ready and leading."""
    app = create_app(settings, clock=clock)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx.ASGITransport(app=app)
        http = await stack.enter_async_context(
            httpx.AsyncClient(
                transport=transport,
                base_url="http://rectify",
                headers=as_staff("county.handler", COUNTY, "county-handler"),
            )
        )
        office = Office(app, http)
        await office.until("/readyz", lambda report: report["status"] == "ok")
        yield office


@pytest.fixture
def make_office(client: Client, nats_server: NatsServer, secrets_dir: Path) -> Callable[..., Any]:
    """Starts rectify on the broker, under a clock and with settings of the test's own."""
    del client

    def make(clock: Clock | None = None, **fields: object) -> Any:  # noqa: ANN401 - a context manager
        values = {"nats_url": nats_server.url, "secrets_dir": secrets_dir, "auth_dir": auth_dir()} | fields
        return serving(Settings.model_validate(values), clock or SystemClock())

    return make


async def rate(client: Client, clock: Clock, **fields: object) -> str:
    """Publish a rating as intake does; its id."""
    data = feedback_submitted(**({"grade": 1, "has_contact": True, "contact_record": "r1"} | fields))
    assert isinstance(data, FeedbackSubmitted)
    event = envelope_of(data, time=clock.now())
    await JetStreamPublisher(client).publish(event, city=CITY, county=COUNTY)
    return event.id


def receipt(secrets_dir: Path, rating_id: str) -> str:
    """The code that the citizen has."""
    return receipt_code(receipt_of(load_key(secrets_dir / RECEIPT_FILE).secret, rating_id))
