"""The fold of the ALERTS stream: what notify knows of its own alerts, rebuilt at each start."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from nats.aio.client import Client

from services.notify.application.translation import (
    acknowledgement_of,
    alert_of,
    background_of,
    delivery_of,
    snooze_of,
    tellings_of,
)
from services.notify.domain.alert import AlertStatus
from services.notify.domain.book import AlertBook, AlertFilter
from services.notify.domain.channels import Disabled, DisabledEndpoints, Endpoint
from services.notify.domain.follow_ups import enter, escalations_of
from services.notify.domain.ledger import Ledger
from services.notify.metrics import NotifyMetrics
from shared.events import (
    AlertAcknowledged,
    AlertDelivered,
    AlertDeliveryFailed,
    AlertRaised,
    AlertSnoozed,
    Envelope,
    InvalidEventError,
    parse_envelope,
)
from shared.events.endpoints import EndpointDisabled, EndpointEnabled
from shared.kernel.clock import rfc3339
from shared.kernel.errors import TransientError, describe
from shared.messaging.reading import FoldReader
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import ALERTS

log = structlog.get_logger(__name__)
REACH_TIMEOUT_S: Final = 5.0
FACT: Final = 2


class FoldBehindError(TransientError):
    """The fold has not read far enough to answer."""


class AlertFold:
    """Plays `AlertStates` and `EndpointStates` of `application.ports`; one task keeps it up to date."""

    def __init__(self, book: AlertBook, metrics: NotifyMetrics, ledger: Ledger | None = None) -> None:
        """Fold into `book`, and who was told of what into `ledger`."""
        self._book = book
        self._ledger = ledger or Ledger()
        self._metrics = metrics
        self._position = 0
        self._disabled = DisabledEndpoints()
        self._caught_up = asyncio.Event()
        self._advanced = asyncio.Condition()
        self._on_raised: Callable[[tuple[str, ...]], None] | None = None

    def on_raised(self, say: Callable[[tuple[str, ...]], None]) -> None:
        """Have `say` told, from now on, of each new alert's channels as soon as it is stored."""
        self._on_raised = say

    async def run(self, client: Client) -> None:
        """Follow the stream until cancelled.

        Raises:
            HistoryChangedError: the stream is another one than before; only a fresh start helps.
        """
        reader = FoldReader(client, ALERTS)
        try:
            while True:
                messages = await reader.take(wait_s=0.5)
                for message in messages:
                    self.fold(message)
                if messages or reader.caught_up:
                    await self._advance(reader.position)
                if reader.caught_up:
                    self._caught_up.set()
        finally:
            await reader.close()

    def fold(self, message: StoredMessage) -> None:
        """Take one message in. One that is no event is counted and left out: its consumer dead-letters it."""
        try:
            self._apply(message)
        except InvalidEventError as error:
            self._metrics.unreadable.inc()
            log.warning("alert_fold_skips", sequence=message.sequence, reason=str(error))

    def _apply(self, message: StoredMessage) -> None:
        fact = message.subject.split(".")[FACT]
        if fact == "raised":
            self._raised(parse_envelope(Envelope[AlertRaised], message.data), message.sequence)
        elif fact == "delivered":
            delivered = parse_envelope(Envelope[AlertDelivered], message.data)
            self._book.settled(delivered.data.alert_id, delivery_of(delivered))
        elif fact == "delivery-failed":
            failed = parse_envelope(Envelope[AlertDeliveryFailed], message.data)
            self._book.settled(failed.data.alert_id, delivery_of(failed))
        elif fact == "acknowledged":
            taken = parse_envelope(Envelope[AlertAcknowledged], message.data)
            self._acknowledged(taken)
        elif fact == "snoozed":
            snoozed = parse_envelope(Envelope[AlertSnoozed], message.data)
            for alert in (snoozed.data.alert_id, *self._book.escalated_from(snoozed.data.alert_id)):
                self._book.snoozed(alert, snooze_of(snoozed))
                self._ledger.snoozed(alert, snoozed.data.until)
        elif fact == "endpoint-disabled":
            off = parse_envelope(Envelope[EndpointDisabled], message.data)
            data = off.data
            at = rfc3339(off.time)
            self._disabled.disable(Disabled(data.endpoint, data.mark, data.alert_id, data.reason, at))
        elif fact == "endpoint-enabled":
            on = parse_envelope(Envelope[EndpointEnabled], message.data)
            self._disabled.enable(on.data.endpoint, on.data.mark)

    def _raised(self, event: Envelope[AlertRaised], sequence: int) -> None:
        alert = alert_of(event)
        new = self._book.raised(
            alert,
            sequence=sequence,
            channels=event.data.channels,
            raised_at=event.receivedat,
            background=background_of(event),
        )
        if new:
            enter(self._ledger, alert, event.data.about, tellings_of(event))
            if self._on_raised is not None:
                self._on_raised(event.data.channels)

    def _acknowledged(self, event: Envelope[AlertAcknowledged]) -> None:
        """Note who took an alert over, and with it all that it escalates and that escalate it."""
        alert_id = event.data.alert_id
        alerts = {alert_id, *self._book.escalated_from(alert_id)}
        for each in tuple(alerts):
            alerts.update(escalations_of(each))
        for each in alerts:
            self._book.acknowledged(each, acknowledgement_of(event))
            if each in self._book:
                self._ledger.acknowledged(each)

    async def _advance(self, position: int) -> None:
        self._metrics.open.set(self._book.open)
        if position != self._position:
            self._position = position
            async with self._advanced:
                self._advanced.notify_all()

    async def caught_up(self) -> None:
        """Return once everything that was in the stream has been folded, since the start of the process."""
        await self._caught_up.wait()

    async def check(self) -> str:
        """Health check: the position, once caught up.

        Raises:
            FoldBehindError: still reading history.
        """
        self._require_caught_up()
        return f"position {self._position}, {len(self._book)} alerts"

    def _require_caught_up(self) -> None:
        if not self._caught_up.is_set():
            raise FoldBehindError(
                describe(
                    f"position {self._position}",
                    "the end of the ALERTS stream",
                    "wait until /readyz says ok",
                ),
                retry_after_s=1.0,
            )

    def known(self, alert_id: str) -> bool:
        """See `AlertStates.known`."""
        return alert_id in self._book

    def delivered(self, alert_id: str, channel: str) -> bool:
        """See `AlertStates.delivered`."""
        return self._book.delivered(alert_id, channel)

    def disabled(self, endpoint: Endpoint) -> Disabled | None:
        """See `EndpointStates.disabled`."""
        return self._disabled.find(endpoint)

    def get(self, alert_id: str) -> AlertStatus | None:
        """See `AlertStates.get`."""
        self._require_caught_up()
        return self._book.get(alert_id)

    def page(self, wanted: AlertFilter, *, limit: int, before: int | None = None) -> tuple[AlertStatus, ...]:
        """See `AlertStates.page`."""
        self._require_caught_up()
        return self._book.page(wanted, limit=limit, before=before)

    async def reach(self, sequence: int) -> None:
        """See `AlertStates.reach`."""
        try:
            async with asyncio.timeout(REACH_TIMEOUT_S), self._advanced:
                await self._advanced.wait_for(lambda: self._position >= sequence)
        except TimeoutError as error:
            raise FoldBehindError(
                describe(
                    f"position {self._position}",
                    f"{sequence} within {REACH_TIMEOUT_S:g} s",
                    "ask again; it is recorded",
                ),
                retry_after_s=1.0,
            ) from error
