"""Two replicas of scoring: one leads, and whatever happens to it, the rankings are right."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from nats.aio.client import Client

from services.scoring.adapters.nats_ranking_store import read_books
from shared.kernel.grades import Level
from shared.messaging.lease import NatsLeaseStore
from shared.messaging.streams import FEEDBACK
from tests.integration.scoring.conftest import ScoringProcess
from tests.integration.scoring.support import (
    UNITS,
    assert_every_revision_was_right,
    assert_live_equals_recomputed,
    now,
    trickle,
)
from tests.unit.scoring.feedback import random_feedback

pytestmark = pytest.mark.integration
WINDOWS = UNITS.by_level(Level.WINDOW)[:200]
PROMISED_S = 10.0
"""What the platform promises; `tests/soak` holds it to that on a machine of its own."""
TAKEOVER_S = 3 * PROMISED_S
"""Beside other tests: tells a takeover from none at all."""
Start = Callable[..., ScoringProcess]


async def published(client: Client) -> int:
    """Position of the published rankings."""
    books = await read_books(client)
    return books.position if books is not None else 0


async def until_published(client: Client, after: int) -> None:
    """Wait until a later position than ``after`` is published, for as long as a takeover may take."""
    async with asyncio.timeout(TAKEOVER_S):
        while await published(client) <= after:  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.05)


async def holder(client: Client) -> str | None:
    """Who holds the lease; nobody, or the empty text, if it was given back."""
    record = await NatsLeaseStore(client).read("scoring")
    return None if record is None else record.holder


async def pair(start_scoring: Start) -> tuple[ScoringProcess, ScoringProcess]:
    """The leader and the other one."""
    first = start_scoring()
    await first.becomes("leader")
    second = start_scoring()
    await second.becomes("standby")
    assert (await first.metric("leader"), await second.metric("leader")) == (1, 0)
    return first, second


async def assert_all_counted(client: Client, replica: ScoringProcess, last: int, distinct: int) -> None:
    books = await replica.reached(last)
    assert books["balanced"]
    assert books["accepted"] == distinct
    await assert_live_equals_recomputed(client)
    await assert_every_revision_was_right(client)


async def test_the_other_replica_publishes_soon_after_the_leader_was_killed_under_load(
    client: Client, start_scoring: Start
) -> None:
    leader, other = await pair(start_scoring)
    events = random_feedback(WINDOWS, 9000, seed=11, now=now())
    enough = asyncio.Event()
    feeding = asyncio.create_task(trickle(client, events, pause_s=0.2, enough=enough))
    await until_published(client, 600)
    leader.kill()
    await until_published(client, await published(client))
    assert not feeding.done(), "the load went on all the time"
    enough.set()
    await other.becomes("leader")
    assert await other.metric("leader") == 1
    await assert_all_counted(client, other, await feeding, len({event.message_id for event in events}))


async def test_a_leader_that_was_frozen_longer_than_its_lease_publishes_nothing_wrong(
    client: Client, start_scoring: Start
) -> None:
    leader, other = await pair(start_scoring)
    events = random_feedback(WINDOWS, 9000, seed=12, now=now())
    enough = asyncio.Event()
    feeding = asyncio.create_task(trickle(client, events, pause_s=0.4, enough=enough))
    at = 0
    for _ in range(2):
        await until_published(client, at + 300)
        leader.freeze()
        at = await published(client)
        await until_published(client, at)
        leader.thaw()
        await leader.becomes("standby")
        await other.becomes("leader")
        leader, other = other, leader
    enough.set()
    last, distinct = await feeding, len({event.message_id for event in events})
    for replica in (leader, other):
        await assert_all_counted(client, replica, last, distinct)


async def test_a_leader_that_stops_hands_over_at_once(client: Client, start_scoring: Start) -> None:
    leader, other = await pair(start_scoring)
    events = random_feedback(WINDOWS, 4000, seed=13, now=now())
    enough = asyncio.Event()
    feeding = asyncio.create_task(trickle(client, events, pause_s=0.4, enough=enough))
    await until_published(client, 300)
    held = await holder(client)
    assert held
    assert await asyncio.to_thread(leader.terminate) == 0
    assert await holder(client) != held, "given back, where it would hold for seconds more"
    await until_published(client, await published(client))
    enough.set()
    await other.becomes("leader")
    await assert_all_counted(client, other, await feeding, len({event.message_id for event in events}))


async def test_a_standby_shows_what_the_leader_publishes(client: Client, start_scoring: Start) -> None:
    leader, other = await pair(start_scoring)
    last = await trickle(client, random_feedback(WINDOWS, 1500, seed=14, now=now()))
    books = await leader.reached(last)
    assert await other.reached(last) == books
    for path in ("/v1/rankings?level=window&limit=2000", f"/v1/units/{WINDOWS[0].unit_id}/score"):
        assert (await other.get(path)).json() == (await leader.get(path)).json()
    ranking = (await other.get("/v1/rankings", level="county")).json()
    assert ranking["positions"][FEEDBACK] == last


async def test_a_killed_process_goes_on_with_its_own_lease_if_it_has_its_directory(
    client: Client, start_scoring: Start, tmp_path: Path
) -> None:
    first = start_scoring(DATA_DIR=str(tmp_path / "data"))
    await first.becomes("leader")
    leases = NatsLeaseStore(client)
    before = await leases.read("scoring")
    beside = start_scoring(DATA_DIR=str(tmp_path / "data"))  # by mistake: the name is taken
    await beside.becomes("standby")
    beside.kill()
    first.kill()
    again = start_scoring(DATA_DIR=str(tmp_path / "data"))
    await again.becomes("leader")
    after = await leases.read("scoring")
    assert before is not None
    assert after is not None
    assert (after.holder, after.sequence > before.sequence) == (before.holder, True)
