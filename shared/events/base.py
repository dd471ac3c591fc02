"""What all event data models have in common."""

from datetime import date
from typing import Annotated, Final

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)

from shared.kernel.clock import rfc3339

CityCode = Annotated[str, Field(pattern=r"^([0-9]{4}|all)$")]
"""GB/T 2260 code of a prefecture, or ``all``; also a token of the subject."""
CountyCode = Annotated[str, Field(pattern=r"^([0-9]{6}|all)$")]
"""GB/T 2260 code of a county, or ``all``; also a token of the subject."""
UnitIdField = Annotated[str, Field(min_length=1, max_length=64)]
"""Opaque id of a unit of the registry."""
EventIdField = Annotated[str, Field(min_length=1, max_length=64)]
"""Id of an event: a UUID in canonical form."""
Instant = Annotated[
    AwareDatetime,
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A moment, in events and in answers; in JSON RFC 3339 UTC with milliseconds."""


def _real_day(text: str) -> str:
    date.fromisoformat(text)  # 30 February has the right form, too
    return text


def _storable(number: int) -> int:
    if number > MOST:
        raise ValueError(f"at most {MOST}, what every store and every JSON reader holds")
    return number


MOST: Final = 2**53 - 1
DayField = Annotated[
    str,
    Field(description="Day of Asia/Shanghai, YYYY-MM-DD.", pattern=r"^\d{4}-\d\d-\d\d$"),
    AfterValidator(_real_day),
]
Ordinal = Annotated[int, Field(ge=1), AfterValidator(_storable)]
"""Which of several: 1, 2, 3 …"""


class EventData(BaseModel):
    """Base of the ``data`` part of every event.

    Frozen, because an event is a fact. Unknown fields are ignored on reading: a consumer built against
    today's contract must go on working after an additive change (ADR 0002). NaN and infinity are refused:
    JSON has no word for them, they would arrive as null.
    """

    model_config = ConfigDict(
        defer_build=True, frozen=True, extra="ignore", allow_inf_nan=False, use_attribute_docstrings=False
    )
