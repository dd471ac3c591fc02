"""Compares the entries with the tree that was stored and signed over them; memory stays constant."""

from collections.abc import Awaitable, Callable, Sequence

from services.archive.application.notary import Keys
from services.archive.application.ports import SignedHead, TreeStore
from services.archive.domain.entries import Stored
from services.archive.domain.merkle import HASH_BYTES
from services.archive.domain.notes import NoteError, open_note
from services.archive.domain.tiles import WIDTH, Tile, TreeEdge, split

PAGE = 500
MOST_MISSING = 1_000_000

Report = Callable[[str, str, str], None]


class TreeCheck:
    """Feed it every entry in the order of the index, then :meth:`finish`.

    Entries that differ from the tile over them are named one by one. Roots that differ are said once, with
    the first checkpoint that shows it: the later ones contain the same entries.
    """

    def __init__(self, store: TreeStore, keys: Keys, report: Report) -> None:
        """Tell ``report`` of every finding: where, what, what was expected."""
        self._store = store
        self._keys = keys
        self._report = report
        self._edge = TreeEdge()
        self._heads: list[SignedHead] = []
        self._next_page = 0
        self._sound = 0
        self._astray = False
        self._tile: tuple[tuple[int, int], bytes] = (0, -1), b""
        self.checkpoints = 0
        """Checkpoints whose root and signature were compared."""

    async def feed(self, part: Sequence[Stored]) -> None:
        """Compare some more entries."""
        hashes: list[bytes] = []
        for stored in part:
            end = self._edge.size + len(hashes)
            if stored.index < end:
                continue
            if stored.index > end or stored.entry is None:
                # Whoever reads the entries reports the hole; the tree goes on with what its tiles say.
                hashes += await self._stated(end, stored.index + (stored.entry is None))
            if stored.entry is not None:
                hashes.append(stored.entry.leaf_hash)
        while hashes:
            head = await self._next_head()
            count = len(hashes) if head is None else min(len(hashes), head.size - self._edge.size)
            await self._compare(self._edge.extend(hashes[:count]))
            del hashes[:count]
            if head is not None and head.size == self._edge.size:
                self._check_head(head)
                self._heads.pop(0)

    async def _stated(self, first: int, end: int) -> list[bytes]:
        """The leaf hashes from ``first`` up to ``end`` as tiles have them; zeros where there is none."""
        stated: list[bytes] = []
        for index in range(first, min(end, first + MOST_MISSING)):
            place = (0, index // WIDTH)
            if place != self._tile[0]:
                self._tile = place, (await self._store.tiles([place])).get(place, b"")
            start = index % WIDTH * HASH_BYTES
            stated.append(self._tile[1][start : start + HASH_BYTES] or bytes(HASH_BYTES))
        return stated

    async def finish(self, size_now: Callable[[], Awaitable[int]]) -> None:
        """Look at what is signed behind the log's end, which may have moved on meanwhile, but not back."""
        last = await self._store.newest_checkpoint()
        size = await size_now()  # asked for afterwards: what is signed has been stored before
        if last is not None and last.size > size:
            self._report(
                f"checkpoint {last.size}",
                f"{size} entries in the log",
                f"at least {last.size}, which are signed",
            )

    async def _next_head(self) -> SignedHead | None:
        if not self._heads:
            self._heads = await self._store.checkpoints(self._next_page, PAGE)
            if self._heads:
                self._next_page = self._heads[-1].size
        return self._heads[0] if self._heads else None

    def _check_head(self, head: SignedHead) -> None:
        self.checkpoints += 1
        where = f"checkpoint {head.size}"
        try:
            said = open_note(head.note, self._keys.verifiers, self._keys.origin).checkpoint
        except NoteError as error:
            self._report(where, str(error), "a note signed by the log's key")
            return
        if (said.size, said.root) != (head.size, head.root):
            self._report(
                where, f"root {head.root.hex()}", f"size {said.size}, {said.root.hex()} as in its note"
            )
        root = self._edge.root()
        if root == said.root:
            self._sound, self._astray = head.size, False
        elif not self._astray:
            self._astray = True
            self._report(
                where,
                f"root {root.hex()}, so an entry from index {self._sound} to {head.size - 1} was changed",
                f"{said.root.hex()}, as signed",
            )

    async def _compare(self, tiles: Sequence[Tile]) -> None:
        """Compare the tiles that the entries give with those that are stored under a checkpoint."""
        last = await self._store.newest_checkpoint() if tiles else None
        signed = 0 if last is None else last.size
        due = {
            (tile.level, tile.index): tile.hashes
            for tile in tiles
            if (tile.index + 1) * WIDTH ** (tile.level + 1) <= signed
        }
        stored = await self._store.tiles(list(due)) if due else {}
        for (level, index), hashes in due.items():
            found = stored.get((level, index))
            if found is None or len(found) != len(hashes):
                what = "missing" if found is None else f"{len(found)} bytes"
                self._report(f"tile {level}/{index}", what, f"{len(hashes)} bytes under a signed checkpoint")
            elif found != hashes:
                self._name(level, index, split(hashes), split(found))

    def _name(self, level: int, index: int, ours: list[bytes], stored: list[bytes]) -> None:
        for offset, (hashed, found) in enumerate(zip(ours, stored, strict=True)):
            if hashed != found:
                place = index * WIDTH + offset
                where = f"index {place}" if level == 0 else f"tile {level - 1}/{place}"
                self._report(
                    f"tile {level}/{index}",
                    f"hash {found.hex()} for {where}",
                    f"{hashed.hex()}, as in the log",
                )
