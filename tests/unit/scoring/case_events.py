"""Makes events of cases for scoring's tests, as rectify publishes them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from shared.events import Provenance, spec_for_data
from shared.events.cases import (
    CaseAnnulled,
    CaseAnswered,
    CaseAnswerRefused,
    CaseChanged,
    CaseClosed,
    CaseOpened,
    CaseRevived,
)
from shared.kernel.ids import derived_id
from shared.kernel.units import Unit
from shared.messaging.group_commit import Outgoing
from tests.unit.scoring.feedback import NOW, Message

_KINDS: dict[str, type[CaseChanged]] = {
    "opened": CaseOpened, "closed": CaseClosed, "explained": CaseClosed, "annulled": CaseAnnulled,
    "in_progress": CaseAnswerRefused, "answered": CaseAnswered,
}  # fmt: skip


def case_id(number: int) -> str:
    return derived_id("test-case", str(number))


def case_event(
    unit: Unit,
    number: int,
    version: int = 2,
    status: str = "closed",
    *,
    at: datetime = NOW,
    closed_at: datetime | None = None,
    revived: bool = False,
    **record: Any,  # noqa: ANN401 - fields of the record
) -> Outgoing:
    """One event of a case of ``unit``; a settled one was closed at ``closed_at``, else when it was told."""
    settled = status in {"closed", "explained"}
    data = {
        "case_id": case_id(number),
        "unit_id": unit.unit_id,
        "city": unit.city,
        "county": unit.county,
        "by": "system",
        "case": {
            "origin": "rating", "ref": derived_id("test-rating", str(number)),
            "opened_at": at - timedelta(days=3), "has_text": True, "has_contact": False, "status": status,
            "version": version,
            "confirmed_by": "citizen" if settled else None,
            "closed_at": (closed_at or at) if settled else closed_at,
            **record,
        },
        **({"reason": "withdrawn"} if status == "annulled" else {}),
    }  # fmt: skip
    kind = CaseRevived if revived else _KINDS[status]
    spec = spec_for_data(kind)
    event_id = derived_id("test-case-event", str(number), str(version))
    envelope = spec.wrap(
        kind.model_validate(data),
        event_id=event_id,
        source="rectify",
        subject=case_id(number),
        time=at.astimezone(UTC),
        received_at=at.astimezone(UTC),
        provenance=Provenance(correlation_id=event_id),
    )
    return Outgoing(spec.subject_for(unit.city, unit.county, case_id(number)), event_id, envelope.to_json())


def case_messages(events: list[Outgoing], first: int = 1) -> list[Message]:
    """The events as the stream CASES would hand them out."""
    return [Message(event.subject, event.payload, first + n) for n, event in enumerate(events)]
