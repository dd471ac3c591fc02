import asyncio
from collections.abc import Sequence

import pytest

from services.intake.application.accepting import Acceptor
from services.intake.application.errors import IndexNotReadyError
from services.intake.application.prepared import Prepared
from services.intake.domain.accepted import Outcome, Verdict
from services.intake.domain.submission import Contact
from shared.kernel.errors import TransientError
from shared.messaging.group_commit import Outgoing, Stored
from shared.messaging.publisher import BrokerUnavailableError
from tests.unit.intake.fakes import CountingTally, MemoryFeedbackLog, MemoryIndex, MemoryVault
from tests.unit.intake.port_suites import PSEUDONYMS, SEALER, UNITS, prepared, sealed


class SlowLog(MemoryFeedbackLog):
    """Stores only after `go`."""

    def __init__(self) -> None:
        super().__init__(PSEUDONYMS)
        self.go = asyncio.Event()

    async def append(self, messages: Sequence[Outgoing]) -> list[Stored]:
        await self.go.wait()
        return await super().append(messages)


class FailingLog(MemoryFeedbackLog):
    """Its first `failures` appends fail; what they held is stored nevertheless if `stores`."""

    def __init__(self, failures: int, *, stores: bool) -> None:
        super().__init__(PSEUDONYMS)
        self._failures = failures
        self._stores = stores

    async def append(self, messages: Sequence[Outgoing]) -> list[Stored]:
        await asyncio.sleep(0)  # as over a network: others may join
        if self._failures > 0:
            self._failures -= 1
            if self._stores:
                await super().append(messages)
            raise BrokerUnavailableError("no answer")
        return await super().append(messages)


class RepeatingLog(MemoryFeedbackLog):
    """Sends everything twice, as group commit does when the answer to a batch was unclear."""

    async def append(self, messages: Sequence[Outgoing]) -> list[Stored]:
        await super().append(messages)
        return await super().append(messages)


class Desk:
    """An acceptor on fakes."""

    def __init__(self, log: MemoryFeedbackLog | None = None) -> None:
        self.log = log or MemoryFeedbackLog(PSEUDONYMS)
        self.vault, self.index, self.tally = MemoryVault(), MemoryIndex(), CountingTally()
        self.acceptor = self.replica()

    def replica(self, index: MemoryIndex | None = None) -> Acceptor:
        return Acceptor(
            log=self.log,
            vault=self.vault,
            sealer=SEALER,
            index=index or self.index,
            pseudonyms=PSEUDONYMS,
            units=UNITS,
            tally=self.tally,
        )

    async def accept(self, *ratings: Prepared) -> list[Outcome]:
        return await self.acceptor.accept(ratings)

    @property
    def subjects(self) -> list[str]:
        return [message.subject.split(".")[2] for message in self.log.messages]


def verdicts(outcomes: Sequence[Outcome]) -> list[Verdict]:
    return [outcome.verdict for outcome in outcomes]


async def test_a_rating_is_stored_once_however_often_it_comes() -> None:
    desk = Desk()
    first = await desk.accept(prepared())
    again = await desk.accept(prepared())
    assert verdicts(first + again) == [Verdict.ACCEPTED, Verdict.DUPLICATE]
    assert first[0].accepted == again[0].accepted
    assert desk.subjects == ["submitted"]
    assert desk.tally.counts == {"accepted": 1, "duplicate": 1}


async def test_ratings_without_a_key_are_each_a_rating() -> None:
    desk = Desk()
    assert verdicts(await desk.accept(prepared(None), prepared(None))) == [Verdict.ACCEPTED] * 2
    assert desk.subjects == ["submitted", "submitted"]


async def test_other_content_under_a_used_key_is_a_conflict_and_reported_once() -> None:
    desk = Desk()
    await desk.accept(prepared())
    for _ in range(2):
        assert verdicts(await desk.accept(prepared(grade=1))) == [Verdict.CONFLICT]
    assert desk.subjects == ["submitted", "conflicted"]
    assert desk.tally.counts == {"accepted": 1, "conflict": 2}


async def test_repeats_within_one_call_are_answered_in_their_places() -> None:
    desk = Desk()
    outcomes = await desk.accept(prepared("a"), prepared("b"), prepared("a"), prepared("a", grade=1))
    assert verdicts(outcomes) == [Verdict.ACCEPTED, Verdict.ACCEPTED, Verdict.DUPLICATE, Verdict.CONFLICT]
    assert desk.subjects == ["submitted", "submitted", "conflicted"]


