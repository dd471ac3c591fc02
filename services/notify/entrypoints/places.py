"""Whose eyes an alert is for: those whose subtree it is about, and of what looks made up, those above."""

from collections.abc import Callable

from services.notify.application.handlers import ReadAlerts
from services.notify.domain.alert import AlertStatus
from services.notify.domain.catalogue import CONFIDENTIAL
from services.notify.domain.follow_ups import rule_behind
from shared.auth.access import require_within
from shared.auth.grants import Permission
from shared.auth.principals import Place, Principal, Tier
from shared.kernel.units import UnitRegistry


class AlertPlaces:
    """Where alerts belong, and who may see them."""

    def __init__(self, read: ReadAlerts, units: UnitRegistry) -> None:
        """Find alerts by `read`, and units' places in `units`."""
        self._read = read
        self._units = units

    def eyes_of(self, actor: Principal) -> Callable[[str, str, str | None, str], bool] | None:
        """Return what tells from city, county, unit and rule whether `actor` may see an alert; None: all.

        Of an escalation the rule is that of what it is about: `follow_ups.rule_behind`.
        """
        scope = actor.scope
        if scope.tier is Tier.PROVINCE:
            return None

        def sees(city: str, county: str, unit_id: str | None, rule: str) -> bool:
            place = self._place(city, county, unit_id)
            return scope.sees(place) and not (rule in CONFIDENTIAL and scope.is_own(place))

        return sees

    def require(self, actor: Principal, permission: Permission, alert_id: str, path: str) -> AlertStatus:
        """Return the alert, if `actor` may do with it what `permission` says.

        Raises:
            NotFoundError: there is none, or none for their eyes.
            ProblemError: 403, they may see it, and no more.
            TransientError: not known yet.
        """
        status = self._read.get(alert_id)
        alert = status.alert
        place = self._place(alert.city, alert.county, alert.unit_id)
        if rule_behind(alert) in CONFIDENTIAL and actor.scope.is_own(place):
            raise self._read.missing(alert_id)
        require_within(actor, permission, place, lambda: self._read.missing(alert_id), path)
        return status

    def _place(self, city: str, county: str, unit_id: str | None) -> Place:
        if unit_id is not None and unit_id in self._units:
            return Place.of_unit(self._units.get(unit_id))
        return Place.of_tokens(city, county, unit_id)
