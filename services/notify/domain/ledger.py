"""Who was told of what, what is held back for whom, and which alerts wait for somebody: a fold of ALERTS.

Quotas and groups count decisions as they are made; what is held and what waits comes from the stream alone.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from shared.rules.alerting import Severity

DONE_KEPT: Final = 100_000
"""Acknowledged alerts that are remembered."""


class Held(StrEnum):
    """Why a recipient is not told at once."""

    QUIET = "quiet"
    QUOTA = "quota"
    GROUPED = "grouped"


@dataclass(frozen=True, slots=True)
class Telling:
    """One recipient is told of one alert.

    Attributes:
        recipient: id.
        role: why they are told; `directory.STEP_LABELS`.
        step: number of the step of the chain; None for subscriptions and digests.
        channels: ways by name.
        held: why not at once; None: at once.
        due_at: when they are told: the alert's moment, or when the digest comes.
    """

    recipient: str
    role: str
    step: int | None
    channels: tuple[str, ...]
    held: Held | None
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """An alert that nobody has acknowledged.

    Attributes:
        step: last step of the chain that was told.
        told_at: when that one is told, a digest's time included.
        snoozed_until: no escalation before.
    """

    alert_id: str
    severity: Severity
    step: int
    told_at: datetime
    snoozed_until: datetime | None = None


class Ledger:
    """Counts, holds and waits; bounded by what is open and by the rule pack's windows."""

    def __init__(self) -> None:
        """Start empty."""
        self._waiting: dict[str, Waiting] = {}
        self._done: dict[str, None] = {}
        self._told: defaultdict[str, dict[str, datetime]] = defaultdict(dict)
        self._last: dict[tuple[str, str, str], tuple[str, datetime]] = {}
        self._held: defaultdict[str, dict[str, datetime]] = defaultdict(dict)

    def decided(self, alert_id: str, rule: str, subject: str, tellings: Iterable[Telling]) -> None:
        """Count a decision before its event comes back, so that the next one knows of it."""
        for telling in tellings:
            if telling.held is None:
                self._told[telling.recipient][alert_id] = telling.due_at
                key = (telling.recipient, rule, subject)
                last = self._last.get(key)
                if last is None or last[1] < telling.due_at:
                    self._last[key] = (alert_id, telling.due_at)

    def raised(
        self, alert_id: str, rule: str, severity: Severity, subject: str, tellings: Sequence[Telling]
    ) -> None:
        """Take an alert in that is in the stream; the same again changes nothing.

        Args:
            alert_id: of the alert.
            rule: its rule.
            severity: its severity.
            subject: what it is about, for grouping: a unit, or a place.
            tellings: see `Telling`.
        """
        step: int | None = None
        told_at: datetime | None = None
        self.decided(alert_id, rule, subject, tellings)
        for telling in tellings:
            if telling.held is not None:
                self._held[telling.recipient].setdefault(alert_id, telling.due_at)
            if telling.step is not None and (step is None or telling.step >= step):
                step = telling.step
                told_at = telling.due_at if told_at is None else max(told_at, telling.due_at)
        if step is not None and told_at is not None and alert_id not in self._done:
            self._waiting.setdefault(alert_id, Waiting(alert_id, severity, step, told_at))

    def escalated(self, alert_id: str, tellings: Iterable[Telling]) -> None:
        """Note that an alert went to the next step."""
        waiting = self._waiting.get(alert_id)
        steps = [each for each in tellings if each.step is not None]
        if waiting is None or not steps:
            return
        step = max(each.step or 0 for each in steps)
        if step > waiting.step:
            told_at = max(each.due_at for each in steps)
            self._waiting[alert_id] = replace(waiting, step=step, told_at=told_at)

    def digested(self, recipient: str, about: Iterable[str]) -> None:
        """Note that a digest told `recipient` of what was held back for them."""
        held = self._held.get(recipient, {})
        for alert_id in about:
            held.pop(alert_id, None)
        if not held:
            self._held.pop(recipient, None)

    def snoozed(self, alert_id: str, until: datetime) -> None:
        """Note that an alert is not to be escalated before `until`; the latest stands."""
        waiting = self._waiting.get(alert_id)
        if waiting is not None:
            self._waiting[alert_id] = replace(waiting, snoozed_until=until)

    def acknowledged(self, alert_id: str) -> None:
        """Somebody has it in hand: no escalation any more. What is held back is still told."""
        self._waiting.pop(alert_id, None)
        self._remember(alert_id)

    def exhausted(self, alert_id: str) -> None:
        """There is nobody above who could be told."""
        self._waiting.pop(alert_id, None)

    def _remember(self, alert_id: str) -> None:
        # The same alert may come once more, long after: it must not wait again.
        self._done[alert_id] = None
        while len(self._done) > DONE_KEPT:
            self._done.pop(next(iter(self._done)))

    def told_since(self, recipient: str, since: datetime, *, beside: str) -> int:
        """Count what else than `beside` a recipient was told at once from `since` on; forgets what is older.

        Beside: an alert whose event could not be stored is decided anew.
        """
        told = self._told.get(recipient)
        if not told:
            return 0
        while told and told[oldest := next(iter(told))] < since:
            del told[oldest]
        return len(told) - (beside in told)

    def grouped(self, key: tuple[str, str, str], alert_id: str, now: datetime, minutes: int) -> bool:
        """Whether another alert with the same `key` was told within `minutes`.

        Args:
            key: recipient, rule, what it is about.
            alert_id: the alert in question.
            now: the moment.
            minutes: of the rule pack; 0: never.
        """
        last = self._last.get(key)
        if last is None or last[0] == alert_id or not minutes:
            return False
        if now - last[1] < timedelta(minutes=minutes):
            return True
        del self._last[key]
        return False

    def due(self, now: datetime) -> dict[str, tuple[str, ...]]:
        """Return what is held back and due, by recipient, the earliest first."""
        found: dict[str, tuple[str, ...]] = {}
        for recipient, held in self._held.items():
            ready = tuple(alert_id for alert_id, at in held.items() if at <= now)
            if ready:
                found[recipient] = ready
        return found

    def waiting(self) -> tuple[Waiting, ...]:
        """Return every alert that waits for somebody, the oldest first."""
        return tuple(self._waiting.values())

    def held_for(self, recipient: str) -> int:
        """Count what is held back for a recipient."""
        return len(self._held.get(recipient, ()))

    @property
    def held(self) -> Mapping[str, int]:
        """Held alerts by recipient."""
        return {name: len(held) for name, held in self._held.items()}
