"""The book of recent alerts: a bounded fold of the ALERTS stream, and the questions asked of it.

Fifty thousand alerts as plain objects would take half of the service's memory goal, so the texts are kept
compressed and unpacked only for the few alerts of one page.
"""

import json
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from services.notify.domain.alert import (
    Acknowledgement,
    Alert,
    AlertState,
    AlertStatus,
    Background,
    Delivery,
    Outcome,
    Snooze,
    Told,
)
from services.notify.domain.catalogue import ESCALATION, FOLLOW_UPS
from services.notify.domain.follow_ups import rule_behind
from shared.kernel.errors import InvalidValueError
from shared.rules.alerting import Severity

DEFAULT_CAPACITY: Final = 50_000
_NOTHING: Final = Background()

_COMMON_TEXT: Final = (
    '{"body":"收到一条“不满意”评价。请责任人尽快核实、整改,并给评价人答复。在近30天榜单中由第名降至第名。'
    '请查看近期评价,查明原因并采取措施。","evidence":["-8"],"figures":{"rank":"","previous_rank":"","lost":"",'
    '"list":"window.30","window_days":"30","score":"","ratings":"","grade":"2","threshold":"1,2"},'
    '"title":"收到差评","unit_name":"南昌市县区婚姻登记处"}'
).encode()
"""Preset dictionary: short texts alone hardly compress, beside a typical one they do."""


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Conditions that an alert must meet; None asks nothing."""

    unit_id: str | None = None
    rule: str | None = None
    severity: Severity | None = None
    state: AlertState | None = None
    within: Callable[[str, str, str | None, str], bool] | None = None
    """Tells from city, county, unit and `rule_behind` whether it is for the eyes of whoever asks."""
    recipient: str | None = None


@dataclass(slots=True)
class _Entry:
    sequence: int
    rule: str
    rule_behind: str
    severity: Severity
    unit_id: str | None
    city: str
    county: str
    known_at: datetime
    raised_at: datetime
    channels: tuple[str, ...]
    packed: bytes
    deliveries: tuple[Delivery, ...] = ()
    acknowledgement: Acknowledgement | None = None
    snooze: Snooze | None = None
    recipients: tuple[str, ...] = ()
    about: tuple[str, ...] = ()
    rules: str | None = None

    def meets(self, wanted: AlertFilter) -> bool:
        state = AlertState.OPEN if self.acknowledgement is None else AlertState.ACKNOWLEDGED
        return (
            (wanted.unit_id is None or wanted.unit_id == self.unit_id)
            and (wanted.rule is None or wanted.rule == self.rule)
            and (wanted.severity is None or wanted.severity is self.severity)
            and (wanted.state is None or wanted.state is state)
            and (
                wanted.within is None or wanted.within(self.city, self.county, self.unit_id, self.rule_behind)
            )
            and (wanted.recipient is None or wanted.recipient in self.recipients)
        )


class AlertBook:
    """The last `capacity` alerts with deliveries and acknowledgements.

    Every method that takes a fact in is idempotent, so a repeated event changes nothing; facts about alerts
    that have left the book are ignored.
    """

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        """Keep at most `capacity` alerts.

        Raises:
            InvalidValueError: `capacity` is not positive.
        """
        if capacity < 1:
            raise InvalidValueError(capacity, "at least 1 alert", "raise ALERTS_KEPT", field="capacity")
        self._capacity = capacity
        self._entries: dict[str, _Entry] = {}
        self._open = 0

    def __len__(self) -> int:
        """Count the alerts in the book."""
        return len(self._entries)

    def __contains__(self, alert_id: object) -> bool:
        """Tell whether an alert is in the book."""
        return alert_id in self._entries

    @property
    def open(self) -> int:
        """Number of alerts that nobody has acknowledged; escalations and digests are none of their own."""
        return self._open

    def raised(
        self,
        alert: Alert,
        *,
        sequence: int,
        channels: tuple[str, ...],
        raised_at: datetime,
        background: Background = _NOTHING,
    ) -> bool:
        """Enter an alert, the oldest one leaves a full book. Returns whether it is new."""
        if alert.alert_id in self._entries:
            return False
        if len(self._entries) >= self._capacity:
            oldest = self._entries.pop(next(iter(self._entries)))
            self._open -= oldest.acknowledgement is None and oldest.rule not in FOLLOW_UPS
        self._entries[alert.alert_id] = _Entry(
            sequence,
            alert.rule,
            sys.intern(rule_behind(alert)),
            alert.severity,
            alert.unit_id,
            alert.city,
            alert.county,
            alert.known_at,
            raised_at,
            channels,
            _pack(alert, background),
            recipients=tuple(sys.intern(each.recipient) for each in background.tellings),
            about=background.about if alert.rule == ESCALATION else (),
            rules=None if background.rules is None else sys.intern(background.rules),
        )
        self._open += alert.rule not in FOLLOW_UPS
        return True

    def settled(self, alert_id: str, delivery: Delivery) -> None:
        """Note a channel's outcome; a delivery is never overwritten by a failure."""
        entry = self._entries.get(alert_id)
        if entry is None or self.delivered(alert_id, delivery.channel):
            return
        others = tuple(each for each in entry.deliveries if each.channel != delivery.channel)
        entry.deliveries = (*others, delivery)

    def acknowledged(self, alert_id: str, acknowledgement: Acknowledgement) -> None:
        """Note who took the alert over; the first in the stream stands."""
        entry = self._entries.get(alert_id)
        if entry is not None and entry.acknowledgement is None:
            entry.acknowledgement = acknowledgement
            self._open -= entry.rule not in FOLLOW_UPS

    def snoozed(self, alert_id: str, snooze: Snooze) -> None:
        """Note that the alert was put off; the last in the stream stands."""
        entry = self._entries.get(alert_id)
        if entry is not None:
            entry.snooze = snooze

    def escalated_from(self, alert_id: str) -> tuple[str, ...]:
        """Return the alerts that an escalation is about: whoever takes it over has taken them over."""
        entry = self._entries.get(alert_id)
        return () if entry is None else entry.about

    def delivered(self, alert_id: str, channel: str) -> bool:
        """Tell whether `channel` is known to have delivered the alert."""
        entry = self._entries.get(alert_id)
        return entry is not None and any(
            each.channel == channel and each.outcome is Outcome.DELIVERED for each in entry.deliveries
        )

    def get(self, alert_id: str) -> AlertStatus | None:
        """Return an alert with its state; None when it is not in the book."""
        entry = self._entries.get(alert_id)
        return None if entry is None else _status(alert_id, entry)

    def page(self, wanted: AlertFilter, *, limit: int, before: int | None = None) -> tuple[AlertStatus, ...]:
        """Return the newest `limit` alerts that meet `wanted`, newest first.

        Args:
            wanted: conditions.
            limit: most alerts to return, at least 1.
            before: only alerts with a smaller sequence; None starts at the newest.
        """
        found: list[AlertStatus] = []
        for alert_id, entry in self._newest_first():
            if (before is None or entry.sequence < before) and entry.meets(wanted):
                found.append(_status(alert_id, entry))
                if len(found) == limit:
                    break
        return tuple(found)

    def _newest_first(self) -> Iterator[tuple[str, _Entry]]:
        return iter(reversed(self._entries.items()))


