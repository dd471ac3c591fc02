"""Roles that the use cases need; adapters play them."""

from datetime import date
from typing import Any, Protocol

from services.notify.domain.alert import Alert, AlertStatus
from services.notify.domain.book import AlertFilter
from services.notify.domain.channels import Disabled, Endpoint
from shared.events import Envelope
from shared.rules import RulePack


class Publisher(Protocol):
    """Makes an event durable."""

    async def publish(self, envelope: Envelope[Any], *, city: str = "all", county: str = "all") -> int:
        """Store under the event's own id and return its stream sequence; a repeat gives the first one's.

        Raises:
            TransientError: not known to be stored; publish the same envelope again.
        """
        ...


class Channel(Protocol):
    """One endpoint: a way to reach somebody."""

    @property
    def name(self) -> str:
        """Its address in ``AlertRaised.channels`` and deliveries: ``<kind>`` or ``<kind>.<name>``."""
        ...

    async def deliver(self, alert: Alert) -> str:
        """Hand the alert over, at most once per call, and return what the receiver said, shortened.

        The same alert carries the same id however often it is delivered.

        Raises:
            PermanentError: the receiver will never take it.
            TransientError: it may work later; `retry_after_s` where the receiver named a delay.
        """
        ...


class AlertStates(Protocol):
    """What is known of recent alerts: a fold of the ALERTS stream."""

    def known(self, alert_id: str) -> bool:
        """Tell whether the alert was raised before."""
        ...

    def delivered(self, alert_id: str, channel: str) -> bool:
        """Tell whether the channel has delivered the alert."""
        ...

    def get(self, alert_id: str) -> AlertStatus | None:
        """Return an alert with its state; None when unknown or no longer kept.

        Raises:
            TransientError: the stream has not been read to its end yet.
        """
        ...

    def page(self, wanted: AlertFilter, *, limit: int, before: int | None = None) -> tuple[AlertStatus, ...]:
        """Return alerts that meet `wanted`, newest first, with a sequence below `before`.

        Raises:
            TransientError: the stream has not been read to its end yet.
        """
        ...

    async def reach(self, sequence: int) -> None:
        """Return once the event at `sequence` has been folded.

        Raises:
            TransientError: that takes too long.
        """
        ...


class EndpointStates(Protocol):
    """Which endpoints are disabled: a fold of the ALERTS stream."""

    def disabled(self, endpoint: Endpoint) -> Disabled | None:
        """Return why `endpoint`, as it is now, is disabled; None if it is not."""
        ...


class RulePacks(Protocol):
    """The rules in force."""

    def on(self, day: date) -> RulePack:
        """Return the pack in force on `day` (Asia/Shanghai).

        Raises:
            PermanentError: no pack covers that day.
        """
        ...
