"""What each move makes of a case. The machine has checked before that the move is possible."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from services.rectify.domain import clocks
from services.rectify.domain import commands as c
from services.rectify.domain.case import (
    AT_WORK,
    AnnulmentReason,
    Answer,
    Case,
    CaseClass,
    Plan,
    Status,
)
from services.rectify.domain.clocks import FULL, Clock, ClockName
from services.rectify.domain.terms import Terms

OWN: Final = frozenset({ClockName.CONTACT, ClockName.CLASSIFY, ClockName.SOLVE})
"""Clocks that the unit answers for: their end is a deadline that was missed."""


def opened(case: Case, terms: Terms) -> Case:
    """A case at its opening, with the clocks that start there."""
    found = _start(case, ClockName.CLASSIFY, terms.minutes(terms.policy.classify_wd), terms, case.opened_at)
    if case.has_contact:
        found = _start(
            found, ClockName.CONTACT, terms.minutes(terms.policy.contact_wd), terms, case.opened_at
        )
    return found


def contact(case: Case, _command: c.Contact, terms: Terms, now: datetime) -> Case:
    """The first contact stops its clock."""
    return replace(_stop(case, ClockName.CONTACT, terms, now), contacted_at=now)


def classify(case: Case, command: c.Classify, terms: Terms, now: datetime) -> Case:
    """The class sets the deadline, which counts from the opening: a late class gives no more time.

    A deadline that was missed before stays missed under the new class.
    """
    found = _stop(case, ClockName.CLASSIFY, terms, now)
    before = found.clock(ClockName.SOLVE)
    missed = before is not None and before.overdue
    counted = before if before is not None else _required(found, ClockName.CLASSIFY)
    clock = Clock(
        name=ClockName.SOLVE,
        round=1 if before is None else before.round + 1,
        started_at=counted.started_at,
        budget_min=terms.solve_min(command.case_class) + terms.minutes(case.extended_wd),
        used_min=clocks.paused(counted, now, terms.calendar).used_min,
        running_since=now,
        stopped_at=None,
        marks=(),
        reached=(FULL,) if missed else (),
    )
    found = _with(found, clocks.rescheduled(clock, terms.calendar, terms.policy.reminders_percent))
    status = Status.CLASSIFIED if case.status is Status.OPENED else case.status
    if command.case_class is CaseClass.C:
        # Without a plan; one that was made goes with the class that it was made for.
        status = Status.ASSIGNED if status in AT_WORK else status
        found = replace(found, plan=None)
    return replace(found, status=status, case_class=command.case_class)


def assign(case: Case, command: c.Assign, _terms: Terms, _now: datetime) -> Case:
    """Somebody answers for it from now on."""
    return replace(case, status=Status.ASSIGNED, responsible=command.to)


def propose_transfer(case: Case, command: c.ProposeTransfer, _terms: Terms, _now: datetime) -> Case:
    """The first handler stays responsible 首接责任."""
    return replace(case, pending_transfer=command.to, transfer_by=command.by)


def accept_transfer(case: Case, _command: c.AcceptTransfer, _terms: Terms, _now: datetime) -> Case:
    """The other party answers for it from now on."""
    return replace(case, responsible=case.pending_transfer, pending_transfer=None, transfer_by=None)


def refuse_transfer(case: Case, _command: c.RefuseTransfer, _terms: Terms, _now: datetime) -> Case:
    """It stays where it is."""
    return replace(case, pending_transfer=None, transfer_by=None)


def plan(case: Case, command: c.MakePlan, _terms: Terms, _now: datetime) -> Case:
    """A plan, or a better one while work goes on."""
    goal, measures, deadline = command.goal, command.measures, command.deadline
    unit, leader, person = (
        command.responsible_unit, command.responsible_leader, command.responsible_person,
    )  # fmt: skip
    if (
        goal is None
        or measures is None
        or deadline is None
        or unit is None
        or leader is None
        or person is None
    ):
        raise ValueError("the machine lets complete plans through only")  # pragma: no cover - it does
    status = Status.PLANNED if case.status is Status.ASSIGNED else case.status
    return replace(case, status=status, plan=Plan(goal, measures, deadline, unit, leader, person))


def report(case: Case, _command: c.Report, _terms: Terms, _now: datetime) -> Case:
    """Work is under way."""
    return replace(case, status=Status.IN_PROGRESS, reports=case.reports + 1)


def extend(case: Case, command: c.Extend, terms: Terms, now: datetime) -> Case:
    """More time, once."""
    longer = _prolonged(case, terms.minutes(command.working_days), terms, now)
    return replace(_with(case, longer), extended_wd=command.working_days)


def pause(case: Case, _command: c.Pause, terms: Terms, now: datetime) -> Case:
    """Clocks stand still, but for the one of the wait."""
    return replace(_waiting(_all_paused(case, terms, now), terms, now), paused_since=now)


def resume(case: Case, _command: c.Resume, terms: Terms, now: datetime) -> Case:
    """Clocks go on: from the end of the time to wait if that was before, though no timer has fired."""
    wait = case.clock(ClockName.PAUSE)
    until = now if wait is None else _until(wait, now)
    return replace(_all_resumed(_all_paused(case, terms, until), terms, until), paused_since=None)


def answer(case: Case, command: c.GiveAnswer, terms: Terms, now: datetime) -> Case:
    """The deadline is kept or missed now; the citizen's time begins."""
    if command.outcome is None or command.text is None:
        raise ValueError("the machine lets complete answers through only")  # pragma: no cover - it does
    clock = case.clock(ClockName.SOLVE)
    on_time = clock is None or (not clock.overdue and (clock.due_at is None or now <= clock.due_at))
    given = Answer(command.outcome, command.text, now, on_time)
    found = _stop(_stop(case, ClockName.SOLVE, terms, now), ClockName.CONTACT, terms, now)
    found = _start(found, ClockName.CONFIRM, terms.minutes(terms.policy.confirm_wd), terms, now)
    found = replace(
        found,
        status=Status.ANSWERED,
        answer=given,
        first_answered_at=case.first_answered_at or now,
        confirmed_by=None,
    )
    due_at = None if clock is None else clock.due_at
    return found if on_time else _missed(found, min(now, due_at or now))


