"""SIGKILL in the middle of the work, on the real process: nothing is lost, nothing is invented."""

import asyncio
import signal

import pytest
from nats.aio.client import Client

from services.notify.domain.alert import alert_id
from shared.events import AlertDelivered, AlertRaised
from tests.integration.notify.support import (
    Setup,
    WebhookReceiver,
    a_process,
    bad_review,
    eventually,
    publish_many,
    stored,
)
from tests.support.redelivery import redeliver_sooner

pytestmark = pytest.mark.integration
ALERTS = 200
DELIVERING = {"ALLOW_LOOPBACK": "true", "RETRY_DELAYS_S": "[0.2, 0.5, 1, 2, 5]"}


@pytest.mark.timeout(600)
async def test_every_alert_arrives_although_the_process_is_killed_twice(
    client: Client, setup: Setup, receiver: WebhookReceiver
) -> None:
    reviews = [bad_review(number, grade=1 + number % 5) for number in range(ALERTS * 5 // 2)]
    expected = {alert_id("bad_review", review.id) for review in reviews if review.data.grade <= 2}
    assert len(expected) == ALERTS
    await redeliver_sooner(client)

    receiver.delay_s = 0.2  # so that a kill finds deliveries under way
    async with a_process(setup, **DELIVERING, WEBHOOK_URL=receiver.url) as first:
        await publish_many(client, reviews)
        await eventually(lambda: len(receiver.received) >= 20, "deliveries are under way", limit_s=60)
        first.send_signal(signal.SIGKILL)
    async with a_process(setup, **DELIVERING, WEBHOOK_URL=receiver.url) as second:
        some = len(receiver.received) + 20
        await eventually(lambda: len(receiver.received) >= some, "deliveries go on", limit_s=60)
        second.send_signal(signal.SIGKILL)
    async with a_process(setup, **DELIVERING, WEBHOOK_URL=receiver.url) as third:
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
