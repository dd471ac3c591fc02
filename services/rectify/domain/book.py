"""What is known of all cases at once: for lists, worklists and figures. One short entry for each case."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from services.rectify.domain.case import Case, CaseClass, ConfirmedBy, Origin, Status
from services.rectify.domain.clocks import ClockName
from services.rectify.domain.timers import Timer, timers_of

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Summary:
    """One case in short.

    Attributes:
        sequence: of its last event.
        due_at: when the next thing to be done is due; None: nothing is. Of an answer: when the citizen's time
            is up, from when a supervisor confirms for the silent; of a case that only waits: when it goes on.
        due_for: the clock that says so.
        on_time: whether the last answer was; None before.
    """

    case_id: str
    sequence: int
    origin: Origin
    ref: str
    has_citizen: bool
    has_contact: bool
    unit_id: str
    kind: str | None
    city: str
    county: str
    status: Status
    case_class: CaseClass | None
    responsible_unit: str | None
    handler: str | None
    transfer_unit: str | None
    opened_at: datetime
    contacted_at: datetime | None
    first_answered_at: datetime | None
    closed_at: datetime | None
    due_at: datetime | None
    due_for: ClockName | None
    paused: bool
    overdue: bool
    on_time: bool | None
    confirmed_by: ConfirmedBy | None
    reopened: int
    settled: bool
    timers: tuple[Timer, ...]

    @classmethod
    def of(cls, case: Case, sequence: int) -> "Summary":
        """The short form of `case`."""
        first = min(
            (clock for clock in case.clocks if clock.runs),
            key=lambda clock: (clock.name is ClockName.PAUSE, clock.due_at or case.opened_at),
            default=None,
        )
        return cls(
            case_id=case.case_id,
            sequence=sequence,
            origin=case.origin,
            ref=case.ref,
            has_citizen=case.has_citizen,
            has_contact=case.has_contact,
            unit_id=case.unit_id,
            kind=case.kind,
            city=case.city,
            county=case.county,
            status=case.status,
            case_class=case.case_class,
            responsible_unit=case.responsible.unit_id if case.responsible else None,
            handler=case.responsible.handler if case.responsible else None,
            transfer_unit=case.pending_transfer.unit_id if case.pending_transfer else None,
            opened_at=case.opened_at,
            contacted_at=case.contacted_at,
            first_answered_at=case.first_answered_at,
            closed_at=case.closed_at,
            due_at=first.due_at if first else None,
            due_for=first.name if first else None,
            paused=case.paused_since is not None,
            overdue=case.overdue,
            on_time=case.answer.on_time if case.answer else None,
            confirmed_by=case.confirmed_by,
            reopened=case.reopened,
            settled=case.settled,
            timers=timers_of(case),
        )

    @property
    def contacted_first(self) -> bool:
        """Whether the citizen was spoken to before the first answer, or is while there is none yet."""
        before = self.first_answered_at
        return self.contacted_at is not None and (before is None or self.contacted_at <= before)

    def is_overdue(self, now: datetime) -> bool:
        """Whether something should have been done by `now`."""
        if self.settled or self.due_at is None or self.due_for is ClockName.PAUSE:
            return False
        return self.due_at < now


@dataclass(frozen=True, slots=True)
class CaseFilter:
    """Which cases; None: any.

    Attributes:
        handler: whose; with `unit_id` of the unit that answers for it.
        overdue: those where something should have been done already, or those where not.
        open: those with something to do, or those without.
        mine: those of whoever asks, or those of others.
        is_mine: which those are; without it, `mine` says nothing.
        sees: what whoever asks may see.
    """

    unit_id: str | None = None
    city: str | None = None
    county: str | None = None
    status: Status | None = None
    case_class: CaseClass | None = None
    handler: str | None = None
    overdue: bool | None = None
    open: bool | None = None
    mine: bool | None = None
    is_mine: Callable[["Summary"], bool] | None = None
    sees: Callable[["Summary"], bool] | None = None

    def takes(self, case: Summary, now: datetime) -> bool:
        """Whether `case` is one of them at `now`."""
        return (
            (self.unit_id is None or self.unit_id in {case.unit_id, case.responsible_unit})
            and (self.city is None or case.city == self.city)
            and (self.county is None or case.county == self.county)
            and (self.status is None or case.status is self.status)
            and (self.case_class is None or case.case_class is self.case_class)
            and (self.handler is None or case.handler == self.handler)
            and (self.overdue is None or case.is_overdue(now) is self.overdue)
            and (self.open is None or case.settled is not self.open)
            and (self.mine is None or self.is_mine is None or self.is_mine(case) is self.mine)
            and (self.sees is None or self.sees(case))
        )


@dataclass(frozen=True, slots=True)
class Figures:
    """How a unit, or all units of a place, puts right what was complained about.

    Attributes:
        cases: that were not annulled.
        open: with something to do.
        overdue_now: where it should have been done.
        answered: at least once.
        reachable: of the answered, with a citizen who could be called back.
        contacted: of the reachable, spoken to before the first answer 首次联系.
        on_time: of the answered, never overdue.
        closed: closed, or explained.
        confirmable: of the closed, with a citizen who could confirm.
        confirmed: of the confirmable, by the citizen's own word.
        reopened: of all, refused at least once.
        median_days: from opening to the first answer, in calendar days; None: no answer yet.
    """

    cases: int
    open: int
    overdue_now: int
    answered: int
    reachable: int
    contacted: int
    on_time: int
    closed: int
    confirmable: int
    confirmed: int
    reopened: int
    median_days: float | None


class CaseBook:
    """All cases by id; changed by `put` alone."""

    def __init__(self, receipt_of: Callable[[str], bytes]) -> None:
        """`receipt_of` gives the receipt of a rating: the citizen's key to a case."""
        self._receipt_of = receipt_of
        self._cases: dict[str, Summary] = {}
        self._by_receipt: dict[bytes, list[str]] = {}
        self.unsettled = 0
        """Cases with something to do."""

    def __len__(self) -> int:
        """Count the cases."""
        return len(self._cases)

    def __iter__(self) -> Iterator[Summary]:
        """Iterate over all, in the order of their opening."""
        return iter(self._cases.values())

    def put(self, case: Summary) -> None:
        """Take the newest state of a case in."""
        before = self._cases.get(case.case_id)
        if before is None and case.has_citizen:
            self._by_receipt.setdefault(self._receipt_of(case.ref), []).append(case.case_id)
        self.unsettled += (not case.settled) - (before is not None and not before.settled)
        self._cases[case.case_id] = case

    def get(self, case_id: str) -> Summary | None:
        """One case; None: unknown."""
        return self._cases.get(case_id)

    def of_receipt(self, receipt: bytes) -> Summary | None:
        """The case of the citizen who holds `receipt`; of several the newest that stands."""
        found = [self._cases[each] for each in self._by_receipt.get(receipt, ())]
        standing = [case for case in found if case.status is not Status.ANNULLED]
        return max(standing or found, key=lambda case: case.sequence, default=None)

    def page(
        self, wanted: CaseFilter, now: datetime, *, limit: int, before: int | None
    ) -> tuple[Summary, ...]:
        """Up to `limit` cases, the last changed first, below the sequence `before`."""
        found = [
            case
            for case in self._cases.values()
            if (before is None or case.sequence < before) and wanted.takes(case, now)
        ]
        return tuple(sorted(found, key=lambda case: -case.sequence)[:limit])

    def worklist(self, wanted: CaseFilter, now: datetime, *, limit: int) -> tuple[Summary, ...]:
        """What has to be done, what burns first at the top; what waits for somebody else comes last."""
        found = [case for case in self._cases.values() if not case.settled and wanted.takes(case, now)]

        def order(case: Summary) -> tuple[bool, datetime, str]:
            waits = case.due_at is None or case.due_for is ClockName.PAUSE
            return waits, case.due_at or case.opened_at, case.case_id

        return tuple(sorted(found, key=order)[:limit])

    def overdue(self, now: datetime) -> int:
        """Cases where something should have been done."""
        return sum(case.is_overdue(now) for case in self._cases.values())

    def figures(self, wanted: CaseFilter, now: datetime) -> Figures:
        """The figures of the cases that `wanted` takes."""
        found = [
            case
            for case in self._cases.values()
            if case.status is not Status.ANNULLED and wanted.takes(case, now)
        ]
        answered = [case for case in found if case.first_answered_at is not None]
        reachable = [case for case in answered if case.has_contact]
        closed = [case for case in found if case.closed_at is not None]
        days = [
            (case.first_answered_at - case.opened_at).total_seconds() / DAY_S
            for case in answered
            if case.first_answered_at is not None
        ]
        return Figures(
            cases=len(found),
            open=sum(not case.settled for case in found),
            overdue_now=sum(case.is_overdue(now) for case in found),
            answered=len(answered),
            reachable=len(reachable),
            contacted=sum(case.contacted_first for case in reachable),
            on_time=sum(not case.overdue for case in answered),
            closed=len(closed),
            confirmable=sum(case.has_citizen for case in closed),
            confirmed=sum(case.confirmed_by is ConfirmedBy.CITIZEN for case in closed),
            reopened=sum(case.reopened > 0 for case in found),
            median_days=round(median(days), 2) if days else None,
        )
