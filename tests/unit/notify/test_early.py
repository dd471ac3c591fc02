"""Ratings that the fold has seen before their durable consumer brings them, or after."""

import asyncio
from dataclasses import dataclass, field

import pytest

from services.notify.application import early
from services.notify.application.early import EarlyRaising, Verdict
from shared.messaging.stored import StoredMessage
from tests.unit.notify.support import NOW

BAD, GOOD = 1, 5


def message(sequence: int) -> StoredMessage:
    return StoredMessage(
        "feedback.v1.submitted.3601.360102", b"", "FEEDBACK", sequence, sequence, 1, 0, 0, ""
    )


@dataclass
class Judge:
    """Handles messages; fails while it is `broken`, and waits while it is `closed`."""

    judged: list[int] = field(default_factory=list)
    broken: bool = False
    open: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.open.set()

    async def handle(self, each: StoredMessage) -> None:
        await self.open.wait()
        if self.broken:
            raise OSError("no broker")
        self.judged.append(each.sequence)


class Reading:
    """A fold that reads, and what it told `EarlyRaising`."""

    def __init__(self, *, after: int | None = 0) -> None:
        self.judge = Judge()
        self.early = EarlyRaising(lambda grade, _: grade != BAD, self.judge.handle)
        if after is not None:
            self.early.begin(after)

    def fold(self, sequence: int, grade: int) -> None:
        self.early.look(message(sequence), grade, NOW)

    async def judged(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


async def test_what_the_fold_read_is_judged_once_and_needs_no_second_look() -> None:
    reading = Reading()
    reading.fold(1, GOOD)
    reading.fold(2, BAD)
    await reading.judged()
    assert reading.judge.judged == [2]
    assert [reading.early.verdict(sequence) for sequence in (1, 2, 3)] == [
        Verdict.QUIET, Verdict.TOLD, Verdict.UNKNOWN,
    ]  # fmt: skip


async def test_history_is_left_to_the_durable_consumer() -> None:
    reading = Reading(after=None)
    reading.fold(1, BAD)
    reading.early.begin(1)
    reading.early.begin(7)
    reading.fold(2, GOOD)
    await reading.judged()
    assert reading.judge.judged == []
    assert [reading.early.verdict(sequence) for sequence in (1, 2)] == [Verdict.UNKNOWN, Verdict.QUIET]


async def test_a_failure_is_met_again_by_the_durable_consumer() -> None:
    reading = Reading()
    reading.judge.broken = True
    reading.fold(1, BAD)
    await reading.judged()
    assert reading.early.verdict(1) is Verdict.UNKNOWN
    with pytest.raises(OSError, match="no broker"):
        await reading.early.settle(message(1))
    assert reading.early.verdict(1) is Verdict.UNKNOWN, "it comes again"
    reading.judge.broken = False
    await reading.early.settle(message(1))
    assert reading.judge.judged == [1]


async def test_what_is_being_judged_is_waited_for_and_not_judged_twice() -> None:
    reading = Reading()
    reading.judge.open.clear()
    reading.fold(1, BAD)
    assert reading.early.verdict(1) is Verdict.UNKNOWN
    settled = asyncio.create_task(reading.early.settle(message(1)))
    await reading.judged()
    assert not settled.done()
    reading.judge.open.set()
    await settled
    assert reading.judge.judged == [1]


async def test_what_fails_while_it_is_waited_for_is_judged_by_whoever_waits() -> None:
    reading = Reading()
    reading.judge.open.clear()
    reading.judge.broken = True
    reading.fold(1, BAD)
    settled = asyncio.create_task(reading.early.settle(message(1)))
    await reading.judged()
    reading.judge.open.set()
    with pytest.raises(OSError, match="no broker"):
        await settled


async def test_the_durable_consumer_may_come_first() -> None:
    reading = Reading()
    await reading.early.settle(message(1))
    reading.fold(1, BAD)
    await reading.judged()
    assert reading.judge.judged == [1]


async def test_what_the_durable_consumer_could_not_store_is_not_taken_for_told_when_the_fold_comes() -> None:
    reading = Reading()
    reading.judge.broken = True
    with pytest.raises(OSError, match="no broker"):
        await reading.early.settle(message(1))
    reading.fold(1, BAD)
    await reading.judged()
    assert reading.early.verdict(1) is Verdict.UNKNOWN


async def test_what_the_fold_can_not_read_is_the_durable_consumers() -> None:
    reading = Reading()
    reading.early.leave(message(1))
    assert reading.early.verdict(1) is Verdict.UNKNOWN


async def test_more_at_once_than_may_be_is_left_to_the_durable_consumer() -> None:
    reading = Reading()
    reading.judge.open.clear()
    for sequence in range(1, early.AT_WORK + 2):
        reading.fold(sequence, BAD)
    reading.judge.open.set()
    await reading.judged()
    assert len(reading.judge.judged) == early.AT_WORK
    assert reading.early.verdict(early.AT_WORK + 1) is Verdict.UNKNOWN


async def test_what_is_never_brought_here_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early, "KEPT", 3)
    reading = Reading()
    for sequence in range(1, 6):
        reading.fold(sequence, BAD)
        await reading.judged()
    states = [reading.early.verdict(sequence) for sequence in range(1, 6)]
    assert states == [Verdict.UNKNOWN] * 4 + [Verdict.TOLD]
    assert reading.judge.judged == [1, 2, 3, 4, 5]


async def test_the_end_waits_for_nobody() -> None:
    reading = Reading()
    reading.judge.open.clear()
    reading.fold(1, BAD)
    await reading.judged()
    await reading.early.close()
    assert reading.judge.judged == []
