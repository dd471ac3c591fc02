"""Tiles are the tree: roots and proofs out of tiles are those of the plain tree."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.archive.domain import merkle
from services.archive.domain.tiles import (
    HEIGHT,
    WIDTH,
    TreeEdge,
    full_tiles,
    hash_in,
    levels_of,
    partial_width,
    piece_of,
    split,
    subtree,
)
from shared.kernel.errors import InvalidValueError
from tests.support.properties import examples

LEAVES = [sha256(number.to_bytes(4)).digest() for number in range(WIDTH * WIDTH + 3 * WIDTH + 77)]


def grown(steps: list[int]) -> tuple[TreeEdge, dict[tuple[int, int], bytes]]:
    """A tree that grew by ``steps``, and the tiles that became full."""
    edge, tiles, size = TreeEdge(), {}, 0
    for step in steps:
        for tile in edge.extend(LEAVES[size : size + step]):
            assert (tile.level, tile.index) not in tiles
            tiles[tile.level, tile.index] = tile.hashes
        size += step
    return edge, tiles


@examples(40)
@given(st.lists(st.integers(0, 700), max_size=6))
def test_however_leaves_come_root_and_tiles_are_those_of_the_plain_tree(steps: list[int]) -> None:
    edge, tiles = grown(steps)
    size = sum(steps)
    assert edge.size == size
    assert edge.root() == merkle.root(LEAVES[:size])
    assert tiles == {
        (0, index): b"".join(LEAVES[index * WIDTH : (index + 1) * WIDTH]) for index in range(size // WIDTH)
    }
    assert [len(edge.level(level)) for level in range(levels_of(size))] == [
        partial_width(size, level) for level in range(levels_of(size))
    ]


def test_a_tile_of_level_one_holds_the_roots_of_the_tiles_below() -> None:
    edge, tiles = grown([len(LEAVES)])
    assert edge.root() == merkle.root(LEAVES)
    assert full_tiles(len(LEAVES), 1) == 1
    assert split(tiles[1, 0]) == [subtree(split(tiles[0, index])) for index in range(WIDTH)]
    assert len(tiles) == WIDTH + 3 + 1


@examples(30)
@given(st.integers(1, len(LEAVES)), st.data())
def test_proofs_come_out_of_full_tiles_and_the_edge(size: int, data: st.DataObject) -> None:
    edge, tiles = grown([size])
    index = data.draw(st.integers(0, size - 1))
    older = data.draw(st.integers(0, size))

    def node(level: int, place: int) -> bytes:
        piece = piece_of((level, place))
        stored = tiles.get((piece.level, piece.index))
        tile = edge.hashes_of(piece.level, piece.index) if stored is None else stored
        assert tile is not None
        return hash_in(tile, piece)

    path = merkle.inclusion_path(index, size, node)
    assert merkle.verify_inclusion(LEAVES[index], index, size, path, edge.root())
    path = merkle.consistency_path(older, size, node)
    assert merkle.verify_consistency(older, size, merkle.root(LEAVES[:older]), edge.root(), path)


def test_a_copy_grows_by_itself() -> None:
    edge, _ = grown([300])
    other = edge.copy()
    other.extend(LEAVES[300:301])
    assert (edge.size, other.size) == (300, 301)
    assert edge.root() == merkle.root(LEAVES[:300])


@pytest.mark.parametrize("levels", [[], [[bytes(32)] * 2], [[bytes(32)]] * 2])
def test_an_edge_that_does_not_fit_its_size_is_refused(levels: list[list[bytes]]) -> None:
    with pytest.raises(InvalidValueError, match="read the tiles"):
        TreeEdge(1, levels)
    assert TreeEdge(1, [[bytes(32)]]).root() == bytes(32)
    assert HEIGHT == 8
