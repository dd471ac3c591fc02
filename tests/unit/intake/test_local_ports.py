from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.intake.adapters.sqlite_index import SqliteAcceptedIndex
from tests.unit.intake.fakes import MemoryFeedbackLog, MemoryIndex, MemoryVault
from tests.unit.intake.port_suites import PSEUDONYMS, AcceptedIndexSuite, FeedbackLogSuite, VaultSuite


class TestMemoryFeedbackLog(FeedbackLogSuite):
    @pytest.fixture
    def log(self) -> MemoryFeedbackLog:
        return MemoryFeedbackLog(PSEUDONYMS)


class TestMemoryVault(VaultSuite):
    @pytest.fixture
    def vault(self) -> MemoryVault:
        return MemoryVault()


class TestMemoryIndex(AcceptedIndexSuite):
    @pytest.fixture
    def index(self) -> MemoryIndex:
        return MemoryIndex()


class TestSqliteAcceptedIndex(AcceptedIndexSuite):
    @pytest.fixture
    async def index(self, tmp_path: Path) -> AsyncIterator[SqliteAcceptedIndex]:
        index = SqliteAcceptedIndex(tmp_path, "k1", horizon_days=400)
        await index.open("stream")
        index.mark_ready()
        yield index
        await index.close()
