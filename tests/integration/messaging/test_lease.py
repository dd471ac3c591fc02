"""Leases on a real nats-server."""

import asyncio

import pytest
from nats.aio.client import Client

from shared.messaging.lease import NatsLeaseStore
from shared.testing.leases import LeaseStoreSuite

pytestmark = pytest.mark.integration


class TestNatsLeaseStore(LeaseStoreSuite):
    @pytest.fixture
    def store(self, client: Client) -> NatsLeaseStore:
        return NatsLeaseStore(client)

    async def pass_time(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
