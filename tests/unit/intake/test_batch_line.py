"""The line of batches: bounded, nobody is starved by another, and nothing is lost when clients leave."""

import asyncio
from collections import Counter
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from services.intake.domain.admission import Refusal
from services.intake.entrypoints.batch_line import BatchLine


class Played:
    """A line of four turns, the batches in it, and who got turns in which order."""

    def __init__(self, at_once: int = 4, most_waiting: int = 32) -> None:
        self.line = BatchLine(at_once, most_waiting)
        self.at_once = at_once
        self.order: list[str] = []
        self.running: list[tuple[str, asyncio.Event]] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def send(self, credential: str, count: int = 1) -> Counter[Refusal | None]:
        """Send batches at once; how many were refused, and why."""
        refusals: Counter[Refusal | None] = Counter()
        for _ in range(count):
            refusal = self.line.refusal(credential)
            refusals[refusal] += 1
            if refusal is None:
                self.tasks.append(asyncio.create_task(self._batch(credential), name=credential))
                await asyncio.sleep(0)
        return refusals

    async def _batch(self, credential: str) -> None:
        done = asyncio.Event()
        async with self.line.turn(credential):
            self.order.append(credential)
            self.running.append((credential, done))
            try:
                await done.wait()
            finally:
                self.running.remove((credential, done))

    async def finish(self, count: int = 1) -> None:
        """End the batches that run longest, one after the other."""
        for _ in range(count):
            if self.running:
                self.running[0][1].set()
            for _ in range(3):
                await asyncio.sleep(0)

    def now(self) -> Counter[str]:
        return Counter(credential for credential, _ in self.running)


async def test_who_floods_fills_half_of_the_line_and_gets_no_more_than_a_share_while_others_wait() -> None:
    desk = Played()
    assert await desk.send("flood", 100) == {None: 19, Refusal.CHANNEL: 81}
    assert desk.now() == {"flood": 3}, "one turn is for others"
    assert await desk.send("hotline", 6) == {None: 6}
    assert desk.now() == {"flood": 3, "hotline": 1}, "however slow the bodies of the flood come"
    await desk.finish(1)
    assert desk.now() == {"flood": 2, "hotline": 2}
    await desk.finish(2)
    assert desk.now() == {"flood": 2, "hotline": 2}
    assert await desk.send("window") == {None: 1}
    await desk.finish()
    assert desk.now()["window"] == 1, "whoever has none is next"
    await desk.finish(100)
    assert Counter(desk.order) == {"flood": 19, "hotline": 6, "window": 1}
    assert desk.line.waiting == 0


async def test_the_line_is_full_for_everybody_and_then_there_is_room_again() -> None:
    desk = Played(at_once=1, most_waiting=4)
    for credential in "abc":
        await desk.send(credential, 9)
    assert desk.line.waiting == 4
    assert desk.line.refusal("new") is Refusal.FULL
    await desk.finish()
    assert desk.line.refusal("new") is None
    await desk.finish(9)
    assert desk.order == ["a", "b", "a", "b", "a"]


async def test_a_line_of_one_place_takes_one() -> None:
    desk = Played(at_once=1, most_waiting=1)
    assert await desk.send("a", 3) == {None: 2, Refusal.FULL: 1}
    await desk.finish(2)
    assert desk.order == ["a", "a"]


STEPS = st.lists(st.sampled_from(["a", "b", "c", "finish", "leave-first", "leave-last"]), max_size=60)


@settings(max_examples=100)
@given(STEPS)
def test_turns_are_never_more_nor_fewer_than_there_are_whoever_leaves(steps: list[str]) -> None:
    async def play() -> None:
        desk = Played(at_once=3, most_waiting=8)
        for step in steps:
            if step == "finish":
                for _, done in desk.running[:1]:
                    done.set()
            elif step.startswith("leave"):
                left = [task for task in desk.tasks if not task.done()]
                if left:
                    left[0 if step == "leave-first" else -1].cancel()
            else:
                await desk.send(step)
            assert len(desk.running) <= 3
            assert desk.line.waiting <= 8
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        open_tasks = [task for task in desk.tasks if not task.done()]
        wanted = Counter(task.get_name() for task in open_tasks)
        able = sum(min(count, 2) for count in wanted.values())
        assert len(desk.running) == min(3, able), "no turn is lost, none is idle but the last"
        assert max(desk.now().values(), default=0) <= 2
        assert desk.line.waiting == len(open_tasks) - len(desk.running)
        await desk.finish(len(open_tasks))
        for task in desk.tasks:
            with suppress(asyncio.CancelledError):
                await task
        assert await desk.send("a", 3) == {None: 3}
        assert desk.now() == {"a": 2}, "as in the beginning"
        await desk.finish(3)

    asyncio.run(play())
