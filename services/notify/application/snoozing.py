"""Putting an alert off: nobody else is told before then."""

from datetime import datetime, timedelta
from typing import ClassVar

from services.notify.application.handlers import ReadAlerts
from services.notify.application.ports import AlertStates, Publisher, RulePacks
from services.notify.application.translation import SERVICE
from services.notify.domain.alert import AlertStatus
from shared.events import AlertSnoozed, Provenance, spec_for_data
from shared.kernel.clock import Clock, business_day, rfc3339
from shared.kernel.errors import ConflictError, InvalidValueError
from shared.kernel.ids import derived_id
from shared.kernel.scrubbing import scrub


class TakenOverError(ConflictError, InvalidValueError):
    """The alert has been acknowledged: there is nothing to put off (HTTP 409)."""

    title: ClassVar[str] = "The alert is taken"


class SnoozeAlert:
    """Lets a person put an open alert off, for no longer than the rule pack allows."""

    def __init__(
        self, read: ReadAlerts, *, states: AlertStates, publisher: Publisher, packs: RulePacks, clock: Clock
    ) -> None:
        """Publish through `publisher` and read the outcome back from `states`."""
        self._read = read
        self._states = states
        self._publisher = publisher
        self._packs = packs
        self._clock = clock

    async def __call__(
        self, alert_id: str, *, by: str, until: datetime, note: str, provenance: Provenance
    ) -> AlertStatus:
        """Put the alert off until then, in the name of `by`; the same again gives the same answer.

        Raises:
            NotFoundError: see `ReadAlerts.get`.
            TakenOverError: somebody has acknowledged it.
            InvalidValueError: a time that is past, or too far ahead.
            TransientError: not known to be recorded; ask again.
        """
        by, note = scrub(by, mistyped=True), scrub(note, mistyped=True)
        status = self._read.get(alert_id)
        now = self._clock.now()
        if status.acknowledgement is not None:
            raise TakenOverError(
                by,
                f"an open alert; {status.acknowledgement.by} has taken it over",
                "speak to them",
                field="by",
            )
        latest = now + timedelta(minutes=self._packs.on(business_day(now)).routing.snooze_max_minutes)
        if not now < until <= latest:
            raise InvalidValueError(
                rfc3339(until),
                f"a time after now and not after {rfc3339(latest)}",
                "choose an earlier one, and put it off again then",
                field="until",
            )
        alert = status.alert
        envelope = spec_for_data(AlertSnoozed).wrap(
            AlertSnoozed(alert_id=alert_id, by=by, until=until, note=note),
            event_id=derived_id("alert-snoozed", alert_id, rfc3339(until), by),
            source=SERVICE,
            subject=alert.unit_id or alert.rule,
            time=now,
            received_at=now,
            provenance=provenance,
        )
        sequence = await self._publisher.publish(envelope, city=alert.city, county=alert.county)
        await self._states.reach(sequence)
        return self._read.get(alert_id)
