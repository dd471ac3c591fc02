import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from nats.aio.client import Client

from services.intake.adapters.sqlite_index import SqliteAcceptedIndex
from services.intake.domain.accepted import Accepted
from services.intake.entrypoints.events import IndexFold, keep_pruned
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.reading import HistoryChangedError
from shared.testing.clock import FixedClock
from tests.unit.intake.port_suites import accepted


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
    fold = asyncio.create_task(IndexFold(index, broken, read, NoMetrics()).run())
    await eventually(lambda: not index.ready)
    assert index.find([known.receipt]) == {known.receipt: known}
    fold.cancel()


async def test_what_is_beyond_the_horizon_is_forgotten_as_soon_as_the_index_is_ready(
    index: SqliteAcceptedIndex,
) -> None:
    old = accepted("old", 1)
    clock = FixedClock(old.received_at + timedelta(days=401))
    pruner = asyncio.create_task(keep_pruned(index.wait_ready, index.prune, clock))
    await asyncio.sleep(0)
    await index.open("stream")
    index.add([old])
    await index.flush()
    assert index.find([old.receipt])
    index.mark_ready()
    await eventually(lambda: not index.find([old.receipt]))
    pruner.cancel()
