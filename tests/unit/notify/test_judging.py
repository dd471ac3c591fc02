"""Ratings from being read to being settled: what is under way, what is tried again, and how far all are."""

import asyncio
import contextlib
from dataclasses import dataclass, field

import pytest

from services.notify.application import judging
from services.notify.application.judging import Glance, Judging
from shared.events import Envelope, MessageDeadLettered
from shared.kernel.errors import PermanentError, TransientError
from shared.messaging.failure import DeadLetters, FailureHandling
from shared.messaging.positions import Mark
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.stored import NANO, StoredMessage
from shared.messaging.streams import NOTIFY_RATINGS
from tests.unit.notify.support import NOW, SetClock

STORED_NS = int(NOW.timestamp()) * NANO - 10 * NANO


def message(sequence: int) -> StoredMessage:
    return StoredMessage(
        "feedback.v1.submitted.3601.360102", b"{}", "FEEDBACK", sequence, sequence, 1, 0, STORED_NS, ""
    )


@dataclass
class Judge:
    """Judges messages; raises what `raises` has for a sequence, one by one, and waits while it is closed."""

    judged: list[int] = field(default_factory=list)
    attempts: list[int] = field(default_factory=list)
    raises: dict[int, list[Exception]] = field(default_factory=dict)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    at_once: int = 0
    most: int = 0

    def __post_init__(self) -> None:
        self.open.set()

    async def handle(self, each: StoredMessage) -> None:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await self.open.wait()
            self.attempts.append(each.sequence)
            if errors := self.raises.get(each.sequence):
                raise errors.pop(0)
            self.judged.append(each.sequence)
        finally:
            self.at_once -= 1


@dataclass
class Letters:
    """Publishes dead letters; refuses as many as `refusals`."""

    written: list[Envelope[MessageDeadLettered]] = field(default_factory=list)
    refusals: int = 0

    async def publish(
        self, envelope: Envelope[MessageDeadLettered], *, city: str = "all", county: str = "all"
    ) -> int:
        del city, county
        if self.refusals:
            self.refusals -= 1
            raise BrokerUnavailableError("away")
        self.written.append(envelope)
        return len(self.written)


class Reading:
    """A loop that reads, and what it gave to be judged."""

    def __init__(self, delays_s: tuple[float, ...] = (0.001, 0.001)) -> None:
        self.judge = Judge()
        self.letters = Letters()
        failures = FailureHandling(DeadLetters(self.letters, SetClock(NOW), "notify"), delays_s)
        self.judging = Judging(self.judge.handle, failures)
        self.judging.begin(0)

    def take(self, *sequences: int, glance: Glance = Glance.CONCERN) -> None:
        for sequence in sequences:
            self.judging.take(message(sequence), glance)

    async def until(self, settled: int) -> None:
        async with asyncio.timeout(60):
            while self.judging.settled.sequence < settled:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0)


async def test_the_position_passes_what_is_quiet_and_what_is_judged_and_waits_for_all_else() -> None:
    reading = Reading()
    reading.judge.open.clear()
    reading.take(1, glance=Glance.QUIET)
    reading.take(2, glance=Glance.OTHER)
    assert reading.judging.settled == Mark(2, STORED_NS)
    reading.take(3, 4)
    reading.take(5, glance=Glance.QUIET)
    await asyncio.sleep(0)
    assert (reading.judging.settled, reading.judging.unsettled) == (Mark(2, STORED_NS), 2)
    reading.judge.open.set()
    await reading.until(5)
    assert (reading.judge.judged, reading.judging.unsettled) == ([3, 4], 0)


async def test_what_lies_before_the_beginning_or_was_brought_already_is_not_judged() -> None:
    reading = Reading()
    reading.judging.begin(3)
    reading.take(2, 3, 4, 4, 5)
    await reading.until(5)
    assert reading.judge.judged == [4, 5]


async def test_a_failure_is_tried_again_and_holds_the_position_but_nobody_else() -> None:
    reading = Reading()
    reading.judge.raises[1] = [TransientError("later"), ValueError("a defect")]
    reading.take(1, 2)
    await reading.until(2)
    assert reading.judge.attempts.index(2) < 3, "judged while the first one waited"
    assert sorted(reading.judge.attempts) == [1, 1, 1, 2]
    assert reading.letters.written == []


