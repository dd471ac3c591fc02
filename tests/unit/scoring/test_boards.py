"""Live boards without a broker: what is told to whom, and when it ends."""

import asyncio
from dataclasses import replace
from datetime import date

import pytest

from services.scoring.application.boards import Boards, BoardsFullError, Told
from services.scoring.application.handlers import not_caught_up
from services.scoring.application.published import PublishedList, StoredRankings
from services.scoring.domain.lists import Row
from services.scoring.entrypoints.stream import to_event
from shared.kernel.errors import NotFoundError
from shared.observability.health import Health
from tests.unit.scoring.serving import stored

KEY = "window.all.30"


class Published:
    """What stands in the bucket, revised by hand."""

    def __init__(self) -> None:
        self.now = stored()
        self.ready = True
        self.boards = Boards(self.read, 2)

    def read(self) -> StoredRankings:
        if not self.ready:
            raise not_caught_up("folding")
        return self.now

    def revise(self, number: int, rows: list[Row]) -> PublishedList:
        """Publish other rows under a hash of their own."""
        before = self.now.lists[KEY]
        after = PublishedList({**before.head, "list_hash": f"sha256:{number}"}, rows, ())
        self.now = replace(self.now, lists={**self.now.lists, KEY: after})
        self.boards.tell()
        return after


def moved(rows: list[Row], count: int, score: float) -> list[Row]:
    return [row._replace(score=score) if place < count else row for place, row in enumerate(rows)]


async def following(boards: Boards, known: str | None = None) -> "asyncio.Queue[Told]":
    """What somebody is told who reads at once."""
    told: asyncio.Queue[Told] = asyncio.Queue()
    found = boards.find(KEY)

    async def read() -> None:
        async for each in boards.follow(found, known):
            told.put_nowait(each)

    task = asyncio.create_task(read())
    TASKS.add(task)
    task.add_done_callback(TASKS.discard)
    await asyncio.sleep(0)
    return told


TASKS: set["asyncio.Task[None]"] = set()


async def test_a_board_begins_with_the_list_and_goes_on_with_each_revision() -> None:
    published = Published()
    told = await following(published.boards)
    first = await told.get()
    assert (first.event, first.list.hash, first.rows) == ("list", stored().lists[KEY].hash, ())
    rows = list(first.list.rows)
    published.revise(1, moved(rows, 3, 1.0))
    second = await asyncio.wait_for(told.get(), 20)
    assert (second.event, second.list.hash, second.truncated) == ("revised", "sha256:1", False)
    assert [row.unit_id for row in second.rows] == [row.unit_id for row in rows[:3]]
    published.boards.tell()
    await asyncio.sleep(0.01)
    assert told.empty()
    published.boards.close()


async def test_who_knows_the_list_is_told_nothing_before_it_changes() -> None:
    published = Published()
    told = await following(published.boards, stored().lists[KEY].hash)
    assert told.empty()
    published.revise(1, moved(list(stored().lists[KEY].rows), 1, 2.0))
    assert (await asyncio.wait_for(told.get(), 20)).event == "revised"
    assert (await (await following(published.boards, "sha256:old")).get()).event == "list"
    published.boards.close()


async def test_who_is_slow_is_told_only_the_newest_state_with_all_that_changed() -> None:
    published = Published()
    board = published.boards.follow(published.boards.find(KEY), None)
    assert (await anext(board)).event == "list"
    rows = list(stored().lists[KEY].rows)
    for number in range(1, 50):
        rows = moved(rows, 1, float(number)) if number % 2 else [rows[0], *moved(rows[1:], 1, float(number))]
        published.revise(number, rows)
    told = await anext(board)
    assert told.list.hash == "sha256:49"
    assert [row.score for row in told.rows] == [49.0, 48.0]
    published.boards.close()
    assert [each async for each in board] == []


