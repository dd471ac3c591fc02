"""What all event data models have in common."""

from pydantic import BaseModel, ConfigDict


class EventData(BaseModel):
    """Base of the ``data`` part of every event.

    Frozen, because an event is a fact. Unknown fields are ignored on reading: a consumer built against
    today's contract must go on working after an additive change (ADR 0002).
    """

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=False)
