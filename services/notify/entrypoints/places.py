"""Whose eyes an alert is for: those whose subtree it is about, and of what looks made up, those above."""

from collections.abc import Callable, Sequence

from services.notify.application.handlers import ReadAlerts
from services.notify.domain.alert import AlertStatus
from services.notify.domain.book import AlertFilter
from services.notify.domain.catalogue import CONFIDENTIAL
from services.notify.domain.follow_ups import rule_behind
from shared.auth.access import require_at_one
from shared.auth.grants import Permission
from shared.auth.principals import Place, Principal, Tier, places_of
from shared.kernel.clock import Clock, business_day
from shared.kernel.errors import InvalidValueError, NotFoundError
from shared.kernel.units import UnitRegistry


class AlertPlaces:
    """Where alerts belong, and who may see them."""

    def __init__(self, read: ReadAlerts, units: UnitRegistry, clock: Clock) -> None:
        """Find alerts by `read`, and the places that units have by now in `units`."""
        self._read = read
        self._units = units
        self._clock = clock

    def eyes_of(self, actor: Principal) -> Callable[[str, str, str | None, str], bool] | None:
        """Return what tells from city, county, unit and rule whether `actor` may see an alert; None: all.

        Of an escalation the rule is that of what it is about: `follow_ups.rule_behind`.
        """
        scope = actor.scope
        if scope.tier is Tier.PROVINCE:
            return None

        def sees(city: str, county: str, unit_id: str | None, rule: str) -> bool:
            places = self._places(city, county, unit_id)
            own = rule in CONFIDENTIAL and any(map(scope.is_own, places))
            return any(map(scope.sees, places)) and not own

        return sees

    def require_known(self, unit_id: str) -> None:
        """Return unless neither the registry, ended units included, nor any recent alert has that unit.

        Raises:
            InvalidValueError: it is so.
            TransientError: not known yet.
        """
        try:
            self._units.get(unit_id)
        except NotFoundError as error:
            if not self._read.page(AlertFilter(unit_id), limit=1)[0]:
                raise InvalidValueError(unit_id, error.expected, error.remedy, field="unit_id") from error

    def require(self, actor: Principal, permission: Permission, alert_id: str, path: str) -> AlertStatus:
        """Return the alert, if `actor` may do with it what `permission` says.

        Raises:
            NotFoundError: there is none, or none for their eyes.
            ProblemError: 403, they may see it, and no more.
            TransientError: not known yet.
        """
        status = self._read.get(alert_id)
        alert = status.alert
        places = self._places(alert.city, alert.county, alert.unit_id)
        if rule_behind(alert) in CONFIDENTIAL and any(map(actor.scope.is_own, places)):
            raise self._read.missing(alert_id)
        require_at_one(actor, permission, places, lambda: self._read.missing(alert_id), path)
        return status

    def _places(self, city: str, county: str, unit_id: str | None) -> Sequence[Place]:
        """Where the unit is, and where its successor is, if it was merged."""
        if unit_id is not None and unit_id in self._units:
            return places_of(self._units, unit_id, business_day(self._clock.now()))
        return (Place.of_tokens(city, county, unit_id),)