async def test_requests_under_way_with_one_key_share_one_publish() -> None:
    log = SlowLog()
    desk = Desk(log)
    calls = [asyncio.create_task(desk.accept(prepared())) for _ in range(5)]
    await asyncio.sleep(0)
    log.go.set()
    outcomes = [outcome for call in calls for outcome in await call]
    assert sorted(verdicts(outcomes)) == [Verdict.ACCEPTED] + [Verdict.DUPLICATE] * 4
    assert len(log.messages) == 1


async def test_one_caller_that_gives_up_does_not_fail_the_others() -> None:
    log = SlowLog()
    desk = Desk(log)
    first = asyncio.create_task(desk.accept(prepared()))
    await asyncio.sleep(0)
    leaving, staying = (asyncio.create_task(desk.accept(prepared())) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.sleep(0)
    log.go.set()
    assert verdicts(await first + await staying) == [Verdict.ACCEPTED, Verdict.DUPLICATE]


async def test_a_failed_publish_fails_everybody_who_joined_and_can_be_repeated() -> None:
    desk = Desk(FailingLog(1, stores=False))
    answers = await asyncio.gather(desk.accept(prepared()), desk.accept(prepared()), return_exceptions=True)
    assert [type(answer) for answer in answers] == [BrokerUnavailableError] * 2
    assert verdicts(await desk.accept(prepared())) == [Verdict.ACCEPTED]


async def test_a_caller_that_is_cancelled_tells_who_joined_to_send_again() -> None:
    desk = Desk(SlowLog())
    first = asyncio.create_task(desk.accept(prepared()))
    await asyncio.sleep(0)
    joined = asyncio.create_task(desk.accept(prepared()))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(TransientError, match="send it again"):
        await joined


async def test_a_repeat_after_an_unclear_answer_is_recognised_and_the_text_can_be_opened() -> None:
    desk = Desk(FailingLog(1, stores=True))
    with pytest.raises(BrokerUnavailableError):
        await desk.accept(prepared(text="很好"))
    (kept,) = desk.vault.records
    assert verdicts(await desk.accept(prepared(text="很好"))) == [Verdict.DUPLICATE]
    assert list(desk.vault.records) == [kept]
    assert (await desk.log.read(1)).record_id == kept


@pytest.mark.parametrize(
    ("text", "contact"), [("很好", None), (None, Contact(phone="13812345678"))], ids=["text", "contact"]
)
async def test_a_publish_that_was_repeated_keeps_its_own_vault_record(
    text: str | None, contact: Contact | None
) -> None:
    desk = Desk(RepeatingLog(PSEUDONYMS))
    (outcome,) = await desk.accept(prepared(text=text, contact=contact))
    assert outcome.verdict is Verdict.DUPLICATE
    assert list(desk.vault.records) == [(await desk.log.read(1)).record_id]


@pytest.mark.parametrize(("grade", "verdict"), [(5, Verdict.DUPLICATE), (1, Verdict.CONFLICT)])
async def test_of_two_replicas_the_loser_erases_its_vault_record(grade: int, verdict: Verdict) -> None:
    desk = Desk()
    await desk.accept(prepared(text="很好"))
    winner = list(desk.vault.records)
    loser = desk.replica(MemoryIndex())
    assert verdicts(await loser.accept([prepared(text="很好", grade=grade)])) == [verdict]
    assert list(desk.vault.records) == winner


async def test_the_vault_is_asked_before_the_stream() -> None:
    class BrokenVault(MemoryVault):
        async def store(self, _records: object) -> None:
            raise BrokerUnavailableError("no vault")

    desk = Desk()
    desk.vault = BrokenVault()
    with pytest.raises(BrokerUnavailableError):
        await desk.replica().accept([prepared(text="很好")])
    assert desk.log.messages == []


async def test_an_index_that_is_behind_lets_known_ratings_and_those_without_a_key_through() -> None:
    desk = Desk()
    await desk.accept(prepared("known"))
    desk.index.ready = False
    assert verdicts(await desk.accept(prepared("known"), prepared(None))) == [
        Verdict.DUPLICATE,
        Verdict.ACCEPTED,
    ]
    with pytest.raises(IndexNotReadyError):
        await desk.accept(prepared("known"), prepared("new"))
    assert desk.subjects == ["submitted", "submitted"]


async def test_the_subject_says_where_and_the_payload_nothing_of_the_text() -> None:
    desk = Desk()
    rating = prepared(text="很好")
    await desk.accept(rating)
    (message,) = desk.log.messages
    assert message.subject == sealed(rating, "很好", None)[0].subject
    assert "很好".encode() not in message.payload
