"""What is said to be new is new, whatever was in the log before and whoever wrote it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Sequence
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.archive.application import known_ids
from services.archive.application.known_ids import KnownIds
from services.archive.application.ports import EntryLog
from tests.support.properties import examples

FEW_BITS = 256
"""So few that many new ids seem known, and the first part is full after two."""


class Log:
    """Event ids by index; counts what it is asked for."""

    def __init__(self, ids: Sequence[str | None] = ()) -> None:
        self.ids = list(ids)
        self.asked: list[str] = []

    async def event_ids(self, first: int, end: int) -> list[str | None]:
        return self.ids[first:end]

    async def indexes_of(self, ids: Collection[str]) -> dict[str, int]:
        self.asked += ids
        return {each: self.ids.index(each) for each in ids if each in self.ids}


def known(log: Log, bits: int = 1 << 16) -> KnownIds:
    return KnownIds(cast("EntryLog", log), bits)


async def append(log: Log, ids: KnownIds, batch: Sequence[str]) -> dict[str, int]:
    """Archive ``batch`` as the sequencer does; what was found of it."""
    found = await ids.indexes_of(list(dict.fromkeys(batch)))
    log.ids += batch
    ids.added(len(log.ids), batch[-1])
    return found


@contextlib.asynccontextmanager
async def reading(ids: KnownIds) -> AsyncIterator[None]:
    """Until all of the log is known."""
    task = asyncio.create_task(ids.run())
    async with asyncio.timeout(10):
        while not ids.complete:  # noqa: ASYNC110 - a state has no event
            await asyncio.sleep(0)
    yield
    task.cancel()


async def test_an_empty_log_knows_at_once_and_is_asked_for_nothing_new() -> None:
    log = Log()
    ids = known(log)
    await ids.begin(0)
    assert await append(log, ids, ["a", "b"]) == {}
    assert await append(log, ids, ["c", "a"]) == {"a": 0}
    assert log.asked == ["a"]


async def test_everything_is_looked_up_until_the_whole_log_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_ids, "PART", 7)
    old = [f"old-{number}" for number in range(40)]
    log = Log([*old, None, old[3]])
    ids = known(log)
    await ids.begin(len(log.ids))
    assert await append(log, ids, ["new", "old-5"]) == {"old-5": 5}
    assert log.asked == ["new", "old-5"]
    async with reading(ids):
        log.asked.clear()
        fresh = [f"fresh-{number}" for number in range(40)]
        assert await append(log, ids, [*fresh, "new", "old-39"]) == {"new": 42, "old-39": 39}
        assert sorted(log.asked) == ["new", "old-39"]


async def test_what_another_process_wrote_meanwhile_is_known_before_anything_counts_as_new() -> None:
    log = Log()
    ids = known(log)
    await ids.begin(0)
    await append(log, ids, ["mine"])
    log.ids += ["theirs"]
    await ids.begin(len(log.ids))
    assert await append(log, ids, ["theirs", "mine"]) == {"theirs": 1, "mine": 0}
    async with reading(ids):
        assert await append(log, ids, ["theirs", "new"]) == {"theirs": 1}


async def test_a_log_that_outgrows_the_first_part_is_still_known_and_seldom_asked() -> None:
    log, bits = Log(), 1 << 16
    ids = known(log, bits)
    await ids.begin(0)
    first = [f"first-{number}" for number in range(int(bits * known_ids.FIRST_PART / known_ids.BITS_AN_ID))]
    more = [f"more-{number}" for number in range(3_000)]
    for batch in (first, more[:1_000], more[1_000:2_000], more[2_000:]):
        await append(log, ids, batch)
    assert len(log.asked) < 40, "of 3,300 new ones"
    log.asked.clear()
    repeated = [first[0], first[-1], more[0], more[-1]]
    assert await append(log, ids, ["new", *repeated]) == {each: log.ids.index(each) for each in repeated}


@pytest.mark.parametrize("other", [[], ["x"], ["x", "y", "z", "w"]])
async def test_another_database_in_the_place_of_the_log_is_read_from_its_beginning(other: list[str]) -> None:
    log = Log()
    ids = known(log)
    await ids.begin(0)
    await append(log, ids, ["a", "b", "c"])
    log.ids = list(other)
    await ids.begin(len(log.ids))
    assert await append(log, ids, ["w", "x"]) == {
        each: log.ids.index(each) for each in ("w", "x") if each in other
    }
    async with reading(ids):
        log.asked.clear()
        await append(log, ids, ["a", "b", "c"])
        assert log.asked == []


@examples(300)
@given(st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=8), max_size=25), st.data())
def test_no_repeat_is_ever_taken_for_new(batches: list[list[int]], data: st.DataObject) -> None:
    async def live() -> None:
        log = Log()
        ids = known(log, FEW_BITS)
        await ids.begin(0)
        for numbers in batches:
            event = data.draw(st.sampled_from(["go on", "restart", "failure", "another leads", "read"]))
            if event == "restart":
                ids = known(log, FEW_BITS)
            if event == "another leads":
                log.ids += [str(number) for number in numbers]
            if event not in {"go on", "read"}:
                await ids.begin(len(log.ids))
            if event == "read":
                async with reading(ids):
                    pass
            batch = [str(number) for number in numbers]
            expected = {each: log.ids.index(each) for each in batch if each in log.ids}
            assert await append(log, ids, batch) == expected

    asyncio.run(live())
