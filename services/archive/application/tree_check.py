"""Compares the entries with the tree that was stored and signed over them; memory stays constant."""

from collections.abc import Callable, Sequence

from services.archive.application.notary import Keys
from services.archive.application.ports import SignedHead, TreeStore
from services.archive.domain.entries import Stored
from services.archive.domain.notes import NoteError, open_note
from services.archive.domain.tiles import WIDTH, Tile, TreeEdge, split

PAGE = 500

Report = Callable[[str, str, str], None]


class TreeCheck:
    """Feed it every entry in the order of the index, then :meth:`finish`.

    Entries that differ from the tile over them are named one by one. A root that differs is said once, with
    the first checkpoint that shows it: all later ones contain it.
    """

    def __init__(self, store: TreeStore, keys: Keys, report: Report) -> None:
        """Tell ``report`` of every finding: where, what, what was expected."""
        self._store = store
        self._keys = keys
        self._report = report
        self._edge = TreeEdge()
        self._heads: list[SignedHead] = []
        self._next_page = 0
        self._broken = False
        self.checkpoints = 0
        """Checkpoints whose root and signature were compared."""

    async def feed(self, part: Sequence[Stored]) -> None:
        """Compare some more entries."""
        hashes: list[bytes] = []
        for stored in part:
            if stored.entry is None or stored.index != self._edge.size + len(hashes):
                # Nothing can be hashed over a hole. Whoever reads the entries reports it.
                self._broken = True
                return
            hashes.append(stored.entry.leaf_hash)
        while hashes:
            head = await self._next_head()
            count = len(hashes) if head is None else min(len(hashes), head.size - self._edge.size)
            await self._compare(self._edge.extend(hashes[:count]))
            del hashes[:count]
            if head is not None and head.size == self._edge.size:
                self._check_head(head)
                self._heads.pop(0)

    async def finish(self, size: int) -> None:
        """Look at what lies behind the ``size`` entries of the log."""
        if self._broken:
            return
        head = await self._next_head()
        if head is not None and (last := await self._store.newest_checkpoint()) is not None:
            self._report(
                f"checkpoint {last.size}",
                f"{size} entries in the log",
                f"at least {last.size}, which are signed",
            )

    async def _next_head(self) -> SignedHead | None:
        if self._broken:
            return None
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
        if root != said.root:
            self._report(where, f"entries with root {root.hex()}", f"{said.root.hex()}, as signed")
            self._broken = True

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