async def test_between_attempts_the_position_stays_before_the_rating() -> None:
    reading = Reading(delays_s=(3600.0,))
    reading.judge.raises[2] = [TransientError("later")]
    reading.take(1, 2, 3)
    await reading.until(1)
    await asyncio.sleep(0)
    assert (reading.judging.settled.sequence, reading.judge.judged) == (1, [1, 3])
    await reading.judging.close()


async def test_what_no_retry_can_save_is_a_dead_letter_and_settled() -> None:
    reading = Reading()
    reading.judge.raises[1] = [PermanentError("broken")]
    reading.judge.raises[2] = [TransientError("later")] * 3
    reading.take(1, 2)
    await reading.until(2)
    written = {(each.data.sequence, each.data.attempts) for each in reading.letters.written}
    assert written == {(1, 1), (2, 3)}
    assert {each.data.consumer for each in reading.letters.written} == {NOTIFY_RATINGS}


async def test_a_dead_letter_that_is_not_stored_keeps_the_rating() -> None:
    reading = Reading()
    reading.letters.refusals = 2
    reading.judge.raises[1] = [PermanentError("broken")] * 3
    reading.take(1)
    await reading.until(1)
    assert (len(reading.judge.attempts), len(reading.letters.written)) == (3, 1)


async def test_trouble_of_the_infrastructure_is_never_given_up_nor_waited_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(judging, "OUTAGE_S", 0.001)
    reading = Reading(delays_s=(3600.0,))
    reading.judge.raises[1] = [BrokerUnavailableError("away") for _ in range(10)]
    reading.take(1)
    await reading.until(1)
    assert (reading.judge.judged, reading.letters.written) == ([1], [])


async def test_only_so_many_are_judged_at_once_and_beyond_some_more_nothing_is_to_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(judging, "UNSETTLED", judging.AT_WORK + 100)
    reading = Reading()
    reading.judge.open.clear()
    reading.take(*range(1, judging.AT_WORK + 100))
    assert await reading.judging.room(0.001)
    reading.take(judging.AT_WORK + 100)
    assert not await reading.judging.room(0.001)
    reading.judge.open.set()
    assert await reading.judging.room(60)
    await reading.until(judging.AT_WORK + 100)
    assert reading.judge.most == judging.AT_WORK


async def test_a_stop_waits_for_what_is_judged_and_for_no_retry() -> None:
    reading = Reading(delays_s=(3600.0,))
    reading.judge.open.clear()
    reading.judge.raises[2] = [TransientError("later")]
    reading.take(1, 2)
    await asyncio.sleep(0)
    stopping = asyncio.create_task(reading.judging.drain())
    await asyncio.sleep(0)
    reading.judge.open.set()
    async with asyncio.timeout(60):
        await stopping
    assert (reading.judge.judged, reading.judging.settled.sequence) == ([1], 1)


async def test_what_hangs_at_a_stop_is_given_up_and_not_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "DRAIN_S", 0.01)
    reading = Reading()
    reading.judge.open.clear()
    reading.take(1)
    async with asyncio.timeout(60):
        await reading.judging.drain()
    assert (reading.judge.at_once, reading.judging.settled.sequence) == (0, 0)


async def test_a_defect_of_the_policy_itself_is_told_to_whoever_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading = Reading()
    defect = RuntimeError("a defect")

    def broken(*_: object) -> None:
        raise defect

    monkeypatch.setattr(FailureHandling, "settle", broken)
    reading.judge.raises[1] = [ValueError("bad")]
    reading.take(1)
    async with asyncio.timeout(60):
        while reading.judging.defect is None:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
    assert (reading.judging.defect, reading.judging.settled.sequence) == (defect, 0)


async def test_closing_ends_also_where_judging_missed_that_it_is_to_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading = Reading()

    async def forgetful(_each: StoredMessage) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # as `wait_for` of Python 3.11 now and then does
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    monkeypatch.setattr(reading.judging, "_handle", forgetful)
    reading.take(1)
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await reading.judging.close()
