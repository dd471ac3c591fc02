"""Strikes, the ladders that they lead up, and people's decisions on what was proposed."""

import asyncio
from datetime import date, timedelta

import pytest

from services.rectify.application.sanctioning import SanctionChangedError
from services.rectify.domain.case import Outcome, Party
from services.rectify.domain.clocks import ClockName
from services.rectify.domain.ladders import months_before
from services.rectify.domain.sanctions import IllegalSanctionMoveError, SanctionNotFoundError, SanctionStatus
from services.rectify.domain.strikes import Ladder
from shared.events.sanctions import SanctionProposed, StrikeCounted, StrikeWithdrawn
from shared.messaging.publisher import BrokerUnavailableError
from shared.rules.ladders import Ladders
from shared.testing.builders import UNIT
from tests.unit.rectify.ladder_world import COLLEAGUE, HEAD, SIGNER, World

OTHER = "U000533"
PROVINCE = "U000001"


def climbed(steps: int, world: World | None = None, days_apart: float = 10) -> World:
    """A unit that has missed so many deadlines, each proposal signed at once."""
    world = world or World()
    for number in range(1, steps + 1):
        world.overdue(f"case-{number}")
        world.settle()
        world.ask(world.standing()[-1], "sign", SIGNER)
        world.later(days=days_apart)
    return world


def test_each_neglect_leads_one_step_up_and_the_proposal_names_what_it_rests_on() -> None:
    world = climbed(3)
    assert [(each.step, each.measure) for each in world.standing()] == [
        (1, "诫勉谈话"), (2, "通报批评"), (3, "组织处理建议"),
    ]  # fmt: skip
    counted = [event.id for _, event in world.store.events if isinstance(event.data, StrikeCounted)]
    assert world.standing()[-1].rests_on == tuple(counted)
    assert world.standing()[-1].strikes == tuple(strike.strike_id for strike in world.strikes())
    proposed = next(event for _, event in world.store.events if isinstance(event.data, SanctionProposed))
    assert proposed.rules == "sha256:00"
    assert (proposed.causationid, proposed.correlationid) == (counted[0], "story-case-1")
    assert proposed.data.sanction.signing_level == "county"


def test_a_fourth_neglect_stays_on_the_last_step_and_rests_on_the_last_three() -> None:
    world = climbed(4)
    assert world.steps()[-1] == ("U", 3)
    assert world.standing()[-1].strikes == tuple(strike.strike_id for strike in world.strikes()[1:])


@pytest.mark.parametrize(("days", "step"), [(364, 2), (365, 1), (400, 1)])
def test_a_strike_counts_for_twelve_months(days: int, step: int) -> None:
    world = climbed(1, days_apart=days)
    world.overdue("case-2")
    world.settle()
    assert world.steps()[-1] == ("U", step)


@pytest.mark.parametrize(
    ("day", "months", "expected"),
    [
        (date(2026, 11, 23), 12, date(2025, 11, 23)),
        (date(2028, 2, 29), 12, date(2027, 2, 28)),
        (date(2026, 1, 31), 2, date(2025, 11, 30)),
        (date(2026, 12, 1), 12, date(2025, 12, 1)),
    ],
)
def test_months_are_those_of_the_calendar(day: date, months: int, expected: date) -> None:
    assert months_before(day, months) == expected


def test_one_case_is_one_strike_however_often_it_goes_wrong() -> None:
    world = World()
    world.overdue("case-1")
    world.tell("case-1", "spot-checked", passed=False)
    world.overdue("case-1")
    world.settle()
    assert len(world.strikes()) == 1
    assert world.facts() == ["strike-counted", "proposed"]


@pytest.mark.parametrize(
    ("clock", "percent"), [(ClockName.SOLVE, 80), (ClockName.CONFIRM, 100), (ClockName.CLASSIFY, 100)]
)
def test_other_reminders_are_no_strikes(clock: ClockName, percent: int) -> None:
    world = World()
    world.tell("case-1", "clock-reached", clock=clock, percent=percent, due_at=world.clock.now())
    world.tell("case-1", "spot-checked", passed=True)
    world.settle()
    assert world.facts() == []


def test_whoever_answered_for_the_case_when_it_was_late_gets_the_strike_and_keeps_it() -> None:
    world = World()
    world.overdue("case-1", OTHER)
    world.tell("case-1", "transfer-accepted", case={"responsible": Party(UNIT, "分管领导")})
    world.settle(UNIT)
    world.settle(OTHER)
    assert (world.steps(UNIT), world.steps(OTHER)) == ([], [("U", 1)])


