"""From facts about the ends of closed lists, which travel, to the values that rules look at."""

import re
from typing import Any, Final

from services.notify.application.raising import RaiseAlerts
from services.notify.application.translation import cause_of
from services.notify.domain.alert import Alert
from services.notify.domain.facts import Cause
from services.notify.domain.list_facts import CandidateFact, NominationFact, QuarterClosed
from services.notify.domain.list_rules import nomination_alerts, quarterly_check, talk_candidate
from shared.events import Envelope, PeriodClosed
from shared.events.sanctions import NominationChanged, TalkCandidateNamed
from shared.kernel.grades import Level
from shared.kernel.units import UnitRegistry
from shared.rules import RulePack

NAMED: Final = "nomination"
CLOSED: Final = "period_closed"
"""The events' names in metrics."""
_QUARTER: Final = re.compile(r"\d{4}Q[1-4]", re.ASCII)
_CHECKERS: Final = (Level.PROVINCE, Level.CITY, Level.COUNTY)


def nomination_fact_of(event: Envelope[NominationChanged], units: UnitRegistry) -> NominationFact:
    """Return what rules may see of a fact about a nomination; places come from the registry."""
    data, state = event.data, event.data.nomination
    awaits = None if state.awaits is None else state.awaits.value
    return NominationFact(
        cause=cause_of(event, data.unit_id, units),
        below=None if state.awaits is None else _below(event, state.awaits, units),
        fact=event.type.split(".")[3],
        nomination_id=data.nomination_id,
        list=state.list,
        period=state.period,
        rank=state.rank,
        awaits=awaits,
        rests_on=tuple(state.rests_on),
    )


def _below(event: Envelope[NominationChanged], awaits: Level, units: UnitRegistry) -> Cause:
    """The unit or bureau right below the level that is asked: the unit itself at first, then its bureaus."""
    unit_id = event.data.unit_id
    while unit_id in units:
        parent = units.get(unit_id).parent_id
        if parent is None or parent not in units or units.get(parent).level is awaits:
            break
        unit_id = parent
    return cause_of(event, unit_id, units)


def candidate_fact_of(event: Envelope[TalkCandidateNamed], units: UnitRegistry) -> CandidateFact:
    """Return what rules may see of a candidate for a talk; the place comes from the registry."""
    data = event.data
    return CandidateFact(
        cause=cause_of(event, data.unit_id, units),
        candidate_id=data.candidate_id,
        list=data.list,
        period=data.period,
        rank=data.rank,
        ranked=data.ranked,
        score=data.score,
        interval_high=data.interval_high,
        n=data.n,
        proposable=data.proposable,
        rests_on=tuple(data.rests_on),
    )


def quarter_of(event: Envelope[PeriodClosed], units: UnitRegistry) -> QuarterClosed | None:
    """Return the quarter that is over with an event; None where it says nothing of that kind.

    Many lists close with a quarter: the first part of the counties' is the one that is looked at.
    """
    data = event.data
    if data.level is not Level.COUNTY or data.part != 1 or _QUARTER.fullmatch(data.period) is None:
        return None
    places = tuple(
        (unit.city, unit.county, unit.name) for level in _CHECKERS for unit in units.by_level(level)
    )
    return QuarterClosed(event.id, event.receivedat, data.period, places)


def named_alerts(event: Envelope[Any], rules: RulePack, units: UnitRegistry) -> tuple[Alert, ...]:
    """Return what is to be told of a nomination or a candidate for a talk."""
    if isinstance(event.data, TalkCandidateNamed):
        return (talk_candidate(candidate_fact_of(event, units), rules),)
    return nomination_alerts(nomination_fact_of(event, units), rules)


def quarter_alerts(event: Envelope[PeriodClosed], rules: RulePack, units: UnitRegistry) -> tuple[Alert, ...]:
    """Return who is to check what when a quarter's results are final."""
    fact = quarter_of(event, units)
    return () if fact is None else quarterly_check(fact, rules)


class RaiseListAlerts:
    """Judges facts about the ends of closed lists, and that one was closed; any number of times."""

    def __init__(self, raise_alerts: RaiseAlerts, units: UnitRegistry) -> None:
        """Raise through `raise_alerts`; `units` say where a unit is, and which regions there are."""
        self._raise = raise_alerts
        self._units = units

    async def on_named(self, event: Envelope[Any]) -> tuple[str, ...]:
        """Judge a nomination or a candidate; returns the ids of the alerts that it raises.

        Raises:
            TransientError: an alert is not known to be stored; judge the same event again.
            PermanentError: no rule pack covers the day.
        """
        return await self._raise.on_event(NAMED, event, lambda rules: named_alerts(event, rules, self._units))

    async def on_closed(self, event: Envelope[PeriodClosed]) -> tuple[str, ...]:
        """Judge a closed list; returns and raises like `on_named`."""
        return await self._raise.on_event(
            CLOSED, event, lambda rules: quarter_alerts(event, rules, self._units)
        )
