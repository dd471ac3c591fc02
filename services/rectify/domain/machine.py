"""The life of a case as one table: each move with where it is possible, what it needs, and what it does.

Pure. Whoever decides reads the newest state, asks `decide`, and stores the result only if the state is still
the newest (ADR 0037). What a person may do is for the caller to check; what the rules forbid nobody may do.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from services.rectify.domain import commands as c
from services.rectify.domain import effects
from services.rectify.domain.case import AT_WORK, SETTLED, Case, CaseClass, ConfirmedBy, Outcome, Status
from services.rectify.domain.clocks import ClockName
from services.rectify.domain.errors import IllegalMoveError
from services.rectify.domain.terms import Terms
from shared.kernel.clock import SHANGHAI

UNSETTLED: Final = frozenset(Status) - SETTLED
WITH_THE_UNIT: Final = UNSETTLED - {Status.OPENED, Status.CLASSIFIED}
"""Somebody answers for it, and something is to be done."""
BY_SYSTEM: Final = frozenset({"revive", "reach_mark", "reschedule"})
"""Moves that no person makes."""
LEAST_WAIT_MIN: Final = 1.0
"""A shorter rest of the time to wait is none."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One move.

    Attributes:
        move: its name on the wire.
        label: its Chinese term.
        fact: the event that it leads to; the last part of the event's type.
        command: what asks for it.
        states: where it is possible at all.
        blocked: what of the case stands in its way, whatever the command says.
        missing: what the command lacks.
        apply: the state that it leads to.
    """

    move: str
    label: str
    fact: str
    command: type[Any]
    states: frozenset[Status]
    apply: Callable[[Case, Any, Terms, datetime], Case]
    blocked: Callable[[Case], tuple[str, ...]] = lambda _case: ()
    missing: Callable[[Case, Any, Terms, datetime], tuple[str, ...]] = lambda *_: ()


@dataclass(frozen=True, slots=True)
class Decision:
    """A move that the case allows: the fact and the state after it."""

    fact: str
    case: Case


def decide(case: Case, command: c.Command, terms: Terms, now: datetime) -> Decision:
    """What `command` makes of `case`.

    Raises:
        IllegalMoveError: not now; it says what is missing and which moves are open.
    """
    rule = _BY_COMMAND[type(command)]
    if case.status not in rule.states:
        needed = ", ".join(sorted(state.value for state in rule.states))
        raise refusal(rule.move, case, (f"it is {case.status.value}; {rule.move} needs one of: {needed}",))
    faults = (*rule.blocked(case), *rule.missing(case, command, terms, now))
    if faults:
        raise refusal(rule.move, case, faults)
    after = rule.apply(case, command, terms, now)
    return Decision(rule.fact, replace(after, version=case.version + 1))


def refusal(move: str, case: Case, missing: tuple[str, ...]) -> IllegalMoveError:
    """The error for a `move` that `case` does not allow."""
    return IllegalMoveError(move, case.status, missing, open_moves(case))


def open_moves(case: Case) -> tuple[str, ...]:
    """Moves that a person can make now, in the order of a case's life."""
    return tuple(
        rule.move
        for rule in RULES
        if rule.move not in BY_SYSTEM and case.status in rule.states and not rule.blocked(case)
    )


def move_of(command: c.Command) -> str:
    """The name of the move that `command` asks for."""
    return _BY_COMMAND[type(command)].move


# --- what stands in the way -------------------------------------------------------------------------


def _reason(_case: Case, command: Any, _terms: Terms, _now: datetime) -> tuple[str, ...]:  # noqa: ANN401 - one of several commands
    return () if command.reason is not None else ("a reason on file: give `reason`",)


def _finding(_case: Case, command: Any, _terms: Terms, _now: datetime) -> tuple[str, ...]:  # noqa: ANN401 - likewise
    return () if command.finding is not None else ("what was found: give `finding`",)


def _text(_case: Case, command: Any, _terms: Terms, _now: datetime) -> tuple[str, ...]:  # noqa: ANN401 - likewise
    return () if command.text is not None else ("what has been done: give `text`",)


