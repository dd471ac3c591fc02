"""Announcements on a real broker: whoever was overtaken says nothing."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from nats.aio.client import Client

from services.scoring.adapters.ranking_events import BusRankingEvents
from services.scoring.application.fold import Fold
from services.scoring.application.ports import Announcements, Revision, StoreConflictError
from services.scoring.application.published import PublishedList
from services.scoring.application.told import NOTHING, ToldList
from shared.kernel.grades import Level
from shared.messaging import direct
from shared.messaging.group_commit import GroupCommit
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.streams import RANKING
from shared.rules import load_pack
from tests.integration.scoring.support import UNITS
from tests.unit.scoring.feedback import NOW, messages, none_is_invalid, random_feedback

pytestmark = pytest.mark.integration
MADE = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)


def announcements(seed: int, *, lists: int = 8) -> Announcements:
    """What one publication says about so many lists."""
    fold = Fold(UNITS, load_pack(None, NOW.date()), NOW.date())
    fold.take(messages(random_feedback(UNITS.by_level(Level.WINDOW)[:20], 300, seed)), none_is_invalid)
    revisions = [
        Revision(PublishedList.of(found, seed, MADE), None, [0], found.items[:1])
        for found in list(fold.lists().values())[:lists]
    ]
    return Announcements(revisions, [], [], seed, "2026-11-20", "sha256:rules", MADE)


@pytest.fixture
async def commit(client: Client) -> AsyncIterator[GroupCommit]:
    made = GroupCommit(client, stream=RANKING)
    await made.start()
    yield made
    await made.stop()


async def said(client: Client) -> int:
    return (await client.jetstream().stream_info(RANKING)).state.messages


@pytest.mark.parametrize("lists", [1, 3, 8])
async def test_a_replica_that_was_overtaken_says_nothing_until_it_has_read(
    client: Client, commit: GroupCommit, lists: int
) -> None:
    frozen, other = (BusRankingEvents(commit, client, UNITS) for _ in range(2))
    await frozen.catch_up()
    await frozen.publish(announcements(1))
    await other.catch_up()
    await other.publish(announcements(2))
    before = await said(client)
    assert before == 16
    with pytest.raises(StoreConflictError):
        await frozen.publish(announcements(3, lists=lists))
    assert await said(client) == before
    await frozen.catch_up()
    await frozen.publish(announcements(3, lists=lists))
    assert await said(client) == before + lists


async def test_one_replica_may_go_on_and_says_the_same_only_once(client: Client, commit: GroupCommit) -> None:
    events = BusRankingEvents(commit, client, UNITS)
    await events.catch_up()
    for seed in (1, 2, 2, 3):
        await events.publish(announcements(seed))
    assert await said(client) == 24


@pytest.mark.parametrize("at_once", [3, 64])
async def test_what_was_told_behind_a_sequence_is_read_back(
    client: Client, commit: GroupCommit, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(direct, "READS_AT_ONCE", at_once)
    events = BusRankingEvents(commit, client, UNITS)
    assert await events.told_since(0) == NOTHING
    await events.catch_up()
    first, second = announcements(1), announcements(2, lists=5)
    last = await events.publish(first)
    assert last == 8
    assert await events.publish(second) == 13
    told = await events.told_since(last)
    assert (told.last, set(told.lists)) == (13, {each.list.key for each in second.revisions})
    for each in second.revisions:
        named = frozenset({each.list.rows[0].unit_id})
        assert told.lists[each.list.key] == ToldList(each.list.hash, named, named=named)
    assert len((await events.told_since(0)).lists) == len(first.revisions)
    assert await events.told_since(13) == NOTHING
    assert await events.told_since(4000) == NOTHING, "the stream may have been made anew"


async def test_without_a_broker_catching_up_says_so(client: Client, commit: GroupCommit) -> None:
    events = BusRankingEvents(commit, client, UNITS)
    await client.close()
    with pytest.raises(BrokerUnavailableError):
        await events.catch_up()
    with pytest.raises(BrokerUnavailableError):
        await events.told_since(0)
