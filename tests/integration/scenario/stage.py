"""A county on real servers, with time that a test lets pass: four services, their servers, one clock."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from fastapi import FastAPI
from nats.aio.client import Client

from deploy.local.history.offline import recompute_offline
from deploy.local.history.sources import Source
from deploy.local.layout import Layout
from deploy.local.secrets import ensure_secrets
from services.intake.bootstrap import create_app as create_intake
from services.intake.settings import Settings as IntakeSettings
from services.notify.bootstrap import create_app as create_notify
from services.notify.entrypoints.cases import CASES_DURABLE
from services.notify.settings import Settings as NotifySettings
from services.rectify.adapters.case_store import JetStreamCases
from services.rectify.adapters.timer_store import AT, DUE, JetStreamTimers
from services.rectify.domain.opening import case_id_of
from services.rectify.domain.timers import Timer, timers_of
from services.rectify.settings import Settings as RectifySettings
from services.scoring.domain.lists import Row
from shared.events import AlertRaised, Envelope
from shared.messaging.streams import CASES, FEEDBACK, TIMERS
from shared.rules import load_pack
from shared.testing.builders import CITY, COUNTY, UNIT
from shared.testing.clock import FixedClock
from tests.integration.archive.support import Setup as ArchiveSetup
from tests.integration.archive.support import until_archived
from tests.integration.notify.support import KEY, WebhookReceiver, stored
from tests.integration.notify.support import serving as listening
from tests.integration.rectify.conftest import Office, serving
from tests.support.access import auth_dir, proofs

LIMIT_S = 60.0
HANDLER = {"unit_id": UNIT, "handler": "窗口负责人"}
WORDS = "等了三个小时也没有人办理"
PEOPLE = f"""
operators = ["duty"]
recipients = [
  {{ id = "duty", label = "平台值班", channels = ["webhook"] }},
  {{ id = "officer", label = "窗口责任人", channels = ["webhook"] }},
  {{ id = "county-supervisor", label = "县区监督员", channels = ["webhook"] }},
  {{ id = "city-supervisor", label = "市监督员", channels = ["webhook"] }},
]
chains = [{{ unit = "{UNIT}", officer = "officer" }}]
supervisors = [
  {{ region = "{COUNTY}", recipients = ["county-supervisor"] }},
  {{ region = "{CITY}", recipients = ["city-supervisor"] }},
]
"""


class Time:
    """Time as services and broker see it: it stands still, and passes from one timer to the next.

    The broker's own clock can't be turned. So what it does when a timer is due is done here at the moment
    to which the services' clock is turned: the timer's message is moved from its place to the due ones.
    """

    def __init__(self, client: Client, clock: FixedClock) -> None:
        self.clock = clock
        self._client = client
        self._timers = JetStreamTimers(lambda: uuid4().hex)
        self._cases = JetStreamCases()
        self.fired: list[Timer] = []

    async def start(self) -> None:
        await self._timers.bind(self._client)
        await self._cases.bind(self._client)

    async def stop(self) -> None:
        await self._timers.close()
        await self._cases.close()

    async def passes(self, case_id: str, **delta: float) -> None:
        """Let time pass; every timer that is due by then fires at its moment, in order."""
        until = self.clock.now() + timedelta(**delta)
        while True:
            due = [timer for timer in await self._standing(case_id) if timer.at <= until]
            if not due:
                break
            first = min(due, key=lambda timer: (timer.at, timer.key))
            self.clock.set(max(self.clock.now(), first.at))
            await self._fire(first)
        self.clock.set(until)

    async def _standing(self, case_id: str) -> list[Timer]:
        """The timers of a case once the broker has those that the case's state wants."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                known = await self._cases.load(case_id)
                assert known is not None
                wanted = {timer.key: timer for timer in timers_of(known.case)}
                standing = await self._timers.standing()
                found = {key: timer for key, timer in standing.items() if timer.case_id == case_id}
                if found == wanted:
                    return list(found.values())
                await asyncio.sleep(0.02)

    async def _fire(self, timer: Timer) -> None:
        jetstream = self._client.jetstream(timeout=5)
        body = (await jetstream.get_last_msg(TIMERS, AT + timer.key)).data or b""
        await jetstream.publish(DUE + timer.key, body)
        self.fired.append(timer)
        async with asyncio.timeout(LIMIT_S):
            while True:
                known = await self._cases.load(timer.case_id)
                clock = known.case.clock(timer.clock) if known else None
                if clock is not None and timer.percent in clock.reached:
                    break
                await asyncio.sleep(0.02)
            while not await self._heard():  # noqa: ASYNC110 - notify is told by the broker, and tells nobody
                await asyncio.sleep(0.02)

    async def _heard(self) -> bool:
        """Whether notify has acted on all facts: time is not to pass while people are being told."""
        info = await self._client.jetstream(timeout=5).consumer_info(CASES, CASES_DURABLE)
        return not info.num_pending and not info.num_ack_pending


