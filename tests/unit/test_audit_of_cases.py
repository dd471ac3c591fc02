"""The audit of cases finds what it is there for: lost, invented and untold reminders."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.kernel.clock import rfc3339
from shared.kernel.ids import derived_id
from tests.support.audit_cases import CaseBooks

DUE = datetime(2026, 11, 20, 2, 30, tzinfo=UTC)


def event(fact: str, at: datetime, *reached: int, case: str = "case-1", **data: Any) -> dict[str, Any]:  # noqa: ANN401 - fields
    """A fact of a case whose answer is due at `DUE`, reminded of a minute before."""
    marks = [{"percent": 80, "at": rfc3339(DUE - timedelta(minutes=1))}, {"percent": 100, "at": rfc3339(DUE)}]
    state = {
        "origin": "rating", "status": "assigned", "reopened": 0, "failed_checks": 0,
        "clocks": [{"name": "solve", "round": 1, "marks": marks, "reached": reached}],
    }  # fmt: skip
    return {
        "id": f"{case}-{fact}-{len(reached)}", "type": f"cn.pingyi.cases.{fact}.v1",
        "receivedat": rfc3339(at),
        "data": {"case_id": case, "case": state, **data},
    }  # fmt: skip


def reminded(percent: int, at: datetime, *reached: int, due: datetime = DUE) -> dict[str, Any]:
    return event("clock-reached", at, *reached, clock="solve", percent=percent, due_at=rfc3339(due))


OPENED = event("assigned", DUE - timedelta(hours=1))
EARLY_ONE = reminded(80, DUE - timedelta(minutes=1), 80, due=DUE - timedelta(minutes=1))
LAST = reminded(100, DUE, 80, 100)


def books(*events: dict[str, Any]) -> CaseBooks:
    found = CaseBooks()
    found.take(events)
    return found


def test_what_was_announced_is_due_to_be_told_and_what_is_ahead_has_to_stand() -> None:
    found = books(OPENED, EARLY_ONE)
    assert found.standing() == {"case-1.solve-100": DUE}
    assert found.slept_through(DUE - timedelta(seconds=1)) == []
    assert found.slept_through(DUE) == ["case-1.solve-100"]
    assert found.alerts == {
        derived_id("alert", rule, each["id"]): each["id"]
        for rule, each in (("case_assigned", OPENED), ("case_clock", EARLY_ONE))
    }


def test_a_missed_deadline_is_told_one_level_up_and_wants_a_strike_and_a_proposal() -> None:
    found = books(OPENED, EARLY_ONE, LAST)
    told = {"case_assigned": OPENED, "case_clock": LAST, "case_overdue": LAST}
    assert {derived_id("alert", rule, each["id"]) for rule, each in told.items()} <= found.alerts.keys()
    assert found.without_strike() == {"case-1"}
    strike = {
        "id": "s1", "type": "cn.pingyi.sanctions.strike-counted.v1",
        "data": {"ladder": "U", "case_id": "case-1"},
    }  # fmt: skip
    found.take([strike])
    assert (found.without_strike(), found.without_proposal()) == (set(), {"case-1"})
    proposal = {"sanction": {"rests_on": ["s1"]}}
    found.take([{**strike, "type": "cn.pingyi.sanctions.proposed.v1", "data": proposal}])
    assert found.without_proposal() == set()
    found.assert_sound()


@pytest.mark.parametrize(
    "events",
    [
        (OPENED, EARLY_ONE, EARLY_ONE),
        (OPENED, reminded(100, DUE - timedelta(seconds=30), 100)),
        (OPENED, reminded(50, DUE, 50, due=DUE)),
        (LAST,),
    ],
    ids=["twice", "before its moment", "no such reminder", "no such case"],
)
def test_what_no_clock_said_is_found(events: tuple[dict[str, Any], ...]) -> None:
    with pytest.raises(AssertionError, match="announced"):
        books(*events).assert_sound()


def test_a_strike_that_nothing_led_to_is_found() -> None:
    strike = {
        "id": "s1", "type": "cn.pingyi.sanctions.strike-counted.v1",
        "data": {"ladder": "U", "case_id": "case-1"},
    }  # fmt: skip
    with pytest.raises(AssertionError, match="nothing led to"):
        books(OPENED, strike).assert_sound()
