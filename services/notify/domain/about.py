"""How an alert about one fact is put together, whatever rule found it."""

from collections.abc import Mapping

from services.notify.domain.alert import Alert, alert_id
from services.notify.domain.facts import Cause
from shared.rules.alerting import Severity


def alert_about(
    rule: str,
    severity: Severity,
    cause: Cause,
    *,
    title: str,
    body: str,
    figures: Mapping[str, str],
    key: tuple[str, ...] = (),
) -> Alert:
    """The alert of `rule` about `cause`: its place, its time, and the cause's event as evidence.

    Its id is derived from the rule and `key`, or the cause's event if that is empty.
    """
    return Alert(
        alert_id=alert_id(rule, *(key or (cause.event_id,))),
        rule=rule,
        severity=severity,
        known_at=cause.known_at,
        unit_id=cause.unit_id,
        unit_name=cause.unit_name,
        city=cause.city,
        county=cause.county,
        title=title,
        body=body,
        evidence=(cause.event_id,),
        figures=figures,
    )
