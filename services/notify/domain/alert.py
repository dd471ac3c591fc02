"""An alert and what has become of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from shared.kernel.ids import derived_id
from shared.rules.pack import Severity

SEVERITY_LABELS: Final[Mapping[Severity, str]] = {
    Severity.INFO: "提示",
    Severity.WARNING: "警告",
    Severity.CRITICAL: "紧急",
}
"""Chinese terms, as people read them in a mail's subject."""


def alert_id(rule: str, *cause: str) -> str:
    """Return the id of the alert that `rule` raises about `cause`; a redelivered cause gives the same id.

    A cause is the id of an event, or what a rule fires only once for, in words.
    """
    return derived_id("alert", rule, *cause)


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule's finding, ready for people.

    Attributes:
        alert_id: see `alert_id`.
        rule: name of the rule in the rule pack.
        severity: how urgent.
        known_at: when the platform received the cause, aware.
        unit_id: unit concerned; None for an alert about the platform.
        unit_name: its name; None likewise.
        city: subject token.
        county: subject token.
        title: one line in Chinese.
        body: what happened and what to do, in Chinese.
        evidence: ids of the events that it rests on; the first is the cause.
        figures: the numbers and the threshold behind it, as text.
    """

    alert_id: str
    rule: str
    severity: Severity
    known_at: datetime
    unit_id: str | None
    unit_name: str | None
    city: str
    county: str
    title: str
    body: str
    evidence: tuple[str, ...]
    figures: Mapping[str, str]


class Outcome(StrEnum):
    """How a channel ended with an alert."""

    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A channel's outcome. `detail` is the receiver's answer, or why the last attempt failed."""

    channel: str
    outcome: Outcome
    attempts: int
    at: datetime
    detail: str


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A person took the alert over."""

    by: str
    note: str
    at: datetime


class AlertState(StrEnum):
    """Whether somebody has taken the alert over."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"


@dataclass(frozen=True, slots=True)
class AlertStatus:
    """An alert with everything that has happened to it.

    Attributes:
        sequence: place in the stream of alerts; newer is greater.
        channels: channels that it is addressed to.
        raised_at: when notify decided it, aware.
        deliveries: outcomes so far, at most one for each channel.
        acknowledgement: None while open.
    """

    alert: Alert
    sequence: int
    channels: tuple[str, ...]
    raised_at: datetime
    deliveries: tuple[Delivery, ...] = ()
    acknowledgement: Acknowledgement | None = None

    @property
    def state(self) -> AlertState:
        """Open until acknowledged."""
        return AlertState.OPEN if self.acknowledgement is None else AlertState.ACKNOWLEDGED
