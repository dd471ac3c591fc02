"""Answers questions about the tree: its checkpoints, its tiles, and proofs for single entries."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from services.archive.application.notary import Keys
from services.archive.application.ports import EntryLog, HeadInconsistentError, SignedHead, TreeStore
from services.archive.application.tree import edge_at, inconsistent, nodes, read_rows
from services.archive.domain.leaves import leaf_bytes
from services.archive.domain.merkle import (
    HASH_BYTES,
    Frontier,
    Place,
    consistency_path,
    consistency_places,
    edge,
    inclusion_path,
    inclusion_places,
)
from services.archive.domain.tiles import WIDTH, TreeEdge, full_tiles, partial_width
from shared.kernel.errors import InvalidValueError, NotFoundError, TransientError

KEEP_S: Final = 10.0
"""Pause between two looks for a new checkpoint: what came in between is few entries."""
NEAR: Final = 5_000
"""A tree so near to the one wanted is grown by its entries; else the edge is read out of tiles."""


@dataclass(frozen=True, slots=True)
class Inclusion:
    """A leaf, and the proof that it stands at ``index`` of the tree of ``size`` leaves with ``root``.

    Attributes:
        note: the signed checkpoint of that size; None if none was signed at it.
    """

    index: int
    leaf: str
    leaf_hash: bytes
    size: int
    root: bytes
    path: list[bytes]
    note: str | None


@dataclass(frozen=True, slots=True)
class Consistency:
    """The proof that the tree of ``second`` leaves begins with that of ``first``."""

    first: int
    first_root: bytes
    second: int
    second_root: bytes
    path: list[bytes]


class Proofs:
    """Reads what is signed; whatever is behind the last checkpoint does not exist here yet."""

    def __init__(self, entry_log: EntryLog, store: TreeStore, keys: Keys) -> None:
        """Prove with hashes of ``store``; keeps the edge of the last signed tree it was asked about."""
        self._entries = entry_log
        self._store = store
        self._keys = keys
        self._edge = TreeEdge()
        self._edge_root = self._edge.root()
        self._lock = asyncio.Lock()

    async def keep(self) -> None:
        """Have the last signed tree's edge at hand, until cancelled.

        It consists of hundreds of tiles: whoever asked first after a start, or after a long silence, would
        wait for all of them.
        """
        while True:
            # Whoever asks then is told why there is no tree.
            with suppress(NotFoundError, HeadInconsistentError, TransientError):
                await self.refresh()
            await asyncio.sleep(KEEP_S)

    async def refresh(self) -> int:
        """Bring the edge that is kept to the last checkpoint; its size.

        Raises:
            NotFoundError: nothing was signed yet.
            HeadInconsistentError: tiles and entries do not give the signed root.
            LogUnavailableError: the store does not answer.
        """
        return (await self._signed_tree(await self.newest())).size

    @property
    def keys(self) -> Sequence[str]:
        """Texts of the keys that signed or sign checkpoints, the present one first."""
        return [key.text for key in self._keys.verifiers]

    async def newest(self) -> SignedHead:
        """The last checkpoint.

        Raises:
            NotFoundError: nothing was signed yet.
        """
        head = await self._store.newest_checkpoint()
        if head is None:
            raise NotFoundError(
                "no checkpoint", "a log that was signed", "ask again some seconds after its first entry"
            )
        return head

    async def checkpoint(self, size: int | None = None) -> str:
        """The signed note of ``size`` (None: the last one), with the lines of its witnesses.

        Raises:
            NotFoundError: none was signed, or not at this size.
        """
        head = await self.newest() if size is None else await self._store.checkpoint(size)
        if head is None:
            at_most = await self._store.newest_checkpoint(at_most=size)
            near = "none before it" if at_most is None else f"{at_most.size}, the next smaller"
            raise NotFoundError(
                size, f"the size of a checkpoint ({near})", "see /v1/log/checkpoints", field="size"
            )
        lines = await self._store.cosignatures(head.size, head.size)
        return head.note + "".join(lines.get(head.size, ()))

    async def checkpoints(self, after: int, most: int) -> list[SignedHead]:
        """At most ``most`` checkpoints larger than ``after``, smallest first; notes have witnesses' lines."""
        heads = await self._store.checkpoints(after, most)
        if not heads:
            return []
        lines = await self._store.cosignatures(heads[0].size, heads[-1].size)
        return [replace(head, note=head.note + "".join(lines.get(head.size, ()))) for head in heads]

    async def tile(self, level: int, index: int, width: int = WIDTH) -> bytes:
        """The first ``width`` hashes of a tile, as far as they are under the last checkpoint.

        Raises:
            NotFoundError: there is no such tile, or it is not that wide yet; says what there is.
        """
        head = await self.newest()
        if index < full_tiles(
            head.size, level
        ):  # as it is stored: whoever asks compares it with a signed root
            tile = (await self._store.tiles([(level, index)])).get((level, index))
            if tile is None:
                raise inconsistent(f"no tile {level}/{index}", "every full tile of a signed tree")
            return tile[: width * HASH_BYTES]
        tree = await self._signed_tree(head)
        full, partial = full_tiles(tree.size, level), partial_width(tree.size, level)
        edge = tree.hashes_of(level, index)
        if edge is None or width > partial:
            there = f"tiles {level}/0 to {level}/{full - 1}" if full else f"no full tile of level {level}"
            rest = f", and {partial} hashes of tile {level}/{full}" if partial else ""
            raise NotFoundError(
                f"{width} hashes of tile {level}/{index}",
                f"{there}{rest}",
                "ask for what exists",
                field="index",
            )
        return edge[: width * HASH_BYTES]

    async def inclusion(self, index: int, size: int | None = None) -> Inclusion:
        """The proof of the entry at ``index`` in the tree of ``size`` leaves (None: the last checkpoint's).

        Raises:
            NotFoundError: the entry is under no checkpoint yet, or the tree is not signed that far.
            InvalidValueError: the entry is not within ``size``.
        """
        head = await self.newest()
        tree = await self._signed_tree(head)
        if index >= tree.size:
            raise NotFoundError(
                index,
                f"the index of an entry under the last checkpoint, which covers {tree.size}",
                "ask again in some seconds, if the entry exists",
                field="index",
            )
        size = self._known(tree, "size", tree.size if size is None else size)
        pieces = inclusion_places(index, size)
        found = await self._nodes(tree, [*pieces, edge(size), [(0, index)]])
        path = inclusion_path(index, size, lambda level, place: found[level, place])
        note = head.note if size == head.size else None
        if note is None:
            signed = await self._store.checkpoint(size)
            note = None if signed is None else signed.note
        leaf = await self._leaf(index)
        return Inclusion(index, leaf, found[0, index], size, _root(size, found), path, note)

    async def _leaf(self, index: int) -> str:
        async for part in self._entries.scan(index, index):
            for stored in part:
                if stored.entry is not None:
                    return leaf_bytes(stored.entry.leaf).decode()
        raise inconsistent(f"no readable entry at index {index}", "an entry for every leaf of a signed tree")

    async def index_of(self, event_id: str) -> int:
        """Index of the entry of an event.

        Raises:
            NotFoundError: no such event is archived.
        """
        found = await self._entries.indexes_of([event_id])
        if event_id not in found:
            raise NotFoundError(
                event_id,
                "the id of an archived event",
                "check the id; an event is archived within seconds of being published",
                field="event_id",
            )
        return found[event_id]

    async def consistency(self, first: int, second: int | None = None) -> Consistency:
        """The proof that the tree of ``second`` leaves (None: the last checkpoint's) begins with ``first``.

        Raises:
            NotFoundError: the tree is not signed that far.
            InvalidValueError: the first is larger than the second.
        """
        tree = await self._signed_tree(await self.newest())
        second = self._known(tree, "second", tree.size if second is None else second)
        if first > second:
            raise InvalidValueError(
                first, f"a size not above the second, {second}", "give the older size first", field="first"
            )
        pieces = consistency_places(first, second)
        found = await self._nodes(tree, [*pieces, edge(first), edge(second)])
        path = consistency_path(first, second, lambda level, place: found[level, place])
        return Consistency(first, _root(first, found), second, _root(second, found), path)

    def _known(self, tree: TreeEdge, field: str, size: int) -> int:
        if size > tree.size:
            raise NotFoundError(
                size,
                f"at most {tree.size}, the size of the last checkpoint",
                "ask for a signed size",
                field=field,
            )
        return size

    async def _nodes(self, tree: TreeEdge, pieces: Sequence[Sequence[Place]]) -> dict[Place, bytes]:
        return await nodes(self._store, tree, {place for piece in pieces for place in piece})

    async def _signed_tree(self, head: SignedHead) -> TreeEdge:
        """The edge of the tree of ``head``; kept, and grown, as long as the store goes on from it.

        Raises:
            HeadInconsistentError: tiles and entries do not give the signed root.
        """
        async with self._lock:
            if (self._edge.size, self._edge_root) != (head.size, head.root):
                self._edge, self._edge_root = await self._tree_of(head), head.root
            return self._edge

    async def _tree_of(self, head: SignedHead) -> TreeEdge:
        if 0 <= head.size - self._edge.size <= NEAR:
            tree = self._edge.copy()
            rows = await read_rows(self._store, tree.size, head.size)
            tree.extend([row.leaf_hash for row in rows])
            if tree.root() == head.root:
                return tree
        # Far from it, or the store is another one than it was: set back, or forked.
        tree = await edge_at(self._store, head.size)
        if tree.root() != head.root:
            raise inconsistent(
                f"{head.size} entries that give root {tree.root().hex()}", f"{head.root.hex()}, as signed"
            )
        return tree


def _root(size: int, found: dict[Place, bytes]) -> bytes:
    return Frontier.at(size, lambda level, index: found[level, index]).root()
