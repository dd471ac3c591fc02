"""Alerts about alerts: the next person is told, and one person is told of many. Pure.

They are alerts themselves, so they are delivered, repeated and dead-lettered by the same means, and a
repeat carries the same id: of an escalation by alert and step, of a digest by recipient and period.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from services.notify.domain.alert import SEVERITY_LABELS, Alert, alert_id
from services.notify.domain.catalogue import DIGEST, ESCALATION
from services.notify.domain.digests import ITEM, rest_line
from services.notify.domain.duty import Recipient
from services.notify.domain.ledger import Ledger, Telling, Waiting
from services.notify.domain.routing import subject_of
from shared.kernel.clock import rfc3339
from shared.kernel.units import ALL
from shared.rules.alerting import RoutingRules, Severity

TITLE_LENGTH: Final = 200
BODY_LENGTH: Final = 2000
MOST_STEPS: Final = 8
"""More than any chain has."""
DIGEST_IDS: Final = 2000
"""Most alerts that one digest answers for; the rest comes in the next one."""
_SEVERITIES: Final = tuple(Severity)


def escalations_of(alert: str) -> tuple[str, ...]:
    """Return the ids that escalations of an alert can have."""
    return tuple(alert_id(ESCALATION, alert, str(step)) for step in range(1, MOST_STEPS))


def rule_behind(alert: Alert) -> str:
    """Return the rule that fired: of an escalation that of the alert that it is about."""
    return alert.figures.get("rule", alert.rule) if alert.rule == ESCALATION else alert.rule


def enter(ledger: Ledger, alert: Alert, about: Sequence[str], tellings: Sequence[Telling]) -> None:
    """Take an alert of the stream into the ledger.

    Args:
        ledger: who was told of what.
        alert: a rule's alert, or a follow-up.
        about: alerts that a follow-up is about.
        tellings: who is told of it.
    """
    if alert.rule == DIGEST:
        ledger.digested(alert.figures.get("recipient", ""), about)
        return
    if alert.rule == ESCALATION and about:
        ledger.escalated(about[0], tellings)
        # Those who are told of an escalation are told of the alert: it waits, not the escalation.
        tellings = [replace(each, step=None) for each in tellings]
    ledger.raised(alert.alert_id, alert.rule, alert.severity, subject_of(alert), tellings)


def overdue(waiting: Waiting, rules: RoutingRules, now: datetime) -> bool:
    """Whether an alert has waited long enough for an acknowledgement to go to the next person."""
    minutes = rules.escalate_minutes.of(waiting.severity)
    if not minutes or (waiting.snoozed_until is not None and now < waiting.snoozed_until):
        return False
    return (now - waiting.told_at).total_seconds() >= minutes * 60


def escalation_of(alert: Alert, step: int, waiting: Waiting, rules: RoutingRules, now: datetime) -> Alert:
    """Return the alert that tells the people of `step` that nobody has acknowledged `alert`."""
    minutes = rules.escalate_minutes.of(alert.severity)
    return replace(
        alert,
        alert_id=alert_id(ESCALATION, alert.alert_id, str(step)),
        rule=ESCALATION,
        known_at=now,
        title=f"升级提醒(未确认):{alert.title}"[:TITLE_LENGTH],
        body=f"以下提醒已超过{minutes}分钟无人确认,现升级至上一责任人。\n{alert.body}"[:BODY_LENGTH],
        evidence=(alert.alert_id,),
        figures={
            "rule": alert.rule,
            "step": str(step),
            "told_at": rfc3339(waiting.told_at),
            "threshold": f"{minutes}min",
        },
    )


def digest_of(
    recipient: Recipient, alerts: Sequence[Alert], count: int, slot: int, rules: RoutingRules, now: datetime
) -> Alert:
    """Return the digest of what was held back for one recipient.

    Args:
        recipient: who is told.
        alerts: those that are still known, the earliest first.
        count: how many there are in all.
        slot: number of the period; at most one digest for each.
        rules: the pack's numbers.
        now: the moment.
    """
    named = alerts[: rules.digest_most]
    lines: list[str] = []
    left = BODY_LENGTH - 80
    for each in named:
        line = f"{ITEM}[{SEVERITY_LABELS[each.severity]}] {each.title}"
        if len(line) + 1 > left:
            break
        lines.append(line)
        left -= len(line) + 1
    more = count - len(lines)
    tail = [rest_line(more)] if more else []
    severity = max((each.severity for each in alerts), key=_SEVERITIES.index, default=Severity.INFO)
    return Alert(
        alert_id=alert_id(DIGEST, recipient.recipient_id, str(slot)),
        rule=DIGEST,
        severity=severity,
        known_at=now,
        unit_id=None,
        unit_name=None,
        city=ALL,
        county=ALL,
        title=f"提醒汇总:{count}条",
        body="\n".join([f"以下{count}条提醒因免打扰、合并或超出限额而汇总发送:", *lines, *tail]),
        evidence=(),
        figures={"alerts": str(count), "recipient": recipient.recipient_id},
    )
