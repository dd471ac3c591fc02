"""Does everything add up? The questions that must have the same answers whatever was killed meanwhile."""

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nats.aio.client import Client

from deploy.local.broker import cli_connection
from deploy.local.demo.observer import read_accepted
from deploy.local.demo.settle import read_books, settled
from deploy.local.layout import SIGNING_KEY
from services.archive.domain.notes import SigningKey
from shared.kernel.ids import derived_id
from shared.messaging.reading import FoldReader
from shared.messaging.streams import ALERTS, CASES, FEEDBACK, REGISTRY, TIMERS
from tests.support.audit_cases import RULES, CaseBooks, moment
from tests.support.platform import Platform

ALERTS_TIMEOUT_S = 180.0
"""A message that was being handled when notify was killed comes again after its ack wait."""
REMINDERS_TIMEOUT_S = 120.0
POLL_S = 0.25
AT = "timers.v1.at."
"""Where timers stand until they are due."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One message of a stream; ``event`` is None if it is not JSON."""

    sequence: int
    subject: str
    event: Mapping[str, Any] | None


@dataclass(slots=True)
class Alarm:
    """What the stream of alerts tells.

    Attributes:
        causes: cause by alert id, of alerts about bad reviews, cases, strikes and sanctions.
        raised: how often each alert id was raised.
        delivered: alert ids that the webhook's receiver took.
        failed: alert ids that some channel gave up on.
    """

    causes: dict[str, str] = field(default_factory=dict)
    raised: Counter[str] = field(default_factory=Counter)
    delivered: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)

    def take(self, fact: Fact) -> None:
        """Fold one message."""
        assert fact.event is not None, fact
        data, kind = fact.event["data"], fact.subject.split(".")[2]
        if kind == "raised":
            self.raised[fact.event["id"]] += 1
            if data["rule"] in {"bad_review", *RULES}:
                self.causes[fact.event["id"]] = data["evidence"][0]
        elif kind == "delivered" and data["channel"] == "webhook":
            self.delivered.add(data["alert_id"])
        elif kind == "delivery-failed":
            self.failed.add(data["alert_id"])


@dataclass(slots=True)
class StreamView:
    """Reads a stream from its start, further at each call."""

    client: Client
    stream: str
    reader: FoldReader = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is read yet."""
        self.reader = FoldReader(self.client, self.stream)

    async def news(self) -> list[Fact]:
        """What the stream holds now and earlier calls did not give, in order; waits a little for more."""
        facts: list[Fact] = []
        while messages := await self.reader.take(wait_s=POLL_S):
            facts += [Fact(each.sequence, each.subject, _parsed(each.data)) for each in messages]
            if self.reader.caught_up:
                break
        return facts

    async def aclose(self) -> None:
        """Let the consumer go."""
        await self.reader.close()


def _parsed(body: bytes) -> Mapping[str, Any] | None:
    try:
        event: Mapping[str, Any] = json.loads(body)
    except ValueError:
        return None
    return event


def bad_review_alert(event_id: str) -> str:
    """The alert id that follows from a bad review, whoever raises it and however often."""
    return derived_id("alert", "bad_review", event_id)


async def assert_everything_adds_up(
    platform: Platform, *, alerts_timeout_s: float = ALERTS_TIMEOUT_S
) -> CaseBooks:
    """Check the whole chain against what intake promised: stream, books, rankings, archive, alerts, cases.

    Args:
        platform: every rating that tests sent to it must be in its ``promised``.
        alerts_timeout_s: how long notify may take to be through.
    """
    platform.await_ready()
    async with cli_connection(platform.layout) as client:
        cases = await _assert_alerts(client, platform, alerts_timeout_s)
        await settled(platform.layout, client)
        submitted = await _assert_stream(client, platform.promised, platform.poisoned)
        accepted = len(await read_accepted(client))
    report, rankings = await asyncio.gather(
        asyncio.to_thread(verified, platform),
        asyncio.to_thread(platform.pingyi_json, "recompute"),
    )
    assert rankings["ok"], rankings["differences"]
    assert rankings["lists"] > 0
    assert rankings["messages"] == submitted
    assert report["books"]["unparseable"] == platform.poisoned
    books = read_books(platform.layout, accepted, report)
    assert books.balanced, books
    assert books.accepted == len(platform.promised)
    return cases


async def until_announced(
    platform: Platform, reminders: Collection[tuple[str, int]], *, timeout_s: float = REMINDERS_TIMEOUT_S
) -> None:
    """Wait until each of ``reminders``, a clock and its per cent, was announced of some case."""
    books, outstanding = CaseBooks(), set(reminders)
    deadline_s = time.monotonic() + timeout_s
    async with cli_connection(platform.layout) as client, aclosing(StreamView(client, CASES)) as view:
        while outstanding:
            assert time.monotonic() < deadline_s, f"not announced in {timeout_s:g} s: {outstanding}"
            books.take(fact.event for fact in await view.news() if fact.event is not None)
            outstanding -= {(clock, percent) for _, clock, _, percent in books.announced}


def verified(platform: Platform) -> Any:  # noqa: ANN401 - whatever JSON it prints
    """The archive's report of its log: without a finding, and continuing the checkpoint kept last time."""
    saved = platform.saved_checkpoint
    kept = ("--checkpoint", str(saved)) if saved.exists() else ()
    done = platform.pingyi("audit", "verify", "--save", str(saved), *kept, "--json")
    report = json.loads(done.stdout)
    assert report["findings"] == [], done.stdout
    assert report["ok"], done.stdout
    assert done.returncode == 0, done.stderr
    return report


