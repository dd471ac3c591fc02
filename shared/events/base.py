"""What all event data models have in common."""

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

from shared.kernel.clock import rfc3339

CityCode = Annotated[str, Field(pattern=r"^([0-9]{4}|all)$")]
"""GB/T 2260 code of a prefecture, or ``all``; also a token of the subject."""
CountyCode = Annotated[str, Field(pattern=r"^([0-9]{6}|all)$")]
"""GB/T 2260 code of a county, or ``all``; also a token of the subject."""
UnitIdField = Annotated[str, Field(min_length=1, max_length=64)]
"""Opaque id of a unit of the registry."""
EventIdField = Annotated[str, Field(min_length=1, max_length=64)]
"""Id of an event: a UUID in canonical form."""
Instant = Annotated[AwareDatetime, PlainSerializer(rfc3339, return_type=str, when_used="json")]
"""A moment; in JSON RFC 3339 UTC with milliseconds."""


class EventData(BaseModel):
    """Base of the ``data`` part of every event.

    Frozen, because an event is a fact. Unknown fields are ignored on reading: a consumer built against
    today's contract must go on working after an additive change (ADR 0002). NaN and infinity are refused:
    JSON has no word for them, they would arrive as null.
    """

    model_config = ConfigDict(
        defer_build=True, frozen=True, extra="ignore", allow_inf_nan=False, use_attribute_docstrings=False
    )
