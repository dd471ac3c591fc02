"""Strikes 记一次: what of a case counts against a unit, and whether it still does.

Two ladders. U: a unit neglects rectification: a deadline for the answer was missed, or a settled case did not
pass a spot check. C: a complaint was verified: its case was closed as put right, so it was so. One strike for
each case and ladder, however often a case goes wrong: three refusals of one citizen are not three neglects.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from services.rectify.domain.case import Case, Origin, Outcome
from services.rectify.domain.clocks import FULL, ClockName
from shared.kernel.ids import derived_id


class Ladder(StrEnum):
    """Which ladder a strike is on."""

    U = "U"
    """Rectification neglected 整改不力."""
    C = "C"
    """A complaint that was verified 投诉查实."""


class Basis(StrEnum):
    """What happened."""

    OVERDUE = "overdue"
    """The deadline for the answer was missed 逾期."""
    FAILED_CHECK = "failed_check"
    """What was done had not lasted 敷衍整改."""
    COMPLAINT = "complaint"
    """A complaint was verified 查实投诉."""


class StrikeEnd(StrEnum):
    """Why a strike counts no more."""

    CASE_ANNULLED = "case_annulled"
    UNFOUNDED = "unfounded"
    """The case was opened again, and closed as not so."""
    SANCTION_REJECTED = "sanction_rejected"
    APPEAL_GRANTED = "appeal_granted"

    @property
    def by_a_person(self) -> bool:
        """Whether somebody decided so: then what becomes of the case brings nothing back."""
        return self in {StrikeEnd.SANCTION_REJECTED, StrikeEnd.APPEAL_GRANTED}


def strike_id_of(ladder: Ladder, case_id: str) -> str:
    """The id of the strike that a case may lead to on a ladder."""
    return derived_id("strike", ladder.value, case_id)


@dataclass(frozen=True, slots=True)
class Ground:
    """What a case says: a strike is due, or is due no more.

    Attributes:
        unit_id: whom it counts against.
        rests_on: ids of the events that say so.
        ended: why it is due no more; None: it is.
        ended_by: id of the event that says so.
        correlation_id: of the case.
    """

    ladder: Ladder
    case_id: str
    unit_id: str
    basis: Basis
    occurred_at: datetime
    rests_on: tuple[str, ...]
    correlation_id: str
    ended: StrikeEnd | None = None
    ended_by: str | None = None

    @property
    def strike_id(self) -> str:
        """The id of its strike."""
        return strike_id_of(self.ladder, self.case_id)


@dataclass(frozen=True, slots=True)
class Strike:
    """A strike as the stream has it.

    Attributes:
        number: how often it has been counted, from 1.
        rests_on: ids of the events that it rests on; of an ended one, those that ended it.
        counted_id: id of the event that counted it last; sanctions rest on that.
        order: sequence of that event: the first strike is the one that was counted first.
        sequence: of its last event.
        ended: why it counts no more; None: it does.
        correlation_id: of the case.
    """

    strike_id: str
    ladder: Ladder
    case_id: str
    unit_id: str
    city: str
    county: str
    number: int
    basis: Basis
    occurred_at: datetime
    rests_on: tuple[str, ...]
    correlation_id: str
    counted_id: str = ""
    order: int = 0
    sequence: int = 0
    ended: StrikeEnd | None = None


@dataclass(frozen=True, slots=True)
class CaseNews:
    """One event of a case, as far as strikes are concerned.

    Attributes:
        fact: what happened, as in the event's type.
        clock: of a reminder: which clock.
        percent: of a reminder.
        due_at: of a reminder.
        passed: of a spot check.
    """

    fact: str
    case: Case
    event_id: str
    time: datetime
    correlation_id: str
    clock: ClockName | None = None
    percent: int | None = None
    due_at: datetime | None = None
    passed: bool | None = None


class GroundBook:
    """The grounds of all cases: a fold over their events, in the order of the stream."""

    def __init__(self) -> None:
        """Start without any."""
        self._grounds: dict[str, Ground] = {}
        self._by_unit: dict[str, list[str]] = {}

    def of_unit(self, unit_id: str) -> Iterator[Ground]:
        """Those that concern a unit, in the order in which they came up."""
        return (self._grounds[each] for each in self._by_unit.get(unit_id, ()))

    def take(self, news: CaseNews) -> frozenset[str]:
        """Take one event in; the units for which something has changed."""
        changed = [ground for ground in self._changes(news) if self._grounds.get(ground.strike_id) != ground]
        for ground in changed:
            if ground.strike_id not in self._grounds:
                self._by_unit.setdefault(ground.unit_id, []).append(ground.strike_id)
            self._grounds[ground.strike_id] = ground
        return frozenset(ground.unit_id for ground in changed)

    def _changes(self, news: CaseNews) -> Iterator[Ground]:
        case = news.case
        known = [self._grounds.get(strike_id_of(ladder, case.case_id)) for ladder in Ladder]
        match news.fact:
            case "annulled":
                for ground in known:
                    if ground is not None and ground.ended is None:
                        yield replace(ground, ended=StrikeEnd.CASE_ANNULLED, ended_by=news.event_id)
            case "revived":
                for ground in known:
                    if ground is not None and ground.ended is StrikeEnd.CASE_ANNULLED:
                        yield _again(ground, news)
            case _:
                neglect = _neglect(news)
                if neglect is not None and self._grounds.get(neglect.strike_id) is None:
                    yield neglect
                yield from self._verdict(news)

    def _verdict(self, news: CaseNews) -> Iterator[Ground]:
        """What the outcome of a complaint's case says, when it is filed."""
        case = news.case
        if news.fact != "closed" or case.origin is not Origin.COMPLAINT or case.answer is None:
            return
        known = self._grounds.get(strike_id_of(Ladder.C, case.case_id))
        if case.answer.outcome is Outcome.RESOLVED:
            if known is None:
                yield Ground(
                    Ladder.C, case.case_id, case.unit_id, Basis.COMPLAINT, news.time,
                    (case.ref, news.event_id), news.correlation_id,
                )  # fmt: skip
            elif known.ended is not None:
                yield _again(known, news)
        elif known is not None and known.ended is None:
            yield replace(known, ended=StrikeEnd.UNFOUNDED, ended_by=news.event_id)


def _again(ground: Ground, news: CaseNews) -> Ground:
    rests_on = (*ground.rests_on[:MOST_EVENTS], news.event_id)
    return replace(ground, rests_on=rests_on, ended=None, ended_by=None)


MOST_EVENTS: Final = 32


def _neglect(news: CaseNews) -> Ground | None:
    case = news.case
    late_mark = (
        news.fact == "clock-reached" and news.clock is ClockName.SOLVE and news.percent == FULL
    )  # fmt: skip
    late_answer = news.fact == "answered" and case.answer is not None and not case.answer.on_time
    if late_mark or late_answer:
        basis, when = Basis.OVERDUE, news.due_at or news.time
    elif news.fact == "spot-checked" and news.passed is False:
        basis, when = Basis.FAILED_CHECK, news.time
    else:
        return None
    # Whoever answers for the case has neglected it; before an assignment that is the unit that it is about.
    unit_id = case.responsible.unit_id if case.responsible is not None else case.unit_id
    return Ground(Ladder.U, case.case_id, unit_id, basis, when, (news.event_id,), news.correlation_id)
