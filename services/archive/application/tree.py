"""Reads the Merkle tree out of the store: its right edge, and the subtrees that proofs consist of."""

from collections.abc import Iterable, Sequence
from typing import Final

from services.archive.application.ports import HeadInconsistentError, Row, TreeStore
from services.archive.domain.merkle import HASH_BYTES, Place
from services.archive.domain.tiles import (
    TILE_BYTES,
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
from shared.kernel.errors import describe

TILES_AT_ONCE: Final = 64
ROWS_AT_ONCE: Final = 5_000

_REMEDY: Final = "see docs/operations.md, 'A head is refused'"


def inconsistent(found: str, expected: str) -> HeadInconsistentError:
    """The error for a head that must not be signed."""
    return HeadInconsistentError(describe(found, expected, _REMEDY))


async def read_rows(store: TreeStore, first: int, end: int) -> list[Row]:
    """All entries from ``first`` up to, not with, ``end``.

    Raises:
        HeadInconsistentError: one is missing.
        LogUnavailableError: the store does not answer.
    """
    rows: list[Row] = []
    while first < end:
        part = await store.rows(first, min(end, first + ROWS_AT_ONCE))
        for row in part:
            if row.index != first or len(row.leaf_hash) != HASH_BYTES:
                break
            first += 1
        if not part or part[-1].index != first - 1:
            raise inconsistent(f"no entry with a hash at index {first}", f"one for every index below {end}")
        rows += part
    return rows


async def edge_at(store: TreeStore, size: int, grown_to: int | None = None) -> TreeEdge:
    """The right edge of the tree of ``size`` leaves, out of full tiles and the entries behind them.

    Args:
        store: where tiles and entries are.
        size: the tree's number of leaves.
        grown_to: go on, by entries alone, to this size: tiles exist up to the last checkpoint only.

    Raises:
        HeadInconsistentError: a tile or an entry is missing or has another length than it must have.
        LogUnavailableError: the store does not answer.
    """
    rows = await read_rows(store, full_tiles(size, 0) * WIDTH, size)
    levels = [[row.leaf_hash for row in rows]]
    for level in range(1, levels_of(size)):
        first = full_tiles(size, level) * WIDTH
        below = [(level - 1, first + offset) for offset in range(partial_width(size, level))]
        tiles = await _read_tiles(store, below)
        levels.append([subtree(split(tiles[place])) for place in below])
    edge = TreeEdge(size, levels if size else [])
    while grown_to is not None and edge.size < grown_to:
        end = min(grown_to, edge.size + ROWS_AT_ONCE)
        edge.extend([row.leaf_hash for row in await read_rows(store, edge.size, end)])
    return edge


async def nodes(store: TreeStore, edge: TreeEdge, places: Iterable[Place]) -> dict[Place, bytes]:
    """Hashes of complete subtrees of the tree of ``edge``: out of stored full tiles, else out of the edge.

    Raises:
        HeadInconsistentError: a tile is missing or has another length than it must have.
        LogUnavailableError: the store does not answer.
    """
    pieces = {place: piece_of(place) for place in places}
    full = {
        (piece.level, piece.index)
        for piece in pieces.values()
        if piece.index < full_tiles(edge.size, piece.level)
    }
    tiles = await _read_tiles(store, sorted(full))
    found: dict[Place, bytes] = {}
    for place, piece in pieces.items():
        tile = tiles.get((piece.level, piece.index)) or edge.hashes_of(piece.level, piece.index)
        if tile is None:
            raise inconsistent(f"no subtree at {place}", f"one within {edge.size} leaves")
        found[place] = hash_in(tile, piece)
    return found


async def _read_tiles(store: TreeStore, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
    found: dict[tuple[int, int], bytes] = {}
    for start in range(0, len(places), TILES_AT_ONCE):
        found |= await store.tiles(places[start : start + TILES_AT_ONCE])
    for level, index in places:
        tile = found.get((level, index))
        if tile is None or len(tile) != TILE_BYTES:
            size = "no" if tile is None else f"{len(tile)} bytes of"
            raise inconsistent(f"{size} tile {level}/{index}", f"{TILE_BYTES} bytes of it")
    return found
