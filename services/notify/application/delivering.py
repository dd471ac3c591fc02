"""Delivering alerts to one endpoint; which of them, when and side by side is `dispatching`'s business."""

from time import perf_counter
from typing import NamedTuple

import structlog

from services.notify.application.ports import AlertStates, Channel, Publisher
from services.notify.application.translation import SERVICE, alert_of
from services.notify.metrics import NotifyMetrics
from shared.events import (
    AlertDelivered,
    AlertDeliveryFailed,
    AlertRaised,
    Envelope,
    Provenance,
    spec_for_data,
)
from shared.kernel.clock import Clock
from shared.kernel.ids import derived_id
from shared.messaging.failure import GiveUp, decide

log = structlog.get_logger(__name__)
DETAIL_LENGTH = 200
REASON_LENGTH = 500
UNRECORDED_KEPT = 10_000


class Delivered(NamedTuple):
    """A success: the number of the attempt, and what the receiver answered."""

    attempt: int
    answer: str


class DeliverAlert:
    """Delivers to one endpoint, at least once, with ids that make every repeat recognisable.

    A repeat happens only when the process or the broker dies between the receiver's answer and the record of
    it. How often and when to try again is the shared failure policy's decision; this class only records the
    outcome.
    """

    def __init__(
        self,
        channel: Channel,
        *,
        states: AlertStates,
        publisher: Publisher,
        clock: Clock,
        metrics: NotifyMetrics,
        retry_delays_s: tuple[float, ...],
    ) -> None:
        """Give up after `retry_delays_s`, which must be those of the failure policy."""
        self._channel = channel
        self._states = states
        self._publisher = publisher
        self._clock = clock
        self._metrics = metrics
        self._retry_delays_s = retry_delays_s
        self._unrecorded: dict[str, Delivered] = {}

    async def __call__(
        self, event: Envelope[AlertRaised], attempt: int, *, first: bool | None = None
    ) -> None:
        """Make attempt number `attempt` (from 1) at the alert and record its success; see `attempt`.

        Raises:
            PermanentError: see `Channel.deliver`; the failure is recorded.
            TransientError: likewise; recorded if this was the last attempt. Or the success is not known to
                be recorded: the next attempt records only.
        """
        done = await self.attempt(event, attempt, first=attempt == 1 if first is None else first)
        if done is not None:
            await self.record(event, done)

    def unrecorded(self, alert_id: str) -> Delivered | None:
        """Return the success at an alert that is not known to be recorded: only that is to be done."""
        return self._unrecorded.get(alert_id)

    async def attempt(self, event: Envelope[AlertRaised], attempt: int, *, first: bool) -> Delivered | None:
        """Make attempt number `attempt` (from 1) at the alert, unless it is not ours or is delivered.

        Args:
            event: the alert.
            attempt: counts towards giving up.
            first: whether the endpoint was never tried.

        Returns:
            What is to be recorded; None if there was nothing to do.

        Raises:
            PermanentError: see `Channel.deliver`; the failure is recorded.
            TransientError: likewise; recorded if this was the last attempt.
        """
        name = self._channel.name
        if name not in event.data.channels or self._states.delivered(event.id, name):
            self._metrics.deliveries.labels(name, "skipped").inc()
            return None
        done = self._unrecorded.get(event.id)
        if done is None:
            done = Delivered(attempt, await self._attempt(event, attempt, first=first))
            # If the broker is away now, the next attempt must only record, not deliver once more.
            if len(self._unrecorded) < UNRECORDED_KEPT:
                self._unrecorded[event.id] = done
        return done

    async def record(self, event: Envelope[AlertRaised], done: Delivered) -> None:
        """Make a success durable; the endpoint has nothing to do with it.

        Raises:
            TransientError: not known to be recorded.
        """
        name, detail = self._channel.name, done.answer[:DETAIL_LENGTH]
        await self._record(
            event, AlertDelivered(alert_id=event.id, channel=name, attempt=done.attempt, detail=detail)
        )
        self._unrecorded.pop(event.id, None)

    async def give_up(self, event: Envelope[AlertRaised], attempt: int, error: Exception) -> None:
        """Record that the endpoint did not get the alert, because of `error`, without another attempt.

        Raises:
            TransientError: not known to be recorded.
        """
        self._metrics.deliveries.labels(self._channel.name, "failed").inc()
        await self._record_failure(event, attempt, error)

    def is_settled(self, alert_id: str) -> bool:
        """Tell whether the endpoint has the alert, as far as is known."""
        return self._states.delivered(alert_id, self._channel.name)

    async def _attempt(self, event: Envelope[AlertRaised], attempt: int, *, first: bool) -> str:
        name = self._channel.name
        if first:
            waited = (self._clock.now() - event.time).total_seconds()
            self._metrics.first_attempt_seconds.labels(name).observe(max(0.0, waited))
        started = perf_counter()
        try:
            answer = await self._channel.deliver(alert_of(event))
        except Exception as error:
            last = isinstance(decide(error, attempt, self._retry_delays_s), GiveUp)
            self._finish(event, attempt, "failed" if last else "retried", started, str(error))
            if last:
                await self._record_failure(event, attempt, error)
            raise
        self._finish(event, attempt, "delivered", started, answer)
        return answer

    def _finish(
        self, event: Envelope[AlertRaised], attempt: int, outcome: str, started: float, detail: str
    ) -> None:
        seconds = perf_counter() - started
        name = self._channel.name
        self._metrics.deliveries.labels(name, outcome).inc()
        self._metrics.delivery_seconds.labels(name).observe(seconds)
        log.info(
            "alert_delivery",
            alert_id=event.id,
            channel=name,
            outcome=outcome,
            attempt=attempt,
            ms=round(seconds * 1000, 1),
            detail=detail[:DETAIL_LENGTH],
            unit_id=event.data.unit_id,
            correlation_id=event.correlationid,
        )

    async def _record_failure(self, event: Envelope[AlertRaised], attempt: int, error: Exception) -> None:
        await self._record(
            event,
            AlertDeliveryFailed(
                alert_id=event.id,
                channel=self._channel.name,
                attempts=attempt,
                reason=(str(error) or type(error).__name__)[:REASON_LENGTH],
            ),
        )

    async def _record(self, event: Envelope[AlertRaised], data: AlertDelivered | AlertDeliveryFailed) -> None:
        now = self._clock.now()
        outcome = "delivered" if isinstance(data, AlertDelivered) else "failed"
        envelope = spec_for_data(type(data)).wrap(
            data,
            event_id=derived_id("alert-delivery", event.id, data.channel, outcome),
            source=SERVICE,
            subject=event.subject,
            time=now,
            received_at=now,
            provenance=Provenance.caused_by(event),
            rules=event.rules,
        )
        await self._publisher.publish(envelope, city=event.data.city, county=event.data.county)
