"""Builders of events about people's data."""

from datetime import UTC, datetime, timedelta
from typing import Any

from shared.events import IdentityErased, IdentityUnmasked, UnmaskingDecided, UnmaskingRequested
from shared.kernel.ids import derived_id

_WHEN = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)


def _common() -> dict[str, Any]:
    return {
        "request_id": derived_id("test-unmasking", "one"),
        "target_id": derived_id("test-feedback", "one"),
        "unit_id": "U000532",
        "city": "3607",
        "county": "360702",
    }


def unmasking_requested(**fields: object) -> UnmaskingRequested:
    """A handler of the county wants to call a citizen back."""
    asked = {
        "reason": "call_back",
        "parts": ("contact",),
        "requested_by": "county-handler",
        "expires_at": _WHEN + timedelta(hours=72),
    }
    return UnmaskingRequested.model_validate(_common() | asked | fields)


def unmasking_decided(**fields: object) -> UnmaskingDecided:
    """A supervisor of the city agrees."""
    decided = {"approved": True, "decided_by": "city-supervisor", "expires_at": _WHEN + timedelta(hours=24)}
    return UnmaskingDecided.model_validate(_common() | decided | fields)


def identity_unmasked(**fields: object) -> IdentityUnmasked:
    """The handler is about to read the contact."""
    shown = {
        "reason": "call_back",
        "parts": ("contact",),
        "shown_to": "county-handler",
        "approved_by": "city-supervisor",
    }
    return IdentityUnmasked.model_validate(_common() | shown | fields)


def identity_erased(**fields: object) -> IdentityErased:
    """A citizen had text and contact destroyed."""
    erased = {
        "record": "5f0c3a1e9b7d42688c1f00aa93d4e7b2",
        "target_id": derived_id("test-feedback", "one"),
        "city": "3607",
        "county": "360702",
        "reason": "consent_withdrawn",
    }
    return IdentityErased.model_validate(erased | fields)
