"""No sequence of commands, crashes and duplicates reaches a state that the rules forbid.

The store is the stream in small: it appends under the optimistic lock and recognises ids. A crash is an event
that was stored and whose answer was lost; a duplicate is a command or a timer that comes again.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.rectify.adapters.rule_packs import FileRulePacks
from services.rectify.application.desk import CaseChangedError, Desk, KeyReusedError, LostRaceError
from services.rectify.application.ports import StoredCase
from services.rectify.application.timekeeping import FireTimer
from services.rectify.application.translation import case_of
from services.rectify.domain import commands as c
from services.rectify.domain.calendar import Holidays
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
from services.rectify.domain.timers import Timer, timers_of
from services.rectify.metrics import RectifyMetrics
from shared.events import Envelope, Provenance, parse_envelope, spec_for_type
from shared.kernel.ids import derived_id
from shared.messaging.publisher import BrokerUnavailableError
from tests.unit.rectify.lives import HERE, MONDAY, TEXT, THERE, answer, new_case, plan


class Stream:
    """Plays `CaseStore` for one case, with bytes in between as on the wire."""

    def __init__(self) -> None:
        self.events: list[Envelope[Any]] = []
        self.lose_answer = False
        self.before_store: Callable[[], None] | None = None

    async def load(self, case_id: str) -> StoredCase | None:
        if not self.events:
            return None
        event = self.events[-1]
        assert event.data.case_id == case_id
        return StoredCase(case_of(event.data), len(self.events), event.correlationid)

    async def store(self, event: Envelope[Any], case: Case, *, replaces: int) -> tuple[int, bool]:
        del case
        known = [each.id for each in self.events]
        if event.id in known:
            return known.index(event.id) + 1, True
        if replaces != len(self.events):
            raise CaseChangedError("somebody else was faster")
        self.events.append(parse_envelope(spec_for_type(event.type).envelope, event.to_json()))
        if self.lose_answer:
            self.lose_answer = False
            raise BrokerUnavailableError("the answer was lost")
        return len(self.events), False

    async def history(self, case_id: str) -> tuple[tuple[int, Envelope[Any]], ...]:
        del case_id
        return tuple(enumerate(self.events, 1))


@dataclass
class Now:
    """A clock to be turned."""

    moment: datetime = MONDAY

    def now(self) -> datetime:
        return self.moment


class NoHolidays:
    def current(self) -> Holidays:
        return Holidays()


COMMANDS: st.SearchStrategy[c.Command] = st.one_of(
    st.just(c.Contact()),
    st.builds(c.Classify, st.sampled_from(CaseClass)),
    st.builds(c.Assign, st.sampled_from([HERE, THERE])),
    st.builds(c.ProposeTransfer, st.sampled_from([HERE, THERE]), st.sampled_from([TEXT, None])),
    st.just(c.AcceptTransfer()),
    st.builds(c.RefuseTransfer, st.sampled_from([TEXT, None])),
    st.sampled_from([plan(MONDAY + timedelta(days=9000)), plan(MONDAY + timedelta(days=9000), goal=None)]),
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
    st.builds(c.Annul, st.sampled_from(AnnulmentReason), st.integers(1, 99)),
    st.builds(c.Revive, st.integers(1, 99)),
)


HURRIED: st.SearchStrategy[c.Command] = st.one_of(
    st.builds(answer, st.sampled_from(Outcome)),
    st.sampled_from([c.GiveAnswer(Outcome.RESOLVED, None), c.Close(), plan(goal=None), c.Report(TEXT)]),
    st.builds(c.Confirm, st.sampled_from(ConfirmedBy)),
)
"""What somebody tries who would rather be done with it."""


def next_step(case: Case, case_class: CaseClass) -> c.Command | None:
    """What brings a case ahead: without it, chance alone hardly ever gets to an answer."""
    if case.status is Status.ANNULLED:
        return c.Revive(case.rating_revision + 1)
    if case.paused_since is not None:
        return c.Resume()
    if case.pending_transfer is not None:
        return c.AcceptTransfer()
    explains = case.case_class is CaseClass.C
    ways: dict[Status, c.Command] = {
        Status.OPENED: c.Classify(case_class),
        Status.CLASSIFIED: c.Assign(HERE),
        Status.ASSIGNED: answer(Outcome.EXPLAINED) if explains else plan(MONDAY + timedelta(days=9000)),
        Status.PLANNED: c.Report(TEXT),
        Status.IN_PROGRESS: answer(),
        Status.ANSWERED: c.Confirm(ConfirmedBy.CITIZEN),
        Status.CONFIRMED: c.Close(),
    }
    return ways.get(case.status)


class AnyLife(RuleBasedStateMachine):
    """Commands of anybody, at any time, with crashes and repeats."""

    def __init__(self) -> None:
        super().__init__()
        self.stream, self.clock, self.metrics = Stream(), Now(), RectifyMetrics()
        ids = count(1)
        self.desk = Desk(
            self.stream,
            FileRulePacks(None),
            NoHolidays(),
            self.clock,
            self.metrics,
            lambda _now: derived_id("test", str(next(ids))),
        )
        self.keys = count(1)
        self.fired: list[Timer] = []
        self.done: list[tuple[c.Command, CommandMark]] = []

    @property
    def case(self) -> Case:
        return case_of(self.stream.events[-1].data)

    @initialize(case_class=st.sampled_from(CaseClass), stage=st.integers(0, 9))
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

    @rule(case_class=st.sampled_from(CaseClass), steps=st.integers(1, 9))
    def work_goes_on(self, case_class: CaseClass, steps: int) -> None:
        self.steps_ahead(case_class, steps)

    def steps_ahead(self, case_class: CaseClass, steps: int) -> None:
        for _ in range(steps):
            command = next_step(self.case, case_class)
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

    @rule(crash=st.booleans(), twice=st.booleans())
    def timers_fire(self, crash: bool, twice: bool) -> None:  # noqa: FBT001 - drawn
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
        if case.status is Status.ANNULLED or case.paused_since is not None:
            assert running == set()
        elif case.status is Status.OPENED:
            assert ClockName.CLASSIFY in running
        elif case.status is Status.ANSWERED:
            assert ClockName.CONFIRM in running
        elif case.status is Status.EXPLAINED:
            assert ClockName.REVIEW in running
        elif case.status not in {Status.CONFIRMED, Status.CLOSED}:
            assert ClockName.SOLVE in running

    @invariant()
    def responsibility_never_gets_lost_and_nothing_is_announced_twice(self) -> None:
        reached = [
            (event.data.clock, clock.round, event.data.percent)
            for event in self.stream.events
            if event.type.endswith(".clock-reached.v1")
            for clock in case_of(event.data).clocks
            if clock.name.value == event.data.clock
        ]
        assert len(reached) == len(set(reached)), "a reminder was announced twice"
        extended = [event for event in self.stream.events if event.type.endswith(".extended.v1")]
        reopened = [event for event in self.stream.events if event.data.case.extended_wd == 0]
        assert len(extended) <= 1 + len(reopened)


TestAnyLife = AnyLife.TestCase
TestAnyLife.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
