"""The life of a case, move by move."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import cast

import pytest

from services.rectify.domain import commands as c
from services.rectify.domain.case import (
    AnnulmentReason,
    Case,
    CaseClass,
    ConfirmedBy,
    Origin,
    Outcome,
    Status,
)
from services.rectify.domain.clocks import ClockName
from services.rectify.domain.errors import IllegalMoveError
from services.rectify.domain.machine import decide, open_moves
from tests.unit.rectify.lives import (
    HERE,
    MONDAY,
    TERMS,
    TEXT,
    THERE,
    TO_CLOSED,
    TO_EXPLAINED,
    TO_PROGRESS,
    answer,
    life,
    new_case,
    plan,
)


def refused(case: Case, command: c.Command, days: float = 0) -> IllegalMoveError:
    return refused_at(case, command, MONDAY + timedelta(days=days))


def refused_at(case: Case, command: c.Command, now: datetime) -> IllegalMoveError:
    with pytest.raises(IllegalMoveError) as caught:
        decide(case, command, TERMS, now)
    return caught.value


def test_a_case_goes_from_its_opening_to_its_close() -> None:
    case = life(*TO_CLOSED)
    assert case.status is Status.CLOSED
    assert case.version == 1 + len(TO_CLOSED)
    assert [clock.name for clock in case.clocks if clock.runs] == []


@pytest.mark.parametrize(
    ("element", "word"),
    [
        ("goal", "目标"), ("measures", "措施"), ("deadline", "时限"), ("responsible_unit", "责任单位"),
        ("responsible_leader", "责任领导"), ("responsible_person", "责任人"),
    ],
)  # fmt: skip
def test_a_plan_needs_each_of_its_six_elements(element: str, word: str) -> None:
    case = life(c.Classify(CaseClass.B), c.Assign(HERE))
    error = refused(case, plan(MONDAY, **{element: None}))
    assert word in error.missing[0]
    assert len(error.missing) == 1


def test_a_plan_with_nothing_names_all_six() -> None:
    case = life(c.Classify(CaseClass.B), c.Assign(HERE))
    assert len(refused(case, c.MakePlan(None, None, None, None, None, None)).missing) == 6


def test_an_illegal_move_says_which_moves_are_open() -> None:
    error = refused(new_case(), c.Close())
    assert error.open_moves == ("contact", "classify", "annul")
    assert "classify" in str(error)


def test_the_first_handler_stays_responsible_until_the_other_side_accepts() -> None:
    case = life(*TO_PROGRESS, c.ProposeTransfer(THERE, TEXT))
    assert case.responsible == HERE
    assert life(c.AcceptTransfer(), case=case).responsible == THERE
    assert life(c.RefuseTransfer(TEXT), case=case).responsible == HERE


def test_a_transfer_is_refused_with_a_reason_on_file_only() -> None:
    case = life(*TO_PROGRESS, c.ProposeTransfer(THERE, TEXT))
    assert "reason" in refused(case, c.RefuseTransfer(None)).missing[0]


def test_nothing_is_answered_while_a_transfer_is_pending() -> None:
    case = life(*TO_PROGRESS, c.ProposeTransfer(THERE, TEXT))
    assert "transfer" in refused(case, answer()).missing[0]


@pytest.mark.parametrize(("outcome", "text"), [(None, True), (Outcome.RESOLVED, False), (None, False)])
def test_there_is_no_answer_without_an_outcome_and_a_text(outcome: Outcome | None, text: bool) -> None:  # noqa: FBT001 - a table's column
    case = life(*TO_PROGRESS)
    assert len(refused(case, c.GiveAnswer(outcome, TEXT if text else None)).missing) == (not outcome) + (
        not text
    )


def test_nothing_closes_before_it_was_answered_and_confirmed() -> None:
    for steps in (TO_PROGRESS, (*TO_PROGRESS, answer())):
        assert "close" not in open_moves(life(*steps))
        refused(life(*steps), c.Close())


def test_the_citizen_refuses_and_the_case_is_open_again_and_counted() -> None:
    case = life(c.RefuseAnswer(TEXT), case=life(*TO_PROGRESS, answer()))
    assert (case.status, case.reopened, case.answer) == (Status.IN_PROGRESS, 1, None)
    again = life(answer(), c.Confirm(ConfirmedBy.CITIZEN), c.Close(), case=case)
    assert (again.status, again.reopened) == (Status.CLOSED, 1)


def test_who_confirmed_cannot_refuse_any_more_but_who_kept_silent_can() -> None:
    assert "confirmed" in refused(life(*TO_CLOSED), c.RefuseAnswer(None)).missing[0]
    late = MONDAY + timedelta(days=20)
    case = life(c.Confirm(ConfirmedBy.SILENCE), c.Close(), case=life(*TO_PROGRESS, answer()), now=late)
    assert life(c.RefuseAnswer(None), case=case, now=late).status is Status.IN_PROGRESS


def test_silence_stands_for_consent_after_the_citizens_time_only() -> None:
    case = life(*TO_PROGRESS, answer())
    assert "may still speak" in refused(case, c.Confirm(ConfirmedBy.SILENCE), days=6).missing[0]
    assert decide(case, c.Confirm(ConfirmedBy.SILENCE), TERMS, MONDAY + timedelta(days=7)).case.confirmed_by


def test_a_supervisor_confirms_only_where_there_is_no_citizen() -> None:
    refused(life(*TO_PROGRESS, answer()), c.Confirm(ConfirmedBy.SUPERVISOR))
    by_hand = new_case(origin=Origin.MANUAL, has_contact=False)
    case = life(*TO_PROGRESS[1:], answer(), c.Confirm(ConfirmedBy.SUPERVISOR), c.Close(), case=by_hand)
    assert case.status is Status.CLOSED


def test_class_c_closes_as_explained_only_and_no_other_class_does() -> None:
    case = life(c.Classify(CaseClass.C), c.Assign(HERE))
    refused(case, answer(Outcome.RESOLVED))
    refused(life(*TO_PROGRESS), answer(Outcome.EXPLAINED))
    assert life(*TO_EXPLAINED).status is Status.EXPLAINED


def test_class_c_is_looked_at_again_after_ninety_days_and_again() -> None:
    case = life(*TO_EXPLAINED)
    review = case.clock(ClockName.REVIEW)
    assert review is not None
    assert review.due_at == MONDAY + timedelta(days=90)
    later = MONDAY + timedelta(days=90)
    again = life(c.Review(CaseClass.C, TEXT), case=case, now=later).clock(ClockName.REVIEW)
    assert again is not None
    assert (again.due_at, again.round) == (later + timedelta(days=90), 2)


def test_class_c_that_can_be_solved_now_goes_back_to_work_under_a_new_deadline() -> None:
    later = MONDAY + timedelta(days=91)
    case = life(c.Review(CaseClass.A, TEXT), case=life(*TO_EXPLAINED), now=later)
    clock = case.clock(ClockName.SOLVE)
    assert (case.status, case.case_class, case.answer) == (Status.ASSIGNED, CaseClass.A, None)
    assert clock is not None
    assert clock.started_at == later


def test_a_spot_check_with_a_finding_opens_a_closed_case_again() -> None:
    case = life(*TO_CLOSED)
    assert life(c.SpotCheck(passed=True, finding=TEXT), case=case).status is Status.CLOSED
    failed = life(c.SpotCheck(passed=False, finding=TEXT), case=case)
    assert (failed.status, failed.reopened, failed.failed_checks) == (Status.IN_PROGRESS, 1, 1)


def test_there_is_one_extension_with_a_reason_and_in_time() -> None:
    case = life(*TO_PROGRESS)
    assert "reason" in refused(case, c.Extend(3, None)).missing[0]
    assert "from 1 to 15" in refused(case, c.Extend(16, TEXT)).missing[0]
    assert "past" in refused(case, c.Extend(3, TEXT), days=8).missing[0]
    assert "one extension" in refused(life(c.Extend(3, TEXT), case=case), c.Extend(1, TEXT)).missing[0]


def test_an_extension_moves_the_deadline_by_its_working_days() -> None:
    case = life(*TO_PROGRESS)
    before, after = case.clock(ClockName.SOLVE), life(c.Extend(5, TEXT), case=case).clock(ClockName.SOLVE)
    assert before is not None
    assert after is not None
    assert before.due_at is not None
    assert after.due_at == before.due_at + timedelta(days=7)


def test_a_late_class_gives_no_more_time() -> None:
    late = MONDAY + timedelta(days=3)
    clock = life(c.Classify(CaseClass.A), now=late).clock(ClockName.SOLVE)
    assert clock is not None
    assert clock.due_at == MONDAY + timedelta(days=7)


def test_time_in_which_the_citizen_is_waited_for_does_not_count() -> None:
    case = life(c.Pause(TEXT), case=life(*TO_PROGRESS))
    assert [clock.name for clock in case.clocks if clock.runs] == [ClockName.PAUSE]
    later = MONDAY + timedelta(days=7)
    clock = life(c.Resume(), case=case, now=later).clock(ClockName.SOLVE)
    assert clock is not None
    assert clock.due_at == MONDAY + timedelta(days=14)


def waited_out(case: Case) -> c.ReachMark:
    """The last reminder of a wait."""
    clock = case.clock(ClockName.PAUSE)
    assert clock is not None
    assert clock.due_at is not None
    return c.ReachMark(ClockName.PAUSE, clock.round, 100, clock.due_at)


def due(case: Case, name: ClockName = ClockName.SOLVE) -> datetime | None:
    clock = case.clock(name)
    assert clock is not None
    return clock.due_at


def test_a_wait_ends_by_itself_after_its_working_days_and_is_no_missed_deadline() -> None:
    case = life(c.Pause(TEXT), case=life(*TO_PROGRESS))
    end = MONDAY + timedelta(days=14)
    assert due(case, ClockName.PAUSE) == end
    late = decide(case, waited_out(case), TERMS, end + timedelta(days=4)).case
    assert (late.paused_since, late.overdue) == (None, False)
    assert due(late) == end + timedelta(days=7), "time counts from the end of the wait, not from its timer"
    by_hand = life(c.Resume(), case=case, now=end + timedelta(days=4))
    assert due(by_hand) == due(late)


def test_all_waits_of_one_opening_have_the_time_of_one() -> None:
    week, day = timedelta(days=7), timedelta(days=1)
    once = life(c.Resume(), case=life(*TO_PROGRESS, c.Pause(TEXT)), now=MONDAY + week)
    again = life(c.Pause(TEXT), case=once, now=MONDAY + week + day)
    assert due(again, ClockName.PAUSE) == MONDAY + 2 * week + day
    over = decide(again, waited_out(again), TERMS, MONDAY + 2 * week + day).case
    assert "pause" not in open_moves(over)
    assert "used up" in refused_at(over, c.Pause(TEXT), MONDAY + 2 * week + day).missing[0]
    waits = life(answer(), c.RefuseAnswer(TEXT), c.Pause(TEXT), case=over, now=MONDAY + 3 * week)
    clock = waits.clock(ClockName.PAUSE)
    assert clock is not None
    assert (clock.round, clock.due_at) == (2, MONDAY + 5 * week), "an answer that was refused starts anew"


def test_a_case_that_is_one_again_waits_on_if_it_waited() -> None:
    waits = life(c.Pause(TEXT), case=life(*TO_PROGRESS))
    gone = life(c.Annul(AnnulmentReason.EXCLUDED, 1), case=waits, now=MONDAY + timedelta(days=7))
    back = life(c.Revive(2), case=gone, now=MONDAY + timedelta(days=28))
    assert [clock.name for clock in back.clocks if clock.runs] == [ClockName.PAUSE]
    assert due(back, ClockName.PAUSE) == MONDAY + timedelta(days=35)
    at_work = life(c.Annul(AnnulmentReason.EXCLUDED, 1), case=life(c.Resume(), case=waits))
    assert [clock.name for clock in life(c.Revive(2), case=at_work).clocks if clock.runs] == [ClockName.SOLVE]


def test_a_plan_ends_with_the_cases_own_deadline_which_the_refusal_names() -> None:
    case, week = life(c.Classify(CaseClass.A), c.Assign(HERE)), timedelta(days=7)
    last = MONDAY + week
    error = refused(case, plan(deadline=last + timedelta(minutes=1)))
    assert "2026-11-30T10:00:00+08:00" in error.missing[0]
    assert life(plan(deadline=last), case=case).status is Status.PLANNED
    longer = life(c.Extend(5, TEXT), plan(deadline=last + week), case=case)
    assert longer.status is Status.PLANNED, "an extension gives the plan more time, too"


def test_a_plan_of_an_overdue_case_has_its_classs_time_again() -> None:
    case, week = life(c.Classify(CaseClass.A), c.Assign(HERE)), timedelta(days=7)
    now = MONDAY + 2 * week
    assert life(plan(deadline=now + week), case=case, now=now).status is Status.PLANNED
    assert "after the case's own" in refused_at(case, plan(deadline=now + 2 * week), now).missing[0]


def test_a_plan_of_a_case_that_waits_counts_as_if_the_wait_ended_now() -> None:
    case, week = life(*TO_PROGRESS[:3], c.Pause(TEXT)), timedelta(days=7)
    now = MONDAY + week
    assert life(plan(deadline=now + week), case=case, now=now).status is Status.PLANNED
    assert "after the case's own" in refused_at(case, plan(deadline=now + 2 * week), now).missing[0]


def test_a_question_of_the_level_above_has_a_time_to_reply_that_nothing_stops() -> None:
    case = life(*TO_PROGRESS, c.Inquire(TEXT), c.Pause(TEXT))
    assert due(case, ClockName.INQUIRY) == MONDAY + timedelta(days=3)
    assert case.inquiries == 1
    assert "already" in refused(case, c.Inquire(TEXT)).missing[0]
    assert "text" in refused(case, c.Respond(None)).missing[0]
    late = MONDAY + timedelta(days=4)
    clock = case.clock(ClockName.INQUIRY)
    assert clock is not None
    assert clock.due_at is not None
    reached = decide(case, c.ReachMark(ClockName.INQUIRY, 1, 100, clock.due_at), TERMS, late).case
    assert not reached.overdue, "the level above is told; it is no deadline of the citizen's matter"
    replied = life(c.Respond(TEXT), case=reached, now=late)
    assert "no question" in refused_at(replied, c.Respond(TEXT), late).missing[0]
    assert life(c.Inquire(TEXT), case=replied, now=late).inquiries == 2


def test_a_case_is_not_closed_while_a_question_waits() -> None:
    confirmed = life(*TO_PROGRESS, answer(), c.Confirm(ConfirmedBy.CITIZEN))
    assert "question" in refused(confirmed, c.Inquire(None)).missing[0]
    case = life(c.Inquire(TEXT), case=confirmed)
    assert "respond first" in refused(case, c.Close()).missing[0]
    closed = life(c.Respond(TEXT), c.Close(), case=case)
    assert "inquire" not in open_moves(closed)
    gone = life(c.Annul(AnnulmentReason.EXCLUDED, 1), case=case)
    assert due(life(c.Revive(2), case=gone), ClockName.INQUIRY) is None, "its question is moot"


def test_a_new_class_keeps_the_time_that_was_waited() -> None:
    later = MONDAY + timedelta(days=7)
    case = life(c.Resume(), c.Classify(CaseClass.B, TEXT), case=life(*TO_PROGRESS, c.Pause(TEXT)), now=later)
    clock = case.clock(ClockName.SOLVE)
    assert clock is not None
    assert clock.due_at == MONDAY + timedelta(days=7 + 21)


def test_the_first_class_is_free_and_another_one_needs_a_reason() -> None:
    case = life(*TO_PROGRESS)
    assert "reason" in refused(case, c.Classify(CaseClass.B)).missing[0]
    assert "already" in refused(case, c.Classify(CaseClass.A, TEXT)).missing[0]
    assert life(c.Classify(CaseClass.B, TEXT), case=case).case_class is CaseClass.B


def test_a_deadline_that_was_missed_stays_missed_under_a_new_class_until_the_case_is_opened_again() -> None:
    case = life(*TO_PROGRESS)
    clock = case.clock(ClockName.SOLVE)
    assert clock is not None
    assert clock.due_at is not None
    late = clock.due_at + timedelta(minutes=1)
    assert "announced" in refused_at(case, c.Classify(CaseClass.B, TEXT), late).missing[0]
    reached = decide(case, c.ReachMark(ClockName.SOLVE, clock.round, 100, clock.due_at), TERMS, late).case
    longer = life(c.Classify(CaseClass.B, TEXT), case=reached, now=late)
    answered = life(answer(), case=longer, now=late)
    assert answered.answer is not None
    assert (answered.answer.on_time, answered.overdue) == (False, True)
    again = life(c.RefuseAnswer(None), answer(), case=answered, now=late)
    assert again.answer is not None
    assert (again.answer.on_time, again.overdue) == (True, True)


def test_an_answer_after_the_deadline_is_late_though_no_timer_has_fired() -> None:
    late, due_at = MONDAY + timedelta(days=8), MONDAY + timedelta(days=7)
    case = life(answer(), case=life(*TO_PROGRESS), now=late)
    assert case.answer is not None
    assert (case.answer.on_time, case.overdue, case.overdue_since) == (False, True, due_at)


def test_the_first_deadline_that_was_missed_stands_until_the_case_is_opened_again() -> None:
    case, end = new_case(), MONDAY + timedelta(days=1)
    late = decide(case, c.ReachMark(ClockName.CLASSIFY, 1, 100, end), TERMS, end + timedelta(hours=1)).case
    assert late.overdue_since == end
    answered = life(*TO_PROGRESS[1:], answer(), case=late, now=MONDAY + timedelta(days=2))
    assert answered.overdue_since == end
    again = life(c.RefuseAnswer(None), case=answered, now=MONDAY + timedelta(days=3))
    assert (again.overdue, again.overdue_since) == (True, None), "its new deadline is not missed"


def test_a_mark_is_announced_once() -> None:
    case = life(*TO_PROGRESS)
    clock = case.clock(ClockName.SOLVE)
    assert clock is not None
    mark = clock.marks[0]
    reach = c.ReachMark(ClockName.SOLVE, clock.round, mark.percent, mark.at)
    refused(case, c.ReachMark(ClockName.SOLVE, clock.round, mark.percent, mark.at - timedelta(hours=1)))
    after = decide(case, reach, TERMS, mark.at).case
    with pytest.raises(IllegalMoveError):
        decide(after, reach, TERMS, mark.at)
    assert not after.overdue


def test_a_timer_of_a_former_round_announces_nothing() -> None:
    case = life(*TO_PROGRESS)
    clock = case.clock(ClockName.SOLVE)
    assert clock is not None
    mark = clock.marks[-1]
    longer = life(c.Extend(5, TEXT), case=case)
    with pytest.raises(IllegalMoveError):
        decide(longer, c.ReachMark(ClockName.SOLVE, clock.round, mark.percent, mark.at), TERMS, mark.at)


def test_an_annulled_case_comes_back_where_it_stood_when_its_rating_counts_again() -> None:
    case = life(*TO_PROGRESS)
    gone = life(c.Annul(AnnulmentReason.EXCLUDED, 1), case=case)
    assert gone.status is Status.ANNULLED
    back = life(c.Revive(2), case=gone, now=MONDAY + timedelta(days=7))
    clock = back.clock(ClockName.SOLVE)
    assert clock is not None
    assert (back.status, clock.due_at) == (Status.IN_PROGRESS, MONDAY + timedelta(days=14))


def test_an_older_revision_of_the_rating_changes_nothing() -> None:
    gone = life(c.Annul(AnnulmentReason.EXCLUDED, 3))
    with pytest.raises(IllegalMoveError):
        decide(gone, c.Revive(2), TERMS, MONDAY)


def test_what_was_annulled_by_hand_stays_so_whatever_becomes_of_the_rating() -> None:
    gone = life(c.Annul(AnnulmentReason.MISTAKEN))
    with pytest.raises(IllegalMoveError):
        decide(gone, c.Revive(9), TERMS, MONDAY)


@pytest.mark.parametrize(
    "state",
    [
        new_case,
        lambda: life(*TO_PROGRESS),
        lambda: life(*TO_CLOSED),
        lambda: life(*TO_EXPLAINED),
        lambda: life(c.Annul(AnnulmentReason.MISTAKEN)),
    ],
)
def test_only_open_moves_can_be_made(state: object) -> None:
    case = cast("Callable[[], Case]", state)()
    person: dict[str, c.Command] = {
        "contact": c.Contact(), "classify": c.Classify(CaseClass.B, TEXT), "assign": c.Assign(HERE),
        "propose_transfer": c.ProposeTransfer(THERE, TEXT), "accept_transfer": c.AcceptTransfer(),
        "refuse_transfer": c.RefuseTransfer(TEXT), "plan": plan(), "report": c.Report(TEXT),
        "extend": c.Extend(1, TEXT), "pause": c.Pause(TEXT), "resume": c.Resume(), "answer": answer(),
        "confirm": c.Confirm(ConfirmedBy.CITIZEN), "refuse": c.RefuseAnswer(None), "close": c.Close(),
        "review": c.Review(CaseClass.C, TEXT), "spot_check": c.SpotCheck(passed=True, finding=TEXT),
        "inquire": c.Inquire(TEXT), "respond": c.Respond(TEXT),
        "annul": c.Annul(AnnulmentReason.MISTAKEN),
    }  # fmt: skip
    possible = set()
    for move, command in person.items():
        try:
            decide(case, command, TERMS, MONDAY)
        except IllegalMoveError:
            continue
        possible.add(move)
    assert possible == set(open_moves(case))
