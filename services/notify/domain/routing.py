"""Who is told, when and by which ways: pure functions of an alert, the directory, the ledger and the time.

Decided once, when an alert is raised, and written into its event; what is decided later (the next step, a
digest) is an event of its own. So whoever folds the stream knows all of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.notify.domain.alert import Alert
from services.notify.domain.directory import Directory, Step
from services.notify.domain.duty import Recipient, WorksOn, open_from
from services.notify.domain.ledger import Held, Ledger, Telling
from shared.kernel.clock import business_day
from shared.rules.alerting import RoutingRules, Severity

MINUTE_S: Final = 60


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a decision rests on beside the alert.

    Attributes:
        now: the moment.
        rules: the pack's numbers.
        switched_on: channels that there are.
        works_on: the calendar.
    """

    now: datetime
    rules: RoutingRules
    switched_on: tuple[str, ...]
    works_on: WorksOn


def addressees(alert: Alert, switched_on: Sequence[str]) -> tuple[str, ...]:
    """Return the channels of an alert where nobody is named: all of them, in the order of `switched_on`."""
    del alert
    return tuple(switched_on)


def channels_of(tellings: Sequence[Telling], switched_on: Sequence[str]) -> tuple[str, ...]:
    """Return the channels that deliver at once, in the order of `switched_on`."""
    wanted = {channel for each in tellings if each.held is None for channel in each.channels}
    return tuple(channel for channel in switched_on if channel in wanted)


def subject_of(alert: Alert) -> str:
    """Return what alerts are grouped by beside their rule: the unit, or the place."""
    return alert.unit_id or f"{alert.city}.{alert.county}"


def route(alert: Alert, directory: Directory, ledger: Ledger, given: Circumstances) -> tuple[Telling, ...]:
    """Return who is told of a new alert: the first of the chain, and subscribers.

    Args:
        alert: the alert.
        directory: the people.
        ledger: what they were told before.
        given: time and rules.
    """
    day = business_day(given.now)
    ladder = directory.steps(alert, day)
    steps = given.rules.first_step_critical if alert.severity is Severity.CRITICAL else 1
    tellings = [telling for step in ladder[:steps] for telling in _told(alert, step, ledger, given)]
    told = {each.recipient for each in tellings}
    subscribers = tuple(each for each in directory.subscribers(alert, day) if each.recipient_id not in told)
    return (*tellings, *_told(alert, Step("subscription", subscribers, None), ledger, given))


def next_step(
    alert: Alert, step: int, directory: Directory, ledger: Ledger, given: Circumstances
) -> tuple[Telling, ...]:
    """Return who is told next of an alert that nobody acknowledged; empty at the end of the chain.

    Args:
        alert: the alert.
        step: number of the last step that was told; who is away by now is passed by.
        directory: the people.
        ledger: what they were told before.
        given: time and rules.
    """
    ladder = directory.steps(alert, business_day(given.now))
    following = (each for each in ladder if each.number is not None and each.number > step)
    found = next(following, None)
    return () if found is None else _told(alert, found, ledger, given)


def slot_of(now: datetime, rules: RoutingRules) -> int:
    """Return the number of the digest's period that `now` is in."""
    return int(now.timestamp()) // (rules.digest_minutes * MINUTE_S)


def _told(alert: Alert, step: Step, ledger: Ledger, given: Circumstances) -> tuple[Telling, ...]:
    return tuple(_telling(alert, each, step.role, step.number, ledger, given) for each in step.recipients)


def _telling(
    alert: Alert, person: Recipient, role: str, number: int | None, ledger: Ledger, given: Circumstances
) -> Telling:
    name = person.recipient_id
    channels = tuple(each for each in given.switched_on if each in person.channels)
    now, rules = given.now, given.rules
    if alert.severity is Severity.CRITICAL:
        return Telling(name, role, number, channels, None, now)
    opens = open_from(person, now, given.works_on)
    if opens > now:
        return Telling(name, role, number, channels, Held.QUIET, opens)
    digest = now.fromtimestamp((slot_of(now, rules) + 1) * rules.digest_minutes * MINUTE_S, now.tzinfo)
    digest = open_from(person, digest, given.works_on)
    minutes = rules.group_minutes.get(alert.rule, 0)
    if ledger.grouped((name, alert.rule, subject_of(alert)), alert.alert_id, now, minutes):
        return Telling(name, role, number, channels, Held.GROUPED, digest)
    quota = rules.quota if person.quota is None else person.quota
    since = now - timedelta(minutes=rules.quota_minutes)
    if ledger.told_since(name, since, beside=alert.alert_id) >= quota:
        return Telling(name, role, number, channels, Held.QUOTA, digest)
    return Telling(name, role, number, channels, None, now)
