"""However many batches there are, a turn of the event loop has one slice of work, and each gets its turn."""

import asyncio
from collections import Counter

import pytest

from services.intake.application import slices
from services.intake.application.slices import Slices

STEPS_IN_A_SLICE = 4


class Clock:
    """Each look takes half a millisecond."""

    now = 0.0

    def __call__(self) -> float:
        self.now += slices.SLICE_S / STEPS_IN_A_SLICE
        return self.now


async def test_a_turn_has_one_slice_and_nobody_waits_longer_than_for_one_of_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slices, "monotonic", Clock())
    line, turns, done = Slices(), 0, Counter[str]()
    began: list[tuple[int, str]] = []

    async def batch(name: str) -> None:
        async with line.work() as work:
            began.append((turns, name))
            for _ in range(40):
                if work.over:
                    await work.others()
                    began.append((turns, name))
                done[name] += 1

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(turn())
    await asyncio.gather(*(batch(name) for name in "abc"))
    counting.cancel()
    assert done == {"a": 40, "b": 40, "c": 40}
    assert max(Counter(when for when, _ in began).values()) == 1
    assert len(began) > 20
    order = [name for _, name in began]
    middle = order[3:-6]  # all have begun and none is done
    assert all(set(middle[place : place + 3]) == set("abc") for place in range(len(middle) - 2))


async def test_who_gives_up_takes_nobodys_turn_along() -> None:
    line = Slices()
    began = asyncio.Event()

    async def batch() -> None:
        async with line.work() as work:
            began.set()
            while True:
                await work.others()

    first, waiting = asyncio.create_task(batch()), asyncio.create_task(batch())
    await began.wait()
    for each in (waiting, first):
        each.cancel()
    await asyncio.gather(first, waiting, return_exceptions=True)
    async with asyncio.timeout(20), line.work() as work:
        await work.others()

    with pytest.raises(ZeroDivisionError):
        async with line.work():
            raise ZeroDivisionError
    async with asyncio.timeout(20), line.work():
        pass
