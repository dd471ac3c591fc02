"""The stream and the vault on a real broker do what every player of their ports does."""

from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client

from services.intake.adapters.jetstream_log import JetStreamFeedbackLog
from services.intake.adapters.vault import JetStreamVault
from tests.unit.intake.port_suites import PSEUDONYMS, SEALER, FeedbackLogSuite, VaultSuite

pytestmark = pytest.mark.integration


def _ignore(_size: int) -> None:
    return None


class TestJetStreamFeedbackLog(FeedbackLogSuite):
    @pytest.fixture
    async def log(self, broker: Client) -> AsyncIterator[JetStreamFeedbackLog]:
        log = JetStreamFeedbackLog(PSEUDONYMS, max_queued=100, observe=_ignore)
        await log.connect(broker)
        yield log
        await log.stop()


class TestJetStreamVault(VaultSuite):
    @pytest.fixture
    async def vault(self, broker: Client) -> AsyncIterator[JetStreamVault]:
        vault = JetStreamVault(SEALER, max_queued=100, observe=_ignore)
        await vault.connect(broker)
        yield vault
        await vault.stop()
