"""A webhook receiver and a mail receiver that misbehave on request, and feedback to alert about."""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, TypeVar

import httpx
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Session
from aiosmtpd.smtp import Envelope as SmtpEnvelope
from fastapi import FastAPI
from nats.aio.client import Client

from deploy.local.embedded import free_ports
from services.notify.adapters.webhook import sign
from services.notify.bootstrap import create_app
from services.notify.settings import Settings
from shared.events import (
    Envelope,
    EventData,
    FeedbackSubmitted,
    Provenance,
    UnitScoreChanged,
    parse_envelope,
    spec_for_data,
)
from shared.kernel.ids import derived_id
from shared.messaging.group_commit import GroupCommit, Outgoing
from shared.messaging.positions import read_position
from shared.messaging.streams import NOTIFY_RATINGS
from tests.support import warm
from tests.support.access import auth_dir, proofs

KEY = bytes(range(32))
D = TypeVar("D", bound=EventData)
UNIT = "U000112"
HMAC = "k1." + "ab" * 16


def bad_review(number: int, *, grade: int = 1, age: timedelta = timedelta(0)) -> Envelope[Any]:
    """Rating ``number``, received ``age`` ago; the same number gives the same event id."""
    now = datetime.now(UTC) - age
    data = FeedbackSubmitted.model_validate(
        {
            "unit_id": UNIT,
            "level": "window",
            "kind": "marriage",
            "city": "3601",
            "county": "360102",
            "grade": grade,
            "source": "public",
            "channel": "qr",
            "verification": "onsite",
            "citizen_hmac": HMAC,
            "digest": HMAC,
        }
    )
    return spec_for_data(FeedbackSubmitted).wrap(
        data,
        event_id=derived_id("test-feedback", str(number)),
        source="intake",
        subject=UNIT,
        time=now,
        received_at=now,
        provenance=Provenance(f"request-{number}"),
    )


def score_changed(**fields: Any) -> Envelope[Any]:  # noqa: ANN401 - fields of the event
    """A unit's move in the 30-day list; the fields given replace the usual ones."""
    now = datetime.now(UTC)
    data = UnitScoreChanged.model_validate(
        {
            "unit_id": UNIT,
            "name": "南昌市东湖区婚姻登记处",
            "level": "window",
            "kind": "marriage",
            "list": "window.marriage.30",
            "window_days": 30,
            "as_of": now.date().isoformat(),
            "reasons": ["rank"],
            "rank": 12,
            "previous_rank": 1,
            "score": 81.5,
            "ratings": 40,
            **fields,
        }
    )
    return spec_for_data(UnitScoreChanged).wrap(
        data,
        event_id=derived_id("test-score", json.dumps(fields, sort_keys=True)),
        source="scoring",
        subject=UNIT,
        time=now,
        received_at=now,
        provenance=Provenance("request-score"),
    )


async def publish(client: Client, *envelopes: Envelope[Any], repeat: bool = False) -> None:
    """Store events as their producer would; ``repeat`` gets around the broker's duplicate window."""
    for envelope in envelopes:
        spec = spec_for_data(type(envelope.data))
        message_id = f"again-{time.monotonic_ns()}" if repeat else envelope.id
        await client.jetstream(timeout=5).publish(
            spec.subject_for("3601", "360102"), envelope.to_json(), headers={"Nats-Msg-Id": message_id}
        )


async def publish_many(client: Client, envelopes: list[Envelope[Any]]) -> None:
    """The same, in atomic batches of one stream."""
    spec = spec_for_data(type(envelopes[0].data))
    commit = GroupCommit(client, stream=spec.stream, max_queued=200_000)
    await commit.start()
    subject = spec.subject_for("3601", "360102")
    await commit.publish([Outgoing(subject, each.id, each.to_json()) for each in envelopes])
    await commit.stop()


async def stored(client: Client, data: type[D]) -> list[Envelope[D]]:
    """Every event of that kind in its stream, oldest first."""
    spec = spec_for_data(data)
    jetstream = client.jetstream(timeout=5)
    state = (await jetstream.stream_info(spec.stream)).state
    found = []
    for sequence in range(max(1, state.first_seq), state.last_seq + 1):
        message = await jetstream.get_msg(spec.stream, sequence)
        if f".{spec.fact}." in (message.subject or ""):
            found.append(parse_envelope(Envelope[data], message.data or b""))  # type: ignore[valid-type]  # a runtime parametrisation
    return found


async def eventually(
    condition: Callable[[], bool] | Callable[[], Awaitable[bool]], what: str, limit_s: float = 60
) -> None:
    """Return once ``condition`` holds; fail naming ``what`` after ``limit_s`` seconds."""
    deadline = time.monotonic() + limit_s
    while True:
        holds = condition()
        if await holds if isinstance(holds, Awaitable) else holds:
            return
        assert time.monotonic() < deadline, f"not within {limit_s:g} s: {what}"
        await asyncio.sleep(0.02)


