"""What every `RankingStore` does, the one in memory and the bucket; run by a test module for each."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from services.scoring.application.fold import Fold
from services.scoring.application.ports import RankingStore, StoreConflictError
from services.scoring.application.published import (
    BOOKS_KEY,
    PublishedBooks,
    PublishedList,
    encode_announced,
)
from services.scoring.domain.announcements import Announced
from services.scoring.domain.books import Books
from shared.kernel.errors import InvalidValueError
from shared.kernel.grades import Level
from shared.kernel.units import load_units
from shared.rules import load_pack
from tests.unit.scoring.feedback import NOW, messages, none_is_invalid, random_feedback

UNITS = load_units()
MakeStore = Callable[[], RankingStore]


def computed(seed: int) -> PublishedList:
    """A list with ratings in it, of three pages."""
    fold = Fold(UNITS, load_pack(None, NOW.date()), NOW.date())
    fold.take(messages(random_feedback(UNITS.by_level(Level.WINDOW)[:30], 600, seed)), none_is_invalid)
    return PublishedList.of(fold.lists()["window.all.30"], seed, datetime(2026, 11, 20, tzinfo=UTC))


def books(position: int) -> bytes:
    return PublishedBooks(Books(accepted=3, counted=2, replaced=1, late=0), position, "now").encode()


class RankingStoreSuite:
    """Subclasses give the fixture `make_store`: each call gives one more store on the same, new bucket."""

    async def test_an_empty_store_has_nothing(self, make_store: MakeStore) -> None:
        stored = await make_store().load()
        assert (stored.lists, stored.books, stored.announced) == ({}, None, {})

    async def test_what_was_committed_is_loaded_again(self, make_store: MakeStore) -> None:
        store, found = make_store(), computed(1)
        heads, pages = found.entries(None)
        assert len(pages) == 3
        await store.load()
        await store.commit(
            {**heads, BOOKS_KEY: books(1)},
            {**pages, "announced.3601": encode_announced({"U000013": Announced(1, 2, 3.5, "below")})},
        )
        again = await make_store().load()
        assert again.lists["window.all.30"].canonical() == found.canonical()
        assert again.lists["window.all.30"].hash == found.computed_hash()
        assert again.books is not None
        assert (again.books.position, again.books.books.replaced) == (1, 1)
        assert again.announced == {"U000013": Announced(1, 2, 3.5, "below")}

    async def test_one_writer_may_go_on_committing(self, make_store: MakeStore) -> None:
        store = make_store()
        await store.load()
        before: PublishedList | None = None
        for seed in (1, 2, 3):
            found = computed(seed)
            await store.commit(*found.entries(before))
            before = found
        assert before is not None
        assert (await make_store().load()).lists["window.all.30"].canonical() == before.canonical()

    async def test_a_second_writer_is_refused_as_a_whole_until_it_has_read(
        self, make_store: MakeStore
    ) -> None:
        first, second = make_store(), make_store()
        await first.load()
        await second.load()
        await first.commit({BOOKS_KEY: books(5)}, {})
        with pytest.raises(StoreConflictError):
            await second.commit(
                {BOOKS_KEY: books(4)}, {"announced.3602": encode_announced({"U000014": Announced(1)})}
            )
        stored = await second.load()
        assert stored.books is not None
        assert stored.books.position == 5
        assert stored.announced == {}
        await second.commit({BOOKS_KEY: books(6)}, {})

    async def test_a_commit_always_has_a_fence(self, make_store: MakeStore) -> None:
        store = make_store()
        await store.load()
        with pytest.raises(InvalidValueError, match="fenced"):
            await store.commit({}, {"announced.3602": encode_announced({"U000014": Announced(1)})})
        assert (await make_store().load()).announced == {}

    async def test_a_follower_reads_only_what_was_written_since(self, make_store: MakeStore) -> None:
        leader, follower = make_store(), make_store()
        await leader.load()
        known = await follower.load()
        assert await follower.refresh(known) is known
        first, second = computed(1), computed(2)
        heads, pages = first.entries(None)
        await leader.commit({**heads, BOOKS_KEY: books(1)}, pages)
        known = await follower.refresh(known)
        assert known.lists["window.all.30"].canonical() == first.canonical()
        kept = known.lists["window.all.30"]
        await leader.commit(
            {BOOKS_KEY: books(2)}, {"announced.3601": encode_announced({"U000013": Announced(1)})}
        )
        known = await follower.refresh(known)
        assert known.books is not None
        assert (known.books.position, known.announced) == (2, {"U000013": Announced(1)})
        assert known.lists["window.all.30"].canonical() == kept.canonical()
        await leader.commit(*second.entries(first))
        known = await follower.refresh(known)
        assert known.lists["window.all.30"].canonical() == second.canonical()
        assert known.lists["window.all.30"].hash == second.computed_hash()

    async def test_a_list_that_was_deleted_is_there_no_more_and_may_come_back(
        self, make_store: MakeStore
    ) -> None:
        leader, follower, late = make_store(), make_store(), make_store()
        await leader.load()
        known, _ = await follower.load(), await late.load()
        found = computed(1)
        heads, pages = found.entries(None)
        await leader.commit({**heads, BOOKS_KEY: books(1)}, pages)
        known = await follower.refresh(known)
        await late.load()
        await leader.commit({"window.all.30": b"", BOOKS_KEY: books(2)}, dict.fromkeys(pages, b""))
        for stored in (await follower.refresh(known), await make_store().load()):
            assert (stored.lists, stored.withdrawn) == ({}, frozenset({"window.all.30"}))
            assert stored.books is not None
            assert stored.books.position == 2
        with pytest.raises(StoreConflictError):
            await late.commit(heads, pages)
        await follower.commit({**heads, BOOKS_KEY: books(3)}, pages)
        for stored in (await leader.refresh(known), await make_store().load()):
            assert stored.lists["window.all.30"].canonical() == found.canonical()
            assert not stored.withdrawn

    async def test_of_a_unit_that_moved_to_another_city_the_last_announcement_is_loaded(
        self, make_store: MakeStore
    ) -> None:
        store = make_store()
        await store.load()
        pages = {
            "announced.3601": {"U000013": Announced(2, 2, 3.5, "below"), "U000014": Announced(5)},
            "announced.3607": {"U000013": Announced(1, 9, 1.5, "below"), "U000014": Announced(7)},
        }
        await store.commit(
            {BOOKS_KEY: books(1)}, {key: encode_announced(page) for key, page in pages.items()}
        )
        assert (await make_store().load()).announced == {
            "U000013": Announced(2, 2, 3.5, "below"), "U000014": Announced(7),
        }  # fmt: skip

    async def test_a_follower_that_has_read_may_go_on_writing(self, make_store: MakeStore) -> None:
        leader, follower = make_store(), make_store()
        await leader.load()
        known = await follower.load()
        await leader.commit({BOOKS_KEY: books(1)}, {})
        await follower.refresh(known)
        await follower.commit({BOOKS_KEY: books(2)}, {})
        with pytest.raises(StoreConflictError):
            await leader.commit({BOOKS_KEY: books(3)}, {})