@dataclass
class County:
    """What people there use."""

    time: Time
    client: Client
    intake: httpx.AsyncClient
    rectify: Office
    notify: httpx.AsyncClient
    archive: httpx.AsyncClient
    webhooks: WebhookReceiver
    layout: Layout

    async def told(self, rule: str, recipient: str, number: int = 1) -> list[Envelope[AlertRaised]]:
        """The alerts of a rule that somebody was told of, once there are so many and all have arrived."""
        found: list[Envelope[AlertRaised]] = []
        try:
            async with asyncio.timeout(LIMIT_S):
                while True:
                    alerts = [
                        each for each in await stored(self.client, AlertRaised) if each.data.rule == rule
                    ]
                    found = [
                        each for each in alerts
                        if recipient in {telling.recipient for telling in each.data.tellings}
                    ]  # fmt: skip
                    if len(found) >= number and {each.id for each in found} <= set(self.webhooks.ids):
                        assert len(found) == number, f"{rule} to {recipient} more often than expected"
                        return found
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            raise AssertionError(f"{recipient} was not told of {rule} {number} times: {found}") from error

    async def story(self, event_id: str) -> list[Mapping[str, Any]]:
        """The archive's story of a rating, once everything so far is archived."""
        jetstream = self.client.jetstream(timeout=5)
        wanted = {
            stream: (await jetstream.stream_info(stream)).state.last_seq
            for stream in ("FEEDBACK", "CASES", "ALERTS", "REGISTRY")
        }
        await until_archived(self.archive, wanted)
        answer = await self.archive.get(f"/v1/trace/{event_id}")
        assert answer.status_code == httpx.codes.OK, answer.text
        steps: list[Mapping[str, Any]] = answer.json()["steps"]
        return steps

    async def standing(self, folder: Path) -> Row:
        """How scoring ranks the unit, from the events alone: what `pingyi recompute --from FILE` computes."""
        lines: list[bytes] = []
        jetstream = self.client.jetstream(timeout=5)
        for stream in (FEEDBACK, CASES):
            for sequence in range(1, (await jetstream.stream_info(stream)).state.last_seq + 1):
                message = await jetstream.get_msg(stream, sequence)
                place = {"stream": stream, "sequence": sequence, "subject": message.subject}
                lines.append(json.dumps({**place, "event": json.loads(message.data or b"null")}).encode())
        file = folder / f"events-{len(lines)}.ndjson"
        file.write_bytes(b"\n".join(lines))
        pack = load_pack(None, self.time.clock.now().date())
        found = await recompute_offline(Source(str(file)), pack, None)
        (row,) = (row for row in found.lists["window.all.90"].rows if row.unit_id == UNIT)
        return row


