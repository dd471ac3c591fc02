"""Valid facts about a case with sensible defaults: a test states only what it is about."""

from typing import TypeVar

from shared.events.cases import (
    CaseAnnulled,
    CaseChanged,
    CaseClockReached,
    CaseExtended,
    CaseSpotChecked,
)
from shared.kernel.clock import rfc3339
from shared.kernel.ids import derived_id
from shared.testing.builders import CITY, COUNTY, UNIT
from shared.testing.clock import NOON

D = TypeVar("D", bound=CaseChanged)
CASE_ID = derived_id("test-case", "1")
_OWN_FIELDS: dict[type[CaseChanged], dict[str, object]] = {
    CaseClockReached: {"clock": "solve", "percent": 100, "due_at": rfc3339(NOON)},
    CaseSpotChecked: {"passed": True},
    CaseExtended: {"working_days": 3},
    CaseAnnulled: {"reason": "excluded"},
}


def case_fact(data: type[D], case: dict[str, object] | None = None, **fields: object) -> D:
    """A fact about the case of a bad review in Ganzhou.

    Args:
        data: which fact.
        case: fields that replace those of the state after it.
        fields: those that replace the fact's own.
    """
    state: dict[str, object] = {
        "origin": "rating",
        "ref": derived_id("test-event", "rating"),
        "opened_at": rfc3339(NOON),
        "has_text": True,
        "has_contact": True,
        "status": "opened",
        "version": 1,
    }
    return data.model_validate(
        {
            "case_id": CASE_ID,
            "unit_id": UNIT,
            "city": CITY,
            "county": COUNTY,
            "by": "system",
            "case": state | (case or {}),
        }
        | _OWN_FIELDS.get(data, {})
        | fields
    )
