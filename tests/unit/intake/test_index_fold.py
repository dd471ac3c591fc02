import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from nats.aio.client import Client

from services.intake.adapters.sqlite_index import SqliteAcceptedIndex
from services.intake.domain.accepted import Accepted
from services.intake.entrypoints import events
from services.intake.entrypoints.events import IndexFold, keep_pruned
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.reading import HistoryChangedError
from shared.testing.clock import FixedClock
from tests.unit.intake.port_suites import accepted, revision


class NoMetrics:
    def index_lag(self, messages: int) -> None:
        """Nobody looks."""

    def index_skipped(self, messages: int) -> None:
        """Nobody looks."""


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[SqliteAcceptedIndex]:
    index = SqliteAcceptedIndex(tmp_path, "k1", horizon_days=400)
    yield index
    await index.close()


def read(_data: bytes, _sequence: int) -> Accepted | None:
    return None


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the index has no event for it
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("error", [BrokerUnavailableError("away"), HistoryChangedError("another stream")])
async def test_an_outage_makes_a_ready_index_unready_and_keeps_what_it_knows(
    index: SqliteAcceptedIndex, error: Exception
) -> None:
    asked = asyncio.Event()

    async def broken() -> Client:
        if asked.is_set():
            await asyncio.Event().wait()
        asked.set()
        raise error

    known = accepted("known", 1)
    await index.open("stream")
    index.add([known])
    index.mark_ready()
    fold = asyncio.create_task(IndexFold(index, broken, read, (), NoMetrics()).run())
    await eventually(lambda: not index.ready)
    assert index.find([known.receipt]) == {known.receipt: known}
    fold.cancel()


class EmptyReader:
    """Plays `FoldReader` on a stream without messages."""

    position = 0
    pending = 0
    caught_up = True

    def __init__(self, *_arguments: object, **_options: object) -> None:
        """Nothing to open."""

    async def take(self, _limit: int, *, wait_s: float) -> list[object]:
        del wait_s
        return []

    async def close(self) -> None:
        """Nothing to close."""


class OvertakenBroker:
    """A broker of which each answer about the stream's end is out of date when it arrives.

    While the answer travels, a publish of this process is acknowledged.
    """

    is_connected = True

    def __init__(self, index: SqliteAcceptedIndex) -> None:
        self._index = index
        self.looks = 0
        self.last = 0

    def jetstream(self, *, timeout: float) -> "OvertakenBroker":
        del timeout
        return self

    async def stream_info(self, _stream: str) -> SimpleNamespace:
        answer = SimpleNamespace(created="once", state=SimpleNamespace(last_seq=self.last))
        self.looks += 1
        if self._index.ready:
            self.last += 1
            self._index.add([accepted(f"rating-{self.last}", self.last)])
        await asyncio.sleep(0)
        return answer


async def test_acknowledgements_that_overtake_the_look_at_the_end_do_not_throw_the_index_away(
    index: SqliteAcceptedIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "FoldReader", EmptyReader)
    monkeypatch.setattr(events, "WATCH_S", 0.001)
    broker = OvertakenBroker(index)
    unready: list[int] = []
    monkeypatch.setattr(index, "mark_behind", lambda: unready.append(broker.looks))

    async def client() -> Client:
        return cast("Client", broker)

    fold = asyncio.create_task(IndexFold(index, client, read, (), NoMetrics()).run())
    await eventually(lambda: broker.last >= 5)
    fold.cancel()
    assert unready == []
    assert index.ready
    assert index.position == broker.last


class AskedBroker:
    """A broker that answers when it is told to, as nats-py hands an answer on."""

    is_connected = True

    def __init__(self) -> None:
        self.answer: asyncio.Future[SimpleNamespace] = asyncio.get_running_loop().create_future()

    def jetstream(self, *, timeout: float) -> "AskedBroker":
        del timeout
        return self

    async def stream_info(self, _stream: str) -> SimpleNamespace:
        self.answer = asyncio.get_running_loop().create_future()
        return await asyncio.wait_for(self.answer, 60)

    def tell(self) -> None:
        self.answer.set_result(SimpleNamespace(created="once", state=SimpleNamespace(last_seq=0)))


async def test_a_fold_that_is_cancelled_when_an_answer_comes_ends(
    index: SqliteAcceptedIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "FoldReader", EmptyReader)
    broker = AskedBroker()

    async def client() -> Client:
        return cast("Client", broker)

    async def asks() -> None:
        await eventually(lambda: not broker.answer.done())

    broker.answer.cancel()
    fold = asyncio.create_task(IndexFold(index, client, read, (), NoMetrics()).run())
    for _ in range(2):  # at opening and before reading
        await asks()
        broker.tell()
        await eventually(broker.answer.done)
    await asks()
    assert index.ready
    broker.tell()
    fold.cancel()  # at the same turn of the loop: Python 3.11's `wait_for` then knows of the answer only
    ended, _ = await asyncio.wait({fold}, timeout=5)
    fold.cancel()
    assert ended


async def test_what_is_beyond_the_horizon_is_forgotten_as_soon_as_the_index_is_ready(
    index: SqliteAcceptedIndex,
) -> None:
    old = accepted("old", 1)
    clock = FixedClock(old.received_at + timedelta(days=401))
    pruner = asyncio.create_task(keep_pruned(index.wait_ready, index.prune, clock))
    await asyncio.sleep(0)
    await index.open("stream")
    index.add([old])
    index.add_revisions([revision("old", 1, 2)])
    await index.flush()
    assert index.find([old.receipt])
    assert index.revisions(old.receipt)
    index.mark_ready()
    await eventually(lambda: not index.find([old.receipt]))
    assert index.revisions(old.receipt) == ()
    pruner.cancel()


async def test_revisions_are_in_the_file_together_with_the_position(tmp_path: Path) -> None:
    first = SqliteAcceptedIndex(tmp_path, "k1", horizon_days=400)
    await first.open("stream")
    written, late = revision("a", 1, 2), revision("a", 1, 3)
    first.fold([accepted("a", 1)], 2, [written])
    await first.flush()
    first.fold([], 5, [late, revision("a", 2, 4)])
    assert first.unwritten == 2
    assert first.revisions(written.receipt) == (written, revision("a", 2, 4))
    await first.close()
    second = SqliteAcceptedIndex(tmp_path, "k1", horizon_days=400)
    await second.open("stream")
    assert second.position == 5
    assert second.revisions(written.receipt) == (written, revision("a", 2, 4))
    await second.close()


async def test_a_revision_in_the_file_gives_way_to_an_earlier_one_of_the_same_number(
    index: SqliteAcceptedIndex,
) -> None:
    first, second = revision("a", 1, 2), revision("a", 1, 3)
    await index.open("stream")
    index.add_revisions([second])
    await index.flush()
    index.add_revisions([first])
    assert index.revisions(first.receipt) == (first,)
    await index.flush()
    assert index.revisions(first.receipt) == (first,)
