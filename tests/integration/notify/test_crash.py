"""SIGKILL in the middle of the work, on the real process: nothing is lost, nothing is invented."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from nats.aio.client import Client

from deploy.local.embedded import free_ports
from services.notify.domain.alert import alert_id
from shared.events import AlertDelivered, AlertRaised
from tests.integration.notify.support import (
    Setup,
    WebhookReceiver,
    bad_review,
    eventually,
    publish_many,
    stored,
)
from tests.support import warm
from tests.support.redelivery import redeliver_sooner

pytestmark = pytest.mark.integration
ALERTS = 200


@asynccontextmanager
async def process(setup: Setup, receiver: WebhookReceiver) -> AsyncIterator[warm.Awaited]:
    """``python -m services.notify``, ended by SIGTERM unless the test has killed it."""
    environment = os.environ | {
        "NATS_URL": setup.nats_url,
        "SECRETS_DIR": str(setup.secrets_dir),
        "HTTP_PORT": str(free_ports(1)[0]),
        "WEBHOOK_URL": receiver.url,
        "CONSOLE_ALERTS": "false",
        "ALLOW_LOOPBACK": "true",
        "RETRY_DELAYS_S": "[0.2, 0.5, 1, 2, 5]",
        "LOG_LEVEL": "WARNING",
    }
    started = warm.Awaited([sys.executable, "-m", "services.notify"], env=environment)
    try:
        yield started
    finally:
        if started.returncode is None:
            started.terminate()
        await asyncio.wait_for(started.wait(), 60)


@pytest.mark.timeout(600)
async def test_every_alert_arrives_although_the_process_is_killed_twice(
    client: Client, setup: Setup, receiver: WebhookReceiver
) -> None:
    reviews = [bad_review(number, grade=1 + number % 5) for number in range(ALERTS * 5 // 2)]
    expected = {alert_id("bad_review", review.id) for review in reviews if review.data.grade <= 2}
    assert len(expected) == ALERTS
    await redeliver_sooner(client)

    receiver.delay_s = 0.2  # so that a kill finds deliveries under way
    async with process(setup, receiver) as first:
        await publish_many(client, reviews)
        await eventually(lambda: len(receiver.received) >= 20, "deliveries are under way", limit_s=60)
        first.send_signal(signal.SIGKILL)
    async with process(setup, receiver) as second:
        some = len(receiver.received) + 20
        await eventually(lambda: len(receiver.received) >= some, "deliveries go on", limit_s=60)
        second.send_signal(signal.SIGKILL)
    async with process(setup, receiver) as third:
        await eventually(lambda: set(receiver.ids) >= expected, "every alert has arrived", limit_s=90)

        async def recorded() -> bool:
            return {each.data.alert_id for each in await stored(client, AlertDelivered)} == expected

        await eventually(recorded, "every delivery is recorded", limit_s=60)
        third.terminate()
        assert await asyncio.wait_for(third.wait(), 60) == 0
    assert set(receiver.ids) == expected, "none invented"
    assert all(request.valid for request in receiver.received)
    assert sorted(each.id for each in await stored(client, AlertRaised)) == sorted(expected), (
        "none raised twice"
    )
