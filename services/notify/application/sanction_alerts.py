"""From facts about strikes and sanctions, which travel, to the values that rules look at."""

from typing import Any, Final

from services.notify.application.raising import RaiseAlerts
from services.notify.application.translation import cause_of
from services.notify.domain.sanction_facts import SanctionFact
from services.notify.domain.sanction_rules import sanction_alerts
from shared.events import Envelope
from shared.events.sanctions import (
    AppealDecided,
    SanctionChanged,
    SanctionWithdrawn,
    StrikeCounted,
    StrikeWithdrawn,
    VetoLifted,
)
from shared.kernel.units import UnitRegistry

KIND: Final = "sanction"
"""The events' name in metrics."""


def sanction_fact_of(event: Envelope[Any], units: UnitRegistry) -> SanctionFact:
    """Return what rules may see of a fact about a strike or a sanction; the place comes from the registry."""
    data: StrikeCounted | StrikeWithdrawn | SanctionChanged = event.data
    cause = cause_of(event, data.unit_id, units)
    fact = event.type.split(".")[3]
    if isinstance(data, StrikeCounted | StrikeWithdrawn):
        why = data.basis if isinstance(data, StrikeCounted) else data.because
        return SanctionFact(
            cause, fact, data.strike_id, data.ladder, data.number, None, why, tuple(data.rests_on)
        )
    state = data.sanction
    return SanctionFact(
        cause=cause,
        fact=fact,
        subject_id=data.sanction_id,
        ground=state.ground,
        step=state.step,
        measure=state.measure,
        why=data.because if isinstance(data, SanctionWithdrawn | VetoLifted) else None,
        rests_on=tuple(state.rests_on),
        appeal_until=state.appeal_until,
        granted=data.granted if isinstance(data, AppealDecided) else None,
    )


class RaiseSanctionAlerts:
    """Judges facts about strikes and sanctions; in any order, any number of times."""

    def __init__(self, raise_alerts: RaiseAlerts, units: UnitRegistry) -> None:
        """Raise through `raise_alerts`; `units` say where a unit is."""
        self._raise = raise_alerts
        self._units = units

    async def __call__(self, event: Envelope[Any]) -> tuple[str, ...]:
        """Judge one fact; returns the ids of the alerts that it raises.

        Raises:
            TransientError: an alert is not known to be stored; judge the same event again.
            PermanentError: no rule pack covers the day.
        """
        return await self._raise.on_event(
            KIND, event, lambda rules: sanction_alerts(sanction_fact_of(event, self._units), rules)
        )
