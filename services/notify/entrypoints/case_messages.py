"""Facts about cases as they come from the bus: screened by their type, read with the model of their type.

All facts about a case are on one subject (ADR 0037), so a reader gets all of them. Most need nothing: their
type alone says so, at a fraction of what reading the whole state costs.
"""

from typing import Final

import msgspec

from services.notify.domain.case_rules import LOOKED_AT
from shared.events.unreadable import UNREADABLE

TYPES: Final = frozenset(f"cn.pingyi.cases.{fact}.v1" for fact in LOOKED_AT)


class _Head(msgspec.Struct):
    """The least of an event that says whether it matters here."""

    type: str


_head = msgspec.json.Decoder(_Head).decode


def needs_a_look(body: bytes) -> bool:
    """Tell whether any rule could fire on an event; also where it is none, so that reading it says so."""
    try:
        return _head(body).type in TYPES
    except UNREADABLE:
        return True