def _new_class(case: Case, command: c.Classify, terms: Terms, now: datetime) -> tuple[str, ...]:
    if case.case_class is None:
        return ()
    if case.case_class is command.case_class:
        return (f"it is class {case.case_class} already: name another one",)
    found = _reason(case, command, terms, now)  # a new class is a new deadline, as an extension is
    clock = case.clock(ClockName.SOLVE)
    if clock is not None and not clock.overdue and clock.due_at is not None and now > clock.due_at:
        # A new round would keep it from being announced at all.
        found += ("its deadline is past, which is about to be announced: try again in a moment",)
    return found


def _no_transfer(case: Case) -> tuple[str, ...]:
    return () if case.pending_transfer is None else ("a transfer is pending: accept or refuse it first",)


def _transfer(case: Case) -> tuple[str, ...]:
    return () if case.pending_transfer is not None else ("no transfer is pending: propose one first",)


def _not_paused(case: Case) -> tuple[str, ...]:
    return () if case.paused_since is None else ("it waits for the citizen: resume it first",)


def _pausable(case: Case) -> tuple[str, ...]:
    found = _not_paused(case)
    if not case.has_contact:
        found += ("nobody can be waited for: the citizen left no contact",)
    elif case.contacted_at is None:
        found += ("the citizen was not contacted yet: contact first",)
    wait = case.clock(ClockName.PAUSE)
    if wait is not None and wait.stopped_at is None and wait.budget_min - wait.used_min < LEAST_WAIT_MIN:
        found += ("the time to wait for the citizen is used up: go on with what is known",)
    return found


def _is_paused(case: Case) -> tuple[str, ...]:
    return () if case.paused_since is not None else ("it does not wait for anybody",)


def _not_contacted(case: Case) -> tuple[str, ...]:
    found = () if case.has_contact else ("the citizen left no contact",)
    return (*found, *(("the citizen was contacted already",) if case.contacted_at is not None else ()))


def _plannable(case: Case) -> tuple[str, ...]:
    if case.case_class is CaseClass.C:
        return ("class C needs no plan: answer with the outcome explained, or classify it A or B",)
    return ()


def latest_deadline(case: Case, terms: Terms, now: datetime) -> datetime:
    """Until when a plan may run: until the answer is due; once that is past, for the time of its class again.

    While the citizen is waited for, as if the wait ended now.
    """
    clock = case.clock(ClockName.SOLVE)
    if clock is not None and clock.due_at is not None and clock.due_at > now:
        return clock.due_at
    if clock is not None and not clock.runs and clock.used_min < clock.budget_min:
        return terms.calendar.after(now, clock.budget_min - clock.used_min)
    return terms.calendar.after(now, terms.solve_min(case.case_class or CaseClass.A))


def _six(case: Case, command: c.MakePlan, terms: Terms, now: datetime) -> tuple[str, ...]:
    elements = {
        "goal 目标": command.goal,
        "measures 措施": command.measures,
        "deadline 时限": command.deadline,
        "responsible unit 责任单位": command.responsible_unit,
        "responsible leader 责任领导": command.responsible_leader,
        "responsible person 责任人": command.responsible_person,
    }
    missing = tuple(f"the plan lacks its {name}" for name, value in elements.items() if value is None)
    if command.deadline is not None and command.deadline <= now:
        missing += ("the plan's deadline is past: name a later one",)
    latest = latest_deadline(case, terms, now)
    if command.deadline is not None and command.deadline > latest:
        until = latest.astimezone(SHANGHAI).isoformat(timespec="seconds")
        missing += (f"the plan's deadline is after the case's own: name {until} at the latest, or extend it",)
    return missing


def _extendable(case: Case) -> tuple[str, ...]:
    clock = case.clock(ClockName.SOLVE)
    if case.extended_wd:
        return (f"it was extended already by {case.extended_wd} working days; there is one extension only",)
    if clock is None or clock.stopped_at is not None:
        return ("no deadline runs",)
    return ("its deadline is past: an extension has to be asked for in time",) if clock.overdue else ()


