"""Looking at what was counted: surges, quarantine shares, stale rankings."""

from collections.abc import Awaitable, Callable
from datetime import date
from typing import Final

from services.notify.application.ports import RulePacks
from services.notify.application.raising import RaiseAlerts
from services.notify.domain.alert import Alert
from services.notify.domain.watch import Watch
from services.notify.domain.watch_rules import quarantine_share, ranking_stale, surge
from shared.events import Provenance
from shared.kernel.clock import Clock, business_day
from shared.kernel.errors import NotFoundError
from shared.kernel.regions import DivisionRegistry, load_divisions
from shared.kernel.units import ALL, UnitRegistry
from shared.rules import RulePack

CODE_DIGITS: Final = 6
Position = Callable[[], Awaitable[int | None]]
"""Last sequence of FEEDBACK that the newest published ranking contains; None: there is none."""


def place_name(city: str, county: str, day: date, divisions: DivisionRegistry | None = None) -> str:
    """Return the name of a county with its city's, as events name places (3601, 360102), or of a city.

    A code that nobody knows stands for itself. `divisions` are the committed ones if None.
    """
    known = divisions or load_divisions()
    names = []
    for code in (city, county):
        if code == ALL:
            continue
        try:
            names.append(known.get(code.ljust(CODE_DIGITS, "0"), day).name)
        except NotFoundError:
            names.append(code)
    return "".join(names) or "全省"


def watch_alerts(watch: Watch, rules: RulePack, units: UnitRegistry, clock: Clock) -> tuple[Alert, ...]:
    """Return what stands out among what was touched since the last look."""
    now = clock.now()
    day = business_day(now)
    surges = (
        surge(each, place_name(each.city, each.county, day), rules)
        for each in watch.surges(rules.alerts.surge, now)
    )
    shares = (
        quarantine_share(each, units.get(each.unit_id).name if each.unit_id in units else each.unit_id, rules)
        for each in watch.held_shares(rules.alerts.quarantine_share, now)
    )
    return (*surges, *shares)


class LookAround:
    """Raises what the counts show; the same finding again gives the same alert."""

    def __init__(
        self,
        watch: Watch,
        *,
        raise_alerts: RaiseAlerts,
        packs: RulePacks,
        units: UnitRegistry,
        position: Position,
        clock: Clock,
    ) -> None:
        """Look at `watch`; `position` tells how far rankings are."""
        self._watch = watch
        self._raise = raise_alerts
        self._packs = packs
        self._units = units
        self._position = position
        self._clock = clock

    async def look(self) -> tuple[str, ...]:
        """Raise what stands out; returns the ids of the alerts.

        Raises:
            TransientError: one is not known to be stored. What was touched is looked at again.
        """
        rules = self._packs.on(business_day(self._clock.now()))
        places, units = set(self._watch.touched_places), set(self._watch.touched_units)
        try:
            return await self._raise_found(watch_alerts(self._watch, rules, self._units, self._clock), rules)
        except BaseException:
            self._watch.touched_places |= places
            self._watch.touched_units |= units
            raise

    async def look_at_rankings(self) -> tuple[str, ...]:
        """Raise that rankings stand still; likewise."""
        position = await self._position()
        rules = self._packs.on(business_day(self._clock.now()))
        stale = self._watch.stale(rules.alerts.ranking_stale, self._clock.now(), position or 0)
        return await self._raise_found((ranking_stale(stale, rules),) if stale else (), rules)

    async def _raise_found(self, alerts: tuple[Alert, ...], rules: RulePack) -> tuple[str, ...]:
        for alert in alerts:
            cause = alert.evidence[0] if alert.evidence else None
            await self._raise.raise_found(alert, rules, Provenance(alert.alert_id, cause))
        return tuple(alert.alert_id for alert in alerts)
