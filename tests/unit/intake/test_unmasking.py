"""Who may read what a citizen left: scopes, two people, time."""

from datetime import UTC, datetime, timedelta

import pytest

from services.intake.domain.unmasking import (
    Actor,
    Approval,
    Part,
    Refusal,
    Unmasking,
    Unmaskings,
    refusal_of_scope,
)
from shared.kernel.grades import Level
from shared.kernel.people_reasons import UnmaskReason
from shared.kernel.units import Unit, load_units

UNITS = load_units()
NOW = datetime(2026, 11, 26, 4, 0, tzinfo=UTC)


def unit_at(level: Level) -> Unit:
    """A unit of that level; a window is one of a county."""
    return next(unit for unit in UNITS.by_level(level) if level is not Level.WINDOW or unit.county != "all")


@pytest.mark.parametrize(
    ("level", "scopes"),
    [
        (Level.WINDOW, {"province": None, "city": None, "county": None}),
        (Level.COUNTY, {"province": None, "city": None, "county": Refusal.RATED_UNIT}),
        (Level.CITY, {"province": None, "city": Refusal.RATED_UNIT}),
        (Level.PROVINCE, {"province": Refusal.RATED_UNIT}),
    ],
)
def test_only_who_stands_above_the_rated_unit_may(level: Level, scopes: dict[str, Refusal | None]) -> None:
    unit = unit_at(level)
    named = {"province": "province", "city": unit.city, "county": unit.county}
    for name, expected in scopes.items():
        assert refusal_of_scope(Actor("a", named[name], verified=True), unit) is expected
        assert refusal_of_scope(Actor("a", named[name], verified=False), unit) is Refusal.UNPROVEN
    assert refusal_of_scope(Actor("a", unit.unit_id, verified=True), unit) is Refusal.RATED_UNIT
    for elsewhere in ("9999", "999999", "U999999", "all", ""):
        assert refusal_of_scope(Actor("a", elsewhere, verified=True), unit) is Refusal.OUT_OF_SCOPE


def asked() -> Unmasking:
    return Unmasking(
        "r1", "t1", "U000200", "3607", "360702", UnmaskReason.CASE, (Part.TEXT,), "one",
        NOW + timedelta(hours=72),
    )  # fmt: skip


def actor(name: str) -> Actor:
    return Actor(name, "province", verified=True)


def test_nobody_agrees_to_what_they_asked_for_and_nobody_else_reads() -> None:
    state = Unmaskings()
    state.requested(asked())
    state.decided("r1", Approval(approved=True, decided_by="one", expires_at=NOW))
    waiting = state.get("r1")
    assert waiting is not None
    assert waiting.approval is None, "a fact that says otherwise is not believed"
    assert waiting.refusal_of_decision(actor("one"), NOW) is Refusal.SAME_PERSON
    assert waiting.refusal_of_decision(actor("two"), NOW) is None
    assert waiting.refusal_of_reading(actor("one"), NOW) is Refusal.NOT_APPROVED
    assert waiting.refusal_of_reading(actor("two"), NOW) is Refusal.OTHER_PERSON


def test_the_first_decision_stands() -> None:
    state = Unmaskings()
    state.requested(asked())
    state.decided("r1", Approval(approved=False, decided_by="two", expires_at=NOW))
    state.decided("r1", Approval(approved=True, decided_by="three", expires_at=NOW + timedelta(hours=1)))
    refused = state.get("r1")
    assert refused is not None
    assert refused.refusal_of_reading(actor("one"), NOW) is Refusal.REFUSED
    assert refused.refusal_of_decision(actor("three"), NOW) is Refusal.DECIDED
    assert refused.state(NOW) == "refused"


def test_time_ends_both_the_decision_and_the_reading() -> None:
    state = Unmaskings()
    state.requested(asked())
    late = NOW + timedelta(hours=73)
    waiting = state.get("r1")
    assert waiting is not None
    assert waiting.refusal_of_decision(actor("two"), late) is Refusal.EXPIRED
    assert waiting.refusal_of_reading(actor("one"), late) is Refusal.EXPIRED
    state.decided("r1", Approval(approved=True, decided_by="two", expires_at=NOW + timedelta(hours=24)))
    approved = state.get("r1")
    assert approved is not None
    assert approved.refusal_of_reading(actor("one"), NOW + timedelta(hours=24)) is None
    assert approved.refusal_of_reading(actor("one"), NOW + timedelta(hours=24, seconds=1)) is Refusal.EXPIRED
