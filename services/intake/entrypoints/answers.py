"""What clients get: the JSON of answers, encoded fast, and the same shapes for the API's description."""

from typing import Annotated, Literal

import msgspec
from pydantic import BaseModel, Field

from services.intake.application.handlers import LineResult
from services.intake.domain.acceptance import Issue
from services.intake.domain.accepted import Outcome, Verdict
from services.intake.domain.receipts import receipt_code
from services.intake.domain.revisions import History, Move, Revision, State, revision_id
from shared.kernel.clock import rfc3339
from shared.kernel.units import Unit, UnitRegistry
from shared.observability.problem import FieldError

_encode = msgspec.json.Encoder().encode


class FeedbackAnswer(BaseModel):
    """The rating is accepted and durable."""

    receipt_code: Annotated[str, Field(description="For GET /v1/receipts/{code}.")]
    event_id: Annotated[str, Field(description="Id of the FeedbackSubmitted event.")]
    received_at: Annotated[str, Field(description="When it was accepted; RFC 3339 UTC.")]
    duplicate: Annotated[bool, Field(description="True: it had been accepted before; this is its receipt.")]


class ErrorAnswer(BaseModel):
    """One thing wrong."""

    field: str
    value: Annotated[str | None, Field(description="Shortened; of private fields only the size.")]
    expected: str
    remedy: str


class LineAnswer(BaseModel):
    """The answer to one line of a batch."""

    line: Annotated[int, Field(description="Number of the line, from 1; blank lines count.")]
    status: Literal["accepted", "duplicate", "conflict", "rejected"]
    event_id: Annotated[str | None, Field(description="Of a conflict: the event that stands.")] = None
    receipt_code: str | None = None
    errors: list[ErrorAnswer] | None = None


class BatchAnswer(BaseModel):
    """The answer to a batch."""

    accepted: int
    duplicate: int
    conflict: int
    rejected: int
    results: Annotated[list[LineAnswer], Field(description="In the order of the lines; no blank ones.")]


class ReceiptAnswer(BaseModel):
    """What a receipt stands for."""

    receipt_code: str
    event_id: str
    unit_id: Annotated[str, Field(description="The unit in force; a correction may have changed it.")]
    unit_name: Annotated[str | None, Field(description="Null if the registry no longer has the unit.")]
    grade: Annotated[int, Field(description="The grade in force; a correction may have changed it.")]
    occurred_at: str
    received_at: str
    status: Annotated[
        Literal["accepted", "corrected", "withdrawn", "excluded", "quarantined"],
        Field(description="The first two count; a quarantined rating is held until somebody has looked."),
    ]


class RevisionAnswer(BaseModel):
    """The rating is revised, and that is durable."""

    event_id: Annotated[str, Field(description="Id of the event that says so.")]
    target_id: Annotated[str, Field(description="Id of the rating's FeedbackSubmitted event.")]
    target_revision: Annotated[int, Field(description="Number of this revision, from 1.")]
    state: Annotated[State, Field(description="What the revision left the rating in.")]


class StateAnswer(BaseModel):
    """What became of a rating."""

    event_id: str
    state: Annotated[State, Field(description="What the rating is worth at present.")]
    revision: Annotated[int, Field(description="Number of the revision in force; 0 if there is none.")]
    revised_at: Annotated[str | None, Field(description="When that was; RFC 3339 UTC.")]
    moves: Annotated[list[Move], Field(description="What can be done next; empty where the state is final.")]


class UnitAnswer(BaseModel):
    """One appraised unit."""

    unit_id: str
    name: str
    level: str
    kind: Annotated[str, Field(description="Window kind of the rule pack, or 'bureau'.")]
    division: Annotated[str, Field(description="GB/T 2260 code.")]
    city: str
    county: str
    parent_id: str | None
    valid_from: str
    valid_to: str | None
    successor: Annotated[
        str | None, Field(description="Merged or recoded: the unit that takes over on `valid_to`.")
    ]
    predecessors: Annotated[list[str], Field(description="Units that were merged into this one.")]

    @classmethod
    def of(cls, unit: Unit, units: UnitRegistry) -> "UnitAnswer":
        """Describe `unit`, one of `units`."""
        return cls(
            unit_id=unit.unit_id,
            name=unit.name,
            level=unit.level.value,
            kind=unit.kind,
            division=unit.division,
            city=unit.city,
            county=unit.county,
            parent_id=unit.parent_id,
            valid_from=unit.valid_from.isoformat(),
            valid_to=unit.valid_to.isoformat() if unit.valid_to else None,
            successor=unit.successor,
            predecessors=[each.unit_id for each in units.predecessors(unit.unit_id)],
        )


