"""What every `SnapshotStore` does, the one in memory and the object store; run by a test module for each."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from services.scoring.application.ports import SnapshotDamagedError, SnapshotStore, StoreConflictError
from tests.unit.scoring.snapshot_fakes import snapshot_of

MakeStore = Callable[[], SnapshotStore]


class SnapshotStoreSuite:
    """Subclasses give the fixture `make_snapshots`: each call gives one more store on the same, new place."""

    async def test_nothing_counts_at_first(self, make_snapshots: MakeStore) -> None:
        assert list(await make_snapshots().catalogue()) == []

    @pytest.mark.parametrize("size", [0, 1, 512 * 1024, 512 * 1024 + 1, 9 * 1024 * 1024 + 7])
    async def test_what_was_saved_is_read_again(self, make_snapshots: MakeStore, size: int) -> None:
        store, blob = make_snapshots(), bytes(range(251)) * (size // 251) + b"x" * (size % 251)
        await store.catalogue()
        saved = await store.save(snapshot_of(blob), blob)
        assert replace(saved, blob="") == snapshot_of(blob)
        other = make_snapshots()
        assert list(await other.catalogue()) == [saved]
        assert await other.read(saved) == blob

    async def test_the_newest_comes_first_and_the_last_three_are_kept(
        self, make_snapshots: MakeStore
    ) -> None:
        store = make_snapshots()
        await store.catalogue()
        saved = []
        for position in range(1, 6):
            blob = b"%d" % position * 1000
            saved.append(await store.save(snapshot_of(blob, position), blob))
        found = await make_snapshots().catalogue()
        assert [each.position for each in found] == [5, 4, 3]
        assert await store.read(found[2]) == b"3" * 1000
        with pytest.raises(SnapshotDamagedError):
            await store.read(saved[0])

    async def test_a_second_writer_is_refused_until_it_has_read_and_leaves_nothing(
        self, make_snapshots: MakeStore
    ) -> None:
        first, second = make_snapshots(), make_snapshots()
        await first.catalogue()
        await second.catalogue()
        kept = await first.save(snapshot_of(b"first", 5), b"first")
        with pytest.raises(StoreConflictError):
            await second.save(snapshot_of(b"second", 6), b"second")
        assert list(await second.catalogue()) == [kept]
        assert await second.read(kept) == b"first"
        newest = await second.save(snapshot_of(b"second", 6), b"second")
        assert list(await first.catalogue()) == [newest, kept]

    async def test_snapshots_of_a_past_that_was_given_up_no_longer_count(
        self, make_snapshots: MakeStore
    ) -> None:
        store = make_snapshots()
        await store.catalogue()
        for position in (5, 9):
            await store.save(snapshot_of(b"%d" % position, position), b"%d" % position)
        back = await store.save(snapshot_of(b"7", 7), b"7")
        assert [each.position for each in await store.catalogue()] == [7, 5]
        anew = await store.save(snapshot_of(b"8", 8, created="tuesday"), b"8")
        assert list(await store.catalogue()) == [anew]
        with pytest.raises(SnapshotDamagedError):
            await store.read(back)

    async def test_bytes_that_are_missing_or_others_are_never_handed_out(
        self, make_snapshots: MakeStore
    ) -> None:
        store = make_snapshots()
        await store.catalogue()
        saved = await store.save(snapshot_of(b"whole"), b"whole")
        for wrong in (
            replace(saved, size=4),
            replace(saved, size=6),
            replace(saved, sha256="0" * 64),
            replace(saved, blob="nothing-0-there"),
        ):
            with pytest.raises(SnapshotDamagedError, match=wrong.blob):
                await store.read(wrong)
        assert await store.read(saved) == b"whole"