def assert_verified_offline(platform: Platform, directory: Path) -> None:
    """An export to ``directory`` passes its own verifier, with the log's key and the checkpoint kept last."""
    key = SigningKey.parse((platform.layout.secrets / SIGNING_KEY).read_text(encoding="ascii")).verifier.text
    exported = platform.pingyi("audit", "export", str(directory))
    assert exported.returncode == 0, exported.stderr
    program = [sys.executable, str(directory / "verify_export.py"), str(directory), "--key", key]
    kept = ["--checkpoint", str(platform.saved_checkpoint)]
    done = subprocess.run([*program, *kept], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("OK: "), done.stdout


async def _assert_stream(client: Client, promised: Mapping[str, int], poisoned: int) -> int:
    """Each accepted rating once, as it was given, and no other; how many messages hold ratings or should."""
    times: Counter[str] = Counter()
    grades: dict[str, int] = {}
    invalid = 0
    async with aclosing(StreamView(client, FEEDBACK)) as view:
        facts = await view.news()
        async with asyncio.timeout(180):
            while not view.reader.caught_up:
                facts += await view.news()
    for fact in facts:
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
    return len(times) + invalid


async def _assert_alerts(client: Client, platform: Platform, timeout_s: float) -> CaseBooks:
    """One alert for each fact that people must hear of, at the receiver, and no other; and all timers."""
    bad = [event_id for event_id, grade in platform.promised.items() if grade <= 2]
    expected = {bad_review_alert(event_id): event_id for event_id in bad}
    inbox, alarm, books = platform.webhooks.inbox, Alarm(), CaseBooks()
    deadline_s = time.monotonic() + timeout_s
    async with AsyncExitStack() as stack:
        views = [
            await stack.enter_async_context(aclosing(StreamView(client, stream)))
            for stream in (CASES, REGISTRY, ALERTS)
        ]
        while True:
            arrived = set(inbox.ids)  # before the stream is read: what is raised afterwards is not in it
            cases, registry, alerts = [await view.news() for view in views]
            books.take(each.event for each in (*cases, *registry) if each.event is not None)
            for fact in alerts:
                alarm.take(fact)
            expected |= books.alerts
            outstanding = {
                "alerts not raised": expected.keys() - alarm.causes.keys(),
                "alerts that nothing led to": alarm.causes.keys() - expected.keys(),
                "alerts not delivered": alarm.raised.keys() - alarm.delivered,
                "timers lost": books.slept_through(datetime.now(UTC)),
                "timers wrong": await _wrong_timers(client, books),
                "missed deadlines without a strike": books.without_strike(),
                "strikes without a proposal": books.without_proposal(),
            }
            if not any(outstanding.values()):
                break
            assert time.monotonic() < deadline_s, (
                f"after {timeout_s:g} s, of {len(expected)} alerts and {len(books.cases)} cases: "
                f"{ {what: (len(ids), _shown(ids)) for what, ids in outstanding.items() if ids} }; "
                f"the receiver has {len(inbox.ids)}, forged {inbox.forged}"
            )
    books.assert_sound()
    assert alarm.causes == expected
    assert not [alert_id for alert_id, count in alarm.raised.items() if count > 1], "raised twice"
    assert not alarm.failed
    unseen = alarm.raised.keys() - set(inbox.ids)
    assert not _shown(unseen), "said to be delivered, but the receiver never saw it"
    assert not _shown(arrived - alarm.raised.keys()), "the receiver saw an alert that was never raised"
    assert inbox.forged == 0
    return books


async def _wrong_timers(client: Client, books: CaseBooks) -> set[str]:
    """Timers that are missing, too many, at another moment, or due and not carried out."""
    async with aclosing(StreamView(client, TIMERS)) as view:
        facts = await view.news()
    standing = {
        fact.subject.removeprefix(AT): moment(fact.event["at"])
        for fact in facts
        if fact.event is not None and fact.subject.startswith(AT)
    }
    wanted = books.standing()
    wrong = {
        f"{key}: stands for {standing.get(key)}, should for {wanted.get(key)}"
        for key in standing.keys() | wanted.keys()
        if standing.get(key) != wanted.get(key)
    }
    return wrong | {fact.subject for fact in facts if not fact.subject.startswith(AT)}


def _shown(ids: Collection[str]) -> list[str]:
    return sorted(ids)[:5]
