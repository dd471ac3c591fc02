"""A publication of several portions: no reader takes half of it for all, no crash leaves it half."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.application import publication
from services.scoring.application.portions import portions
from services.scoring.application.ports import StoreConflictError
from services.scoring.application.published import BOOKS_KEY, STREAM, PublishedBooks
from services.scoring.application.recompute import diff_lists, recompute
from shared.kernel.errors import TransientError
from tests.unit.scoring.fakes import MemoryRankingStore
from tests.unit.scoring.feedback import NOW, random_feedback
from tests.unit.scoring.publishing import RULES, UNITS, WINDOWS, Platform, good

NOTE = b"under way"
MOST = 20


def publication_of(pages: Mapping[str, int]) -> tuple[dict[str, bytes], dict[str, bytes]]:
    heads = {**dict.fromkeys(pages, b"head"), BOOKS_KEY: b"books"}
    others = {f"{key}.{number}": b"a page" for key, count in pages.items() for number in range(count)}
    return heads, {**others, "announced.3601": b"told", "announced.3602": b"told"}


@given(
    st.lists(st.integers(0, 12), max_size=30).map(
        lambda counts: {f"window.k{number}.30": count for number, count in enumerate(counts)}
    ),
    st.integers(4, 40),
    st.integers(20, 400),
)
def test_all_is_written_once_in_portions_that_fit_and_the_books_close_the_last(
    pages: dict[str, int], most_keys: int, most_bytes: int
) -> None:
    fenced, others = publication_of(pages)
    found = portions(fenced, others, NOTE, most_keys=most_keys, most_bytes=most_bytes)
    written: dict[str, bytes] = {}
    for portion in found:
        keys = [*portion.fenced, *portion.others]
        assert 0 < len(keys) <= most_keys
        own = {key: value for key, value in {**portion.others, **portion.fenced}.items() if key != BOOKS_KEY}
        assert not own.keys() & written.keys()
        written |= own
        size = sum(map(len, own.values()))
        assert size <= most_bytes or len({".".join(key.split(".")[:3]) for key in own}) == 1
        assert list(portion.fenced)[-1] == BOOKS_KEY, "the last key of each batch, which readers rely on"
        assert portion.fenced[BOOKS_KEY] == (b"books" if portion is found[-1] else NOTE)
    assert {**written, BOOKS_KEY: b"books"} == {**fenced, **others}


def test_a_list_is_divided_only_if_it_has_more_pages_than_a_portion_has_keys() -> None:
    pages = {"window.all.7": 18, "window.all.30": 20, "window.all.90": 45}
    found = portions(*publication_of(pages), NOTE, most_keys=MOST)
    where = {
        key: [
            number
            for number, portion in enumerate(found)
            if any(each.startswith(key) for each in portion.others)
        ]
        for key in pages
    }
    assert [len(places) for places in where.values()] == [1, 2, 3]
    for key, places in where.items():
        assert key in found[places[-1]].fenced


def test_what_fits_is_one_portion_as_it_is() -> None:
    fenced, others = publication_of({"window.all.7": 3})
    (portion,) = portions(fenced, others, NOTE)
    assert (portion.fenced, portion.others) == (fenced, others)


@pytest.fixture
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Portions of so few keys that a first publication of 1,188 units takes half a dozen."""
    monkeypatch.setattr(publication, "portions", partial(portions, most_keys=50))


async def crashes_after(platform: Platform, commits: int) -> bool:
    """End a publication after so many portions; False: it was complete before."""
    platform.store.commits_left = commits
    try:
        await platform.publish()
    except TransientError:
        return True
    finally:
        platform.store.commits_left = None
    return False


async def books_of(platform: Platform) -> PublishedBooks:
    found = (await MemoryRankingStore(platform.bucket).load()).books
    assert found is not None
    return found


@pytest.mark.usefixtures("small_portions")
async def test_a_crash_after_any_portion_is_mended_by_the_next_start_with_the_same_events() -> None:
    commits, events = 1, random_feedback(WINDOWS[:40], 300, seed=2)
    whole = Platform()
    whole.feed(events)
    await whole.publish()
    told = [event.message_id for event in whole.events.sent]
    while True:
        platform = Platform()
        platform.feed(events)
        if not await crashes_after(platform, commits):
            break
        assert platform.publisher.stored is None or platform.publisher.stored.lists == {}
        standing = await books_of(platform)
        assert (standing.position, standing.under_way) == (0, len(events))
        live = await platform.live()
        assert 0 < len(live) < 8 * 16, "each list that is there is whole: load checks its hash"
        platform.restart()
        await platform.publisher.load()
        assert platform.publisher.stored is None, "half a publication is not shown"
        assert await platform.publish()
        assert {event.message_id for event in platform.events.sent} == set(told)
        assert (await books_of(platform)).under_way is None
        await platform.assert_recomputable()
        commits += 1
    assert commits > 5


@pytest.mark.usefixtures("small_portions")
async def test_a_follower_and_who_leads_after_it_show_nothing_half() -> None:
    platform = Platform()
    platform.feed(random_feedback(WINDOWS[:40], 300, seed=3))
    await platform.publish()
    before = {key: found.hash for key, found in (await platform.live()).items()}
    leader, store, first = platform.publisher, platform.store, len(platform.stream)
    platform.restart()
    await platform.publisher.refresh()
    platform.feed(random_feedback(WINDOWS[:40], 300, seed=4))

    store.commits_left = 1
    with pytest.raises(TransientError):
        await leader.publish(platform.fold)

    def shown() -> Any:  # noqa: ANN401 - two values of different types
        found = platform.publisher.stored
        assert found is not None
        assert found.books is not None
        return found.books.position, {key: each.hash for key, each in found.lists.items()}

    assert {key: found.hash for key, found in (await platform.live()).items()} != before
    await platform.publisher.refresh()
    assert shown() == (first, before)
    await platform.publisher.begin_term()
    assert shown() == (first, before)
    assert platform.publisher.position == len(platform.stream), "nobody goes back behind what is under way"
    with_less = Platform()
    with_less.bucket, with_less.stream = platform.bucket, platform.stream[: first + 1]
    with_less.restart()
    assert not await with_less.publish()
    assert await platform.publish()
    position, hashes = shown()
    assert position == len(platform.stream)
    assert hashes == {key: found.hash for key, found in (await platform.live()).items()}
    await platform.assert_recomputable()


@pytest.mark.usefixtures("small_portions")
async def test_a_writer_that_was_frozen_between_two_portions_is_refused() -> None:
    platform = Platform()
    platform.feed(random_feedback(WINDOWS[:40], 300, seed=5))
    frozen, its_store = platform.publisher, platform.store
    its_store.commits_left = 1
    with pytest.raises(TransientError):
        await frozen.publish(platform.fold)
    platform.restart()
    await platform.publish()
    written = platform.bucket.last
    last = {BOOKS_KEY: b"{}"}
    with pytest.raises(StoreConflictError):
        await its_store.commit(last, {"window.all.30.0": b"{}"})
    assert platform.bucket.last == written


@pytest.mark.usefixtures("small_portions")
async def test_a_publication_goes_on_where_it_was_given_up_even_after_more_ratings() -> None:
    platform = Platform()
    platform.feed(random_feedback(WINDOWS[:40], 300, seed=6))
    assert await crashes_after(platform, 3)
    platform.feed(good(20, unit=50, first=5_000))
    assert await platform.publish()
    again = recompute(platform.stream, UNITS, RULES, NOW.date(), {STREAM: len(platform.stream)})
    assert diff_lists(await platform.live(), again) == []
