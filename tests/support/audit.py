"""Does everything add up? The questions that must have the same answers whatever was killed meanwhile."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from nats.aio.client import Client

from deploy.local.broker import cli_connection
from deploy.local.demo.observer import read_accepted
from deploy.local.demo.settle import read_books, settled
from shared.kernel.ids import derived_id
from shared.messaging.reading import FoldReader
from shared.messaging.streams import ALERTS, FEEDBACK
from tests.support.platform import Platform

ALERTS_TIMEOUT_S = 75.0
"""A message that was being handled when notify was killed comes again after 30 s."""
POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class Fact:
    """One message of a stream; ``event`` is None if it is not JSON."""

    sequence: int
    subject: str
    event: Mapping[str, Any] | None


@dataclass(slots=True)
class Alarm:
    """What the stream of alerts tells: cause by alert id of bad reviews, other alerts, and settled ones."""

    bad_reviews: dict[str, str] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)
    raised: Counter[str] = field(default_factory=Counter)
    delivered: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)


async def read_stream(client: Client, stream: str) -> list[Fact]:
    """Every message that a stream holds, in order."""
    reader = FoldReader(client, stream)
    facts: list[Fact] = []
    try:
        while not reader.caught_up:
            for message in await reader.take(wait_s=1.0):
                try:
                    event = json.loads(message.data)
                except ValueError:
                    event = None
                facts.append(Fact(message.sequence, message.subject, event))
    finally:
        await reader.close()
    return facts


async def read_alarm(client: Client) -> Alarm:
    """Fold the stream of alerts."""
    alarm = Alarm()
    for fact in await read_stream(client, ALERTS):
        assert fact.event is not None, fact
        data, kind = fact.event["data"], fact.subject.split(".")[2]
        if kind == "raised":
            alarm.raised[fact.event["id"]] += 1
            if data["rule"] == "bad_review":
                alarm.bad_reviews[fact.event["id"]] = data["evidence"][0]
            else:
                alarm.others.add(fact.event["id"])
        elif kind == "delivered" and data["channel"] == "webhook":
            alarm.delivered.add(data["alert_id"])
        elif kind == "delivery-failed":
            alarm.failed.add(data["alert_id"])
    return alarm


def bad_review_alert(event_id: str) -> str:
    """The alert id that follows from a bad review, whoever raises it and however often."""
    return derived_id("alert", "bad_review", event_id)


async def assert_everything_adds_up(platform: Platform, *, poisoned: int = 0) -> None:
    """Check the whole chain against what intake promised: stream, books, rankings, archive, alerts.

    Args:
        platform: every rating that tests sent to it must be in its ``promised``.
        poisoned: messages in FEEDBACK that are no events.
    """
    platform.await_ready()
    async with cli_connection(platform.layout) as client:
        await _assert_alerts(client, platform)
        await settled(platform.layout, client)
        await _assert_stream(client, platform.promised, poisoned)
        accepted = len(await read_accepted(client))
    report, rankings = await asyncio.gather(
        asyncio.to_thread(platform.pingyi_json, "audit", "verify"),
        asyncio.to_thread(platform.pingyi_json, "recompute"),
    )
    assert rankings["ok"], rankings["differences"]
    assert rankings["lists"] > 0
    assert rankings["messages"] == report["streams"][FEEDBACK]["entries"]
    assert report["ok"], report["findings"]
    assert report["findings"] == []
    assert report["books"]["unparseable"] == poisoned
    books = read_books(platform.layout, accepted, report)
    assert books.balanced, books
    assert books.accepted == len(platform.promised)


async def _assert_stream(client: Client, promised: Mapping[str, int], poisoned: int) -> None:
    times: Counter[str] = Counter()
    grades: dict[str, int] = {}
    invalid = 0
    for fact in await read_stream(client, FEEDBACK):
        if fact.event is None:
            invalid += 1
        elif fact.subject.startswith("feedback.v1.submitted."):
            times[fact.event["id"]] += 1
            grades[fact.event["id"]] = fact.event["data"]["grade"]
    assert not _shown(promised.keys() - times.keys()), "accepted but lost"
    assert not _shown(times.keys() - promised.keys()), "in the stream but never accepted"
    assert not [event_id for event_id, count in times.items() if count > 1], "stored twice"
    assert grades == promised
    assert invalid == poisoned


async def _assert_alerts(client: Client, platform: Platform) -> None:
    """One alert for each bad review that was accepted, at the receiver at least once, and no other."""
    bad = [event_id for event_id, grade in platform.promised.items() if grade <= 2]
    expected = {bad_review_alert(event_id): event_id for event_id in bad}
    inbox = platform.webhooks.inbox
    deadline_s = time.monotonic() + ALERTS_TIMEOUT_S
    while True:
        alarm = await read_alarm(client)
        arrived = set(inbox.ids)
        missing = expected.keys() - alarm.bad_reviews.keys()
        undelivered = alarm.raised.keys() - alarm.delivered
        if not missing and not undelivered:
            break
        assert time.monotonic() < deadline_s, (
            f"after {ALERTS_TIMEOUT_S:g} s {len(missing)} of {len(expected)} alerts are not raised and "
            f"{len(undelivered)} not delivered; the receiver has {len(arrived)}, forged {inbox.forged}"
        )
        await asyncio.sleep(POLL_S)
    assert alarm.bad_reviews == expected
    assert not [alert_id for alert_id, count in alarm.raised.items() if count > 1], "raised twice"
    assert not alarm.failed
    assert not _shown(alarm.raised.keys() - arrived), "said to be delivered, but the receiver never saw it"
    assert not _shown(arrived - alarm.raised.keys()), "the receiver saw an alert that was never raised"
    assert inbox.forged == 0


def _shown(ids: Collection[str]) -> list[str]:
    return sorted(ids)[:5]
