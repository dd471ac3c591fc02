"""The bucket on a real broker does what every store does; and reading it list by list."""

import pytest
from nats.aio.client import Client
from nats.js.errors import KeyNotFoundError

from services.scoring.adapters.nats_ranking_store import (
    PREFIX,
    NatsRankingStore,
    StoreUnavailableError,
    read_all_lists,
    read_books,
    read_list,
)
from services.scoring.application.ports import RankingStore
from shared.kernel.errors import NotFoundError
from shared.messaging.streams import RANKINGS_BUCKET
from tests.unit.scoring.store_suite import MakeStore, RankingStoreSuite, computed

pytestmark = pytest.mark.integration


class TestNatsRankingStore(RankingStoreSuite):
    @pytest.fixture
    def make_store(self, client: Client) -> MakeStore:
        def make() -> RankingStore:
            return NatsRankingStore(client)

        return make


async def test_a_list_is_read_whole_by_its_key(client: Client) -> None:
    store, found = NatsRankingStore(client), computed(1)
    await store.load()
    await store.commit(*found.entries(None))
    assert (await read_list(client, "window.all.30")).canonical() == found.canonical()
    assert list(await read_all_lists(client)) == ["window.all.30"]


async def test_a_list_that_is_not_there_says_how_keys_look(client: Client) -> None:
    with pytest.raises(NotFoundError, match=r"window\.marriage\.30"):
        await read_list(client, "window.nothing.30")
    assert await read_all_lists(client) == {}
    assert await read_books(client) is None


async def test_a_page_that_does_not_belong_to_its_head_is_never_shown(client: Client) -> None:
    store, found = NatsRankingStore(client), computed(1)
    await store.load()
    await store.commit(*found.entries(None))
    await client.jetstream().publish(f"{PREFIX}window.all.30.0", computed(2).pages[0])
    with pytest.raises(StoreUnavailableError):
        await read_list(client, "window.all.30")


async def test_content_that_nobody_can_read_is_left_out_and_written_anew(client: Client) -> None:
    store, found = NatsRankingStore(client), computed(1)
    for key in ("window.all.30", "books", "announced.3601"):
        await client.jetstream().publish(PREFIX + key, b"not ours")
    stored = await store.load()
    assert (stored.lists, stored.books, stored.announced) == ({}, None, {})
    await store.commit(*found.entries(None))
    assert (await read_list(client, "window.all.30")).canonical() == found.canonical()


async def test_a_follower_that_reads_half_a_publication_reads_all_of_it_anew(client: Client) -> None:
    leader, follower, found = NatsRankingStore(client), NatsRankingStore(client), computed(1)
    await leader.load()
    await leader.commit(*found.entries(None))
    known = await follower.load()
    await client.jetstream().publish(f"{PREFIX}window.all.30.0", computed(2).pages[0])
    again = await follower.refresh(known)
    assert again.lists == {}, "left out, to be published anew"
    await follower.commit(*found.entries(None))
    assert (await follower.refresh(again)).lists == {}, "what we wrote ourselves is no news"
    assert (await read_list(client, "window.all.30")).canonical() == found.canonical()


async def test_a_deleted_list_is_deleted_to_any_client_of_key_value_buckets(client: Client) -> None:
    store, found = NatsRankingStore(client), computed(1)
    await store.load()
    heads, pages = found.entries(None)
    await store.commit(heads, pages)
    bucket = await client.jetstream().key_value(RANKINGS_BUCKET)
    assert (await bucket.get("window.all.30")).value == heads["window.all.30"]
    await store.commit({"window.all.30": b""}, dict.fromkeys(pages, b""))
    with pytest.raises(KeyNotFoundError):
        await bucket.get("window.all.30")
    with pytest.raises(NotFoundError):
        await read_list(client, "window.all.30")
    assert await read_all_lists(client) == {}
    await store.commit(heads, pages)
    assert (await read_list(client, "window.all.30")).canonical() == found.canonical()