def _pack(alert: Alert, background: Background) -> bytes:
    texts: dict[str, object] = {
        "body": alert.body,
        "evidence": alert.evidence,
        "figures": dict(alert.figures),
        "title": alert.title,
        "unit_name": alert.unit_name,
    }
    if background.tellings:
        texts["tellings"] = [
            [each.recipient, each.role, each.step, each.channels, each.held, each.due_at.isoformat()]
            for each in background.tellings
        ]
    if background.about:
        texts["about"] = background.about
    if background.condition is not None:
        texts["condition"] = background.condition
    packer = zlib.compressobj(level=1, zdict=_COMMON_TEXT)
    raw = json.dumps(texts, ensure_ascii=False, separators=(",", ":")).encode()
    return packer.compress(raw) + packer.flush()


def _status(alert_id: str, entry: _Entry) -> AlertStatus:
    texts = json.loads(zlib.decompressobj(zdict=_COMMON_TEXT).decompress(entry.packed))
    alert = Alert(
        alert_id=alert_id,
        rule=entry.rule,
        severity=entry.severity,
        known_at=entry.known_at,
        unit_id=entry.unit_id,
        unit_name=texts["unit_name"],
        city=entry.city,
        county=entry.county,
        title=texts["title"],
        body=texts["body"],
        evidence=tuple(texts["evidence"]),
        figures=texts["figures"],
    )
    status = AlertStatus(alert, entry.sequence, entry.channels, entry.raised_at)
    background = Background(
        tuple(
            Told(recipient, role, step, tuple(channels), held, datetime.fromisoformat(due_at))
            for recipient, role, step, channels, held, due_at in texts.get("tellings", ())
        ),
        tuple(texts.get("about", ())),
        texts.get("condition"),
        entry.rules,
    )
    return replace(
        status,
        deliveries=entry.deliveries,
        acknowledgement=entry.acknowledgement,
        snooze=entry.snooze,
        background=background,
    )
