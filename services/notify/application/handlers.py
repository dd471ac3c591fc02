"""The use cases of notify, one class each; raising and delivering have modules of their own."""

from typing import ClassVar

from services.notify.application.delivering import DeliverAlert
from services.notify.application.ports import AlertStates, Publisher
from services.notify.application.raising import RaiseAlerts
from services.notify.application.translation import SERVICE
from services.notify.domain.alert import AlertStatus
from services.notify.domain.book import AlertFilter
from shared.events import AlertAcknowledged, Provenance, spec_for_data
from shared.kernel.clock import Clock
from shared.kernel.errors import ConflictError, InvalidValueError, NotFoundError
from shared.kernel.ids import derived_id
from shared.kernel.scrubbing import scrub

__all__ = ["AcknowledgeAlert", "AlreadyTakenError", "DeliverAlert", "RaiseAlerts", "ReadAlerts"]


class AlreadyTakenError(ConflictError, InvalidValueError):
    """Another person has taken the alert over (HTTP 409)."""

    title: ClassVar[str] = "The alert is taken"


class ReadAlerts:
    """Answers questions about recent alerts."""

    def __init__(self, states: AlertStates) -> None:
        """Read from `states`."""
        self._states = states

    def get(self, alert_id: str) -> AlertStatus:
        """Return one alert.

        Raises:
            NotFoundError: never raised, or older than the alerts that are kept.
            TransientError: not known yet.
        """
        status = self._states.get(alert_id)
        if status is None:
            raise self.missing(alert_id)
        return status

    @staticmethod
    def missing(alert_id: str) -> NotFoundError:
        """The error of an alert that does not exist, or not for whoever asks."""
        return NotFoundError(
            alert_id,
            "the id of a recent alert",
            "take it from GET /v1/alerts; older ones are in the archive",
            field="alert_id",
        )

    def page(
        self, wanted: AlertFilter, *, limit: int, before: int | None = None
    ) -> tuple[tuple[AlertStatus, ...], int | None]:
        """Return a page, newest first, and the sequence to pass as `before` for the next one, if any.

        Raises:
            TransientError: not known yet.
        """
        found = self._states.page(wanted, limit=limit + 1, before=before)
        page = found[:limit]
        return page, page[-1].sequence if len(found) > limit else None


class AcknowledgeAlert:
    """Lets a person take an alert over; the first one in the stream stands."""

    def __init__(self, read: ReadAlerts, *, states: AlertStates, publisher: Publisher, clock: Clock) -> None:
        """Publish through `publisher` and read the outcome back from `states`."""
        self._read = read
        self._states = states
        self._publisher = publisher
        self._clock = clock

    async def __call__(self, alert_id: str, *, by: str, note: str, provenance: Provenance) -> AlertStatus:
        """Acknowledge in the name of `by`; the same person again gets the same answer.

        The event's id derives from the alert alone, so of two people at two replicas the stream keeps one,
        and both learn who it is. Telephone and identity numbers are taken out of `by` and `note` first: the
        event stays in the log for good.

        Raises:
            NotFoundError: see `ReadAlerts.get`.
            AlreadyTakenError: another person has acknowledged it.
            TransientError: not known to be recorded; ask again.
        """
        by, note = scrub(by, mistyped=True), scrub(note, mistyped=True)
        status = self._read.get(alert_id)
        if status.acknowledgement is None:
            sequence = await self._publish(status, by, note, provenance)
            await self._states.reach(sequence)
            status = self._read.get(alert_id)
        taken = status.acknowledgement
        if taken is None or taken.by != by:
            raise AlreadyTakenError(
                by,
                f"{taken.by if taken else 'the person who acknowledged'}, who has taken this alert over",
                "speak to them; an alert is acknowledged once",
                field="by",
            )
        return status

    async def _publish(self, status: AlertStatus, by: str, note: str, provenance: Provenance) -> int:
        alert = status.alert
        now = self._clock.now()
        envelope = spec_for_data(AlertAcknowledged).wrap(
            AlertAcknowledged(alert_id=alert.alert_id, by=by, note=note),
            event_id=derived_id("alert-acknowledged", alert.alert_id),
            source=SERVICE,
            subject=alert.unit_id or alert.rule,
            time=now,
            received_at=now,
            provenance=provenance,
        )
        return await self._publisher.publish(envelope, city=alert.city, county=alert.county)