def confirm(case: Case, command: c.Confirm, terms: Terms, now: datetime) -> Case:
    """The answer stands."""
    found = _stop(case, ClockName.CONFIRM, terms, now)
    return replace(found, status=Status.CONFIRMED, confirmed_by=command.by)


def refuse(case: Case, _command: c.RefuseAnswer, terms: Terms, now: datetime) -> Case:
    """The citizen does not accept it: back to work, with a full deadline, counted."""
    return _reopened(case, terms, now)


def close(case: Case, _command: c.Close, terms: Terms, now: datetime) -> Case:
    """Filed; a class C case as explained, to be looked at again."""
    if case.case_class is CaseClass.C:
        found = _start(case, ClockName.REVIEW, terms.review_min, terms, now)
        return replace(found, status=Status.EXPLAINED, closed_at=now)
    return replace(case, status=Status.CLOSED, closed_at=now)


def review(case: Case, command: c.Review, terms: Terms, now: datetime) -> Case:
    """Still unsolvable: looked at again later. Solvable now: back to work under its new class."""
    found = replace(_stop(case, ClockName.REVIEW, terms, now), reviews=case.reviews + 1)
    if command.now_class is CaseClass.C:
        return _start(found, ClockName.REVIEW, terms.review_min, terms, now)
    found = _stop(found, ClockName.PAUSE, terms, now)
    found = _start(found, ClockName.SOLVE, terms.solve_min(command.now_class), terms, now)
    return replace(
        found,
        status=Status.ASSIGNED,
        case_class=command.now_class,
        plan=None,
        answer=None,
        confirmed_by=None,
        closed_at=None,
        extended_wd=0,
        overdue_since=None,
    )


def spot_check(case: Case, command: c.SpotCheck, terms: Terms, now: datetime) -> Case:
    """Looked back at; what did not last is reopened."""
    found = replace(case, spot_checks=case.spot_checks + 1)
    if command.passed:
        return found
    return replace(_reopened(found, terms, now), failed_checks=case.failed_checks + 1)


def inquire(case: Case, _command: c.Inquire, terms: Terms, now: datetime) -> Case:
    """A question waits for the unit's reply, whatever else the case waits for."""
    asked = _start(case, ClockName.INQUIRY, terms.minutes(terms.policy.inquiry_wd), terms, now)
    return replace(asked, inquiries=case.inquiries + 1)


def respond(case: Case, _command: c.Respond, terms: Terms, now: datetime) -> Case:
    """The question has a reply."""
    return _stop(case, ClockName.INQUIRY, terms, now)


def annul(case: Case, command: c.Annul, terms: Terms, now: datetime) -> Case:
    """It is none; its clocks stand still, in case it is one again."""
    # By hand it is final: what becomes of the rating later does not bring it back.
    revision = command.rating_revision or 0
    return replace(
        _all_paused(_stop(case, ClockName.INQUIRY, terms, now), terms, now),
        status=Status.ANNULLED,
        annulled_from=case.status,
        annulment=AnnulmentReason(command.reason),
        rating_revision=revision,
        pending_transfer=None,
        transfer_by=None,
    )


def revive(case: Case, command: c.Revive, terms: Terms, now: datetime) -> Case:
    """It is one again, and stands where it stood."""
    found = replace(
        case,
        status=case.annulled_from or Status.OPENED,
        annulled_from=None,
        annulment=None,
        rating_revision=command.rating_revision,
    )
    return _waiting(found, terms, now) if case.paused_since is not None else _all_resumed(found, terms, now)


