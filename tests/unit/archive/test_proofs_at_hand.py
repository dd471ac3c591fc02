"""Proofs out of a large log: its tree is at hand before anybody asks."""

import asyncio

import pytest

from services.archive.application import proofs as module
from services.archive.domain.merkle import leaf_hash, verify_inclusion
from tests.support.repeated_tree import RepeatedTree

LEAVES = 10_000_000
SPARSE = 30
"""Tiles that one proof takes: two hashes a bit of the size at most, and most of them share tiles."""


@pytest.fixture(scope="module")
def tree() -> RepeatedTree:
    return RepeatedTree(LEAVES)


async def test_the_first_proof_reads_no_more_than_any_other(tree: RepeatedTree) -> None:
    tree.sign(LEAVES)
    proofs = tree.proofs()
    assert await proofs.refresh() == LEAVES
    rows, tiles = tree.rows_read, tree.tiles_read
    for index in (0, 65_535, 7_654_321, LEAVES - 1):
        found = await proofs.inclusion(index)
        hashed = leaf_hash(found.leaf.encode())
        assert verify_inclusion(hashed, index, LEAVES, found.path, tree.head.root)
    assert tree.rows_read == rows
    assert tree.tiles_read - tiles < 4 * SPARSE


async def test_the_tree_follows_the_checkpoints_before_anybody_asks(
    tree: RepeatedTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEEP_S", 0.01)
    tree.sign(LEAVES)
    proofs = tree.proofs()
    keeping = asyncio.create_task(proofs.keep())
    try:
        before = tree.rows_read
        async with asyncio.timeout(10):
            while tree.rows_read == before:  # noqa: ASYNC110 - a number has no event
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        settled = tree.rows_read
        tree.sign(LEAVES + 1_000)
        async with asyncio.timeout(10):
            while tree.rows_read == settled:  # noqa: ASYNC110 - likewise
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert tree.rows_read == settled + 1_000
        await proofs.inclusion(LEAVES + 999)
        assert tree.rows_read == settled + 1_000
    finally:
        keeping.cancel()
