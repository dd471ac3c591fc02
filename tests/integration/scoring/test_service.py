"""Scoring as a process against a real broker: ratings in, rankings out."""

import asyncio
from pathlib import Path

import pytest
from nats.aio.client import Client

from deploy.local.embedded import NatsServer
from services.scoring.adapters.nats_ranking_store import read_all_lists, read_books
from shared.events import Envelope, MessageDeadLettered, RankingRevised, UnitScoreChanged, parse_envelope
from shared.kernel.grades import Level
from shared.messaging.connection import BrokerSettings, connect
from shared.messaging.provisioner import provision
from shared.messaging.streams import DEADLETTER, FEEDBACK, RANKING
from tests.integration.scoring.conftest import ScoringProcess, publish
from tests.integration.scoring.support import (
    UNITS,
    assert_live_equals_recomputed,
    now,
    read_stream,
    trickle,
)
from tests.unit.scoring.feedback import feedback, random_feedback

pytestmark = pytest.mark.integration
WINDOWS = UNITS.by_level(Level.WINDOW)


async def reconnected(client: Client) -> None:
    """Wait for the test's own connection: it comes back at its own pace."""
    # Not by a flush: without a connection, nats-py's returns as if all had been sent.
    async with asyncio.timeout(60):
        while not client.is_connected:  # noqa: ASYNC110 - the client has no event to wait for
            await asyncio.sleep(0.02)


async def test_ratings_become_rankings_over_http_in_the_bucket_and_on_the_bus(
    client: Client, scoring: ScoringProcess
) -> None:
    scoring.start()
    events = random_feedback(WINDOWS[:60], 6000, seed=1, now=now())
    last = await publish(client, events)
    books = await scoring.reached(last)
    distinct = len({event.message_id for event in events})
    assert books["accepted"] == distinct
    assert books["duplicates"] == len(events) - distinct
    assert books["replaced"] > 0
    assert books["balanced"]
    ranking = (await scoring.get("/v1/rankings", level="window", window="30d", limit=2000)).json()
    assert ranking["units"] == len(ranking["items"]) == 1188
    assert ranking["positions"] == {FEEDBACK: last}
    ranks = [row["rank"] for row in ranking["items"] if row["status"] == "ranked"]
    assert ranks == list(range(1, len(ranks) + 1))
    assert len(ranks) > 50
    live = await read_all_lists(client)
    assert live["window.all.30"].hash == ranking["list_hash"]
    await assert_live_equals_recomputed(client)
    stored = await read_books(client)
    assert stored is not None
    assert stored.position == last
    said = await read_stream(client, RANKING)
    revised = [
        parse_envelope(Envelope[RankingRevised], message.data)
        for message in said
        if ".revised." in message.subject
    ]
    final = {each.data.list: each.data.list_hash for each in revised}
    assert final["window.all.30"] == ranking["list_hash"]
    changed = [
        parse_envelope(Envelope[UnitScoreChanged], message.data)
        for message in said
        if ".score-changed." in message.subject
    ]
    assert {each.data.window_days for each in changed} == {30}
    assert len({message.subject for message in said}) > 2


async def test_a_killed_service_comes_back_to_the_same_bytes(client: Client, scoring: ScoringProcess) -> None:
    events = random_feedback(WINDOWS[:200], 6000, seed=2, now=now())
    last = 0
    # While it starts, then at several moments of its beat while ratings stream in.
    for part, pause_s in enumerate((None, 0.0, 0.35, 0.6, 0.85)):
        scoring.start()
        feeding = asyncio.create_task(trickle(client, events[part * 1200 : (part + 1) * 1200]))
        if pause_s is None:
            await asyncio.sleep(1.0)
        else:
            await scoring.reached(last + 100)
            await asyncio.sleep(pause_s)
        scoring.kill()
        last = await feeding
    scoring.start()
    books = await scoring.reached(last)
    assert books["balanced"]
    assert books["accepted"] == len({event.message_id for event in events})
    await assert_live_equals_recomputed(client)


async def test_a_message_that_is_no_rating_becomes_one_dead_letter_and_the_fold_goes_on(
    client: Client, scoring: ScoringProcess
) -> None:
    jetstream = client.jetstream()
    subject = "feedback.v1.submitted.3601.360102"
    await jetstream.publish(subject, b"{broken")
    scoring.start()
    await scoring.reached(1)
    await jetstream.publish(subject, b'{"specversion":"1.0"}')
    last = await publish(client, [feedback(WINDOWS[0], number=1, occurred_at=now())])
    assert (await scoring.reached(last))["accepted"] == 1
    scoring.kill()
    scoring.start()
    await scoring.reached(last)
    letters = [
        parse_envelope(Envelope[MessageDeadLettered], message.data)
        for message in await read_stream(client, DEADLETTER)
    ]
    assert [letter.data.sequence for letter in letters] == [1, 2]
    assert (await scoring.get("/readyz")).status_code == 200


async def test_an_unchanged_restart_announces_nothing(client: Client, scoring: ScoringProcess) -> None:
    last = await publish(client, random_feedback(WINDOWS[:20], 1000, seed=3, now=now()))
    scoring.start()
    await scoring.reached(last)
    assert scoring.terminate() == 0
    before = (await client.jetstream().stream_info(RANKING)).state.last_seq
    assert before > 0
    scoring.start()
    await scoring.answer("/readyz", lambda report: report["status"] == "ok")
    await asyncio.sleep(1.5)
    assert (await client.jetstream().stream_info(RANKING)).state.last_seq == before


async def test_an_empty_platform_lists_every_unit_as_suppressed_and_announces_nothing(
    client: Client, scoring: ScoringProcess
) -> None:
    scoring.start()
    ranking = await scoring.answer("/v1/rankings", level="county", limit=200)
    assert {row["status"] for row in ranking["items"]} == {"suppressed"}
    assert {row["score"] for row in ranking["items"]} == {None}
    assert ranking["units"] == 99
    assert (await client.jetstream().stream_info(RANKING)).state.last_seq == 0


async def test_a_broker_that_is_killed_and_restarted_leaves_the_rankings_right(
    own_nats_server: NatsServer, tmp_path: Path
) -> None:
    client = await connect(BrokerSettings(nats_url=own_nats_server.url), "test")
    await provision(client)
    service = ScoringProcess(own_nats_server.url, tmp_path / "scoring.log")
    try:
        service.start()
        events = random_feedback(WINDOWS[:100], 4000, seed=4, now=now())
        await service.reached(await publish(client, events[:2000]))
        own_nats_server.kill()
        assert (await service.get("/livez")).status_code == 200
        assert (await service.get("/v1/rankings")).status_code == 200
        own_nats_server.start()
        await service.answer("/readyz", lambda report: report["status"] == "ok")
        await reconnected(client)
        books = await service.reached(await publish(client, events[2000:]))
        assert books["accepted"] == len({event.message_id for event in events})
        await service.answer("/readyz", lambda report: report["status"] == "ok")
        await assert_live_equals_recomputed(client)
    finally:
        service.kill()
        await client.close()
