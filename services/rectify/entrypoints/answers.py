"""What the API answers with."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from services.rectify.application.handlers import CitizensView, Opened
from services.rectify.application.ports import StoredCase
from services.rectify.domain.book import Figures, Summary
from services.rectify.domain.case import Case, CaseClass, ConfirmedBy, Origin, Outcome, Status
from services.rectify.domain.clocks import ClockName
from services.rectify.domain.machine import open_moves
from shared.events.base import Instant


class ClockOut(BaseModel):
    """One clock."""

    name: ClockName
    due_at: Instant | None = Field(description="When its time is used up; null while it stands still.")
    stopped_at: Instant | None
    reached: tuple[int, ...] = Field(description="Per cents that were announced.")


class CaseOut(BaseModel):
    """A case as it stands."""

    case_id: str
    etag: str = Field(description="Send it as If-Match to move only what you have seen.")
    origin: Origin
    ref: str = Field(description="Id of what opened it; a rating's text is intake's to open.")
    unit_id: str
    city: str
    county: str
    status: Status
    status_label: str
    case_class: CaseClass | None
    responsible: dict[str, str] | None
    pending_transfer: dict[str, str] | None
    opened_at: Instant
    contacted_at: Instant | None
    first_answered_at: Instant | None
    closed_at: Instant | None
    outcome: Outcome | None
    on_time: bool | None
    confirmed_by: ConfirmedBy | None
    extended_wd: int
    paused_since: Instant | None
    reopened: int
    overdue: bool
    overdue_since: Instant | None = Field(
        description="The first deadline missed since it was opened, or opened again."
    )
    spot_checks: int
    reviews: int
    inquiries: int
    clocks: tuple[ClockOut, ...]
    open_moves: tuple[str, ...] = Field(description="What can be done now.")

    @classmethod
    def of(cls, stored: StoredCase) -> "CaseOut":
        """Render a state."""
        return cls(etag=f'"{stored.sequence}"', **_fields(stored.case))


def _fields(case: Case) -> dict[str, Any]:
    def party(name: str) -> dict[str, str] | None:
        found = getattr(case, name)
        return None if found is None else {"unit_id": found.unit_id, "handler": found.handler}

    same = (
        "case_id", "origin", "ref", "unit_id", "city", "county", "status", "case_class", "opened_at",
        "contacted_at", "first_answered_at", "closed_at", "confirmed_by", "extended_wd", "paused_since",
        "reopened", "overdue", "overdue_since", "spot_checks", "reviews", "inquiries",
    )  # fmt: skip
    return {name: getattr(case, name) for name in same} | {
        "status_label": case.status.label,
        "responsible": party("responsible"),
        "pending_transfer": party("pending_transfer"),
        "outcome": case.answer.outcome if case.answer else None,
        "on_time": case.answer.on_time if case.answer else None,
        "clocks": tuple(
            ClockOut(name=each.name, due_at=each.due_at, stopped_at=each.stopped_at, reached=each.reached)
            for each in case.clocks
        ),
        "open_moves": open_moves(case),
    }


class StepOut(BaseModel):
    """One event of the history."""

    sequence: int
    fact: str
    at: Instant
    by: str
    status: str
    note: str | None
    event_id: str


class PlanOut(BaseModel):
    """The plan in force; a text that was erased is null."""

    goal: str | None
    measures: str | None
    deadline: Instant
    responsible_unit: str
    responsible_leader: str
    responsible_person: str


class DetailOut(CaseOut):
    """A case with its plan, its answer and its history."""

    plan: PlanOut | None
    answer: str | None
    history: tuple[StepOut, ...]

    @classmethod
    def of_opened(cls, opened: Opened) -> "DetailOut":
        """Render a case whose texts are open."""
        plan = opened.stored.case.plan
        return cls(
            etag=f'"{opened.stored.sequence}"',
            **_fields(opened.stored.case),
            plan=None
            if plan is None
            else PlanOut(
                goal=opened.texts["goal"],
                measures=opened.texts["measures"],
                deadline=plan.deadline,
                responsible_unit=plan.responsible_unit,
                responsible_leader=plan.responsible_leader,
                responsible_person=plan.responsible_person,
            ),
            answer=opened.texts.get("answer"),
            history=tuple(
                StepOut(
                    sequence=step.sequence,
                    fact=step.fact,
                    at=step.at,
                    by=step.by,
                    status=step.status,
                    note=step.note,
                    event_id=step.event_id,
                )
                for step in opened.history
            ),
        )


class SummaryOut(BaseModel):
    """A case in a list."""

    case_id: str
    origin: Origin
    unit_id: str
    city: str
    county: str
    status: Status
    status_label: str
    case_class: CaseClass | None
    responsible_unit: str | None
    handler: str | None
    transfer_unit: str | None
    opened_at: Instant
    closed_at: Instant | None
    due_at: Instant | None = Field(description="Of an answer: when the citizen's time is up.")
    due_for: ClockName | None
    paused: bool
    overdue: bool = Field(description="Whether something should have been done by now.")
    was_overdue: bool = Field(description="Whether a deadline was ever missed.")
    reopened: int

    @classmethod
    def of(cls, case: Summary, now: datetime) -> "SummaryOut":
        """Render an entry of the book."""
        same = (
            "case_id", "origin", "unit_id", "city", "county", "status", "case_class", "responsible_unit",
            "handler", "transfer_unit", "opened_at", "closed_at", "due_at", "due_for", "paused", "reopened",
        )  # fmt: skip
        return cls(
            **{name: getattr(case, name) for name in same},
            status_label=case.status.label,
            overdue=case.is_overdue(now),
            was_overdue=case.overdue,
        )


class CasePage(BaseModel):
    """Cases, the last changed first."""

    items: tuple[SummaryOut, ...]
    next: str | None = Field(description="Pass it as `cursor` for the next page; null at the end.")


class Worklist(BaseModel):
    """What has to be done, what burns first at the top."""

    items: tuple[SummaryOut, ...]


class FiguresOut(BaseModel):
    """How a unit or a place puts right what was complained about; shares are null where there is nothing."""

    cases: int
    open: int
    overdue_now: int
    answered: int
    closed: int
    contacted_share: float | None = Field(
        description="Of the answered with a contact, where the citizen was spoken to first."
    )
    on_time_share: float | None
    confirmed_share: float | None = Field(
        description="Of the closed with a citizen, confirmed by the citizen's own word."
    )
    reopened_share: float | None
    median_days: float | None

    @classmethod
    def of(cls, figures: Figures) -> "FiguresOut":
        """Render figures."""

        def share(part: int, whole: int) -> float | None:
            return round(part / whole, 4) if whole else None

        return cls(
            cases=figures.cases,
            open=figures.open,
            overdue_now=figures.overdue_now,
            answered=figures.answered,
            closed=figures.closed,
            contacted_share=share(figures.contacted, figures.reachable),
            on_time_share=share(figures.on_time, figures.answered),
            confirmed_share=share(figures.confirmed, figures.confirmable),
            reopened_share=share(figures.reopened, figures.cases),
            median_days=figures.median_days,
        )


class CitizenOut(BaseModel):
    """A citizen's own case: where it stands and the answer."""

    status: Status
    status_label: str
    opened_at: Instant
    answer_due_at: Instant | None
    outcome: Outcome | None
    answer: str | None
    answered_at: Instant | None
    confirm_until: Instant | None
    confirmed_by: ConfirmedBy | None
    reopened: int

    @classmethod
    def of(cls, view: CitizensView) -> "CitizenOut":
        """Render what a citizen may see."""
        case = view.case

        def due(name: ClockName) -> datetime | None:
            clock = case.clock(name)
            return None if clock is None else clock.due_at

        return cls(
            status=case.status,
            status_label=case.status.label,
            opened_at=case.opened_at,
            answer_due_at=due(ClockName.SOLVE),
            outcome=case.answer.outcome if case.answer else None,
            answer=view.answer,
            answered_at=case.answer.at if case.answer else None,
            confirm_until=due(ClockName.CONFIRM),
            confirmed_by=case.confirmed_by,
            reopened=case.reopened,
        )
