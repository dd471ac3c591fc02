"""No sequence of commands, crashes and duplicates reaches a state that the rules forbid.

The store is the stream in small: it appends under the optimistic lock and recognises ids. A crash is an event
that was stored and whose answer was lost, or everything made anew from the events; a duplicate is a command
or a timer that comes again. What the rules forbid is said twice: of a state, and of each step to the next.
"""

import asyncio
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.rectify.adapters.rule_packs import FileRulePacks
from services.rectify.application.desk import Desk, KeyReusedError, LostRaceError
from services.rectify.application.ports import StoredCase
from services.rectify.application.timekeeping import FireTimer
from services.rectify.application.translation import case_of
from services.rectify.domain import commands as c
from services.rectify.domain.case import (
    AnnulmentReason,
    Case,
    CaseClass,
    CommandMark,
    ConfirmedBy,
    Outcome,
    Status,
)
from services.rectify.domain.clocks import ClockName
from services.rectify.domain.errors import IllegalMoveError
from services.rectify.domain.machine import latest_deadline, open_moves
from services.rectify.domain.timers import Timer, timers_of
from services.rectify.metrics import RectifyMetrics
from shared.events import Envelope, Provenance
from shared.kernel.ids import derived_id
from shared.messaging.publisher import BrokerUnavailableError
from tests.unit.rectify.lives import HERE, MONDAY, TERMS, TEXT, THERE, answer, new_case, plan
from tests.unit.rectify.one_case import NoHolidays, Now, Stream, again

COMMANDS: st.SearchStrategy[c.Command] = st.one_of(
    st.just(c.Contact()),
    st.builds(c.Classify, st.sampled_from(CaseClass), st.sampled_from([TEXT, None])),
    st.builds(c.Assign, st.sampled_from([HERE, THERE])),
    st.builds(c.ProposeTransfer, st.sampled_from([HERE, THERE]), st.sampled_from([TEXT, None])),
    st.just(c.AcceptTransfer()),
    st.builds(c.RefuseTransfer, st.sampled_from([TEXT, None])),
    st.builds(lambda days: plan(MONDAY + timedelta(days=days)), st.sampled_from([0, 4, 30, 9000])),
    st.just(c.Report(TEXT)),
    st.builds(c.Extend, st.integers(0, 16), st.sampled_from([TEXT, None])),
    st.just(c.Pause(TEXT)),
    st.just(c.Resume()),
    st.builds(answer, st.sampled_from(Outcome)),
    st.just(c.GiveAnswer(None, TEXT)),
    st.builds(c.Confirm, st.sampled_from(ConfirmedBy)),
    st.just(c.RefuseAnswer(TEXT)),
    st.just(c.Close()),
    st.builds(c.Review, st.sampled_from(CaseClass), st.just(TEXT)),
    st.builds(c.SpotCheck, passed=st.booleans(), finding=st.just(TEXT)),
    st.builds(c.Inquire, st.sampled_from([TEXT, None])),
    st.builds(c.Respond, st.sampled_from([TEXT, None])),
    st.builds(c.Annul, st.sampled_from(AnnulmentReason), st.integers(1, 99)),
    st.builds(c.Revive, st.integers(1, 99)),
)


PACKS = FileRulePacks(None)
HURRIED: st.SearchStrategy[c.Command] = st.one_of(
    st.builds(answer, st.sampled_from(Outcome)),
    st.sampled_from([c.GiveAnswer(Outcome.RESOLVED, None), c.Close(), plan(goal=None), c.Report(TEXT)]),
    st.builds(c.Confirm, st.sampled_from(ConfirmedBy)),
)
"""What somebody tries who would rather be done with it."""
NUMBERS: st.SearchStrategy[int] = st.integers(1, 10_000)
ANNULLED_ONCE_IN = 40


def plan_for(case: Case, now: datetime) -> c.MakePlan:
    """A plan that takes all the time that `case` has."""
    return plan(deadline=latest_deadline(case, TERMS, now))