@asynccontextmanager
async def county(
    client: Client, nats_url: str, archive: ArchiveSetup, folder: Path, *, start: datetime | None = None
) -> AsyncIterator[County]:
    """The county, ready; time begins at ``start``, now if None."""
    clock = FixedClock((start or datetime.now(UTC)).replace(microsecond=0))
    secrets = folder / "secrets"
    secrets.mkdir()
    (secrets / "webhook.key").write_text(KEY.hex() + "\n")
    ensure_secrets(secrets, ())
    people = folder / "recipients.toml"
    people.write_text(PEOPLE, encoding="utf-8")
    common: dict[str, Any] = {"nats_url": nats_url, "auth_dir": auth_dir(), "secrets_dir": secrets}
    time = Time(client, clock)
    await time.start()
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        webhooks = await enter(listening(WebhookReceiver()))
        notify = NotifySettings(
            **common, console_alerts=False, webhook_url=webhooks.url, allow_loopback=True,
            recipients_path=people, follow_up_every_s=60,
        )  # fmt: skip
        intake = IntakeSettings(**common, data_dir=folder / "intake")
        yield County(
            time,
            client,
            await enter(_running(create_intake(intake, clock=clock), "intake")),
            await enter(serving(RectifySettings(**common), clock)),
            await enter(_running(create_notify(notify, clock=clock), "notify")),
            await enter(archive.running()),
            webhooks,
            Layout.from_environment(folder, 18000, {"NATS_URL": nats_url}),
        )
    await time.stop()


@asynccontextmanager
async def _running(app: FastAPI, name: str) -> AsyncIterator[httpx.AsyncClient]:
    """An app within this process, ready, with a client that proves who it is."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url=f"http://{name}", auth=proofs()) as client,
    ):
        async with asyncio.timeout(LIMIT_S):
            while (await client.get("/readyz")).json()["status"] != "ok":  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.05)
        yield client


async def good_reviews(here: County, number: int) -> None:
    """So many people are content with the window: with fewer than ten, nobody would publish a score."""
    for _ in range(number):
        answer = await here.intake.post("/v1/feedback", json={"unit_id": UNIT, "grade": 5, "channel": "qr"})
        assert answer.status_code == 202, answer.text


async def a_bad_review(here: County, number: int) -> tuple[str, str, str]:
    """Somebody who was at the window writes a bad review: event id, receipt code, and the case's id."""
    answer = await here.intake.post(
        "/v1/feedback",
        json={
            "unit_id": UNIT, "grade": 1, "channel": "qr", "client_ref": f"scenario-{number}", "text": WORDS,
            "contact": {"name": "王某", "phone": "13912345678"},
        },
    )  # fmt: skip
    assert answer.status_code == 202, answer.text
    event_id, code = answer.json()["event_id"], answer.json()["receipt_code"]
    case_id = case_id_of(event_id, UNIT)
    await here.rectify.until(f"/v1/cases/{case_id}", lambda case: case["status"] == "opened")
    return event_id, code, case_id


async def planned(here: County, case_id: str) -> None:
    """The county takes the case up: contact, class, handler, plan; ten minutes for each."""
    deadline = (here.time.clock.now() + timedelta(days=3)).isoformat()
    steps: list[tuple[str, dict[str, Any]]] = [
        ("contact", {}), ("classify", {"case_class": "A"}), ("assign", {"to": HANDLER}),
        ("plan", {
            "goal": "一次办结", "measures": "增设窗口", "deadline": deadline,
            "responsible_unit": UNIT, "responsible_leader": "分管副局长", "responsible_person": "窗口负责人",
        }),
    ]  # fmt: skip
    for move, fields in steps:
        await here.time.passes(case_id, minutes=10)
        await here.rectify.moved(case_id, move, **fields)


async def answered(here: County, case_id: str, text: str) -> Any:  # noqa: ANN401 - JSON
    await here.time.passes(case_id, minutes=10)
    return await here.rectify.moved(case_id, "answer", outcome="resolved", text=text)


async def says(here: County, case_id: str, code: str, word: str, **body: str) -> Any:  # noqa: ANN401 - JSON
    """The citizen's word on the answer, by the receipt's code."""
    await here.time.passes(case_id, hours=2)
    answer = await here.rectify.http.post(f"/v1/receipts/{code}/case/{word}", json=body or None)
    assert answer.status_code == 200, answer.text
    return answer.json()
