"""An alert and what has become of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from shared.kernel.ids import derived_id
from shared.rules.alerting import Severity

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


@dataclass(frozen=True, slots=True)
class Snooze:
    """A person put the alert off until then."""

    by: str
    until: datetime
    note: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Told:
    """One recipient of an alert, as its event says; see `ledger.Telling`."""

    recipient: str
    role: str
    step: int | None
    channels: tuple[str, ...]
    held: str | None
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Background:
    """What an alert's event says beside the alert.

    Attributes:
        tellings: who is told.
        about: alerts that a follow-up is about.
        condition: when the rule fires, in Chinese.
        rules: hash of the rule pack.
    """

    tellings: tuple[Told, ...] = ()
    about: tuple[str, ...] = ()
    condition: str | None = None
    rules: str | None = None


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
        snooze: the last one, also when it is over.
        background: who is told, and why.
    """

    alert: Alert
    sequence: int
    channels: tuple[str, ...]
    raised_at: datetime
    deliveries: tuple[Delivery, ...] = ()
    acknowledgement: Acknowledgement | None = None
    snooze: Snooze | None = None
    background: Background = Background()

    @property
    def state(self) -> AlertState:
        """Open until acknowledged."""
        return AlertState.OPEN if self.acknowledgement is None else AlertState.ACKNOWLEDGED