def possible(case: Case, number: int, now: datetime) -> c.Command:
    """One of the commands that `case` allows, by `number`: of all commands chance would seldom draw one."""
    revision = case.rating_revision + 1
    if case.status is Status.ANNULLED:
        return c.Revive(revision)
    if number % ANNULLED_ONCE_IN == 0:
        return c.Annul(AnnulmentReason.EXCLUDED, revision)
    makes: dict[str, tuple[c.Command, ...]] = {
        "contact": (c.Contact(),),
        "classify": tuple(c.Classify(each, TEXT) for each in CaseClass),
        "assign": (c.Assign(HERE),),
        "propose_transfer": (c.ProposeTransfer(THERE, TEXT), c.ProposeTransfer(HERE, TEXT)),
        "accept_transfer": (c.AcceptTransfer(),),
        "refuse_transfer": (c.RefuseTransfer(TEXT),),
        "plan": (plan_for(case, now),),
        "report": (c.Report(TEXT),),
        "extend": (c.Extend(1, TEXT), c.Extend(15, TEXT)),
        "pause": (c.Pause(TEXT),),
        "resume": (c.Resume(),),
        "answer": tuple(answer(each) for each in Outcome),
        "confirm": (c.Confirm(ConfirmedBy.CITIZEN), c.Confirm(ConfirmedBy.SILENCE)),
        "refuse": (c.RefuseAnswer(TEXT),),
        "close": (c.Close(),),
        "review": tuple(c.Review(each, TEXT) for each in CaseClass),
        "inquire": (c.Inquire(TEXT),),
        "respond": (c.Respond(TEXT),),
        "spot_check": (c.SpotCheck(passed=True, finding=TEXT), c.SpotCheck(passed=False, finding=TEXT)),
    }
    commands = [command for move in open_moves(case) for command in makes.get(move, ())]
    return commands[number % len(commands)] if commands else c.Annul(AnnulmentReason.EXCLUDED, revision)


def next_step(case: Case, case_class: CaseClass, now: datetime) -> c.Command | None:
    """What brings a case ahead: without it, chance alone hardly ever gets to an answer."""
    if case.status is Status.ANNULLED:
        return c.Revive(case.rating_revision + 1)
    if case.paused_since is not None:
        return c.Resume()
    if case.pending_transfer is not None:
        return c.AcceptTransfer()
    explains = case.case_class is CaseClass.C
    question = case.clock(ClockName.INQUIRY)
    asked = question is not None and question.runs
    ways: dict[Status, c.Command] = {
        Status.OPENED: c.Classify(case_class),
        Status.CLASSIFIED: c.Assign(HERE),
        Status.ASSIGNED: answer(Outcome.EXPLAINED) if explains else plan_for(case, now),
        Status.PLANNED: c.Report(TEXT),
        Status.IN_PROGRESS: answer(),
        Status.ANSWERED: c.Confirm(ConfirmedBy.CITIZEN),
        Status.CONFIRMED: c.Respond(TEXT) if asked else c.Close(),
    }
    return ways.get(case.status)


