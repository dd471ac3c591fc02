"""The JetStream publisher does what the role promises."""

import pytest
from nats.aio.client import Client

from shared.messaging.publisher import JetStreamPublisher
from shared.testing.publisher_suite import EventPublisherSuite


class TestJetStreamPublisher(EventPublisherSuite):
    @pytest.fixture
    def publisher(self, client: Client) -> JetStreamPublisher:
        return JetStreamPublisher(client)
