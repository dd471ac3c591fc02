"""Accepting, revising and draining through the spool, on ports in memory and a real spool file."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from services.intake.adapters.spooled_messages import classifier, readers
from services.intake.adapters.sqlite_spool import SqliteSpool
from services.intake.adapters.stored_revisions import read_in_force
from services.intake.adapters.waiting_people import WaitingRatings
from services.intake.application.accepting import Acceptor
from services.intake.application.draining import Drainer
from services.intake.application.envelopes import submitted_message
from services.intake.application.prepared import Prepared
from services.intake.application.revising import Reviser
from services.intake.application.safekeeping import AcceptingIndex, SpoolingIndex, SpoolingLog, SpoolingVault
from services.intake.domain.accepted import Verdict
from services.intake.domain.circuit import Circuit
from services.intake.domain.decisions import Changes, Decision
from services.intake.domain.event_ids import EventIds
from services.intake.domain.revisions import Move, State
from shared.messaging.group_commit import Outgoing, PublishOverloadedError, Stored
from shared.messaging.publisher import BrokerUnavailableError, NothingSentError
from shared.testing.clock import FixedClock
from tests.unit.intake.fakes import CountingTally, MemoryFeedbackLog, MemoryIndex, MemoryVault
from tests.unit.intake.port_suites import PSEUDONYMS, SEALER, UNITS, prepared
from tests.unit.intake.test_spool_file import NOW

WITHDRAWAL = Decision(Move.WITHDRAW, "unstated")


class Broker(MemoryFeedbackLog):
    """A stream that can be away, or take what it does not answer; it remembers no id for long."""

    def __init__(self) -> None:
        super().__init__(PSEUDONYMS)
        self.away = False
        self.silent = False
        self.calls = 0

    async def append(self, messages: Sequence[Outgoing]) -> list[Stored]:
        self.calls += 1
        if self.away:
            raise NothingSentError("away")
        stored = await super().append(messages)
        if self.silent:
            raise BrokerUnavailableError("no answer")
        return stored

    def forget_ids(self) -> None:
        """Let the window for repeats pass."""
        self._sequences.clear()

    @property
    def facts(self) -> list[str]:
        return [message.subject.split(".")[2] for message in self.messages]


class Intake:
    """One replica: acceptor, reviser and drainer over a broker and a spool."""

    def __init__(self, spool: SqliteSpool, broker: Broker, vault: MemoryVault) -> None:
        self.spool, self.broker, self.vault = spool, broker, vault
        self.index, self.tally, self.circuit = MemoryIndex(), CountingTally(), Circuit()
        self.circuit.close()
        self.fates: dict[str, int] = {}
        self.erased: set[str] = set()
        spooling_vault = self.spooling_vault = SpoolingVault(vault, spool, self.circuit, self.index)
        self.held = spooling_vault.held
        self.log = SpoolingLog(
            broker,
            spool,
            vault=spooling_vault,
            circuit=self.circuit,
            index=self.index,
            classify=classifier(PSEUDONYMS),
            read_in_force=read_in_force,
        )
        self.acceptor = Acceptor(
            log=self.log,
            vault=spooling_vault,
            sealer=SEALER,
            index=AcceptingIndex(self.index, spool),
            pseudonyms=PSEUDONYMS,
            units=UNITS,
            tally=self.tally,
        )
        self.reviser = Reviser(
            log=self.log,
            index=SpoolingIndex(self.index, spool),
            pseudonyms=PSEUDONYMS,
            units=UNITS,
            tally=self.tally,
        )
        self.drainer = Drainer(
            spool=spool,
            log=broker,
            vault=vault,
            index=self.index,
            units=UNITS,
            readers=readers(PSEUDONYMS),
            tally=self,
            circuit=self.circuit,
            front=self.log,
            erased=self.erased,
        )

    def drained(self, fate: str, count: int) -> None:
        self.fates[str(fate)] = self.fates.get(str(fate), 0) + count

    async def accept(self, *ratings: Prepared) -> list[Verdict]:
        return [outcome.verdict for outcome in await self.acceptor.accept(ratings)]

    async def withdraw(self, rating: Prepared) -> State:
        history = self.reviser.history(rating.event_id)
        return (await self.reviser.revise(history, WITHDRAWAL, rating.facts)).move.leads_to

    async def revise(self, rating: Prepared, decision: Decision) -> None:
        await self.reviser.revise(self.reviser.history(rating.event_id), decision, rating.facts)

    async def drain(self) -> None:
        while await self.drainer.step():
            pass


@pytest.fixture
async def intake(tmp_path: Path) -> AsyncIterator[Intake]:
    spool = SqliteSpool(tmp_path, PSEUDONYMS, FixedClock(NOW), max_bytes=10_000_000, max_queued=10_000)
    await spool.start()
    yield Intake(spool, Broker(), MemoryVault())
    await spool.stop()


async def test_one_failure_opens_the_circuit_and_nobody_asks_the_broker_again(intake: Intake) -> None:
    intake.broker.away = True
    assert await intake.accept(prepared("a")) == [Verdict.ACCEPTED]
    assert await intake.accept(prepared("b"), prepared("a")) == [Verdict.ACCEPTED, Verdict.DUPLICATE]
    assert intake.broker.calls == 1
    intake.broker.away = False
    await intake.drain()
    assert intake.circuit.closed
    assert await intake.accept(prepared("c")) == [Verdict.ACCEPTED]
    ids = [prepared(ref).event_id for ref in "abc"]
    assert [message.message_id for message in intake.broker.messages] == ids


async def test_the_same_bytes_are_drained_once_and_the_record_is_there_before_its_event(
    intake: Intake,
) -> None:
    intake.broker.away = True
    intake.circuit.trip()
    await intake.accept(*(prepared(f"t{n}", text="很好") for n in range(1200)))
    assert (intake.vault.records, intake.held, intake.spool.depth) == ({}, {}, 1200)
    waiting = [one.entry for one in await intake.spool.oldest(2000)]
    intake.broker.away = False
    seen: list[int] = []
    append = MemoryFeedbackLog.append

    async def watched(messages: Sequence[Outgoing]) -> list[Stored]:
        seen.append(len(intake.vault.records))
        return await append(intake.broker, messages)

    intake.broker.append = watched  # type: ignore[method-assign]  # looks at the order of two ports
    await intake.drain()
    assert seen == [500, 1000, 1200]
    assert intake.broker.messages == [entry.message for entry in waiting]
    assert {entry.kinship.record_id: entry.record for entry in waiting} == intake.vault.records
    assert (intake.spool.depth, intake.fates) == (0, {"publish": 1200})


async def test_an_event_whose_answer_was_lost_is_recognised_by_the_index_alone(intake: Intake) -> None:
    intake.broker.silent = True
    assert await intake.accept(prepared("a", text="好")) == [Verdict.ACCEPTED]
    assert await intake.accept(prepared("a", grade=1)) == [Verdict.CONFLICT]
    intake.broker.silent = False
    intake.broker.forget_ids()
    intake.index.add([(await intake.broker.read(1)).accepted])  # the fold has read the stream
    await intake.drain()
    assert intake.broker.facts == ["submitted", "conflicted"]
    assert intake.fates == {"stored": 1, "publish": 1}
    assert len(intake.vault.records) == 1


@pytest.mark.parametrize("known", [True, False], ids=["by the index", "by the broker"])
async def test_other_content_that_was_first_stands_and_the_spooled_one_is_reported(
    intake: Intake, *, known: bool
) -> None:
    intake.broker.away = True
    await intake.accept(prepared("a", text="好"), prepared("same"))
    intake.broker.away = False
    first = prepared("a", grade=1)
    await intake.broker.append([_message(first), _message(prepared("same"))])
    if known:
        intake.index.add([(await intake.broker.read(n)).accepted for n in (1, 2)])
    await intake.drain()
    assert intake.broker.facts == ["submitted", "submitted", "conflicted"]
    assert intake.fates.get("conflict") == 1
    assert intake.vault.records == {}
    assert intake.spool.depth == 0


def _message(rating: Prepared) -> Outgoing:
    return submitted_message(rating, None, None, PSEUDONYMS)


async def test_a_repeat_from_before_the_key_of_ids_changed_is_recognised_when_it_is_drained(
    intake: Intake,
) -> None:
    """The index did not know the stream when it was spooled, and the event has no trace of its former id."""
    first, other = prepared("a"), prepared("b", grade=1)
    await intake.broker.append([_message(each) for each in (first, other)])

    def again(ref: str, grade: int = 5) -> Prepared:
        return _rekeyed(ref, grade)._replace(former=(prepared(ref).receipt,))

    intake.broker.away = True
    same, differs, fresh = again("a"), again("b"), again("c")
    assert await intake.accept(same, differs, fresh) == [Verdict.ACCEPTED] * 3
    assert await intake.withdraw(same) is State.WITHDRAWN
    intake.broker.away = False
    intake.index.add([(await intake.broker.read(number)).accepted for number in (1, 2)])
    await intake.drain()
    assert intake.broker.facts == ["submitted", "submitted", "conflicted", "submitted"]
    assert intake.broker.messages[-1].message_id == fresh.event_id
    assert intake.fates == {"stored": 1, "conflict": 1, "publish": 1, "set_aside": 1}
    assert (intake.spool.depth, intake.spool.set_aside_messages) == (0, 1), "the withdrawal is for a person"


def _rekeyed(ref: str, grade: int = 5) -> Prepared:
    """The rating that `prepared` gives, under another key of ids."""
    rating = prepared(ref, grade=grade)
    event_id = EventIds(b"2" * 32).of("client_ref", "qr", ref)
    return rating._replace(event_id=event_id, receipt=PSEUDONYMS.receipt(event_id))


async def test_what_belongs_to_a_spooled_rating_goes_behind_it_and_others_overtake(intake: Intake) -> None:
    intake.broker.away = True
    await intake.accept(prepared("a"))
    intake.broker.away = False
    intake.circuit.close()
    assert await intake.accept(prepared("b")) == [Verdict.ACCEPTED]
    assert await intake.accept(prepared("a", grade=2)) == [Verdict.CONFLICT]
    assert await intake.withdraw(prepared("a")) is State.WITHDRAWN
    assert await intake.withdraw(prepared("a")) is State.WITHDRAWN
    assert intake.broker.facts == ["submitted"]
    assert intake.spool.depth == 3
    await intake.drain()
    assert intake.broker.facts == ["submitted", "submitted", "conflicted", "withdrawn"]
    assert intake.reviser.history(prepared("a").event_id).state is State.WITHDRAWN
    assert intake.reviser.history(prepared("a").event_id).sequence == 4


async def test_a_revision_is_promised_only_where_nobody_else_can_take_its_number(intake: Intake) -> None:
    await intake.accept(prepared("stored"))
    intake.broker.away = True
    with pytest.raises(BrokerUnavailableError):
        await intake.withdraw(prepared("stored"))
    intake.broker.away, intake.broker.silent = False, True
    intake.circuit.close()
    await intake.accept(prepared("unclear"))
    with pytest.raises(BrokerUnavailableError):
        await intake.withdraw(prepared("unclear"))
    await intake.accept(prepared("spooled"))
    intake.log.draining_through = 10
    with pytest.raises(BrokerUnavailableError):
        await intake.withdraw(prepared("spooled"))
    assert intake.spool.depth == 2


async def test_a_correction_that_lost_its_number_is_set_aside_and_never_dropped(intake: Intake) -> None:
    intake.broker.away = True
    rating = prepared("a")
    await intake.accept(rating)
    await intake.revise(rating, Decision(Move.CORRECT, "mistyped", "county.handler", Changes(grade=3)))
    (_, kept) = await intake.spool.oldest(5)
    intake.broker.away = False
    other = replace(
        kept.entry.message, payload=kept.entry.message.payload.replace(b'"digest":"k1.', b'"digest":"k2.')
    )
    await intake.broker.append([_message(rating), other])
    await intake.drain()
    assert (intake.spool.depth, intake.spool.set_aside_messages) == (0, 1)
    assert intake.fates["set_aside"] == 1


@pytest.mark.parametrize("known", [True, False], ids=["by the index", "by the broker"])
async def test_a_withdrawal_goes_behind_the_hold_that_took_its_number_while_it_waited(
    intake: Intake, *, known: bool
) -> None:
    intake.broker.away = True
    rating = prepared("a")
    await intake.accept(rating)
    await intake.withdraw(rating)
    intake.broker.away = False
    (kept, withdrawal) = await intake.spool.oldest(5)
    stream = Intake(intake.spool, intake.broker, intake.vault)
    await intake.broker.append([kept.entry.message])
    stream.index.add([(await intake.broker.read(1)).accepted])
    hold = Decision(Move.QUARANTINE, "burst", "screening")
    held = Reviser(
        log=intake.broker, index=stream.index, pseudonyms=PSEUDONYMS, units=UNITS, tally=intake.tally
    )
    await held.revise(held.history(rating.event_id), hold, rating.facts)
    if known:
        intake.index.add([(await intake.broker.read(1)).accepted])
        intake.index.add_revisions([await intake.broker.read_revision(2)])
    await intake.drain()
    assert intake.broker.facts == ["submitted", "quarantined", "withdrawn"]
    history = intake.reviser.history(rating.event_id)
    assert (history.state, history.number) == (State.WITHDRAWN, 2)
    assert (intake.spool.depth, intake.spool.set_aside_messages) == (0, 0)
    await intake.spool.keep([withdrawal.entry])
    await intake.drain()
    assert intake.broker.facts == ["submitted", "quarantined", "withdrawn"], "once, after a crash, too"


async def test_a_record_that_waits_can_be_found_by_its_rating_and_destroyed_before_it_leaves(
    intake: Intake,
) -> None:
    intake.broker.away = True
    await intake.accept(prepared("a", text="好"), prepared("b", text="好"))
    (first, second) = await intake.spool.oldest(5)
    waiting = WaitingRatings(intake.spool)
    assert (await waiting.read_private(-first.row)).record == first.entry.kinship.record_id
    assert await intake.spooling_vault.erase(first.entry.kinship.record_id or "")
    intake.broker.away = False
    await intake.drain()
    assert intake.broker.facts == ["submitted", "submitted"]
    assert set(intake.vault.records) == {second.entry.kinship.record_id}
    with pytest.raises(BrokerUnavailableError):  # the index knows it by now
        await waiting.read_private(-first.row)


async def test_what_was_erased_while_its_row_was_on_its_way_does_not_stay_in_the_vault(
    intake: Intake,
) -> None:
    intake.broker.away = True
    intake.circuit.trip()
    await intake.accept(prepared("a", text="好"), prepared("b", text="好"))
    (first, second) = await intake.spool.oldest(5)
    intake.broker.away = False
    intake.erased.add(first.entry.kinship.record_id or "")
    await intake.drain()
    assert set(intake.vault.records) == {second.entry.kinship.record_id}


async def test_with_an_index_that_is_behind_ratings_are_spooled_and_an_overload_is_not(
    intake: Intake,
) -> None:
    intake.index.ready = False
    assert await intake.accept(prepared("new"), prepared(None)) == [Verdict.ACCEPTED] * 2
    assert (intake.broker.calls, intake.spool.depth) == (0, 2)
    intake.index.ready = True
    await intake.drain()

    async def overloaded(messages: Sequence[Outgoing]) -> list[Stored]:
        raise PublishOverloadedError(f"{len(messages)} too many")

    intake.broker.append = overloaded  # type: ignore[method-assign]  # the fault
    with pytest.raises(PublishOverloadedError):
        await intake.accept(prepared("b"))
    assert (intake.circuit.closed, intake.spool.depth) == (True, 0)
