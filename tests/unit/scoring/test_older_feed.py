"""Closing the gap between a fold and its stream: what is folded, what is waited for, what is left out."""

import asyncio
from collections.abc import Awaitable, Sequence

import pytest

from services.scoring.application.fold import Message as FoldMessage
from services.scoring.application.older import OlderMessages
from services.scoring.application.ports import ArchivedMessage
from services.scoring.application.snapshots import anchor_of
from services.scoring.entrypoints import older as module
from services.scoring.entrypoints.older import Folded, OlderFeed
from shared.messaging.publisher import BrokerUnavailableError
from tests.unit.scoring.feedback import Message
from tests.unit.scoring.snapshot_fakes import MemoryHistory

LAST = 20


class Archive:
    """Has what it is given; away while `away`."""

    def __init__(self) -> None:
        self.messages = [ArchivedMessage(each, "s", b"%d" % each) for each in range(1, LAST + 1)]
        self.away = False

    async def read(self, after: int, most: int) -> Sequence[ArchivedMessage]:
        if self.away:
            raise BrokerUnavailableError("away")
        return [each for each in self.messages if each.sequence > after][: min(most, 6)]


class Scene:
    """A stream of twenty messages whose first ones have expired, and a fold that may begin anywhere."""

    def __init__(self, first: int, *, archive: Archive | None = None, past_holes: bool = False) -> None:
        self.history = MemoryHistory()
        self.history.messages = [Message("s", b"%d" % each, each) for each in range(1, LAST + 1)]
        self.history.first = first
        self.folded: list[int] = []
        self.pending: list[int] = []
        self.at = Folded(0, "")
        self.feed = OlderFeed(
            self.history, OlderMessages(archive), lambda: self.at, self.fold, past_holes=past_holes
        )

    async def fold(self, messages: Sequence[FoldMessage], pending: int) -> None:
        self.folded += [each.sequence for each in messages]
        self.pending.append(pending)
        self.at = Folded(messages[-1].sequence, anchor_of(messages[-1]))


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.0)
    monkeypatch.setattr(module, "BLOCKED_S", 0.0)


async def until_said(feed: OlderFeed, work: Awaitable[None], attribute: str) -> asyncio.Future[None]:
    """Let ``work`` go on until it says what keeps it."""
    task = asyncio.ensure_future(work)
    async with asyncio.timeout(5):
        while getattr(feed, attribute) is None:  # noqa: ASYNC110 - there is nothing to wait for but a turn
            await asyncio.sleep(0)
    return task


@pytest.mark.parametrize("first", [2, 13, LAST, LAST + 1])
async def test_everything_before_the_streams_first_message_is_folded_once(first: int) -> None:
    scene = Scene(first, archive=Archive())
    await scene.feed.fold_expired()
    assert scene.folded == list(range(1, first))
    assert scene.pending[-1] == LAST - first + 1, "what the stream has is still to come"


async def test_a_stream_that_has_everything_needs_no_archive() -> None:
    scene = Scene(1)
    await scene.feed.fold_expired()
    assert scene.folded == []


async def test_a_fold_goes_on_behind_its_position() -> None:
    scene = Scene(13, archive=Archive())
    scene.at = Folded(9, anchor_of(scene.history.messages[8]))
    await scene.feed.fold_expired()
    assert scene.folded == [10, 11, 12]


async def test_an_archive_that_is_away_is_waited_for_and_said() -> None:
    archive = Archive()
    archive.away = True
    scene = Scene(13, archive=archive)
    task = await until_said(scene.feed, scene.feed.fold_expired(), "waits")
    assert scene.feed.waits == "waiting for the archive: messages 1 to 12"
    archive.away = False
    await asyncio.wait_for(task, 5)
    assert scene.folded == list(range(1, 13))
    assert scene.feed.waits is None


async def test_a_hole_blocks_until_it_is_mended() -> None:
    archive = Archive()
    lost = archive.messages.pop(7)
    scene = Scene(13, archive=archive)
    task = await until_said(scene.feed, scene.feed.fold_expired(), "blocked")
    assert "messages 8 to 8 of FEEDBACK" in (scene.feed.blocked or "")
    assert max(scene.folded) < 8
    archive.messages.insert(7, lost)
    await asyncio.wait_for(task, 5)
    assert scene.folded == list(range(1, 13))
    assert scene.feed.blocked is None


async def test_an_archive_of_another_stream_is_not_folded_at_all() -> None:
    archive = Archive()
    archive.messages[12] = ArchivedMessage(13, "s", b"another")
    scene = Scene(13, archive=archive)
    task = await until_said(scene.feed, scene.feed.fold_expired(), "blocked")
    assert "another message at 13" in (scene.feed.blocked or "")
    assert scene.folded == []
    task.cancel()


async def test_a_person_may_allow_to_leave_out_what_nobody_has() -> None:
    archive = Archive()
    del archive.messages[7]
    scene = Scene(13, archive=archive, past_holes=True)
    await scene.feed.fold_expired()
    assert scene.folded == [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12]
    alone = Scene(13, past_holes=True)
    await alone.feed.fold_expired()
    assert alone.folded == []


async def test_without_an_archive_the_start_is_blocked_by_the_missing_setting() -> None:
    scene = Scene(13)
    task = await until_said(scene.feed, scene.feed.fold_expired(), "blocked")
    assert "set ARCHIVE_URL" in (scene.feed.blocked or "")
    task.cancel()


async def test_a_hole_inside_the_stream_is_filled_too() -> None:
    scene = Scene(1, archive=Archive())
    scene.at = Folded(4, anchor_of(scene.history.messages[3]))
    await scene.feed.fold_up_to(9, anchor_of(scene.history.messages[8]), 12)
    assert (scene.folded, scene.pending) == ([5, 6, 7, 8], [12])