def reach_mark(case: Case, command: c.ReachMark, terms: Terms, now: datetime) -> Case:
    """A reminder is due; whoever acts on it reads the event. At the end of the time to wait it goes on."""
    clock = _required(case, command.clock)
    found = _with(case, replace(clock, reached=tuple(sorted({*clock.reached, command.percent}))))
    if command.percent != FULL:
        return found
    if command.clock is ClockName.PAUSE:
        return resume(found, c.Resume(), terms, now)
    return _missed(found, command.at) if command.clock in OWN else found


def reschedule(case: Case, _command: c.Reschedule, terms: Terms, _now: datetime) -> Case:
    """The same clocks by today's calendar."""
    return replace(
        case,
        clocks=tuple(
            clocks.rescheduled(clock, terms.calendar_of(clock.name), terms.policy.reminders_percent)
            for clock in case.clocks
        ),
    )


# --- pieces ---------------------------------------------------------------------------------------


def _reopened(case: Case, terms: Terms, now: datetime) -> Case:
    found = case
    for name in (ClockName.CONFIRM, ClockName.REVIEW, ClockName.PAUSE):
        found = _stop(found, name, terms, now)
    found = _start(found, ClockName.SOLVE, terms.solve_min(case.case_class or CaseClass.A), terms, now)
    status = Status.ASSIGNED if case.case_class is CaseClass.C else Status.IN_PROGRESS
    return replace(
        found,
        status=status,
        answer=None,
        confirmed_by=None,
        closed_at=None,
        extended_wd=0,
        overdue_since=None,
        reopened=case.reopened + 1,
    )


def _missed(case: Case, at: datetime) -> Case:
    """A deadline of the unit's was missed at that moment."""
    return replace(case, overdue=True, overdue_since=case.overdue_since or at)


def _required(case: Case, name: ClockName) -> Clock:
    clock = case.clock(name)
    if clock is None:
        raise ValueError(name)  # pragma: no cover - the machine has looked
    return clock


def _with(case: Case, clock: Clock) -> Case:
    """The case with `clock` in the place of the one of its name; there is room for one of each."""
    others = tuple(each for each in case.clocks if each.name is not clock.name)
    return replace(case, clocks=tuple(sorted((*others, clock), key=lambda each: each.name)))


def _start(case: Case, name: ClockName, minutes: float, terms: Terms, since: datetime) -> Case:
    before = case.clock(name)
    number = 1 if before is None else before.round + 1
    clock = Clock(name, number, since, minutes, 0.0, since, None, ())
    return _with(case, clocks.rescheduled(clock, terms.calendar_of(name), terms.policy.reminders_percent))


def _stop(case: Case, name: ClockName, terms: Terms, now: datetime) -> Case:
    clock = case.clock(name)
    return case if clock is None else _with(case, clocks.stopped(clock, now, terms.calendar_of(name)))


def _prolonged(case: Case, minutes: float, terms: Terms, now: datetime) -> Clock:
    return clocks.prolonged(
        _required(case, ClockName.SOLVE), minutes, now, terms.calendar, terms.policy.reminders_percent
    )


def _all_paused(case: Case, terms: Terms, now: datetime) -> Case:
    """All clocks stand still but for that of a question of the level above."""
    return replace(
        case,
        clocks=tuple(
            clock
            if clock.name is ClockName.INQUIRY
            else clocks.paused(clock, _until(clock, now), terms.calendar_of(clock.name))
            for clock in case.clocks
        ),
    )


def _until(clock: Clock, now: datetime) -> datetime:
    """`now`, but never beyond the end of a wait: what is counted of it is what it may take."""
    if clock.name is not ClockName.PAUSE or clock.due_at is None:
        return now
    return min(now, clock.due_at)


def _all_resumed(case: Case, terms: Terms, now: datetime) -> Case:
    """All clocks run but for the one of the wait."""
    percents = terms.policy.reminders_percent
    return replace(
        case,
        clocks=tuple(
            clock
            if clock.name is ClockName.PAUSE
            else clocks.resumed(clock, now, terms.calendar_of(clock.name), percents)
            for clock in case.clocks
        ),
    )


def _waiting(case: Case, terms: Terms, now: datetime) -> Case:
    """The clock of the wait runs; what earlier waits of this opening have used stays used."""
    clock = case.clock(ClockName.PAUSE)
    if clock is None or clock.stopped_at is not None:
        return _start(case, ClockName.PAUSE, terms.minutes(terms.policy.pause_max_wd), terms, now)
    calendar = terms.calendar_of(ClockName.PAUSE)
    return _with(case, clocks.resumed(clock, now, calendar, terms.policy.reminders_percent))
