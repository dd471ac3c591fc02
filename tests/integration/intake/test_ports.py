"""The stream and the vault on a real broker do what every player of their ports does."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client

from services.intake.adapters.jetstream_log import JetStreamFeedbackLog
from services.intake.adapters.vault import JetStreamVault
from shared.messaging.publisher import BrokerUnavailableError
from tests.unit.intake.port_suites import (
    PSEUDONYMS,
    SEALER,
    FeedbackLogSuite,
    VaultSuite,
    prepared,
    sealed,
)

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

    async def test_an_erasure_ends_although_the_broker_contradicts_itself(
        self, vault: JetStreamVault, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def deleted(*_: object) -> bool:
            return True

        record = sealed(prepared("a"), "好", None)[1]
        await vault.store([record])
        monkeypatch.setattr(vault, "_delete", deleted)
        async with asyncio.timeout(20):
            with pytest.raises(BrokerUnavailableError, match="no clear answer"):
                await vault.erase(record.record_id)
