"""Twenty thousand units and ten spans on a real broker: more keys than one batch takes."""

import asyncio
from datetime import date, datetime
from datetime import time as clock_time
from typing import Any, Final, cast

import pytest
from nats.aio.client import Client

from deploy.local.embedded import NatsServer
from services.scoring.adapters.nats_ranking_store import (
    NatsRankingStore,
    StoreUnavailableError,
    read_all_lists,
    read_books,
)
from services.scoring.adapters.ranking_events import BusRankingEvents
from services.scoring.application.fold import Fold
from services.scoring.application.ports import MOST_KEYS
from services.scoring.application.publication import Publisher
from shared.kernel.clock import SHANGHAI
from shared.kernel.units import UnitRegistry
from shared.messaging.connection import BrokerSettings, connect
from shared.messaging.group_commit import GroupCommit
from shared.messaging.streams import FEEDBACK
from shared.rules import load_pack
from tests.bench.fold_events import registry_of, stored_events, windows_of
from tests.integration.scoring.support import LISTS
from tests.unit.scoring.fakes import Measured, SettableClock
from tests.unit.scoring.feedback import none_is_invalid

pytestmark = pytest.mark.integration
UNITS: Final = 20_000
DAY: Final = date(2027, 1, 15)
"""Two months, two quarters and two years are open beside the four windows."""
SPANS: Final = 10


class Dying:
    """The connection of a process that dies in the middle of its second batch, of which no end is sent."""

    def __init__(self, client: Client, publishes: int) -> None:
        self._client = client
        self._publishes = publishes

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the connection has
        return getattr(self._client, name)

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> None:
        self._publishes -= 1
        if self._publishes < 0:
            raise ConnectionAbortedError("killed")
        await self._client.publish(subject, payload, headers=headers)


def publisher(
    client: Client, commit: GroupCommit, registry: UnitRegistry, *, dies: int | None = None
) -> Publisher:
    """One replica's; after ``dies`` messages to the bucket its connection is gone."""
    store = NatsRankingStore(client if dies is None else cast("Client", Dying(client, dies)))
    noon = datetime.combine(DAY, clock_time(12), SHANGHAI)
    events = BusRankingEvents(commit, client, registry)
    return Publisher(store, events, registry, SettableClock(noon), Measured())


async def test_a_publication_of_more_keys_than_a_batch_survives_a_kill_between_its_batches(
    client: Client, nats_server: NatsServer
) -> None:
    registry, rules = registry_of(UNITS), load_pack(None, DAY)
    fold = Fold(registry, rules, DAY)
    rated = windows_of(registry)[:3000]
    await asyncio.to_thread(fold.take, list(stored_events(rated, 40_000)), none_is_invalid)
    expected = {key: found.hash for key, found in (await asyncio.to_thread(fold.lists)).items()}
    assert len(expected) == LISTS * SPANS
    commit = GroupCommit(client, stream="RANKING", max_queued=100_000)
    await commit.start()
    try:
        doomed = await connect(BrokerSettings(nats_url=nats_server.url), "doomed")
        with pytest.raises(StoreUnavailableError):
            await publisher(doomed, commit, registry, dies=MOST_KEYS + 50).publish(fold)
        await doomed.close()

        books, standing = await read_books(client), await read_all_lists(client)
        assert books is not None
        assert (books.position, books.under_way) == (0, fold.position)
        assert 0 < len(standing) < len(expected)
        assert {key: found.hash for key, found in standing.items()}.items() <= expected.items()

        again = publisher(client, commit, registry)
        await again.load()
        assert again.stored is None
        assert await again.publish(fold)
        follower = publisher(client, commit, registry)
        await follower.load()
        assert follower.stored is not None
        assert follower.stored.books is not None
        assert follower.stored.books.document()["positions"] == {FEEDBACK: fold.position}
        assert {key: found.computed_hash() for key, found in follower.stored.lists.items()} == expected
        assert not await again.publish(fold)
    finally:
        await commit.stop()
    keys = len(follower.stored.lists) + sum(found.head["pages"] for found in follower.stored.lists.values())
    assert keys > MOST_KEYS
