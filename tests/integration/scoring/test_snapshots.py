"""Scoring as a process that begins from snapshots, good and bad ones."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from nats.aio.client import Client

from services.scoring.adapters.snapshot_store import (
    CHUNKS,
    OBJECTS,
    POINTER,
    JetStreamSnapshotStore,
    encode_pointer,
)
from services.scoring.domain.snapshots import Snapshot
from shared.kernel.grades import Level
from shared.messaging.provisioner import provision
from shared.messaging.streams import FEEDBACK
from tests.integration.scoring.conftest import START_LIMIT_S, ScoringProcess, publish
from tests.integration.scoring.support import UNITS, assert_live_equals_recomputed, eventually, now
from tests.unit.scoring.feedback import random_feedback

pytestmark = pytest.mark.integration
WINDOWS = UNITS.by_level(Level.WINDOW)[:100]
Start = Callable[..., ScoringProcess]


async def snapshots(client: Client) -> list[Snapshot]:
    return list(await JetStreamSnapshotStore(client).catalogue())


async def newest_reaches(client: Client, position: int) -> None:
    """Wait until the newest snapshot is of ``position``."""

    async def reached() -> bool:
        return [each.position for each in await snapshots(client)][:1] == [position]

    await eventually(reached)


async def feed(client: Client, count: int, seed: int) -> int:
    """That many messages; the last sequence."""
    return await publish(client, random_feedback(WINDOWS, count, seed, first=seed * 10_000, now=now()))


async def two_lives(client: Client, start_scoring: Start) -> tuple[int, int]:
    """Leave two snapshots and 200 messages behind the newer one; their positions."""
    positions = []
    for seed in (1, 2):
        scoring = start_scoring()
        positions.append(await feed(client, 1000, seed))
        await scoring.reached(positions[-1])
        assert scoring.terminate() == 0
    assert [each.position for each in await snapshots(client)] == positions[::-1]
    await feed(client, 200, 3)
    return positions[0], positions[1]


async def begins_from(client: Client, scoring: ScoringProcess, position: int) -> None:
    """It folds what comes after ``position``, and its rankings are right."""
    last = (await client.jetstream().stream_info(FEEDBACK)).state.last_seq
    await scoring.reached(last)
    assert await scoring.metric("events_folded_total") == last - position
    await scoring.becomes("leader")
    await assert_live_equals_recomputed(client)


async def test_a_killed_service_goes_on_from_its_last_snapshot(client: Client, start_scoring: Start) -> None:
    scoring = start_scoring(SNAPSHOT_EVERY_S="0.5")
    first = await feed(client, 1500, 1)
    await scoring.reached(first)
    await newest_reaches(client, first)
    assert await scoring.metric("snapshot_position") == first
    assert await scoring.metric("snapshot_size_bytes") > 0
    assert 0 < await scoring.metric("snapshot_age_seconds") < START_LIMIT_S
    scoring.kill()
    await feed(client, 300, 2)
    await begins_from(client, start_scoring(), first)


async def test_snapshots_do_not_pile_up(client: Client, start_scoring: Start) -> None:
    scoring = start_scoring(SNAPSHOT_EVERY_S="0.3")
    for seed in range(1, 7):
        last = await feed(client, 50, seed)
        await scoring.reached(last)
        await newest_reaches(client, last)
    assert scoring.terminate() == 0
    kept = await snapshots(client)
    assert len(kept) == 3
    subjects = (await client.jetstream().stream_info(OBJECTS, subjects_filter=">")).state.subjects or {}
    assert {each.removeprefix(CHUNKS) for each in subjects if each.startswith(CHUNKS)} == {
        each.blob for each in kept
    }


async def test_a_damaged_snapshot_is_refused_and_the_older_one_is_used(
    client: Client, start_scoring: Start
) -> None:
    older, _ = await two_lives(client, start_scoring)
    newest = (await snapshots(client))[0]
    jetstream = client.jetstream()
    blob = bytearray(await JetStreamSnapshotStore(client).read(newest))
    blob[len(blob) // 2] ^= 1
    await jetstream.purge_stream(OBJECTS, subject=CHUNKS + newest.blob)
    for start in range(0, len(blob), 500_000):
        await jetstream.publish(CHUNKS + newest.blob, bytes(blob[start : start + 500_000]))
    scoring = start_scoring()
    await begins_from(client, scoring, older)
    assert await scoring.metric('snapshots_refused_total{cause="corrupt"}') == 1


async def test_foreign_snapshots_are_refused_and_all_is_folded(client: Client, start_scoring: Start) -> None:
    await two_lives(client, start_scoring)
    own = await snapshots(client)
    for cause, other in (("rules", "sha256:0"), ("registry", "sha256:0"), ("format", 0)):
        foreign = [replace(each, **{cause: other}) for each in own]  # type: ignore[arg-type]  # one field
        await client.jetstream().publish(POINTER, encode_pointer(foreign))
        scoring = start_scoring()
        await begins_from(client, scoring, 0)
        assert await scoring.metric(f'snapshots_refused_total{{cause="{cause}"}}') == 2
        assert scoring.terminate() == 0


@pytest.mark.parametrize("how", ["made anew", "sequences reused"])
async def test_a_stream_with_another_past_is_folded_only_when_the_operator_allows_it(
    client: Client, start_scoring: Start, how: str
) -> None:
    await two_lives(client, start_scoring)
    if how == "made anew":
        await client.jetstream().delete_stream(FEEDBACK)
        await provision(client)
        await feed(client, 600, 4)
    else:
        others = [replace(each, message_hash="0" * 64) for each in await snapshots(client)]
        await client.jetstream().publish(POINTER, encode_pointer(others))
    blocked = start_scoring()
    await blocked.answer("/livez")

    async def told() -> bool:
        return await blocked.metric("history_changed") == 1

    await eventually(told)
    report = (await blocked.get("/readyz")).json()
    assert report["status"] == "failed"
    assert "HistoryChangedError" in report["checks"]["fold"]["detail"]
    answer = await blocked.get("/v1/rankings")
    assert answer.status_code == 503
    assert (await blocked.get("/livez")).status_code == 200
    assert blocked.terminate() == 0
    allowed = start_scoring(ACCEPT_NEW_HISTORY="true")
    await begins_from(client, allowed, 0)
    last = (await client.jetstream().stream_info(FEEDBACK)).state.last_seq
    await newest_reaches(client, last)
    allowed.kill()
    await begins_from(client, start_scoring(), last)


async def test_an_operator_may_have_all_folded_anew(client: Client, start_scoring: Start) -> None:
    await two_lives(client, start_scoring)
    scoring = start_scoring(IGNORE_SNAPSHOTS="true")
    await begins_from(client, scoring, 0)
    last = (await client.jetstream().stream_info(FEEDBACK)).state.last_seq
    await newest_reaches(client, last)