@pytest.mark.parametrize(("changed", "truncated"), [(100, False), (101, True)])
async def test_a_revision_of_many_rows_says_that_the_list_is_to_be_read(
    changed: int,
    truncated: bool,  # noqa: FBT001 - table-driven
) -> None:
    published = Published()
    board = published.boards.follow(published.boards.find(KEY), stored().lists[KEY].hash)
    published.revise(1, moved(list(stored().lists[KEY].rows), changed, 3.0))
    told = await anext(board)
    assert (told.truncated, len(told.rows)) == (truncated, 0 if truncated else 100)


async def test_a_row_that_is_gone_says_that_the_list_is_to_be_read() -> None:
    published = Published()
    board = published.boards.follow(published.boards.find(KEY), stored().lists[KEY].hash)
    published.revise(1, list(stored().lists[KEY].rows)[1:])
    assert (await anext(board)).truncated


async def test_seats_are_bounded_and_given_back() -> None:
    boards = Published().boards
    with boards.seat(), boards.seat():
        assert boards.following == 2
        with pytest.raises(BoardsFullError) as caught, boards.seat():
            raise AssertionError
        assert caught.value.retry_after_s
    assert boards.following == 0
    boards.close()
    with pytest.raises(BoardsFullError), boards.seat():
        raise AssertionError


async def test_an_unknown_list_has_no_board() -> None:
    with pytest.raises(NotFoundError, match="city"):
        Published().boards.find("street.all.30")


async def test_a_replica_that_folds_anew_keeps_its_boards_and_tells_them_later() -> None:
    published = Published()
    told = await following(published.boards)
    await told.get()
    published.ready = False
    published.boards.tell()
    await asyncio.sleep(0.01)
    assert told.empty()
    published.ready = True
    published.revise(1, moved(list(stored().lists[KEY].rows), 1, 4.0))
    assert (await asyncio.wait_for(told.get(), 20)).list.hash == "sha256:1"
    published.boards.close()


async def test_a_list_that_closes_is_told_though_no_row_moved() -> None:
    published = Published()
    before = published.now.lists[KEY]
    told = await following(published.boards, before.version)
    closed = before.closed(date(2026, 11, 30), before.hash, 0, 7)
    for state in (closed, closed.missing(8)):
        published.now = replace(published.now, lists={**published.now.lists, KEY: state})
        published.boards.tell()
        found = await asyncio.wait_for(told.get(), 20)
        assert (found.event, list(found.rows), found.truncated) == ("revised", [], False)
        assert '"closed_on":"2026-11-30"' in (to_event(found).raw_data or "")
        assert to_event(found).id == state.version != before.hash
    known = await following(published.boards, closed.missing(8).version)
    assert known.empty()
    assert (await (await following(published.boards, before.hash)).get()).event == "list"
    published.boards.close()


async def test_draining_lets_every_board_go() -> None:
    published, health = Published(), Health()
    health.on_draining(published.boards.close)
    board = published.boards.follow(published.boards.find(KEY), None)
    await anext(board)
    waiting = asyncio.ensure_future(anext(board, None))
    await asyncio.sleep(0)
    health.draining()
    health.draining()
    assert await asyncio.wait_for(waiting, 20) is None


def test_an_event_carries_the_head_without_what_boards_do_without_and_the_hash_as_its_id() -> None:
    found = stored().lists[KEY]
    event = to_event(Told("list", found, found.rows[:2], truncated=False))
    assert (event.event, event.id) == ("list", found.hash)
    assert event.raw_data is not None
    assert "\n" not in event.raw_data
    assert '"priors"' not in event.raw_data
    assert f'"unit_id":"{found.rows[0].unit_id}"' in event.raw_data


async def test_a_list_that_is_there_no_more_ends_its_board() -> None:
    published = Published()
    board = published.boards.follow(published.boards.find(KEY), stored().lists[KEY].hash)
    published.now = replace(
        published.now, lists={key: found for key, found in published.now.lists.items() if key != KEY}
    )
    published.boards.tell()
    told = [each async for each in board]
    assert [(each.event, each.list.key, each.rows) for each in told] == [("withdrawn", KEY, ())]
    assert to_event(told[0]).event == "withdrawn"
    with pytest.raises(NotFoundError):
        published.boards.find(KEY)
