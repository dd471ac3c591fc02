"""What takes two people: the rules by themselves, and whole use cases on ports in memory."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.adapters.rules import RulePacks
from services.intake.application.accepting import Acceptor
from services.intake.application.approval_messages import apply_approval
from services.intake.application.approving import Approvals
from services.intake.application.carrying_out import GRACE_S, UNKNOWN_AFTER_S, CarryingOut
from services.intake.application.errors import (
    IndexNotReadyError,
    KeyReusedError,
    MoveNotOpenError,
    NotPendingError,
    RejectedError,
    SamePersonError,
)
from services.intake.application.prepared import Preparer, RequestFacts
from services.intake.application.revising import Reviser
from services.intake.domain.approvals import (
    Actor,
    Approval,
    ApprovalBook,
    Kind,
    Outcomes,
    Request,
    Stage,
    Verdict,
    obstacle,
)
from services.intake.domain.decisions import Decision
from services.intake.domain.event_ids import EventIds
from services.intake.domain.receipts import receipt_code
from services.intake.domain.revisions import Move, State
from services.intake.domain.tokens import TokenMint
from shared.events import (
    Envelope,
    FeedbackExcluded,
    FeedbackReinstated,
    Provenance,
    parse_envelope,
    spec_for_data,
)
from shared.kernel.errors import InvalidValueError, NotFoundError
from shared.kernel.grades import Level
from shared.kernel.ids import derived_id
from shared.kernel.reasons import ReinstatementReason
from shared.testing.clock import FixedClock
from shared.testing.publisher import InMemoryPublisher
from tests.unit.intake.fakes import CountingTally, MemoryFeedbackLog, MemoryIndex, MemoryVault
from tests.unit.intake.port_suites import PSEUDONYMS, SEALER, UNITS, prepared

NOW = datetime(2026, 7, 3, 9, tzinfo=UTC)
CLERK = Actor("county-360721-clerk", Level.COUNTY)
REVIEWER = Actor("city-3607-reviewer", Level.CITY)
PROVINCE = Actor("province-reviewer", Level.PROVINCE)
WINDOW = Actor("window-clerk", Level.WINDOW)
UPHELD = ReinstatementReason.APPEAL_UPHELD


class MemoryRegistryLog:
    """Plays `ports.RegistryLog`: a stream in memory, folded into one book at once."""

    def __init__(self, stream: InMemoryPublisher, book: ApprovalBook) -> None:
        self._stream = stream
        self._book = book
        self._folded = 0

    async def publish(self, envelope: Envelope[Any], *, city: str = "all", county: str = "all") -> int:
        sequence = await self._stream.publish(envelope, city=city, county=county)
        self.fold()
        return sequence

    def fold(self) -> None:
        """Read what is new, as every replica does."""
        for event in self._stream.published[self._folded :]:
            apply_approval(self._book, event.envelope, event.sequence)
        self._folded = len(self._stream.published)

    def require_ready(self) -> None:
        self.fold()


class Office:
    """Intake in memory; `replica` shares both streams, the clock and the index, and has books of its own."""

    def __init__(self, like: "Office | None" = None) -> None:
        self.clock: FixedClock = like.clock if like else FixedClock(NOW)
        self.stream: InMemoryPublisher = like.stream if like else InMemoryPublisher()
        self.feedback: MemoryFeedbackLog = like.feedback if like else MemoryFeedbackLog(PSEUDONYMS)
        self.index: MemoryIndex = like.index if like else MemoryIndex()
        self.book = ApprovalBook()
        self.log = MemoryRegistryLog(self.stream, self.book)
        rules = RulePacks(None)
        self.preparer = Preparer(
            UNITS, PSEUDONYMS, rules, self.clock, bytes, ids=EventIds(bytes(32)), mint=TokenMint(bytes(32))
        )
        self.reviser = Reviser(
            log=self.feedback, index=self.index, pseudonyms=PSEUDONYMS, units=UNITS, tally=CountingTally()
        )
        self.approvals = Approvals(
            book=self.book, log=self.log, feedback=self.feedback, reviser=self.reviser, rules=rules,
            units=UNITS, random=iter_bytes(),
        )  # fmt: skip
        self.work = CarryingOut(
            book=self.book, log=self.log, reviser=self.reviser, preparer=self.preparer, now=self.clock.now
        )

    def facts(self, key: str | None = None) -> RequestFacts:
        return self.preparer.facts(Provenance("corr", None, None), idempotency_key=key)

    async def rated(self, *refs: str, unit_id: str = "U000200") -> list[str]:
        """Accept ratings of a unit; their event ids."""
        acceptor = Acceptor(
            log=self.feedback, vault=MemoryVault(), sealer=SEALER, index=self.index, pseudonyms=PSEUDONYMS,
            units=UNITS, tally=CountingTally(),
        )  # fmt: skip
        ratings = [prepared(ref, unit_id=unit_id) for ref in refs]
        await acceptor.accept(ratings)
        return [rating.event_id for rating in ratings]

    async def ask(self, *targets: str, key: str | None = None, by: Actor = CLERK) -> Approval:
        return await self.approvals.exclude(targets, "no_service", by, self.facts(key), None)

    async def grant(self, approval: Approval, by: Actor = REVIEWER) -> Approval:
        return await self.approvals.decide(approval.request.approval_id, by, None, self.facts())

    async def excluded(self, target: str) -> None:
        granted = await self.grant(await self.ask(target))
        self.work.mine(granted.request.approval_id)
        assert await self.work.run_once() == 1

    def state(self, target: str) -> State:
        return self.reviser.history(target).state

    def said(self, kind: type[Any]) -> list[Any]:
        """Data of every event of one kind in FEEDBACK."""
        mark = f".{kind.__name__.removeprefix('Feedback').lower()}."
        return [
            parse_envelope(spec_for_data(kind).envelope, each.payload).data
            for each in self.feedback.messages
            if mark in each.subject
        ]


def iter_bytes() -> Any:  # noqa: ANN401 - a source of bytes that never repeats itself
    numbers = iter(range(1_000_000))
    return lambda size: next(numbers).to_bytes(size, "big")


async def test_nothing_is_excluded_before_a_second_person_agrees_and_both_are_named_afterwards() -> None:
    office = Office()
    (target,) = await office.rated("a")
    asked = await office.ask(target)
    assert (asked.stage(NOW), office.state(target)) == (Stage.PENDING, State.COUNTED)
    with pytest.raises(SamePersonError, match="another person than the one who asked"):
        await office.grant(asked, CLERK)
    assert await office.work.run_once() == 0
    granted = await office.grant(asked)
    office.work.mine(granted.request.approval_id)
    assert await office.work.run_once() == 1
    assert office.state(target) is State.EXCLUDED
    (event,) = office.said(FeedbackExcluded)
    assert (event.requested_by, event.decided_by) == (CLERK.credential, REVIEWER.credential)
    assert event.approval_id == asked.request.approval_id
    settled = office.approvals.get(asked.request.approval_id)
    assert (settled.stage(NOW), settled.outcomes) == (Stage.CARRIED_OUT, Outcomes(1, {}))
    assert await office.work.run_once() == 0


async def test_a_batch_tells_what_became_of_each_rating() -> None:
    office = Office()
    one, other, gone, again = await office.rated("a", "b", "c", "d")
    await office.excluded(other)
    approval = await office.ask(one, other, gone, one, receipt_code(PSEUDONYMS.receipt(again)))
    assert approval.size == 4
    await office.reviser.revise(
        office.reviser.history(gone), Decision(Move.WITHDRAW, "unstated"), office.facts()
    )
    granted = await office.grant(approval)
    office.work.mine(granted.request.approval_id)
    await office.work.run_once()
    settled = office.approvals.get(approval.request.approval_id)
    assert settled.outcomes == Outcomes(2, {"excluded": (other,), "withdrawn": (gone,)})
    assert settled.request.targets == ()
    assert [office.state(each) for each in (one, again)] == [State.EXCLUDED] * 2


async def test_a_killed_replica_leaves_its_work_to_another_which_does_nothing_twice() -> None:
    office = Office()
    targets = await office.rated(*map(str, range(30)))
    granted = await office.grant(await office.ask(*targets))
    decision = Decision(
        Move.EXCLUDE, "no_service", REVIEWER.credential,
        requested_by=CLERK.credential, approval_id=granted.request.approval_id,
    )  # fmt: skip
    for target in targets[:10]:  # killed in the middle
        facts = office.facts(f"approval-{granted.request.approval_id}")
        await office.reviser.revise(office.reviser.history(target), decision, facts)
    other = Office(office)
    assert await other.work.run_once() == 0
    office.clock.advance(seconds=GRACE_S + 1)
    assert await other.work.run_once() == 1
    settled = other.approvals.get(granted.request.approval_id)
    assert settled.outcomes == Outcomes(30, {})
    assert len(office.said(FeedbackExcluded)) == 30


async def test_of_two_people_who_decide_at_once_the_first_in_the_stream_stands() -> None:
    one = Office()
    (target,) = await one.rated("a")
    asked = await one.ask(target)
    other = Office(one)
    other.log.fold()
    other.log.require_ready = lambda: None  # type: ignore[method-assign]  # its fold is behind
    await one.grant(asked)
    with pytest.raises(NotPendingError, match="granted"):
        await other.approvals.decide(asked.request.approval_id, PROVINCE, "unfounded", other.facts())
    for office in (one, other, Office(one)):
        office.log.fold()
        verdict = office.book.get(asked.request.approval_id)
        assert verdict is not None
        assert verdict.verdict is not None
        assert (verdict.verdict.granted, verdict.verdict.by) == (True, REVIEWER)


async def test_a_rejection_needs_a_reason_ends_it_and_can_be_repeated() -> None:
    office = Office()
    (target,) = await office.rated("a")
    asked = await office.ask(target)
    for _ in range(2):
        rejected = await office.approvals.decide(
            asked.request.approval_id, REVIEWER, "unfounded", office.facts()
        )
        assert rejected.stage(NOW) is Stage.REJECTED
    with pytest.raises(NotPendingError, match="rejected"):
        await office.grant(asked, PROVINCE)
    assert await office.work.run_once() == 0


async def test_nobody_below_the_level_and_nobody_after_the_time_limit_decides() -> None:
    office = Office()
    (target,) = await office.rated("a")
    asked = await office.ask(target)
    with pytest.raises(SamePersonError, match="level county or above"):
        await office.grant(asked, WINDOW)
    office.clock.advance(hours=72)
    assert asked.stage(office.clock.now()) is Stage.EXPIRED
    with pytest.raises(NotPendingError, match="expired"):
        await office.grant(asked)
    assert office.state(target) is State.COUNTED


async def test_the_same_request_again_is_the_same_and_other_content_is_refused() -> None:
    office = Office()
    one, other = await office.rated("a", "b")
    first = await office.ask(one, other, key="k")
    assert (await office.ask(other, one, key="k")) == first
    with pytest.raises(KeyReusedError):
        await office.ask(one, key="k")
    assert (await office.ask(one, other)).request.approval_id != first.request.approval_id
    assert (await office.ask(one, key="k", by=REVIEWER)).request.approval_id != first.request.approval_id


async def test_what_is_no_rating_or_cannot_be_excluded_is_named_at_once() -> None:
    office = Office()
    (target,) = await office.rated("a")
    with pytest.raises(RejectedError, match=r"targets\[1\]"):
        await office.ask(target, derived_id("unknown"))
    with pytest.raises(InvalidValueError, match="1 to 10000 ratings"):
        await office.ask()
    await office.excluded(target)
    with pytest.raises(MoveNotOpenError):
        await office.ask(target)
    with pytest.raises(NotFoundError):
        office.approvals.get("nothing")


async def test_an_appeal_is_decided_by_somebody_who_had_no_part_in_the_exclusion() -> None:
    office = Office()
    (target,) = await office.rated("a")
    with pytest.raises(MoveNotOpenError):
        await office.approvals.appeal(office.reviser.history(target), UPHELD, None, office.facts())
    await office.excluded(target)
    history = office.reviser.history(target)
    appeal = await office.approvals.appeal(history, UPHELD, None, office.facts())
    assert await office.approvals.appeal(history, UPHELD, WINDOW, office.facts()) == appeal
    for involved in (CLERK, REVIEWER):
        with pytest.raises(SamePersonError, match="no part in the exclusion"):
            await office.grant(appeal, involved)
    granted = await office.grant(appeal, PROVINCE)
    office.work.mine(granted.request.approval_id)
    await office.work.run_once()
    assert office.state(target) is State.COUNTED
    (event,) = office.said(FeedbackReinstated)
    assert (event.reason, event.decided_by, event.requested_by) == (
        "appeal_upheld", PROVINCE.credential, None,
    )  # fmt: skip


async def test_who_grants_an_appeal_after_excluding_anew_reinstates_nothing_and_stops_nothing() -> None:
    office = Office()
    target, other = await office.rated("a", "b")
    await office.excluded(target)
    appeal = await office.approvals.appeal(office.reviser.history(target), UPHELD, None, office.facts())
    reinstated = Decision(Move.REINSTATE, "new_evidence", "city-other")
    await office.reviser.revise(office.reviser.history(target), reinstated, office.facts())
    again = await office.grant(await office.ask(target, by=PROVINCE), Actor("province-other", Level.PROVINCE))
    office.work.mine(again.request.approval_id)
    await office.work.run_once()
    for granted in (await office.grant(appeal, PROVINCE), await office.grant(await office.ask(other))):
        office.work.mine(granted.request.approval_id)
    assert await office.work.run_once() == 2
    settled = office.approvals.get(appeal.request.approval_id)
    assert settled.outcomes == Outcomes(0, {"excluded": (target,)})
    assert [office.state(each) for each in (target, other)] == [State.EXCLUDED] * 2


async def test_an_appeal_that_comes_too_late_is_refused() -> None:
    office = Office()
    (target,) = await office.rated("a")
    await office.excluded(target)
    office.clock.advance(days=31)
    with pytest.raises(InvalidValueError, match="within 30 days"):
        await office.approvals.appeal(office.reviser.history(target), UPHELD, None, office.facts())


@pytest.mark.parametrize("decided_by", [CLERK.credential, REVIEWER.credential, None])
async def test_no_reinstatement_by_who_excluded_or_by_nobody(decided_by: str | None) -> None:
    office = Office()
    (target,) = await office.rated("a")
    await office.excluded(target)
    with pytest.raises(SamePersonError):
        await office.reviser.revise(
            office.reviser.history(target),
            Decision(Move.REINSTATE, "new_evidence", decided_by),
            office.facts(),
        )
    assert office.state(target) is State.EXCLUDED


ACTORS = st.sampled_from([CLERK, REVIEWER, PROVINCE, WINDOW, Actor("other-clerk", Level.COUNTY)])
MOMENTS = st.integers(-2, 80).map(lambda hours: NOW + timedelta(hours=hours))
VERDICTS = st.lists(st.builds(Verdict, st.booleans(), ACTORS, MOMENTS, st.none()), max_size=6)


@given(VERDICTS, ACTORS, st.none() | ACTORS)
def test_whatever_is_in_the_stream_no_one_decides_alone_or_from_below_or_late(
    verdicts: list[Verdict], barred: Actor, asker: Actor | None
) -> None:
    request = Request(
        "id", Kind.EXCLUSION, "no_service", asker, NOW, NOW + timedelta(hours=72), "c", ("t",),
        barred=frozenset({barred.credential}),
    )  # fmt: skip
    book = ApprovalBook()
    book.requested(request)
    for verdict in verdicts:
        book.decided("id", verdict)
    found = book.get("id")
    assert found is not None
    stands = found.verdict
    pending = Approval(request, 1)
    allowed = [each for each in verdicts if obstacle(pending, each.by, each.at) is None]
    assert stands == (allowed[0] if allowed else None)
    if stands is not None:
        assert stands.by != barred
        assert stands.at < request.expires_at
        if asker is not None:
            assert stands.by.credential != asker.credential
            assert list(Level).index(stands.by.level) <= list(Level).index(asker.level)
    assert book.unfinished() == ((found,) if stands is not None and stands.granted else ())


def test_a_decision_before_its_request_and_outcomes_without_a_decision_change_nothing() -> None:
    book = ApprovalBook()
    verdict = Verdict(granted=True, by=REVIEWER, at=NOW)
    book.decided("id", verdict)
    book.carried_out("id", Outcomes(1))
    request = Request("id", Kind.RULES, "policy", CLERK, NOW, NOW + timedelta(hours=1), "c")
    book.requested(request)
    book.requested(replace(request, reason="correction"))
    book.carried_out("id", Outcomes(1))
    (found,) = book
    assert (found.request.reason, found.stage(NOW)) == ("policy", Stage.PENDING)
    book.decided("id", verdict)
    assert [each.stage(NOW) for each in book] == [Stage.GRANTED]
    assert book.unfinished() == ()


async def test_a_rating_that_this_replica_has_not_read_yet_is_waited_for_and_not_given_up() -> None:
    office = Office()
    (target,) = await office.rated("a")
    granted = await office.grant(await office.ask(target))
    behind = Office(office)
    behind.index = MemoryIndex()
    behind.reviser = Reviser(
        log=office.feedback, index=behind.index, pseudonyms=PSEUDONYMS, units=UNITS, tally=CountingTally()
    )
    behind.work = CarryingOut(
        book=behind.book,
        log=behind.log,
        reviser=behind.reviser,
        preparer=behind.preparer,
        now=office.clock.now,
    )
    behind.work.mine(granted.request.approval_id)
    with pytest.raises(IndexNotReadyError):
        await behind.work.run_once()
    office.clock.advance(seconds=UNKNOWN_AFTER_S)
    assert await behind.work.run_once() == 1
    settled = behind.approvals.get(granted.request.approval_id)
    assert settled.outcomes == Outcomes(0, {"unknown": (target,)})