def _extension(case: Case, command: c.Extend, terms: Terms, now: datetime) -> tuple[str, ...]:
    most = terms.policy.extension_max_wd
    found = _reason(case, command, terms, now)
    clock = case.clock(ClockName.SOLVE)
    if clock is not None and clock.due_at is not None and now > clock.due_at:
        found += ("its deadline is past: an extension has to be asked for in time",)
    if not 1 <= command.working_days <= most:
        found += (f"from 1 to {most} working days, not {command.working_days}",)
    return found


def _answerable(case: Case) -> tuple[str, ...]:
    found = _not_paused(case) + _no_transfer(case)
    if case.case_class is CaseClass.C:
        return found
    if case.plan is None:
        found += ("there is no plan with its six elements: plan first",)
    if case.status is not Status.IN_PROGRESS:
        found += ("nothing was reported to be under way: report first",)
    return found


def _answer(case: Case, command: c.GiveAnswer, _terms: Terms, _now: datetime) -> tuple[str, ...]:
    found: tuple[str, ...] = ()
    if command.text is None:
        found += ("an answer for the citizen: give `text`",)
    if command.outcome is None:
        found += ("an outcome: give `outcome`",)
    elif (command.outcome is Outcome.EXPLAINED) != (case.case_class is CaseClass.C):
        found += ("class C, and only class C, ends as explained",)
    return found


def _confirmation(case: Case, command: c.Confirm, _terms: Terms, now: datetime) -> tuple[str, ...]:
    if command.by is ConfirmedBy.CITIZEN:
        return () if case.has_citizen else ("no citizen is behind it: a supervisor confirms",)
    if command.by is ConfirmedBy.SUPERVISOR:
        return ("the citizen has to confirm, with the receipt's code",) if case.has_citizen else ()
    clock = case.clock(ClockName.CONFIRM)
    if not case.has_citizen:
        return ("no citizen is behind it: a supervisor confirms",)
    if clock is None or clock.due_at is None or now < clock.due_at:
        until = clock.due_at.isoformat() if clock is not None and clock.due_at is not None else "later"
        return (f"the citizen may still speak until {until}",)
    return ()


def _refusable(case: Case) -> tuple[str, ...]:
    found: tuple[str, ...] = () if case.has_citizen else ("no citizen is behind it",)
    if case.confirmed_by is ConfirmedBy.CITIZEN:
        found += ("the citizen has confirmed the answer",)
    return found


def _inquirable(case: Case) -> tuple[str, ...]:
    return ("a question waits for its reply already",) if _is_asked(case) else ()


def _respondable(case: Case) -> tuple[str, ...]:
    return () if _is_asked(case) else ("no question waits for a reply",)


def _is_asked(case: Case) -> bool:
    clock = case.clock(ClockName.INQUIRY)
    return clock is not None and clock.runs


def _question(_case: Case, command: c.Inquire, _terms: Terms, _now: datetime) -> tuple[str, ...]:
    return () if command.question is not None else ("what is asked: give `question`",)


def _closable(case: Case) -> tuple[str, ...]:
    found: tuple[str, ...] = ()
    if case.answer is None:
        found += ("an outcome and an answer: answer first",)
    if case.confirmed_by is None:
        found += ("a confirmation: the citizen's, or after the time for it silence",)
    if _is_asked(case):
        found += ("a reply to the question of the level above: respond first",)
    return found + _no_transfer(case)


def _mark_is_due(case: Case, command: c.ReachMark, _terms: Terms, _now: datetime) -> tuple[str, ...]:
    clock = case.clock(command.clock)
    if clock is None or clock.round != command.round:
        return ("another round of the clock runs",)
    mark = next((mark for mark in clock.pending if mark.percent == command.percent), None)
    if mark is None:
        return ("the mark was announced, or the clock stands still",)
    # Not held against our own time: the broker's clock fires the timer, and if ours is a little behind, the
    # reminder would be lost.
    return ("its moment was moved",) if mark.at != command.at else ()


def _newer_revision(case: Case, command: Any, _terms: Terms, _now: datetime) -> tuple[str, ...]:  # noqa: ANN401 - annul or revive
    by_hand = isinstance(command, c.Annul) and not command.rating_revision
    if by_hand or command.rating_revision > case.rating_revision:
        return ()
    return (f"revision {case.rating_revision} of the rating was taken into account already",)


