"""A signed log of any size whose leaves repeat: with the tiles and the depth of a real one, and in memory."""

from collections.abc import AsyncIterator, Collection, Sequence
from hashlib import sha256
from typing import Final, cast

from services.archive.application.notary import Keys
from services.archive.application.ports import EntryLog, Row, SignedHead, TreeStore
from services.archive.application.proofs import Proofs
from services.archive.domain import merkle
from services.archive.domain.entries import Entry, Kind, Leaf, Stored
from services.archive.domain.leaves import leaf_hash
from services.archive.domain.notes import Checkpoint, SigningKey, sign
from services.archive.domain.tiles import WIDTH
from shared.messaging.streams import FEEDBACK
from shared.testing.clock import NOON

PERIOD: Final = 1 << 16
LEVELS: Final = 40
ORIGIN: Final = "pingyi.archive/360000"


class RepeatedTree:
    """The parts of `EntryLog` and `TreeStore` that proofs use; the leaf at i is that at i mod 65,536.

    Attributes:
        head: the newest checkpoint.
        rows_read: leaf hashes that were asked for so far.
        tiles_read: likewise tiles.
    """

    def __init__(self, size: int) -> None:
        """Sign a log of ``size`` entries."""
        self.key = SigningKey.generate(ORIGIN)
        self.rows_read = self.tiles_read = 0
        self._leaves = [
            Leaf(
                Kind.UNPARSEABLE, FEEDBACK, number + 1, "feedback.v1.submitted.3607.360721", None, None,
                sha256(number.to_bytes(8)).digest(),
            )
            for number in range(PERIOD)
        ]  # fmt: skip
        levels = [list(map(leaf_hash, self._leaves))]
        while len(levels[-1]) > 1:
            pairs = zip(levels[-1][::2], levels[-1][1::2], strict=True)
            levels.append([merkle.node_hash(left, right) for left, right in pairs])
        while len(levels) < LEVELS:
            levels.append([merkle.node_hash(levels[-1][0], levels[-1][0])])
        self._levels = levels
        self.head = self.sign(size)

    def sign(self, size: int) -> SignedHead:
        """Sign the log of ``size`` entries: the newest checkpoint from now on."""
        root = merkle.Frontier.at(size, self.node).root()
        note = str(sign(Checkpoint(ORIGIN, size, root), self.key, NOON))
        self.head = SignedHead(size, root, note, NOON)
        return self.head

    def proofs(self) -> Proofs:
        """Proofs out of this log."""
        return Proofs(cast("EntryLog", self), cast("TreeStore", self), Keys(ORIGIN, self.key))

    def node(self, level: int, index: int) -> bytes:
        """Hash of the subtree of 2**level leaves, the index-th of its level."""
        return self._levels[level][index % len(self._levels[level])]

    async def newest_checkpoint(self, at_most: int | None = None) -> SignedHead | None:
        del at_most
        return self.head

    async def checkpoint(self, size: int) -> SignedHead | None:
        return self.head if size == self.head.size else None

    async def rows(self, first: int, end: int) -> list[Row]:
        self.rows_read += end - first
        return [
            Row(index, FEEDBACK, index + 1, None, None, self.node(0, index)) for index in range(first, end)
        ]

    async def tiles(self, places: Collection[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        self.tiles_read += len(places)
        return {
            (level, index): b"".join(self.node(8 * level, WIDTH * index + at) for at in range(WIDTH))
            for level, index in places
        }

    async def scan(self, last: int, first: int = 0) -> AsyncIterator[Sequence[Stored]]:
        for index in range(first, last + 1):
            leaf = self._leaves[index % PERIOD]
            yield [Stored(index, Entry(index, leaf, None, self.node(0, index)))]
