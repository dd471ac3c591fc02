"""Two replicas at 20,000 units, with ratings all the time: a killed leader is followed within 10 s."""

import asyncio
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from nats.aio.client import Client

from deploy.local.embedded import NatsServer
from shared.messaging.connection import BrokerSettings, connect
from shared.messaging.provisioner import provision
from shared.messaging.streams import FEEDBACK
from tests.bench.fold_events import registry_of, windows_of
from tests.integration.scoring.conftest import ScoringProcess, publish
from tests.integration.scoring.support import now
from tests.integration.scoring.test_replicas import PROMISED_S, published, until_published
from tests.support.large_scoring import WINDOWS
from tests.unit.scoring.feedback import feedback

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]
RATINGS = 40_000
KILLS = 3


class LargeScoring(ScoringProcess):
    """One replica with 20,000 windows."""

    module = "tests.support.large_scoring"


@pytest.fixture
def replicas(nats_server: NatsServer, tmp_path: Path) -> Iterator[list[LargeScoring]]:
    """Two, not started yet."""
    made = [LargeScoring(nats_server.url, tmp_path / f"scoring-{number}.log") for number in range(2)]
    yield made
    for each in made:
        each.kill()


async def feed(client: Client, count: int, first: int) -> int:
    """So many ratings of random windows in the last weeks; the last sequence."""
    random, units, today = Random(first), windows_of(registry_of(WINDOWS)), now()
    events = [
        feedback(
            random.choice(units), number=first + number, grade=random.choice((5, 5, 5, 4, 3, 2)),
            occurred_at=today - timedelta(days=random.random() * 20),
        )
        for number in range(count)
    ]  # fmt: skip
    return await publish(client, events)


async def test_a_killed_leader_is_followed_within_the_promise_at_20_000_units(
    nats_server: NatsServer, replicas: list[LargeScoring]
) -> None:
    client = await connect(BrokerSettings(nats_url=nats_server.url), "test")
    await provision(client)
    last = await feed(client, RATINGS, 0)
    leader, other = replicas
    leader.start()
    await leader.becomes("leader")
    other.start()
    took: list[float] = []
    for kill in range(KILLS):
        await other.reached(last)
        await other.becomes("standby")
        await asyncio.sleep(5)  # it has ranked once
        last = await feed(client, 500, 1_000_000 * (kill + 1))
        leader.kill()
        killed = time.monotonic()
        at = await published(client)
        last = await feed(client, 100, 1_000_000 * (kill + 1) + 1_000)
        await until_published(client, at)
        took.append(time.monotonic() - killed)
        books = await other.reached(last)
        assert books["balanced"]
        assert books["positions"][FEEDBACK] == last
        await other.becomes("leader")
        leader.start()
        leader, other = other, leader
    print("takeovers in s:", [round(each, 1) for each in took])  # noqa: T201 - the figure
    await client.close()
    assert max(took) < PROMISED_S
