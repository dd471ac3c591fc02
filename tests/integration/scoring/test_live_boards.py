"""Live boards over real HTTP, on the leader and on a standby; and the past of a service that runs."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, NamedTuple

import httpx
import pytest
from nats.aio.client import Client

from shared.kernel.clock import business_day
from shared.kernel.grades import Level
from shared.observability.server import GRACE_S
from tests.integration.scoring.conftest import ScoringProcess, publish
from tests.integration.scoring.support import UNITS, now
from tests.unit.scoring.feedback import feedback, random_feedback

pytestmark = pytest.mark.integration
WINDOWS = UNITS.by_level(Level.WINDOW)
KEY = "window.marriage.30"


class Event(NamedTuple):
    name: str
    id: str
    data: Any


@asynccontextmanager
async def board(
    service: ScoringProcess, key: str = KEY, **headers: str
) -> AsyncIterator[AsyncIterator[Event]]:
    """The events of a live board, as a browser would read them."""
    async with (
        httpx.AsyncClient(base_url=service.url, timeout=30) as client,
        client.stream("GET", f"/v1/rankings/{key}/stream", headers=headers) as response,
    ):
        assert response.status_code == 200, await response.aread()
        yield _events(response)


async def _events(response: httpx.Response) -> AsyncIterator[Event]:
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield Event(fields["event"], fields["id"], json.loads(fields["data"]))
            fields = {}


async def test_a_board_tells_each_revision_on_the_leader_and_on_the_standby(
    client: Client, start_scoring: Callable[..., ScoringProcess]
) -> None:
    last = await publish(client, random_feedback(WINDOWS[:40], 2000, seed=5, now=now()))
    leader = start_scoring()
    await leader.becomes("leader")
    standby = start_scoring()
    await standby.becomes("standby")
    for service in (leader, standby):
        await service.reached(last)
    target = next(unit for unit in WINDOWS[:40] if unit.kind == "marriage")
    async with board(leader) as on_leader, board(standby) as on_standby:
        first = [await anext(each) for each in (on_leader, on_standby)]
        assert {event.name for event in first} == {"list"}
        assert first[0].id == first[1].id == first[0].data["head"]["list_hash"]
        more = [
            feedback(target, number=10**6 + number, grade=1, occurred_at=now() - timedelta(minutes=number))
            for number in range(40)
        ]
        last = await publish(client, more)
        for service, events in ((leader, on_leader), (standby, on_standby)):
            async with asyncio.timeout(30):
                event = await anext(events)
                while event.data["head"]["positions"]["FEEDBACK"] < last:
                    event = await anext(events)
            assert event.name == "revised"
            ranking = (await service.get("/v1/rankings", level="window", kind="marriage")).json()
            assert event.id == ranking["list_hash"]
            row = next(row for row in event.data["items"] if row["unit_id"] == target.unit_id)
            listed = next(row for row in ranking["items"] if row["unit_id"] == target.unit_id)
            assert row.items() <= listed.items()
        assert await leader.metric("live_board_connections") == 1
    async with board(leader, **{"Last-Event-ID": event.id}) as resumed:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(resumed), 1.5)


async def test_a_stop_lets_boards_go_at_once(client: Client, scoring: ScoringProcess) -> None:
    await publish(client, random_feedback(WINDOWS[:10], 300, seed=6, now=now()))
    scoring.start()
    await scoring.becomes("leader")
    async with board(scoring) as events:
        await anext(events)
        started = time.monotonic()
        code = asyncio.create_task(asyncio.to_thread(scoring.terminate))
        rest = [event async for event in events]
        ended_s = time.monotonic() - started
        assert await code == 0
    assert {event.name for event in rest} <= {"revised"}
    assert ended_s < GRACE_S - 1, "not cut off when their time was up"


async def test_only_so_many_boards_are_followed_and_a_seat_that_is_left_is_free(
    client: Client, start_scoring: Callable[..., ScoringProcess]
) -> None:
    await publish(client, random_feedback(WINDOWS[:10], 300, seed=7, now=now()))
    service = start_scoring(MOST_BOARDS="1")
    await service.becomes("leader")
    async with board(service) as events:
        await anext(events)
        refused = await service.get(f"/v1/rankings/{KEY}/stream")
        assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
        assert refused.headers["retry-after"]
    async with asyncio.timeout(30):
        while await service.metric("live_board_connections"):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
    async with board(service) as events:
        assert (await anext(events)).name == "list"


async def test_the_past_of_a_running_service_agrees_with_its_present(
    client: Client, scoring: ScoringProcess
) -> None:
    ratings = random_feedback(WINDOWS[:40], 6000, seed=8, now=now())
    # Some of this day, which may have begun a moment ago.
    ratings += [
        feedback(unit, number=10_000 + number, grade=1, occurred_at=now(), received_at=now())
        for number, unit in enumerate(WINDOWS[:40])
    ]
    last = await publish(client, ratings)
    scoring.start()
    await scoring.reached(last)
    yesterday = business_day(now()) - timedelta(days=1)
    past = await scoring.get("/v1/rankings", level="county", at=yesterday.isoformat(), limit=2000)
    assert (past.status_code, past.json()["recomputed"]) == (200, True)
    changes = (await scoring.get("/v1/rankings/county.all.30/changes", limit=2000)).json()
    present = (await scoring.get("/v1/rankings", level="county", limit=2000)).json()
    before = {row["unit_id"]: row for row in past.json()["items"]}
    after = {row["unit_id"]: row for row in present["items"]}
    assert changes["moved"] == len(changes["items"]) > 0
    for move in changes["items"]:
        assert move["score_before"] == before[move["unit_id"]]["score"]
        assert move["score_after"] == after[move["unit_id"]]["score"]
    unit = changes["items"][0]["unit_id"]
    history = (await scoring.get(f"/v1/units/{unit}/history", days=2)).json()
    assert [point["score"] for point in history["items"]] == [before[unit]["score"], after[unit]["score"]]
    assert 'route="/v1/rankings/{key}/changes"' in (await scoring.get("/metrics")).text
    again = await scoring.get("/v1/rankings", level="county", format="csv")
    assert again.text.count("\r\n") == len(after) + 1
