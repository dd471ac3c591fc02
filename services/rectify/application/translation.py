"""Between events, which travel, and the domain's values: the only place that knows both."""

from datetime import datetime
from typing import Any, Final

from pydantic import TypeAdapter

from services.rectify.domain.case import Case, Sealed
from shared.events import Envelope, Provenance, spec_for_type
from shared.events.cases import CaseChanged, CaseRecord, SealedCaseText
from shared.events.registry import EventSpec

SERVICE: Final = "rectify"
_CASE: Final = TypeAdapter(Case)


def spec_of_fact(fact: str) -> EventSpec:
    """The spec of a case's fact, e.g. ``answered``."""
    return spec_for_type(f"cn.pingyi.cases.{fact}.v1")


def record_of(case: Case) -> CaseRecord:
    """The state as it travels."""
    return CaseRecord.model_validate(_CASE.dump_python(case, mode="json"))


def case_of(data: CaseChanged) -> Case:
    """The state that an event carries."""
    state = data.case.model_dump()
    state |= {"case_id": data.case_id, "unit_id": data.unit_id, "city": data.city, "county": data.county}
    return _CASE.validate_python(state)


def sealed_text(sealed: Sealed | None) -> SealedCaseText | None:
    """A sealed text as it travels."""
    return None if sealed is None else SealedCaseText(nonce=sealed.nonce, ciphertext=sealed.ciphertext)


def case_event(  # noqa: PLR0913 - keyword-only, as the envelope's attributes are
    fact: str,
    case: Case,
    *,
    event_id: str,
    by: str,
    now: datetime,
    time: datetime | None = None,
    provenance: Provenance,
    rules: str,
    note: Sealed | None = None,
    **more: object,
) -> Envelope[Any]:
    """The event of `fact`, after which `case` is the state.

    Args:
        fact: what happened, as in the event's type.
        case: the state after it.
        event_id: its id.
        by: who acted.
        now: when it was decided.
        time: when it happened; `now` if None.
        provenance: where it comes from.
        rules: hash of the rule pack in force.
        note: text that came with it.
        more: fields of this fact alone.
    """
    spec = spec_of_fact(fact)
    data = spec.data.model_validate(
        {
            "case_id": case.case_id,
            "unit_id": case.unit_id,
            "city": case.city,
            "county": case.county,
            "by": by,
            "note": sealed_text(note),
            "case": record_of(case),
        }
        | more
    )
    return spec.wrap(
        data,
        event_id=event_id,
        source=SERVICE,
        subject=case.case_id,
        time=time or now,
        received_at=now,
        provenance=provenance,
        rules=rules,
    )
