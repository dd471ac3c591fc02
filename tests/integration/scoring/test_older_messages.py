"""Scoring on a stream that has forgotten its beginning: what is missing comes from the archive, all of it."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js.api import DiscardPolicy

from deploy.local.commands.accepting import decision
from deploy.local.embedded import MongoServer, NatsServer
from services.archive.adapters.schema import bootstrap
from services.scoring.adapters.archive_api import HttpFeedbackArchive
from services.scoring.adapters.nats_ranking_store import read_all_lists
from services.scoring.application.recompute import diff_lists, recompute_like
from shared.kernel.grades import Level
from shared.messaging.group_commit import Outgoing
from shared.messaging.provisioner import provision
from shared.messaging.streams import FEEDBACK
from shared.rules import load_pack
from tests.integration.archive.support import Process, Setup, until_archived, write_signing_key
from tests.integration.archive.test_reconciliation import accept, refused
from tests.integration.scoring.conftest import ScoringProcess, publish
from tests.integration.scoring.support import UNITS, eventually, now, read_stream
from tests.support.access import secrets_directory
from tests.unit.scoring.feedback import random_feedback

pytestmark = pytest.mark.integration
Start = Callable[..., ScoringProcess]
COUNT = 800
KEPT = 150
FORK = 300
NO_EVENT = Outgoing("feedback.v1.submitted.3607.360702", "no-event", b"{broken")


@dataclass
class Scene:
    """A folded and archived stream, the archive that has it, and a way to start scoring beside it."""

    client: Client
    setup: Setup
    archive: Process
    start: Start
    last: int
    before: dict[str, bytes]
    """Every list as it was published while the stream had everything."""

    def scoring(self, **settings: str) -> ScoringProcess:
        """Scoring that folds the whole stream."""
        url = {"ARCHIVE_URL": f"http://127.0.0.1:{self.archive.port}"}
        return self.start(**({"IGNORE_SNAPSHOTS": "true"} | url | settings))

    async def expire(self, kept: int) -> None:
        """Let the broker drop all but the newest messages, as the stream's age limit does."""
        await expire(self.client, kept)

    async def lists(self) -> dict[str, bytes]:
        """Every published list's canonical bytes."""
        return await canonical_lists(self.client)


async def expire(client: Client, kept: int) -> None:
    jetstream = client.jetstream()
    config = (await jetstream.stream_info(FEEDBACK)).config
    await jetstream.update_stream(config.evolve(discard=DiscardPolicy.OLD, max_msgs=kept))
    await jetstream.update_stream(config)
    state = (await jetstream.stream_info(FEEDBACK)).state
    assert state.first_seq == state.last_seq - kept + 1


async def canonical_lists(client: Client) -> dict[str, bytes]:
    return {key: found.canonical() for key, found in (await read_all_lists(client)).items()}


@pytest.fixture
async def scene(
    client: Client, nats_server: NatsServer, mongo_server: MongoServer, mongo_database: str,
    start_scoring: Start, tmp_path: Path,
) -> AsyncIterator[Scene]:  # fmt: skip
    """800 messages, among them one that is no event, folded and archived; then both services end."""
    bootstrap(mongo_server.url, mongo_database)
    setup = Setup(nats_server.url, mongo_server.url, mongo_database, write_signing_key(tmp_path))
    archive, scoring = Process(setup, tmp_path / "archive.log"), start_scoring()
    archive.start()
    events = random_feedback(UNITS.by_level(Level.WINDOW)[:40], COUNT - 1, 1, now=now())
    last = await publish(client, [*events[:99], NO_EVENT, *events[99:]])
    await scoring.reached(last)
    await until_archived(archive.api, {FEEDBACK: last})
    before = await canonical_lists(client)
    assert scoring.terminate() == 0
    assert archive.stop() == 0
    yield Scene(client, setup, archive, start_scoring, last, before)
    archive.kill()
    await archive.api.aclose()


async def detail(scoring: ScoringProcess, check: str) -> str:
    """What readiness says about one check."""
    report: dict[str, Any] = (await scoring.get("/readyz")).json()
    return str(report["checks"][check]["detail"])


async def says(scoring: ScoringProcess, words: str) -> None:
    """Wait until readiness says so about the fold."""
    await scoring.answer("/livez")

    async def said() -> bool:
        return words in await detail(scoring, "fold")

    await eventually(said)