def _revivable(case: Case) -> tuple[str, ...]:
    return () if case.rating_revision else ("it was annulled by hand",)


# --- the table --------------------------------------------------------------------------------------

RULES: Final = (
    Rule("contact", "首次联系", "contacted", c.Contact, UNSETTLED, effects.contact, _not_contacted),
    Rule(
        "classify", "分类", "classified", c.Classify,
        frozenset({Status.OPENED, Status.CLASSIFIED}) | AT_WORK, effects.classify, _not_paused,
        _new_class,
    ),
    Rule("assign", "交办", "assigned", c.Assign, frozenset({Status.CLASSIFIED}), effects.assign),
    Rule(
        "propose_transfer", "申请转办", "transfer-proposed", c.ProposeTransfer, AT_WORK,
        effects.propose_transfer, _no_transfer, _reason,
    ),
    Rule(
        "accept_transfer", "接受转办", "transfer-accepted", c.AcceptTransfer, AT_WORK,
        effects.accept_transfer, _transfer,
    ),
    Rule(
        "refuse_transfer", "否决转办", "transfer-refused", c.RefuseTransfer, AT_WORK,
        effects.refuse_transfer, _transfer, _reason,
    ),
    Rule("plan", "制定方案", "planned", c.MakePlan, AT_WORK, effects.plan, _plannable, _six),
    Rule(
        "report", "报告进展", "progress-reported", c.Report,
        frozenset({Status.PLANNED, Status.IN_PROGRESS}), effects.report, missing=_text,
    ),
    Rule("extend", "延期", "extended", c.Extend, AT_WORK, effects.extend, _extendable, _extension),
    Rule("pause", "等待群众", "paused", c.Pause, AT_WORK, effects.pause, _pausable, _reason),
    Rule("resume", "恢复办理", "resumed", c.Resume, AT_WORK, effects.resume, _is_paused),
    Rule("answer", "答复", "answered", c.GiveAnswer, AT_WORK, effects.answer, _answerable, _answer),
    Rule(
        "confirm", "确认", "confirmed", c.Confirm, frozenset({Status.ANSWERED}), effects.confirm,
        missing=_confirmation,
    ),
    Rule(
        "refuse", "不认可", "answer-refused", c.RefuseAnswer,
        frozenset({Status.ANSWERED, Status.CONFIRMED, Status.CLOSED, Status.EXPLAINED}),
        effects.refuse, _refusable,
    ),
    Rule("close", "办结", "closed", c.Close, frozenset({Status.CONFIRMED}), effects.close, _closable),
    Rule(
        "review", "复核", "reviewed", c.Review, frozenset({Status.EXPLAINED}), effects.review,
        missing=_finding,
    ),
    Rule(
        "spot_check", "回头看", "spot-checked", c.SpotCheck, frozenset({Status.CLOSED, Status.EXPLAINED}),
        effects.spot_check, missing=_finding,
    ),
    Rule(
        "inquire", "质询", "inquired", c.Inquire, WITH_THE_UNIT, effects.inquire, _inquirable, _question,
    ),
    Rule(
        "respond", "答复质询", "inquiry-answered", c.Respond, WITH_THE_UNIT, effects.respond, _respondable,
        _text,
    ),
    Rule(
        "annul", "撤销", "annulled", c.Annul, frozenset(Status) - {Status.ANNULLED}, effects.annul,
        missing=_newer_revision,
    ),
    Rule(
        "revive", "恢复立案", "revived", c.Revive, frozenset({Status.ANNULLED}), effects.revive,
        _revivable, _newer_revision,
    ),
    Rule(
        "reach_mark", "时限提醒", "clock-reached", c.ReachMark, frozenset(Status) - {Status.ANNULLED},
        effects.reach_mark, missing=_mark_is_due,
    ),
    Rule(
        "reschedule", "时限重算", "rescheduled", c.Reschedule, frozenset(Status) - {Status.ANNULLED},
        effects.reschedule,
    ),
)  # fmt: skip
"""Every move, in the order of a case's life."""

_BY_COMMAND: Final = {rule.command: rule for rule in RULES}