def test_nobody_is_above_the_province_so_nothing_is_proposed_to_it() -> None:
    world = World()
    world.overdue("case-1", PROVINCE)
    world.settle(PROVINCE)
    assert world.facts() == []


def test_an_annulled_case_takes_its_strike_along_and_what_rested_on_it_is_proposed_anew() -> None:
    world = climbed(2)
    first, second = world.standing()
    world.tell("case-1", "annulled")
    world.settle()
    assert world.steps() == [("U", 1)]
    anew = world.standing()[0]
    assert (anew.status, anew.strikes) == (SanctionStatus.PROPOSED, second.strikes[1:])
    for each in (first, second):
        found = world.book.sanction(each.sanction_id)
        assert found is not None
        assert found[0].status is SanctionStatus.WITHDRAWN
    withdrawn = next(event.data for _, event in world.store.events if isinstance(event.data, StrikeWithdrawn))
    assert (withdrawn.because, withdrawn.rests_on) == ("case_annulled", (world.news[-1].event_id,))


def test_a_revived_case_counts_again_after_those_that_were_counted_meanwhile() -> None:
    world = climbed(2)
    world.tell("case-1", "annulled")
    world.settle()
    world.tell("case-1", "revived")
    world.settle()
    assert [strike.case_id for strike in world.strikes()] == ["case-2", "case-1"]
    assert [strike.number for strike in world.strikes()] == [1, 2]
    assert world.steps() == [("U", 1), ("U", 2)]


def test_a_rejected_proposal_is_no_strike_whatever_becomes_of_the_case() -> None:
    world = climbed(1)
    world.overdue("case-2")
    world.settle()
    world.ask(world.standing()[-1], "reject", SIGNER)
    world.settle()
    world.tell("case-2", "annulled")
    world.tell("case-2", "revived")
    world.settle()
    assert world.steps() == [("U", 1)]
    world.overdue("case-3")
    world.settle()
    assert world.steps() == [("U", 1), ("U", 2)]


def test_an_appeal_that_is_granted_takes_the_strike_away_and_later_steps_with_it() -> None:
    world = climbed(2, days_apart=1)
    first, _ = world.standing()
    appealed = world.ask(first, "appeal", HEAD)
    assert appealed.in_force, "an appeal suspends nothing"
    with pytest.raises(IllegalSanctionMoveError, match="another person than who signed"):
        world.ask(first, "grant", SIGNER)
    world.ask(first, "grant", COLLEAGUE)
    world.settle()
    assert world.steps() == [("U", 1)]
    assert [strike.case_id for strike in world.strikes()] == ["case-2"]


def test_an_appeal_that_is_refused_leaves_everything_as_it_was() -> None:
    world = climbed(1, days_apart=1)
    (sanction,) = world.standing()
    world.ask(sanction, "appeal", HEAD)
    assert world.ask(sanction, "refuse", COLLEAGUE).status is SanctionStatus.UPHELD
    with pytest.raises(IllegalSanctionMoveError):
        world.ask(sanction, "appeal", HEAD + "-2")
    world.settle()
    assert world.steps() == [("U", 1)]


def test_a_unit_may_appeal_for_five_working_days() -> None:
    world = World()  # Monday, 10:00
    world.overdue("case-1")
    world.settle()
    signed = world.ask(world.standing()[0], "sign", SIGNER)
    assert signed.appeal_until is not None
    assert signed.appeal_until - world.clock.now() == timedelta(days=7)
    world.later(days=7, seconds=1)
    with pytest.raises(IllegalSanctionMoveError, match="an appeal until"):
        world.ask(signed, "appeal", HEAD)


def test_a_repeat_changes_nothing_and_of_two_people_the_second_is_told() -> None:
    world = World()
    world.overdue("case-1")
    world.settle()
    (proposal,) = world.standing()
    first = world.ask(proposal, "sign", SIGNER)
    stored = len(world.store.events)
    assert world.ask(proposal, "sign", SIGNER) == first
    with pytest.raises(IllegalSanctionMoveError):
        world.ask(proposal, "reject", COLLEAGUE)
    with pytest.raises(SanctionChangedError) as caught:
        world.ask(proposal, "reject", COLLEAGUE, if_match=2)
    assert caught.value.stored.sanction == first
    assert len(world.store.events) == stored