class UnitPageAnswer(BaseModel):
    """One page of units."""

    items: list[UnitAnswer]
    next: Annotated[str | None, Field(description="Cursor of the next page; null on the last.")]


class _Error(msgspec.Struct):
    field: str
    value: str | None
    expected: str
    remedy: str


class _Line(msgspec.Struct, omit_defaults=True, gc=False):
    line: int
    status: str
    event_id: str | None = None
    receipt_code: str | None = None
    errors: list[_Error] | None = None


class _Batch(msgspec.Struct):
    accepted: int
    duplicate: int
    conflict: int
    rejected: int
    results: list[_Line]


def encode_outcome(outcome: Outcome) -> bytes:
    """The JSON of `FeedbackAnswer`."""
    accepted = outcome.accepted
    return _encode(
        {
            "receipt_code": receipt_code(accepted.receipt),
            "event_id": accepted.event_id,
            "received_at": rfc3339(accepted.received_at),
            "duplicate": outcome.verdict is Verdict.DUPLICATE,
        }
    )


def encode_batch(results: list[LineResult]) -> bytes:
    """The JSON of `BatchAnswer`."""
    counts = {"accepted": 0, "duplicate": 0, "conflict": 0, "rejected": 0}
    lines: list[_Line] = []
    for result in results:
        line = _line(result)
        counts[line.status] += 1
        lines.append(line)
    return _encode(_Batch(**counts, results=lines))


def _line(result: LineResult) -> _Line:
    if result.outcome is None:
        return _Line(result.number, "rejected", errors=[_error(issue) for issue in result.issues])
    accepted = result.outcome.accepted
    if result.outcome.verdict is Verdict.CONFLICT:
        # No receipt: it belongs to whoever sent the first one.
        errors = [_error(issue) for issue in result.issues]
        return _Line(result.number, "conflict", accepted.event_id, errors=errors)
    return _Line(
        result.number, result.outcome.verdict.value, accepted.event_id, receipt_code(accepted.receipt)
    )


def _error(issue: Issue) -> _Error:
    """`issue` without numbers of people; single ratings get the same from `Problem`."""
    shown = FieldError(issue.field, issue.value, issue.expected, issue.remedy).presentable()
    return _Error(shown.field, shown.value, shown.expected, shown.remedy)


def receipt_answer(history: History, unit: Unit | None) -> ReceiptAnswer:
    """Describe an accepted rating to whoever holds its receipt; `unit` is the one in force."""
    accepted = history.accepted
    return ReceiptAnswer(
        receipt_code=receipt_code(accepted.receipt),
        event_id=accepted.event_id,
        unit_id=history.unit_id,
        unit_name=unit.name if unit is not None else None,
        grade=history.grade,
        occurred_at=rfc3339(accepted.occurred_at),
        received_at=rfc3339(accepted.received_at),
        status=_status(history),
    )


def _status(history: History) -> Literal["accepted", "corrected", "withdrawn", "excluded", "quarantined"]:
    match history.state:
        case State.COUNTED:
            return "corrected" if history.corrected else "accepted"
        case State.WITHDRAWN:
            return "withdrawn"
        case State.EXCLUDED:
            return "excluded"
        case State.QUARANTINED:
            return "quarantined"


def revision_answer(target_id: str, revision: Revision) -> RevisionAnswer:
    """Describe a revision of the rating `target_id`: the same however often it is asked for."""
    return RevisionAnswer(
        event_id=revision_id(target_id, revision.number),
        target_id=target_id,
        target_revision=revision.number,
        state=revision.move.leads_to,
    )


def state_answer(history: History) -> StateAnswer:
    """Describe what became of a rating."""
    return StateAnswer(
        event_id=history.accepted.event_id,
        state=history.state,
        revision=history.number,
        revised_at=rfc3339(history.revisions[-1].received_at) if history.revisions else None,
        moves=list(history.moves),
    )
