"""The Merkle tree in tiles of 256 hashes, as C2SP tlog-tiles has them. Pure; no storage.

Tile ``i`` of level 0 holds the leaf hashes from ``256 i`` on; tile ``i`` of level ``L`` the roots of the full
tiles ``256 i …`` of level ``L - 1``. A full tile never changes, so whoever appends has to keep the right edge
of the tree only: the hashes that fill no tile yet.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from services.archive.domain.merkle import HASH_BYTES, NODE_PREFIX, Frontier, Place
from shared.kernel.errors import InvalidValueError

HEIGHT: Final = 8
"""Levels of the tree that one level of tiles spans."""
WIDTH: Final = 1 << HEIGHT
"""Hashes of a full tile."""
TILE_BYTES: Final = WIDTH * HASH_BYTES


@dataclass(frozen=True, slots=True)
class Tile:
    """One full tile: its place in C2SP's numbering and its hashes, one behind the other."""

    level: int
    index: int
    hashes: bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """Where the hash of a complete subtree comes from: ``count`` hashes of a tile from ``first`` on."""

    level: int
    index: int
    first: int
    count: int


def piece_of(place: Place) -> Piece:
    """The hashes, of the lowest level of tiles that serves, whose subtree is the one at ``place``."""
    height, index = place
    level, above = divmod(height, HEIGHT)
    first = index << above
    return Piece(level, first // WIDTH, first % WIDTH, 1 << above)


def hash_in(tile: bytes, piece: Piece) -> bytes:
    """Root of the subtree over ``piece`` of the tile's bytes."""
    start = piece.first * HASH_BYTES
    return subtree(split(tile[start : start + piece.count * HASH_BYTES]))


def full_tiles(size: int, level: int) -> int:
    """Number of full tiles at ``level`` of a tree of ``size`` leaves."""
    return size >> HEIGHT * (level + 1)


def partial_width(size: int, level: int) -> int:
    """Number of hashes in the partial tile at ``level`` of a tree of ``size`` leaves; 0: there is none."""
    return (size >> HEIGHT * level) % WIDTH


def levels_of(size: int) -> int:
    """Number of levels of tiles, partial ones included, that a tree of ``size`` leaves has."""
    levels = 0
    while size >> HEIGHT * levels:
        levels += 1
    return levels


def split(raw: bytes) -> list[bytes]:
    """The hashes in a tile's bytes."""
    return [raw[at : at + HASH_BYTES] for at in range(0, len(raw), HASH_BYTES)]


def subtree(hashes: Sequence[bytes]) -> bytes:
    """Root of the complete subtree over ``hashes``; their number must be a power of two."""
    while len(hashes) > 1:
        hashes = [
            sha256(NODE_PREFIX + left + right).digest()
            for left, right in zip(hashes[::2], hashes[1::2], strict=True)
        ]
    return hashes[0]


class TreeEdge:
    """The right edge of a growing tree in tiles: appends leaves, gives full tiles and the root.

    At most 255 hashes for each level of tiles, so some tens of kilobytes however large the tree.
    """

    def __init__(self, size: int = 0, levels: Iterable[Iterable[bytes]] = ()) -> None:
        """Take up a tree of ``size`` leaves.

        Args:
            size: its number of leaves.
            levels: for each level of tiles from 0 on, the hashes that fill no tile.

        Raises:
            InvalidValueError: ``levels`` are not as many hashes as ``size`` leaves over.
        """
        self._levels = [list(level) for level in levels]
        widths = [partial_width(size, level) for level in range(levels_of(size))]
        if [len(level) for level in self._levels] != widths:
            raise InvalidValueError(
                [len(level) for level in self._levels],
                f"{widths} hashes, from level 0 on, at the edge of {size} leaves",
                "read the tiles and the entries behind them again",
            )
        self._size = size

    @property
    def size(self) -> int:
        """How many leaves were appended."""
        return self._size

    def level(self, level: int) -> list[bytes]:
        """The hashes at ``level`` that fill no tile."""
        return list(self._levels[level]) if level < len(self._levels) else []

    def hashes_of(self, level: int, index: int) -> bytes | None:
        """Bytes of the partial tile ``index`` at ``level``; None if it is none that stands at the edge."""
        if level >= len(self._levels) or index != full_tiles(self._size, level):
            return None
        return b"".join(self._levels[level])

    def extend(self, leaf_hashes: Sequence[bytes]) -> list[Tile]:
        """Add leaves at the end, in order.

        Returns:
            The tiles that became full, each behind those that it is made of.
        """
        before, self._size = self._size, self._size + len(leaf_hashes)
        tiles: list[Tile] = []
        added, level = leaf_hashes, 0
        while added:
            if level == len(self._levels):
                self._levels.append([])
            hashes = self._levels[level]
            hashes += added
            added = []
            index = full_tiles(before, level)
            for start in range(0, len(hashes) - WIDTH + 1, WIDTH):
                tile = hashes[start : start + WIDTH]
                tiles.append(Tile(level, index, b"".join(tile)))
                added.append(subtree(tile))
                index += 1
            del hashes[: len(added) * WIDTH]
            level += 1
        return tiles

    def root(self) -> bytes:
        """Root of the tree so far."""
        peaks: list[bytes] = []
        for hashes in reversed(self._levels):
            start = 0
            for height in reversed(range(HEIGHT)):
                if len(hashes) >> height & 1:
                    peaks.append(subtree(hashes[start : start + (1 << height)]))
                    start += 1 << height
        return Frontier(self._size, peaks).root()

    def copy(self) -> "TreeEdge":
        """An edge of its own with the same leaves."""
        return TreeEdge(self._size, self._levels)
