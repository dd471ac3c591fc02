"""Every subject of the platform, poisoned in every way: nobody dies of it, and the rest goes on."""

import asyncio

import pytest

from deploy.local.broker import cli_connection
from deploy.local.demo.settle import settled
from deploy.local.layout import SERVICES
from shared.events import EVENTS, BatchSequenced, CheckpointSigned
from shared.events.catalogue import producers_of
from tests.support.audit import bad_review_alert
from tests.support.faults import killed_under_load
from tests.support.load import simulated
from tests.support.platform import Platform, until
from tests.support.poison import POISON, publishing_as

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


HEADS = (BatchSequenced, CheckpointSigned)
"""What the archive says of its log and goes on from: it is not ready after one that it can't read."""


def subjects_of(service: str) -> list[str]:
    """One subject of each event that a service may publish."""
    patterns = {spec.pattern for spec in EVENTS if service in producers_of(spec) and spec.data not in HEADS}
    return sorted(pattern.replace("*", "all") for pattern in patterns)


async def test_poison_on_every_subject_ends_nobody_and_the_rest_goes_on(own_platform: Platform) -> None:
    before = own_platform.pids()
    for service in SERVICES:
        async with publishing_as(own_platform, service) as publish:
            for subject in subjects_of(service):
                for body in POISON.values():
                    await publish(subject, body)
    load = await killed_under_load(own_platform, [], simulated(150, days_ago=1).lines)
    assert len(load.promised) == 150

    async with cli_connection(own_platform.layout) as client:
        await settled(own_platform.layout, client)
    assert own_platform.get("scoring", "/v1/rankings", level="window", window=30)["items"]
    bad = {bad_review_alert(event_id) for event_id, grade in load.promised.items() if grade <= 2}
    assert bad
    until(lambda: bad <= set(own_platform.webhooks.inbox.ids), timeout_s=60, what="each bad review's alert")
    await asyncio.to_thread(own_platform.await_ready)
    assert own_platform.pids() == before, "somebody died of it"
