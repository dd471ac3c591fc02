"""Intake as a process of its own, and its description."""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sized
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
from nats.aio.client import Client

from deploy.local.embedded import NatsServer, free_ports
from tests.integration.intake.conftest import RATING, Intake, eventually, make_secrets, submitted
from tests.support import warm
from tests.support.access import auth_dir, proofs

pytestmark = pytest.mark.integration


@asynccontextmanager
async def process(
    server: NatsServer, directory: Path
) -> AsyncIterator[tuple[warm.Awaited, httpx.AsyncClient]]:
    (port,) = free_ports(1)
    environment = os.environ | {
        "NATS_URL": server.url,
        "SECRETS_DIR": str(make_secrets(directory / "secrets")),
        "DATA_DIR": str(directory / "intake"),
        "HTTP_PORT": str(port),
        "AUTH_DIR": str(auth_dir()),
    }
    child = warm.Awaited(
        [sys.executable, "-m", "services.intake"], env=environment, stdout=subprocess.DEVNULL
    )
    try:
        address = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=address, timeout=20, auth=proofs(address)) as client:

            async def ready() -> bool:
                try:
                    return (await client.get("/readyz")).status_code == 200
                except httpx.TransportError:
                    return False

            await eventually(ready, 40)
            yield child, client
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def test_sigterm_finishes_what_is_under_way_and_exits_with_0(
    broker: Client, nats_server: NatsServer, tmp_path: Path
) -> None:
    async with process(nats_server, tmp_path) as (child, client):
        bodies = [RATING | {"client_ref": f"t{n}", "text": "好"} for n in range(200)]
        requests = [asyncio.create_task(client.post("/v1/feedback", json=body)) for body in bodies]
        await asyncio.wait(requests, return_when=asyncio.FIRST_COMPLETED)
        child.send_signal(signal.SIGTERM)
        answers = await asyncio.gather(*requests, return_exceptions=True)
        async with asyncio.timeout(30):
            assert await child.wait() == 0
    accepted = {
        answer.json()["event_id"]
        for answer in answers
        if isinstance(answer, httpx.Response) and answer.status_code == 202
    }
    assert accepted
    assert accepted <= {event.id for event in await submitted(broker)}


async def test_after_sigkill_every_acknowledged_rating_is_known(
    broker: Client, nats_server: NatsServer, tmp_path: Path
) -> None:
    lines = "\n".join(json.dumps(RATING | {"client_ref": f"k{n}"}) for n in range(3000))
    kinds = {"Content-Type": "application/x-ndjson"}
    async with process(nats_server, tmp_path) as (child, client):
        first = (await client.post("/v1/feedback/batch", content=lines, headers=kinds)).json()
        child.kill()
        await child.wait()
    async with process(nats_server, tmp_path) as (_, client):
        again = (await client.post("/v1/feedback/batch", content=lines, headers=kinds)).json()
    assert (first["accepted"], again["duplicate"]) == (3000, 3000)
    assert len(await submitted(broker)) == 3000


async def grown(counted: Sized, beyond: int) -> bool:
    return len(counted) > beyond


async def test_sigkill_under_load_with_the_broker_away_or_just_back_loses_no_202(
    own_broker: Client, own_nats_server: NatsServer, tmp_path: Path
) -> None:
    promised: dict[str, str] = {}

    async def load(client: httpx.AsyncClient, name: str) -> None:
        for n in itertools.count():
            body = RATING | {"client_ref": f"{name}-{n}", "text": "好"}
            try:
                answer = await client.post("/v1/feedback", json=body)
            except httpx.TransportError:
                return
            if answer.status_code == 202:
                promised[answer.json()["event_id"]] = body["client_ref"]

    for life in range(3):
        if life == 2:
            own_nats_server.start()
        async with process(own_nats_server, tmp_path) as (child, client):
            known = len(promised)
            senders = [asyncio.create_task(load(client, f"{life}-{n}")) for n in range(8)]
            await asyncio.sleep(0.5)
            await eventually(partial(grown, promised, known))
            if life == 0:
                own_nats_server.kill()
                await asyncio.sleep(0.7)
            before = len(promised)
            child.kill()
            await asyncio.gather(*senders)
        assert before > 0
    async with process(own_nats_server, tmp_path) as (_, client):

        async def drained() -> bool:
            return bool((await client.get("/readyz")).json()["status"] == "ok")

        await eventually(drained, 40)
        for event_id, reference in list(promised.items())[::20]:
            again = await client.post("/v1/feedback", json=RATING | {"client_ref": reference, "text": "好"})
            assert again.json() | {"received_at": ""} == {
                "event_id": event_id, "duplicate": True, "received_at": "",
                "receipt_code": again.json()["receipt_code"],
            }  # fmt: skip
    ids = [event.id for event in await submitted(own_broker)]
    assert len(ids) == len(set(ids)), "stored twice"
    assert not promised.keys() - set(ids), "promised and lost"


async def test_units_are_listed_in_pages_without_gap_or_repeat(intake: Intake) -> None:
    found: list[str] = []
    cursor: str | None = None
    while True:
        query: dict[str, str | int] = {"level": "window", "kind": "marriage", "limit": 40}
        page = (
            await intake.http.get("/v1/units", params=query | ({"cursor": cursor} if cursor else {}))
        ).json()
        found += [unit["unit_id"] for unit in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert len(found) == len(set(found)) == 99
    assert found == sorted(found)
    children = (await intake.http.get("/v1/units", params={"parent": "U000001"})).json()["items"]
    assert len(children) == 11
    unit = (await intake.http.get("/v1/units/U000002")).json()
    assert unit == children[0]
    for path, status in (
        ("/v1/units/U9", 404),
        ("/v1/units?parent=U9", 404),
        ("/v1/units?kind=bakery", 422),
        ("/v1/units?level=planet", 422),
        ("/v1/units?cursor=nonsense", 422),
        ("/v1/units?limit=0", 422),
    ):
        answer = await intake.http.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), (
            path
        )
        assert answer.json()["errors"]


async def test_the_description_documents_bodies_answers_and_errors(intake: Intake) -> None:
    assert (await intake.http.get("/docs")).status_code == 200
    paths = (await intake.http.get("/openapi.json")).json()["paths"]
    single = paths["/v1/feedback"]["post"]
    reference = single["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert reference.endswith("/FeedbackBody")
    assert set(single["responses"]) >= {"202", "400", "409", "413", "415", "422", "429", "503"}
    names = {each["name"] for each in single["parameters"]}
    assert names == {"Idempotency-Key", "X-Rating-Token", "X-Synthetic"}
    batch = paths["/v1/feedback/batch"]["post"]
    assert "application/x-ndjson" in batch["requestBody"]["content"]
    headers = {each["name"] for each in batch["parameters"]}
    assert headers == {"Idempotency-Key", "X-Import-Id", "X-Synthetic"}
    assert batch["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/BatchAnswer")
    for path, methods in paths.items():
        for method in methods.values():
            assert method["summary"], path