class History:
    """What the rules say of each step, held against the events one by one, from the first."""

    def __init__(self) -> None:
        self.read_up_to = 0
        self.extensions = 0
        """Since the case was opened, or opened again."""
        self.refusals = 0
        self.announced: set[tuple[str, int, int]] = set()
        self.annulled_for_good = False

    def read(self, stream: Stream) -> None:
        for place in range(max(1, self.read_up_to), len(stream.events)):
            event = stream.events[place]
            fact = event.type.split(".")[3]
            before, after = stream.cases[place - 1], stream.cases[place]
            assert not self.annulled_for_good, f"{fact} after it was annulled for good"
            assert after.version == before.version + 1
            assert before.overdue <= after.overdue, "a missed deadline was forgotten"
            assert after.overdue or after.overdue_since is None
            if after.overdue > before.overdue:
                assert after.overdue_since is not None
                assert after.overdue_since <= event.time, "a deadline to come was missed"
            assert before.first_answered_at in {None, after.first_answered_at}
            self._responsibility(fact, before, after)
            self._steps(fact, event, before, after)
            self._counts(fact, event, after)
        self.read_up_to = len(stream.events)

    @staticmethod
    def _responsibility(fact: str, before: Case, after: Case) -> None:
        if fact == "assigned":
            assert before.responsible is None
            assert after.responsible is not None
        elif fact == "transfer-accepted":
            assert before.pending_transfer is not None
            assert after.responsible == before.pending_transfer
        else:
            assert after.responsible == before.responsible, "the first handler answers until another accepts"

    def _steps(self, fact: str, event: Envelope[Any], before: Case, after: Case) -> None:
        if fact == "planned":
            assert after.plan is not None
            six = (
                after.plan.goal.ciphertext, after.plan.measures.ciphertext, after.plan.deadline > event.time,
                after.plan.responsible_unit, after.plan.responsible_leader, after.plan.responsible_person,
            )  # fmt: skip
            assert all(six), "a plan without one of its six elements"
            due = before.clock(ClockName.SOLVE)
            assert due is not None
            if due.due_at is not None and due.due_at > event.time:
                assert after.plan.deadline <= due.due_at, "a plan beyond the deadline"
        elif fact == "answered":
            assert after.answer is not None
            assert after.answer.text.ciphertext
            assert before.paused_since is None
            assert before.pending_transfer is None
        elif fact == "confirmed":
            due = before.clock(ClockName.CONFIRM)
            assert before.has_citizen
            assert after.confirmed_by in {ConfirmedBy.CITIZEN, ConfirmedBy.SILENCE}
            if after.confirmed_by is ConfirmedBy.SILENCE:
                assert due is not None
                assert due.due_at is not None
                assert due.due_at <= event.time, "silence before the citizen's time was over"
        elif fact == "closed":
            assert before.answer is not None, "closed without an outcome and an answer"
            assert before.confirmed_by is not None, "closed without a confirmation"
            question = before.clock(ClockName.INQUIRY)
            assert question is None or not question.runs, "closed with a question that nobody replied to"
        elif fact == "answer-refused":
            assert before.confirmed_by is not ConfirmedBy.CITIZEN, "who has confirmed can't refuse"
        elif fact in {"annulled", "revived"} and after.rating_revision:
            assert after.rating_revision > before.rating_revision, "an older word about the rating counted"
        self.annulled_for_good = after.status is Status.ANNULLED and not after.rating_revision

    def _counts(self, fact: str, event: Envelope[Any], after: Case) -> None:
        if fact == "extended":
            self.extensions += 1
            assert self.extensions == 1, "a second extension"
        opened_again = fact == "answer-refused" or (fact == "spot-checked" and not event.data.passed)
        self.refusals += opened_again
        assert after.reopened == self.refusals
        assert after.failed_checks <= min(after.spot_checks, after.reopened)
        if opened_again or (fact == "reviewed" and after.status is Status.ASSIGNED):
            self.extensions = 0
        if fact == "clock-reached":
            clock = after.clock(ClockName(event.data.clock))
            assert clock is not None
            mark = (event.data.clock, clock.round, event.data.percent)
            assert mark not in self.announced, "a reminder was announced twice"
            self.announced.add(mark)


