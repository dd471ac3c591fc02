"""Revising on ports in memory: whole use cases."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.adapters.rules import RulePacks
from services.intake.application.accepting import Acceptor
from services.intake.application.errors import (
    IndexNotReadyError,
    KeyReusedError,
    LostRaceError,
    MoveNotOpenError,
)
from services.intake.application.prepared import Preparer, RequestFacts
from services.intake.application.revising import Reviser
from services.intake.domain.decisions import Changes, Decision
from services.intake.domain.receipts import receipt_code
from services.intake.domain.revisions import Move, State, revision_id
from shared.events import (
    Envelope,
    FeedbackCorrected,
    FeedbackRevision,
    Provenance,
    parse_envelope,
    spec_for_type,
)
from shared.kernel.errors import InvalidValueError, NotFoundError
from shared.kernel.ids import derived_id
from shared.testing.clock import FixedClock
from tests.unit.intake.fakes import CountingTally, MemoryFeedbackLog, MemoryIndex, MemoryVault
from tests.unit.intake.port_suites import IDS, MINT, PSEUDONYMS, SEALER, UNITS, prepared

LATER = datetime(2026, 7, 3, 9, tzinfo=UTC)
EXCLUSION = Decision(Move.EXCLUDE, "no_service", "city-reviewer")
REINSTATEMENT = Decision(Move.REINSTATE, "appeal_upheld", "province-reviewer")
WITHDRAWAL = Decision(Move.WITHDRAW, "unstated")


class Office:
    """Intake in memory; `replica` shares its stream and knows nothing else."""

    def __init__(self, log: MemoryFeedbackLog | None = None) -> None:
        self.log = log or MemoryFeedbackLog(PSEUDONYMS)
        self.index = MemoryIndex()
        self.tally = CountingTally()
        self.reviser = Reviser(
            log=self.log, index=self.index, pseudonyms=PSEUDONYMS, units=UNITS, tally=self.tally
        )

    async def rated(self, ref: str = "ref-1", *, synthetic: bool = False) -> str:
        """Accept a rating; its event id."""
        acceptor = Acceptor(
            log=self.log,
            vault=MemoryVault(),
            sealer=SEALER,
            index=self.index,
            pseudonyms=PSEUDONYMS,
            units=UNITS,
            tally=self.tally,
        )
        rating = prepared(ref)
        await acceptor.accept([rating._replace(facts=rating.facts._replace(synthetic=synthetic))])
        return rating.event_id

    def replica(self) -> "Office":
        """Another intake that has read the ratings of the stream, and none of the revisions."""
        other = Office(self.log)
        rating = self.index.find([prepared().receipt])
        other.index.add(rating.values())
        return other

    async def revise(self, event_id: str, decision: Decision, key: str | None = None) -> tuple[int, str]:
        """Number and digest of the revision that answers the request."""
        found = await self.reviser.revise(self.reviser.history(event_id), decision, facts(key))
        return found.number, found.digest

    def events(self) -> list[Envelope[Any]]:
        """Every revision in the stream."""
        envelopes = [
            parse_envelope(spec_for_type(_type_of(message.payload)).envelope, message.payload)
            for message in self.log.messages
        ]
        return [envelope for envelope in envelopes if isinstance(envelope.data, FeedbackRevision)]


def _type_of(payload: bytes) -> str:
    return str(json.loads(payload)["type"])


def facts(key: str | None = None) -> RequestFacts:
    preparer = Preparer(UNITS, PSEUDONYMS, RulePacks(None), FixedClock(LATER), bytes, ids=IDS, mint=MINT)
    return preparer.facts(Provenance("corr-9"), idempotency_key=key)


async def test_a_revision_is_an_event_that_says_what_it_changes_and_what_had_been_in_force() -> None:
    office = Office()
    target = await office.rated()
    decision = Decision(
        Move.CORRECT, "call_back", "call-centre", Changes("U000201", 2, {"service": 1, "image": 3})
    )
    await office.revise(target, decision, "key")
    (event,) = office.events()
    assert event.id == revision_id(target, 1)
    assert (event.time, event.receivedat, event.correlationid) == (LATER, LATER, "corr-9")
    assert event.rules == facts().rules_hash
    said = event.data
    assert isinstance(said, FeedbackCorrected)
    assert (said.target_id, said.target_revision, said.reason) == (target, 1, "call_back")
    assert (said.city, said.county) == (prepared().unit.city, prepared().unit.county)
    assert (said.target.unit_id, said.target.grade, said.target.dimensions) == ("U000200", 5, None)
    assert (said.corrected.unit_id, said.corrected.grade) == ("U000201", 2)
    kept = said.corrected.model_copy(update={"unit_id": "U000200", "grade": 5, "dimensions": None})
    assert kept == said.target
    history = office.reviser.history(target)
    assert (history.unit_id, history.grade, history.state) == ("U000201", 2, State.COUNTED)
    assert office.tally.counts["correct"] == 1


async def test_each_revision_starts_from_what_the_one_before_put_in_force() -> None:
    office = Office()
    target = await office.rated()
    await office.revise(target, Decision(Move.CORRECT, "mistyped", None, Changes(grade=2)))
    await office.revise(target, EXCLUSION)
    await office.revise(target, REINSTATEMENT)
    await office.revise(target, Decision(Move.CORRECT, "mistyped", None, Changes(grade=3)))
    grades = [(event.data.target_revision, event.data.target.grade) for event in office.events()]
    assert grades == [(1, 5), (2, 2), (3, 2), (4, 2)]
    assert office.reviser.history(target).grade == 3


async def test_a_probes_revisions_are_probes_too() -> None:
    office = Office()
    target = await office.rated(synthetic=True)
    await office.revise(target, EXCLUSION)
    (event,) = office.events()
    assert event.synthetic
    assert event.data.target.synthetic


async def test_a_move_that_is_not_open_is_refused_with_the_state_and_the_open_moves() -> None:
    office = Office()
    target = await office.rated()
    await office.revise(target, EXCLUSION)
    with pytest.raises(
        MoveNotOpenError, match=r"quarantine for a rating that is excluded.*: reinstate, withdraw: "
    ):
        await office.revise(target, Decision(Move.QUARANTINE, "burst"))
    other = await office.rated("ref-2")
    await office.revise(other, WITHDRAWAL)
    with pytest.raises(MoveNotOpenError, match="no move at all: that state is final"):
        await office.revise(other, EXCLUSION)
    assert len(office.events()) == 2


async def test_the_same_key_and_body_give_the_same_answer_even_after_later_revisions() -> None:
    office = Office()
    target = await office.rated()
    first = await office.revise(target, EXCLUSION, "key-1")
    assert await office.revise(target, EXCLUSION, "key-1") == first
    await office.revise(target, REINSTATEMENT, "key-2")
    assert await office.revise(target, EXCLUSION, "key-1") == first
    assert len(office.events()) == 2


@pytest.mark.parametrize(
    "other",
    [
        replace(EXCLUSION, reason="malicious"),
        replace(EXCLUSION, decided_by="somebody-else"),
        replace(EXCLUSION, decided_by=None),
        REINSTATEMENT,
    ],
    ids=["reason", "decided_by", "by nobody", "move"],
)
async def test_the_same_key_with_another_body_is_refused(other: Decision) -> None:
    office = Office()
    target = await office.rated()
    await office.revise(target, EXCLUSION, "key-1")
    with pytest.raises(KeyReusedError, match=revision_id(target, 1)):
        await office.revise(target, other, "key-1")
    assert len(office.events()) == 1


async def test_one_key_serves_different_ratings_and_does_not_link_them() -> None:
    office = Office()
    for ref in ("ref-1", "ref-2"):
        assert (await office.revise(await office.rated(ref), EXCLUSION, "key-1"))[0] == 1
    one, other = (event.data for event in office.events())
    assert one.request_hmac != other.request_hmac
    assert one.digest != other.digest


async def test_a_withdrawal_that_is_sent_again_is_the_same_withdrawal() -> None:
    office = Office()
    target = await office.rated()
    assert await office.revise(target, WITHDRAWAL) == await office.revise(target, WITHDRAWAL)
    with pytest.raises(KeyReusedError):
        await office.revise(target, replace(WITHDRAWAL, reason="resolved"))
    assert len(office.events()) == 1


async def test_of_two_replicas_that_revise_at_once_the_first_in_the_stream_wins() -> None:
    one = Office()
    target = await one.rated()
    other = one.replica()
    await one.revise(target, EXCLUSION, "key-1")
    with pytest.raises(LostRaceError, match=r"meanwhile is excluded.*reinstate"):
        await other.revise(target, Decision(Move.QUARANTINE, "burst"), "key-2")
    assert other.reviser.history(target).state is State.EXCLUDED
    assert len(one.events()) == 1


async def test_a_retry_at_another_replica_gets_the_answer_of_the_first_attempt() -> None:
    one = Office()
    target = await one.rated()
    other, third = one.replica(), one.replica()
    first = await one.revise(target, EXCLUSION, "key-1")
    assert await other.revise(target, EXCLUSION, "key-1") == first
    with pytest.raises(KeyReusedError):
        await third.revise(target, replace(EXCLUSION, reason="untrue"), "key-1")
    assert len(one.events()) == 1


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        (Changes(), "body", "at least one field that changes"),
        (Changes(grade=5, unit_id="U000200"), "body", "at least one field that changes"),
        (Changes(dimensions={}), "body", "at least one field that changes"),
        (Changes(unit_id="U9"), "unit_id", "U9"),
    ],
    ids=["nothing", "the same", "no sub-grades to take out", "an unknown unit"],
)
async def test_a_correction_that_cannot_be_made_is_refused(changes: Changes, field: str, words: str) -> None:
    office = Office()
    target = await office.rated()
    with pytest.raises(InvalidValueError, match=words) as caught:
        await office.revise(target, Decision(Move.CORRECT, "mistyped", None, changes))
    assert caught.value.field == field
    assert type(caught.value).http_status == 422
    assert office.events() == []


async def test_sub_grades_can_be_taken_out() -> None:
    office = Office()
    target = await office.rated()
    await office.revise(target, Decision(Move.CORRECT, "mistyped", None, Changes(dimensions={"image": 1})))
    await office.revise(target, Decision(Move.CORRECT, "mistyped", None, Changes(dimensions={})))
    last = office.events()[-1].data
    assert isinstance(last, FeedbackCorrected)
    assert last.target.dimensions is not None
    assert last.corrected.dimensions is None


async def test_an_index_that_is_behind_decides_nothing_new_and_repeats_what_it_knows() -> None:
    office = Office()
    target = await office.rated()
    first = await office.revise(target, EXCLUSION, "key-1")
    office.index.ready = False
    assert await office.revise(target, EXCLUSION, "key-1") == first
    with pytest.raises(IndexNotReadyError):
        await office.revise(target, REINSTATEMENT, "key-2")
    with pytest.raises(IndexNotReadyError):
        office.reviser.history(derived_id("unknown"))


async def test_ratings_are_found_by_event_id_and_by_receipt() -> None:
    office = Office()
    target = await office.rated()
    code = receipt_code(prepared().receipt)
    assert office.reviser.history(target) == office.reviser.history_of_receipt(code)
    with pytest.raises(NotFoundError):
        office.reviser.history(derived_id("unknown"))
    with pytest.raises(NotFoundError):
        office.reviser.history_of_receipt("0000-0000-0000-0000")
    with pytest.raises(InvalidValueError, match="UUID"):
        office.reviser.history("17")


DECISIONS = st.builds(
    Decision,
    st.sampled_from(Move),
    st.sampled_from(["a", "b", "a]="]),
    st.none() | st.sampled_from(["x", "y"]),
    st.none()
    | st.builds(
        Changes,
        st.none() | st.sampled_from(["U1", "U2"]),
        st.none() | st.integers(1, 5),
        st.none() | st.dictionaries(st.sampled_from(["service", "image"]), st.integers(1, 5)),
    ),
)


@given(DECISIONS, DECISIONS)
def test_different_decisions_are_spelt_differently(one: Decision, other: Decision) -> None:
    nothing = Changes()
    same = replace(one, changes=one.changes or nothing) == replace(other, changes=other.changes or nothing)
    assert (one.canonical() == other.canonical()) == same


async def test_what_was_submitted_stays_in_every_event_after_a_correction() -> None:
    """Whoever folds decisions in another order than they were taken must know what to subtract."""
    office = Office()
    target = await office.rated()
    for decision in (
        Decision(Move.CORRECT, "mistyped", "desk", Changes(grade=1)),
        Decision(Move.CORRECT, "mistyped", "desk", Changes(grade=2)),
        EXCLUSION,
    ):
        await office.revise(target, decision)
    first, second, third = (event.data for event in office.events())
    assert (first.target.grade, first.corrected.grade, first.submitted) == (5, 1, None)
    assert (second.submitted.grade, second.target.grade, second.corrected.grade) == (5, 1, 2)
    assert (third.submitted.grade, third.target.grade) == (5, 2)
