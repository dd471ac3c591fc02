"""Clients that know an address and a subject: real events of one city reach them, feedback never does."""

import asyncio
import json
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.events import Envelope, UnitScoreChanged, parse_envelope
from shared.messaging.publisher import JetStreamPublisher
from shared.testing.builders import envelope_of, feedback_submitted, ranking_revised, unit_score_changed
from tests.npm_support import node_command, node_environment
from tests.support.broker_users import BrokerUsers, provisioned, running_broker

ROOT = Path(__file__).parents[3]
DOCUMENTED = "nats://127.0.0.1:8022"
LIMIT_S = 60.0


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[BrokerUsers]:
    """A broker with the platform's real authorization."""
    with running_broker(tmp_path) as started:
        async with provisioned(*started) as users:
            yield users


@asynccontextmanager
async def process(*command: str) -> AsyncIterator[Process]:
    """A child that does not outlive the test."""
    child = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, env=node_environment())
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


async def next_line(child: Process) -> str:
    """The child's next line of output; its complaints if it ended instead."""
    assert child.stdout is not None
    assert child.stderr is not None
    line = await asyncio.wait_for(child.stdout.readline(), LIMIT_S)
    assert line, (await child.stderr.read()).decode()
    return line.decode()


async def publish_a_day(broker: BrokerUsers) -> list[Envelope[Any]]:
    """Feedback, and score changes of Ganzhou and of another city; returns those of Ganzhou, in order."""
    intake = JetStreamPublisher(await broker.connect("intake"))
    scoring = JetStreamPublisher(await broker.connect("scoring"))
    expected = []
    for grade, rank in ((1, 1), (2, 2), (3, None)):  # a unit with few ratings has no rank
        await intake.publish(envelope_of(feedback_submitted(grade=grade)), city="3607", county="360702")
        elsewhere = unit_score_changed(unit_id="U000520", name="贵溪市婚姻登记处", rank=rank)
        await scoring.publish(envelope_of(elsewhere), city="3606", county="360681")
        await scoring.publish(envelope_of(ranking_revised()))
        event = envelope_of(unit_score_changed(rank=rank))
        await scoring.publish(event, city="3607", county="360702")
        expected.append(event)
    return expected


async def test_the_npm_client_receives_real_score_changes_of_its_city_and_no_feedback(
    broker: BrokerUsers,
) -> None:
    async with process(*node_command("read_rankings.mjs", broker.server.url, "3")) as reader:
        told: list[dict[str, Any]] = []
        while not told or "ready" not in told[-1]:
            told.append(json.loads(await next_line(reader)))
        expected = await publish_a_day(broker)
        while "feedbackReceived" not in told[-1]:
            told.append(json.loads(await next_line(reader)))
        assert await asyncio.wait_for(reader.wait(), LIMIT_S) == 0
    assert [line for line in told if "leaked" in line] == []
    assert told[-1] == {"feedbackReceived": 0}
    (refused,) = (line for line in told if "refused" in line)
    assert "Permissions Violation" in refused["error"]
    received = [line for line in told if "event" in line]
    assert {line["subject"] for line in received} == {"ranking.v1.score-changed.3607.360702"}
    events = [
        parse_envelope(Envelope[UnitScoreChanged], json.dumps(line["event"]).encode()) for line in received
    ]
    assert events == expected
    assert [event.data.name for event in events] == ["赣州市章贡区婚姻登记处"] * 3


@pytest.mark.parametrize("page", ["docs/readers.md", "README.md"])
async def test_the_documented_python_snippets_print_the_events_of_their_city(
    broker: BrokerUsers, tmp_path: Path, page: str
) -> None:
    snippets = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    (snippet,) = [each for each in snippets if "ranking.v1.*.3607.>" in each]
    (tmp_path / "read_rankings.py").write_text(
        snippet.replace(DOCUMENTED, broker.server.url), encoding="utf-8"
    )
    async with process(sys.executable, "-u", str(tmp_path / "read_rankings.py")) as reader:
        await until_subscribed(broker)
        expected = await publish_a_day(broker)
        lines = [(await next_line(reader)).split() for _ in expected]
    assert lines == [
        ["2026-03-02T04:00:00.000Z", event.type, event.data.name, str(event.data.rank)] for event in expected
    ]


async def until_subscribed(broker: BrokerUsers) -> None:
    """Wait until the broker knows of the reader's subscription."""
    address = f"{broker.server.monitor_url}/connz?subs=1"
    async with httpx.AsyncClient() as monitoring:
        for _ in range(1_200):
            # The monitoring's JSON escapes the final wildcard.
            if "ranking.v1.*.3607." in (await monitoring.get(address)).text:
                return
            await asyncio.sleep(0.05)
    pytest.fail("the reader did not subscribe within 60 s")