class AnyLife(RuleBasedStateMachine):
    """Commands of anybody, at any time, with crashes and repeats."""

    def __init__(self) -> None:
        super().__init__()
        self.stream, self.clock, self.metrics = Stream(), Now(), RectifyMetrics()
        self.ids = count(1)
        self.desk = self.new_desk()
        self.history = History()
        self.keys = count(1)
        self.fired: list[Timer] = []
        self.done: list[tuple[c.Command, CommandMark]] = []

    def new_desk(self) -> Desk:
        return Desk(
            self.stream,
            PACKS,
            NoHolidays(),
            self.clock,
            self.metrics,
            lambda _now: derived_id("test", str(next(self.ids))),
        )

    @property
    def case(self) -> Case:
        return self.stream.cases[-1]

    @initialize(case_class=st.sampled_from(CaseClass), stage=st.integers(0, 5))
    def open(self, case_class: CaseClass, stage: int) -> None:
        for _ in range(2):  # and a redelivery
            asyncio.run(self.desk.open(new_case(), by="system", provenance=Provenance("test")))
        assert len(self.stream.events) == 1
        self.steps_ahead(case_class, stage)

    def ask(self, command: c.Command, mark: CommandMark) -> None:
        try:
            asyncio.run(self.desk.ask(self.case.case_id, command, by="officer", mark=mark))
        except (IllegalMoveError, LostRaceError):
            return
        self.done.append((command, mark))

    @rule(command=COMMANDS, crash=st.booleans())
    def move(self, command: c.Command, crash: bool) -> None:  # noqa: FBT001 - drawn
        mark = CommandMark(f"{next(self.keys):032x}", f"{hash(command) % 16**32:032x}")
        self.stream.lose_answer = crash
        try:
            self.ask(command, mark)
        except BrokerUnavailableError:
            stored = len(self.stream.events)
            self.ask(command, mark)  # as the client does that has no answer
            assert len(self.stream.events) == stored, "the repeat was carried out twice"
        self.stream.lose_answer = False

    @rule(number=NUMBERS)
    def something_possible(self, number: int) -> None:
        self.ask(
            possible(self.case, number, self.clock.moment), CommandMark(f"{next(self.keys):032x}", "5" * 32)
        )

    @rule(numbers=st.lists(NUMBERS, min_size=2, max_size=6))
    def a_busy_day(self, numbers: list[int]) -> None:
        for number in numbers:
            self.something_possible(number)

    @rule(mine=NUMBERS, theirs=NUMBERS)
    def two_at_once(self, mine: int, theirs: int) -> None:
        """Somebody else's event comes between our look and our event."""
        now = self.clock.moment
        ours, other_one = possible(self.case, mine, now), possible(self.case, theirs, now)
        won: list[StoredCase] = []
        stored = len(self.stream.events)
        case_id, mark = self.case.case_id, CommandMark(f"{next(self.keys):032x}", "2" * 32)
        other = CommandMark(f"{next(self.keys):032x}", "3" * 32)

        async def meanwhile() -> None:
            try:
                won.append(await self.desk.ask(case_id, other_one, by="supervisor", mark=other))
            except IllegalMoveError:
                return

        self.stream.before_store = meanwhile
        outcome, newer = "carried out", None
        try:
            asyncio.run(self.desk.ask(case_id, ours, by="officer", mark=mark))
        except IllegalMoveError:
            outcome = "refused"
        except LostRaceError as lost:
            outcome, newer = "lost", lost.stored.case
        self.stream.before_store = None
        events = len(self.stream.events) - stored
        if outcome == "lost":
            assert newer == won[0].case == self.case, "the loser gets the newer state"
            assert events == 1, "the loser stored something"
        else:
            assert won == [], "two were carried out on one state"
            assert events == (outcome == "carried out")

    @rule()
    def everything_dies_and_is_made_anew_from_the_events(self) -> None:
        before = self.case
        self.stream.events = [again(event) for event in self.stream.events]
        self.stream.cases = [case_of(event.data) for event in self.stream.events]
        self.desk, self.history = self.new_desk(), History()
        assert self.case == before

    @rule(
        reason=st.sampled_from([AnnulmentReason.MISTAKEN, AnnulmentReason.REPEATED]), really=st.integers(0, 9)
    )
    def somebody_annuls_it_for_good(self, reason: AnnulmentReason, really: int) -> None:
        if really == 9:  # not often: there is nothing to be seen after it
            self.ask(c.Annul(reason), CommandMark(f"{next(self.keys):032x}", "4" * 32))

    @rule(case_class=st.sampled_from(CaseClass), steps=st.integers(1, 3))
    def work_goes_on(self, case_class: CaseClass, steps: int) -> None:
        self.steps_ahead(case_class, steps)

    def steps_ahead(self, case_class: CaseClass, steps: int) -> None:
        for _ in range(steps):
            command = next_step(self.case, case_class, self.clock.moment)
            if command is not None:
                self.ask(command, CommandMark(f"{next(self.keys):032x}", "0" * 32))

    @rule(command=HURRIED)
    def somebody_hurries(self, command: c.Command) -> None:
        self.ask(command, CommandMark(f"{next(self.keys):032x}", "1" * 32))

    @rule()
    def repeat(self) -> None:
        if not self.done:
            return
        command, mark = self.done[-1]
        stored = len(self.stream.events)
        self.ask(command, mark)
        assert len(self.stream.events) == stored

    @rule()
    def use_a_key_for_something_else(self) -> None:
        if self.done and self.done[-1][1] in self.case.commands:
            other = CommandMark(self.done[-1][1].key, "f" * 32)
            try:
                asyncio.run(self.desk.ask(self.case.case_id, c.Contact(), by="officer", mark=other))
            except KeyReusedError:
                return
            raise AssertionError("a key was taken twice")

    @rule(days=st.sampled_from([0.01, 1.0, 4.0, 30.0]))
    def time_passes(self, days: float) -> None:
        self.clock.moment += timedelta(days=days)

    @rule(days=st.sampled_from([0.0, 1.0, 3.0, 30.0]), crash=st.booleans(), twice=st.booleans())
    def timers_fire(self, days: float, crash: bool, twice: bool) -> None:  # noqa: FBT001 - drawn
        self.clock.moment += timedelta(days=days)
        fire = FireTimer(self.desk, self.metrics)
        for timer in [timer for timer in timers_of(self.case) if timer.at <= self.clock.moment]:
            self.stream.lose_answer = crash
            try:
                asyncio.run(fire(timer))
            except BrokerUnavailableError:
                asyncio.run(fire(timer))
            self.stream.lose_answer = False
            if twice:
                asyncio.run(fire(timer))
            self.fired.append(timer)
        wait = self.case.clock(ClockName.PAUSE)
        if self.case.paused_since is not None and self.case.status is not Status.ANNULLED:
            assert wait is not None
            assert wait.due_at is not None
            assert wait.due_at > self.clock.moment, "the citizen is waited for for ever"

    @rule()
    def an_old_timer_fires_again(self) -> None:
        if self.fired:
            stored = len(self.stream.events)
            asyncio.run(FireTimer(self.desk, self.metrics)(self.fired[0]))
            assert len(self.stream.events) == stored

    @invariant()
    def the_rules_hold(self) -> None:
        if not self.stream.events:
            return
        case = self.case
        assert case.version == len(self.stream.events)
        after_assignment = {Status.ASSIGNED, Status.PLANNED, Status.IN_PROGRESS, Status.ANSWERED,
                            Status.CONFIRMED, Status.CLOSED, Status.EXPLAINED}  # fmt: skip
        if case.status in after_assignment:
            assert case.case_class is not None
            assert case.responsible is not None
        if case.status in {Status.PLANNED, Status.IN_PROGRESS}:
            assert case.plan is not None, "work without a plan"
        if case.status in {Status.ANSWERED, Status.CONFIRMED, Status.CLOSED, Status.EXPLAINED}:
            assert case.answer is not None, "no answer"
            assert (case.answer.outcome is Outcome.EXPLAINED) == (case.case_class is CaseClass.C)
            assert case.case_class is CaseClass.C or case.plan is not None
            assert case.pending_transfer is None
        if case.status in {Status.CONFIRMED, Status.CLOSED, Status.EXPLAINED}:
            assert case.confirmed_by is not None
        assert (case.status is Status.EXPLAINED) <= (case.case_class is CaseClass.C)
        assert (case.status is Status.CLOSED) <= (case.case_class is not CaseClass.C)

    @invariant()
    def somebody_always_has_a_deadline(self) -> None:
        if not self.stream.events:
            return
        case = self.case
        running = {clock.name for clock in case.clocks if clock.runs}
        if case.status is not Status.ANNULLED:
            running.discard(ClockName.INQUIRY)  # runs beside all others
        wait = case.clock(ClockName.PAUSE)
        assert wait is None or wait.used_min <= wait.budget_min + 1
        if case.status is Status.ANNULLED:
            assert running == set()
        elif case.paused_since is not None:
            assert running == {ClockName.PAUSE}
        elif case.status is Status.OPENED:
            assert ClockName.CLASSIFY in running
        elif case.status is Status.ANSWERED:
            assert ClockName.CONFIRM in running
        elif case.status is Status.EXPLAINED:
            assert ClockName.REVIEW in running
        elif case.status not in {Status.CONFIRMED, Status.CLOSED}:
            assert ClockName.SOLVE in running

    @invariant()
    def every_step_keeps_the_rules(self) -> None:
        self.history.read(self.stream)


TestAnyLife = AnyLife.TestCase
TestAnyLife.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
