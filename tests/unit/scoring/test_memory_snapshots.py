"""The store of snapshots in memory does what every one does."""

import pytest

from services.scoring.application.ports import SnapshotStore
from tests.unit.scoring.snapshot_fakes import MemorySnapshots, MemorySnapshotStore
from tests.unit.scoring.snapshot_suite import MakeStore, SnapshotStoreSuite


class TestMemorySnapshotStore(SnapshotStoreSuite):
    @pytest.fixture
    def make_snapshots(self) -> MakeStore:
        kept = MemorySnapshots()

        def make() -> SnapshotStore:
            return MemorySnapshotStore(kept)

        return make
