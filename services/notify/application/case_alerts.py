"""From facts about cases, which travel, to the values that rules look at; and raising what the rules find."""

from datetime import datetime
from typing import Final

from services.notify.application.raising import RaiseAlerts
from services.notify.application.translation import cause_of
from services.notify.domain.case_facts import SOLVE, CaseFact, ClockMark
from services.notify.domain.case_rules import case_alerts
from shared.events import Envelope
from shared.events.cases import CaseChanged, CaseClockReached, CaseRecord, CaseSpotChecked
from shared.kernel.units import UnitRegistry

KIND: Final = "case"
"""The events' name in metrics."""


def case_fact_of(event: Envelope[CaseChanged], units: UnitRegistry) -> CaseFact:
    """Return what rules may see of a fact about a case.

    The cause's unit is the one that has to do something: who is asked to take the case over, else who
    answers for it, else whom it is about. Its place comes from the registry.
    """
    data, case = event.data, event.data.case
    fact = event.type.split(".")[3]
    party = case.pending_transfer if fact == "transfer-proposed" else case.responsible
    unit_id = data.unit_id if party is None else party.unit_id
    return CaseFact(
        cause=cause_of(event, unit_id, units),
        fact=fact,
        case_id=data.case_id,
        about=units.get(data.unit_id).name if data.unit_id in units else data.unit_id,
        handler=None if party is None else party.handler,
        origin=case.origin,
        status=case.status,
        case_class=case.case_class,
        refused=case.reopened,
        due_at=_due(case),
        clock=_mark(event),
        passed=data.passed if isinstance(data, CaseSpotChecked) else None,
    )


def _due(case: CaseRecord) -> datetime | None:
    clock = next((each for each in case.clocks if each.name == SOLVE), None)
    return clock.marks[-1].at if clock is not None and clock.marks else None


def _mark(event: Envelope[CaseChanged]) -> ClockMark | None:
    data = event.data
    if not isinstance(data, CaseClockReached):
        return None
    clock = next((each for each in data.case.clocks if each.name == data.clock), None)
    overtaken = clock is not None and any(
        mark.percent > data.percent and mark.at <= event.receivedat for mark in clock.marks
    )
    return ClockMark(data.clock, data.percent, data.due_at, overtaken)


class RaiseCaseAlerts:
    """Judges facts about cases; in any order, any number of times."""

    def __init__(self, raise_alerts: RaiseAlerts, units: UnitRegistry) -> None:
        """Raise through `raise_alerts`; `units` say where a unit is."""
        self._raise = raise_alerts
        self._units = units

    def passed_by(self) -> None:
        """Count a fact whose type alone says that no rule fires on it."""
        self._raise.count_quiet(KIND)

    async def __call__(self, event: Envelope[CaseChanged]) -> tuple[str, ...]:
        """Judge one fact; returns the ids of the alerts that it raises.

        Raises:
            TransientError: an alert is not known to be stored; judge the same event again.
            PermanentError: no rule pack covers the day.
        """
        return await self._raise.on_event(
            KIND, event, lambda rules: case_alerts(case_fact_of(event, self._units), rules)
        )
