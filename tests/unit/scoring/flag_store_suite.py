"""What every `FlagStore` does, the one in memory and the bucket; run by a test module for each."""

from collections.abc import Callable

import pytest

from services.scoring.application.ports import FlagStore, StoreConflictError
from services.scoring.domain.flags import Flags, Notice
from services.scoring.domain.integrity import Finding

MakeFlagStore = Callable[[], FlagStore]


def notice(serial: int, *, expected: float | None = 1.5) -> Notice:
    finding = Finding(
        f"U{serial:06d}", "burst", 1, 61.0, 36.0, expected, 3.1e-15, {"ratings": "61", "place": "赣州"}
    )
    return Notice(finding, True, 1_795_000_000_000, "2026-11-20", "sha256:ab", serial)


def flags(*serials: int, outbox: tuple[Notice, ...] = ()) -> Flags:
    standing = {each.finding.key: each for each in map(notice, serials)}
    return Flags(standing, outbox, serial=max(serials, default=0), position=7)


class FlagStoreSuite:
    """Subclasses give the fixture `make_store`: each call gives one more store on the same, new bucket."""

    async def test_an_empty_store_has_nothing(self, make_store: MakeFlagStore) -> None:
        assert await make_store().load() == Flags({})

    async def test_what_was_committed_is_loaded_again(self, make_store: MakeFlagStore) -> None:
        store = make_store()
        await store.load()
        for written in (flags(1, 2, outbox=(notice(2), notice(3, expected=None))), flags(2)):
            await store.commit(written)
            assert await make_store().load() == written

    async def test_a_second_writer_is_refused_until_it_has_read(self, make_store: MakeFlagStore) -> None:
        first, second = make_store(), make_store()
        await first.load()
        await second.load()
        await first.commit(flags(1))
        with pytest.raises(StoreConflictError):
            await second.commit(flags(2))
        assert await second.load() == flags(1)
        await second.commit(flags(3))
        with pytest.raises(StoreConflictError):
            await first.commit(flags(4))

    async def test_thousands_of_flags_fit(self, make_store: MakeFlagStore) -> None:
        store, many = make_store(), flags(*range(5000), outbox=tuple(map(notice, range(5000))))
        await store.load()
        await store.commit(many)
        assert await make_store().load() == many
