"""SIGKILL amid digests and escalations, on the real process: nothing is lost, nothing comes twice.

The short form in CI is the property over lives in ``tests/unit/notify/test_following.py``.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nats.aio.client import Client

from deploy.local.embedded import free_ports
from services.notify.domain.alert import alert_id
from shared.events import AlertDelivered, AlertRaised
from tests.integration.notify.conftest import client, receiver, secrets_dir, setup
from tests.integration.notify.support import (
    Setup,
    WebhookReceiver,
    bad_review,
    eventually,
    publish_many,
    stored,
)
from tests.integration.notify.test_people import people, told

pytestmark = pytest.mark.soak
__all__ = ["client", "people", "receiver", "secrets_dir", "setup"]


def quick_pack(folder: Path) -> Path:
    """The committed pack with waits of a minute and digests every minute."""
    text = (Path("shared/rules/packs") / "2026-01.toml").read_text(encoding="utf-8")
    text = text.replace("warning = 240", "warning = 1").replace("digest_minutes = 60 ", "digest_minutes = 1 ")
    path = folder / "quick.toml"
    path.write_text(text, encoding="utf-8")
    return path


@asynccontextmanager
async def process(
    setup: Setup, receiver: WebhookReceiver, people: Path, rules: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """``python -m services.notify`` with people, ended by SIGTERM unless the test has killed it."""
    environment = os.environ | {
        "NATS_URL": setup.nats_url,
        "SECRETS_DIR": str(setup.secrets_dir),
        "HTTP_PORT": str(free_ports(1)[0]),
        "WEBHOOK_URL": receiver.url,
        "CONSOLE_ALERTS": "false",
        "RECIPIENTS_PATH": str(people),
        "RULES_PATH": str(rules),
        "FOLLOW_UP_EVERY_S": "0.2",
        "LOG_LEVEL": "WARNING",
    }
    started = await asyncio.create_subprocess_exec(sys.executable, "-m", "services.notify", env=environment)
    try:
        yield started
    finally:
        if started.returncode is None:
            started.terminate()
        await asyncio.wait_for(started.wait(), 60)


@pytest.mark.timeout(240)
async def test_kills_under_load_lose_and_double_no_alert_no_digest_and_no_escalation(
    client: Client, setup: Setup, receiver: WebhookReceiver, people: Path, tmp_path: Path
) -> None:
    """The officer's quota is 20: the rest is held back for digests; after a minute the deputy is told."""
    number = 60
    rules = quick_pack(tmp_path)
    expected = {alert_id("bad_review", bad_review(each).id) for each in range(number)}
    async with process(setup, receiver, people, rules) as first:
        await publish_many(client, [bad_review(each) for each in range(number)])
        await eventually(lambda: len(receiver.received) >= 5, "deliveries are under way", limit_s=30)
        first.send_signal(signal.SIGKILL)

    async def escalating() -> bool:
        return "escalation" in await told(client)

    async def complete() -> bool:
        events = [each.data for each in await stored(client, AlertRaised)]
        digested = {each for data in events if data.rule == "digest" for each in data.about}
        steps = {
            data.about[0] for data in events if data.rule == "escalation" and data.figures["step"] == "1"
        }
        return steps >= expected and len(digested & expected) == number - 20

    async with process(setup, receiver, people, rules) as second:
        await eventually(escalating, "the deputy is told", limit_s=120)
        second.send_signal(signal.SIGKILL)
    async with process(setup, receiver, people, rules):
        await eventually(complete, "everybody was told of everything", limit_s=120)
    events = await stored(client, AlertRaised)
    assert len(events) == len({each.id for each in events})
    bad = [each for each in events if each.data.rule == "bad_review"]
    assert {each.id for each in bad} == expected
    held = sorted(each.id for each in bad if any(telling.held == "quota" for telling in each.data.tellings))
    officers = [
        each for each in events if each.data.rule == "digest" and each.data.figures["recipient"] == "officer"
    ]
    assert sorted(one for each in officers for one in each.data.about) == held
    first_steps = [
        each.data.about[0] for each in events
        if each.data.rule == "escalation" and each.data.figures["step"] == "1"
    ]  # fmt: skip
    assert sorted(first_steps) == sorted(expected), "each once"
    at_once = {each.id for each in events if each.data.channels}

    async def delivered() -> bool:
        return {each.data.alert_id for each in await stored(client, AlertDelivered)} <= at_once

    assert await delivered()