@dataclass(slots=True)
class Received:
    """One request; ``valid`` says whether its Standard Webhooks signature is right."""

    headers: dict[str, str]
    body: bytes
    valid: bool
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


@dataclass(slots=True)
class WebhookReceiver:
    """Answers with ``status`` after ``delay_s``; ``hang`` takes the request and never answers.

    The first requests get each one of ``first_statuses`` instead.
    """

    url: str = ""
    status: int = 204
    first_statuses: tuple[int, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    delay_s: float = 0.0
    received: list[Received] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        return [each.id for each in self.received]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in head[1:])
                }
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                expected = sign(KEY, headers["webhook-id"], int(headers["webhook-timestamp"]), body)
                valid = headers["webhook-signature"] == expected
                number = len(self.received)
                self.received.append(Received(headers, body, valid, time.monotonic()))
                if self.hang:
                    await reader.read()
                    break
                await asyncio.sleep(self.delay_s)
                extra = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
                status = (*self.first_statuses, self.status)[min(number, len(self.first_statuses))]
                writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\n{extra}\r\n".encode())
                await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def serving(receiver: WebhookReceiver, port: int = 0) -> AsyncIterator[WebhookReceiver]:
    """Let ``receiver`` listen on 127.0.0.1."""
    handlers: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        try:
            await receiver.handle(reader, writer)
        except asyncio.CancelledError:
            writer.close()
        finally:
            handlers.discard(task)

    server = await asyncio.start_server(handle, "127.0.0.1", port)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/alerts"
    try:
        yield receiver
    finally:
        server.close()
        for task in tuple(handlers):
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        await server.wait_closed()


class Mailbox:
    """An SMTP server that keeps what it gets; ``answer`` replaces the usual 250."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answer = "250 OK"
        self.mails: list[EmailMessage] = []
        self._controller = Controller(self, hostname="127.0.0.1", port=port)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: SmtpEnvelope) -> str:  # noqa: N802 - aiosmtpd's name
        if self.answer.startswith("250"):
            content = envelope.content
            assert isinstance(content, bytes)
            mail = message_from_bytes(content, policy=default)
            assert isinstance(mail, EmailMessage)
            self.mails.append(mail)
        return self.answer

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._controller.start()

    def stop(self) -> None:
        self._controller.stop(no_assert=True)


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Run an app in this process until the block ends; yields a client of it once it is ready."""
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://notify", auth=proofs()
        ) as http,
    ):

        async def ready() -> bool:
            return (await http.get("/readyz")).status_code == 200

        await eventually(ready, "notify is ready")
        yield http


@dataclass(slots=True)
class Setup:
    """Makes settings and apps for one broker."""

    nats_url: str
    secrets_dir: Path
    options: dict[str, Any] = field(default_factory=dict)

    def settings(self, **options: Any) -> Settings:  # noqa: ANN401 - fields of Settings
        return Settings(
            auth_dir=auth_dir(),
            nats_url=self.nats_url,
            secrets_dir=self.secrets_dir,
            **{
                "console_alerts": False,
                "retry_delays_s": (0.1, 0.2, 0.3, 0.4, 0.5),
                "delivery_timeout_s": 1.0,
                "allow_loopback": True,
                **self.options,
                **options,
            },
        )

    def app(self, **options: Any) -> FastAPI:  # noqa: ANN401 - fields of Settings
        return create_app(self.settings(**options))


ZHANG, LI = {"subject": "zhang"}, {"subject": "li"}
"""For ``extensions`` of a request: in whose name it is made."""


def settled_at(client: Client, sequence: int) -> Callable[[], Awaitable[bool]]:
    """A condition: the position in FEEDBACK stands at ``sequence``."""

    async def stands() -> bool:
        position, _ = await read_position(client, NOTIFY_RATINGS)
        return position is not None and position.sequence == sequence

    return stands


@asynccontextmanager
async def a_process(setup: Setup, **settings: str) -> AsyncIterator[warm.Awaited]:
    """``python -m services.notify`` with ``settings``, ended by SIGTERM unless the test has killed it."""
    environment = os.environ | {
        "NATS_URL": setup.nats_url,
        "SECRETS_DIR": str(setup.secrets_dir),
        "HTTP_PORT": str(free_ports(1)[0]),
        "CONSOLE_ALERTS": "false",
        "LOG_LEVEL": "WARNING",
        **settings,
    }
    started = warm.Awaited([sys.executable, "-m", "services.notify"], env=environment)
    try:
        yield started
    finally:
        if started.returncode is None:
            started.terminate()
        await asyncio.wait_for(started.wait(), 60)
