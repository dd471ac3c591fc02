import pytest

from services.scoring.application.ports import RankingStore
from tests.unit.scoring.fakes import MemoryBucket, MemoryRankingStore
from tests.unit.scoring.store_suite import MakeStore, RankingStoreSuite


class TestMemoryRankingStore(RankingStoreSuite):
    @pytest.fixture
    def make_store(self) -> MakeStore:
        bucket = MemoryBucket()

        def make() -> RankingStore:
            return MemoryRankingStore(bucket)

        return make