async def test_a_full_replay_waits_for_the_archive_and_then_gives_the_same_bytes(scene: Scene) -> None:
    await scene.expire(KEPT)
    scoring = scene.scoring()
    await says(scoring, "waiting for the archive: messages 1 to 650")
    assert (await scoring.get("/v1/rankings")).status_code == 503
    assert await scoring.metric("history_changed") == 0
    scene.archive.start()
    books = await scoring.reached(scene.last)
    await scoring.becomes("leader")
    assert await scene.lists() == scene.before
    assert await scoring.metric("events_folded_total") == scene.last
    assert books["balanced"]
    assert await scoring.metric("dead_letters_total") == 0, "filed in the first life"


async def test_a_snapshot_older_than_the_stream_is_continued_from_the_archive(scene: Scene) -> None:
    scene.archive.start()
    more = random_feedback(UNITS.by_level(Level.WINDOW)[:40], 300, 2, first=50_000, now=now())
    last = await publish(scene.client, more)
    await until_archived(scene.archive.api, {FEEDBACK: last})
    await scene.expire(100)
    scoring = scene.scoring(IGNORE_SNAPSHOTS="false")
    await scoring.reached(last)
    assert await scoring.metric("events_folded_total") == last - scene.last
    key = secrets_directory() / "keys" / "scoring.key"
    source = HttpFeedbackArchive(f"http://127.0.0.1:{scene.archive.port}", FEEDBACK, key)
    archived = [*await source.read(0, 1000), *await source.read(1000, 1000)]
    await source.close()
    assert [each.sequence for each in archived] == list(range(1, last + 1))
    live = await read_all_lists(scene.client)
    assert diff_lists(live, recompute_like(archived, UNITS, partial(load_pack, None), live)) == []


async def test_nothing_is_folded_past_a_hole_that_nobody_can_fill(scene: Scene) -> None:
    async with scene.setup.collection() as entries:
        entries.delete_many({"stream": FEEDBACK, "sequence": {"$in": [300, 301]}})
    await scene.expire(KEPT)
    scene.archive.start()
    scoring = scene.scoring()
    await says(scoring, "HistoryChangedError")
    assert "messages 300 to 301 of FEEDBACK" in await detail(scoring, "fold")
    assert (await scoring.get("/v1/books")).status_code == 503
    assert await scoring.metric("events_folded_total") == 0, "the archive hands out all of it at once"
    assert scoring.terminate() == 0
    allowed = scene.scoring(ACCEPT_NEW_HISTORY="true")
    await allowed.reached(scene.last)
    assert await allowed.metric("events_folded_total") == scene.last - 2


async def test_behind_an_accepted_fork_the_archive_gives_what_the_stream_has_now(scene: Scene) -> None:
    """FEEDBACK went back to 300 and took other ratings there; the archive counts those from 801 on."""
    scene.setup.options |= {"reconcile_interval_s": 0.2}
    stored = await read_stream(scene.client, FEEDBACK)
    await scene.client.jetstream().delete_stream(FEEDBACK)
    await provision(scene.client)
    first = [Outgoing(each.subject, f"again-{each.sequence}", each.data) for each in stored[:FORK]]
    others = random_feedback(UNITS.by_level(Level.WINDOW)[:40], 200, 3, first=70_000, now=now())
    last = await publish(scene.client, [*first, *others])
    assert last == FORK + len(others)
    scene.archive.start()
    await until_archived(scene.archive.api, {})  # it answers
    made = decision(await refused(scene.archive.api, FEEDBACK), "platform-duty", "the disk was replaced")
    assert (made.fork, made.offset) == (FORK, COUNT - FORK)
    await accept(scene.client, made)
    await until_archived(scene.archive.api, {FEEDBACK: COUNT + len(others)})
    expected = await read_stream(scene.client, FEEDBACK)
    await scene.expire(100)

    scoring = scene.scoring(ACCEPT_NEW_HISTORY="true", IGNORE_SNAPSHOTS="false")
    books = await scoring.answer("/v1/books", lambda books: books["positions"][FEEDBACK] == last)
    assert await scoring.metric("events_folded_total") == last, "nothing was left out"
    assert books["balanced"]
    live = await read_all_lists(scene.client)
    assert diff_lists(live, recompute_like(expected, UNITS, partial(load_pack, None), live)) == []
