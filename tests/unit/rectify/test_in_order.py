"""Reading in order: what a reader that died had been given has its effect before it is acknowledged."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from services.rectify.entrypoints import in_order
from services.rectify.entrypoints.in_order import InOrder
from services.rectify.entrypoints.outstanding import Given
from shared.kernel.errors import PermanentError
from shared.messaging.failure import DeadLetters, FailureHandling
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.stored import StoredMessage
from shared.testing.clock import FixedClock
from shared.testing.publisher import InMemoryPublisher


def message(sequence: int, number: int = 0) -> StoredMessage:
    return StoredMessage("feedback.v1.x", b"{}", "FEEDBACK", sequence, number, 1, 0, 0, f"ack-{sequence}")


class Durable:
    """Plays reader and outstanding; everything that happens is in ``log``, in order."""

    durable = "rectify-feedback"

    def __init__(self, batches: Sequence[list[StoredMessage]], outstanding: Sequence[int] = ()) -> None:
        self.batches = list(batches)
        self.outstanding = list(outstanding)
        self.numbered = 0
        self.away = 0
        self.log: list[str] = []

    async def take(self, most: int = 0, wait_s: float = 0.0) -> list[StoredMessage]:
        del most, wait_s
        return self.batches.pop(0)

    async def acknowledge(self, message: StoredMessage) -> None:
        self.log.append(f"ack {message.sequence}")

    async def close(self) -> None:
        self.log.append("close")

    def leads(self) -> bool:
        return bool(self.batches)

    async def given(self) -> Given:
        self._answer()
        return Given(self.numbered, tuple(message(sequence) for sequence in self.outstanding))

    async def before(self, sequence: int) -> list[StoredMessage]:
        self._answer()
        return [message(each) for each in self.outstanding if each < sequence]

    def _answer(self) -> None:
        if self.away:
            self.away -= 1
            raise BrokerUnavailableError("away")

    async def handle(self, message: StoredMessage) -> None:
        self.log.append(f"effect {message.sequence}")

    async def run(self, failures: FailureHandling) -> list[str]:
        await InOrder(lambda: self, self, self.handle, failures).run(self.leads)
        return self.log


@pytest.fixture
def failures() -> FailureHandling:
    clock = FixedClock(datetime(2026, 11, 26, tzinfo=UTC))
    return FailureHandling(DeadLetters(InMemoryPublisher(), clock, "rectify"), (0.0,))


async def test_what_a_killed_reader_had_been_given_has_its_effect_at_the_start(
    failures: FailureHandling,
) -> None:
    durable = Durable([[], [message(13, number=8)]], outstanding=[10, 11, 12])
    durable.numbered = 7
    assert await durable.run(failures) == [
        "effect 10", "effect 11", "effect 12", "effect 13", "ack 13", "close",
    ]  # fmt: skip


async def test_it_does_not_wait_for_anything_new(failures: FailureHandling) -> None:
    durable = Durable([[]], outstanding=[10])
    durable.numbered = 7
    assert await durable.run(failures) == ["effect 10", "close"], "the broker gives it out again later"


async def test_a_gap_in_the_deliveries_is_made_up_for_before_anything_is_acknowledged(
    failures: FailureHandling,
) -> None:
    durable = Durable([[message(1, number=1), message(5, number=4)], []])
    durable.outstanding = []
    gap = InOrder(lambda: durable, durable, durable.handle, failures)

    async def before(sequence: int) -> list[StoredMessage]:
        durable.log.append(f"asked before {sequence}")
        return [message(2), message(3)]

    durable.before = before  # type: ignore[method-assign]  # a test's own answer
    await gap.run(durable.leads)
    assert durable.log == [
        "effect 1", "asked before 5", "effect 2", "effect 3", "effect 5", "ack 5", "close",
    ]  # fmt: skip


async def test_nothing_is_acknowledged_by_a_reader_that_stops_leading_while_the_broker_does_not_say(
    failures: FailureHandling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_order, "RETRY_S", 0.0)
    durable = Durable([[message(5, number=4)], []])
    turns = iter([True, True, True, True, False])
    asked: list[int] = []

    async def before(sequence: int) -> list[StoredMessage]:
        asked.append(sequence)
        raise BrokerUnavailableError("away")

    durable.before = before  # type: ignore[method-assign]  # a test's own answer
    await InOrder(lambda: durable, durable, durable.handle, failures).run(lambda: next(turns))
    assert (asked, durable.log) == ([5, 5], ["close"])


async def test_an_outage_at_the_start_is_waited_out(
    failures: FailureHandling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_order, "RETRY_S", 0.0)
    durable = Durable([[]], outstanding=[10])
    durable.away = 3
    assert await durable.run(failures) == ["effect 10", "close"]


async def test_what_can_never_be_handled_becomes_a_dead_letter_and_the_rest_goes_on(
    failures: FailureHandling,
) -> None:
    durable = Durable([[message(1, number=1), message(2, number=2)]])

    async def handle(message: StoredMessage) -> None:
        if message.sequence == 1:
            raise PermanentError("no event")
        durable.log.append(f"effect {message.sequence}")

    durable.handle = handle  # type: ignore[method-assign]  # a test's own handler
    assert await durable.run(failures) == ["effect 2", "ack 2", "close"]