def test_what_is_no_sanction_is_not_found() -> None:
    with pytest.raises(SanctionNotFoundError, match="the id of a sanction"):
        asyncio.run(World().people.sanction("nowhere"))


def test_a_complaint_counts_once_its_case_was_closed_as_put_right() -> None:
    world = World()
    world.complaint_closed("case-1", Outcome.UNFOUNDED)
    world.complaint_closed("case-2")
    world.complaint_closed("case-3")
    world.settle()
    assert [(each.ground.value, each.measure) for each in world.standing()] == [
        ("C", "诫勉谈话"), ("C", "通报批评"),
    ]  # fmt: skip
    world.complaint_closed("case-2", Outcome.UNFOUNDED)  # opened again, and looked into
    world.settle()
    assert [strike.case_id for strike in world.strikes(Ladder.C)] == ["case-3"]
    assert world.steps() == [("C", 1)]


def test_the_two_ladders_do_not_mix() -> None:
    world = climbed(2)
    world.complaint_closed("case-9")
    world.settle()
    assert world.steps() == [("U", 1), ("U", 2), ("C", 1)]


def test_the_stricter_variant_goes_to_the_end_at_once() -> None:
    world = World(Ladders(c_strict=True))
    world.complaint_closed("case-1")
    world.complaint_closed("case-2")
    world.settle()
    assert [(each.step, each.measure) for each in world.standing()] == [(1, "离岗"), (1, "离岗")]


def test_a_replica_that_dies_after_storing_repeats_nothing() -> None:
    world = World()
    world.overdue("case-1")
    world.store.lose_answers = True
    with pytest.raises(BrokerUnavailableError):
        world.settle()
    world.restart()
    world.settle()
    world.overdue("case-2")
    world.settle()
    world.restart()
    world.settle()
    assert world.facts() == ["strike-counted", "proposed", "strike-counted", "proposed"]
    assert world.steps() == [("U", 1), ("U", 2)]


def test_a_replica_that_was_behind_is_put_right_by_the_next_comparison() -> None:
    world = climbed(1)
    behind = World()  # knows nothing of the first strike, and writes before it learns of it
    behind.overdue("case-2")
    behind.settle()
    for subject, event in behind.store.events:
        world.store.append(event, subject)
    world.overdue("case-2")
    world.settle()
    assert world.steps() == [("U", 1), ("U", 2)]
    assert world.facts().count("withdrawn") == 1


def test_a_strike_that_was_never_seen_to_be_counted_changes_nothing() -> None:
    world = climbed(1)
    world.tell("case-1", "annulled")
    world.settle()
    ends = [(s, e) for s, e in world.store.events if isinstance(e.data, StrikeWithdrawn)]
    fresh = World()
    fresh.store.append(ends[0][1], ends[0][0])
    assert list(fresh.book.all_strikes()) == []


def test_the_time_of_a_late_reminder_is_when_the_deadline_was() -> None:
    world = World()
    was = world.clock.now()
    world.later(days=3)
    world.tell("case-1", "clock-reached", clock=ClockName.SOLVE, percent=100, due_at=was)
    world.settle()
    assert world.strikes()[0].occurred_at == was


def test_a_rejection_of_what_was_counted_before_does_not_end_what_is_counted_anew() -> None:
    world = World()
    world.overdue("case-1")
    world.settle()
    (proposal,) = world.standing()
    world.tell("case-1", "annulled")
    asyncio.run(world.keep.settle([UNIT]))  # the strike is gone, the proposal not yet
    world.ask(proposal, "reject", SIGNER)
    world.tell("case-1", "revived")
    world.settle()
    assert [(strike.number, strike.ended) for strike in world.strikes()] == [(2, None)]
    assert world.steps() == [("U", 1)]


def test_a_defect_in_the_ladders_of_one_unit_leaves_all_others_their_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    world.overdue("case-1", OTHER)
    world.overdue("case-2", UNIT)
    monkeypatch.setattr(
        world.ladderer.__class__, "due",
        lambda self, unit_id, now, usual=world.ladderer.__class__.due: (
            usual(self, unit_id, now) if unit_id == UNIT else 1 / 0
        ),
    )  # fmt: skip
    asyncio.run(world.keep.settle([OTHER, UNIT]))
    assert [event.data.unit_id for _, event in world.store.events] == [UNIT]
    failed = world.metrics.ladder_events.labels("none", "failed")
    assert failed._value.get() == 1  # noqa: SLF001 - the library has no other way to read it
