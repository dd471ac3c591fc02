"""The process beside intake that screens: it holds, it dies alone, and it never outlives intake."""

import asyncio
import signal
from pathlib import Path

import httpx
import psutil
import pytest
from nats.aio.client import Client

from deploy.local.embedded import NatsServer
from services.intake.adapters.rules import RulePacks
from services.intake.adapters.screen_file import ScreenFile
from services.intake.adapters.screened import StoredRatings
from services.intake.domain.screening import Screen
from services.intake.entrypoints.watching import Watch
from shared.kernel.clock import SystemClock
from shared.messaging.streams import FEEDBACK
from tests.integration.intake.conftest import RATING, eventually
from tests.integration.intake.test_process import process
from tests.integration.intake.test_screening import held, lines
from tests.support import warm
from tests.support.processes import wait_until_gone

pytestmark = pytest.mark.integration


async def send(client: httpx.AsyncClient, *some: str) -> None:
    answer = await client.post(
        "/v1/feedback/batch", content="\n".join(some), headers={"Content-Type": "application/x-ndjson"}
    )
    assert answer.json()["accepted"] == len(some), answer.text


def screener_of(child: warm.Awaited) -> psutil.Process:
    (screener,) = psutil.Process(child.pid).children()
    assert Path(f"/proc/{screener.pid}/comm").read_text().strip() == "intake-screen"
    return screener


async def apart(client: httpx.AsyncClient) -> int:
    name = "pingyi_intake_screening_apart_processes "
    (line,) = (each for each in (await client.get("/metrics")).text.splitlines() if each.startswith(name))
    return int(float(line.split()[1]))


@pytest.mark.usefixtures("broker")
async def test_it_holds_and_ends_with_intake_and_its_state_is_kept(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with process(nats_server, tmp_path) as (child, client):
        screener = screener_of(child)
        assert await apart(client) == 1
        await send(client, *lines(15, devices=1))
        await held(client, 12)
        child.send_signal(signal.SIGTERM)
        assert await child.wait() == 0
        assert not screener.is_running()
    assert (tmp_path / "intake" / "screening.snapshot").exists()
    async with process(nats_server, tmp_path) as (child, client):
        screener = screener_of(child)
        await send(client, *lines(5, first=15, devices=1))
        await held(client, 20)  # more than 19 from one device: none counts
        child.kill()
        await child.wait()
        wait_until_gone([screener], timeout_s=20)


async def test_without_a_broker_it_ends_with_intake_all_the_same(
    own_nats_server: NatsServer, tmp_path: Path
) -> None:
    own_nats_server.kill()
    for end in (signal.SIGTERM, signal.SIGKILL):
        async with process(own_nats_server, tmp_path) as (child, client):  # accepts by the spool
            screener = screener_of(child)
            assert (await client.get("/livez")).status_code == 200
            child.send_signal(end)
            async with asyncio.timeout(30):
                await child.wait()
            wait_until_gone([screener], timeout_s=20)


@pytest.mark.usefixtures("broker")
async def test_where_it_is_killed_intake_screens_itself(nats_server: NatsServer, tmp_path: Path) -> None:
    async with process(nats_server, tmp_path) as (child, client):
        await send(client, *lines(15, devices=1))
        await held(client, 12)
        screener_of(child).kill()

        async def noticed() -> bool:
            return await apart(client) == 0

        await eventually(noticed)
        assert (await client.post("/v1/feedback", json=RATING | {"client_ref": "on"})).status_code == 202
        await send(client, *lines(5, first=15, devices=1))
        await held(client, 20)
        assert (await client.get("/readyz")).status_code == 200
        child.send_signal(signal.SIGTERM)
        assert await child.wait() == 0


async def test_a_state_of_later_than_the_stream_ends_is_not_taken_up(broker: Client, tmp_path: Path) -> None:
    async def client() -> Client:
        return broker

    rules, kept = RulePacks(None), ScreenFile(tmp_path, "k1")
    ahead = Screen(rules.at(SystemClock().now()).intake.screening)
    ahead.position = 1_000_000
    kept.save(str((await broker.jetstream().stream_info(FEEDBACK)).created), ahead)
    watch = Watch(client=client, reads=StoredRatings(), kept=kept, rules=rules, clock=SystemClock())
    await broker.jetstream().publish("feedback.v1.submitted.3607.360702", b"no rating", stream=FEEDBACK)
    look = await watch.look(settled=False)
    assert (look.anew, look.messages, look.steps) == (True, 1, [])
    await watch.stop(settled=False)
