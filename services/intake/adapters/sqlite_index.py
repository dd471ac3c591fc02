"""The index of ratings and revisions: a fold of FEEDBACK, memory in front and one SQLite file behind."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from services.intake.adapters.index_file import IndexFile, Origin
from services.intake.adapters.receipt_filter import ReceiptFilter
from services.intake.application.errors import IndexNotReadyError
from services.intake.domain.accepted import Accepted
from services.intake.domain.revisions import Revision
from shared.observability.logging import get_logger

_log = get_logger(component="index")
A = TypeVarTuple("A")
T = TypeVar("T")


class SqliteAcceptedIndex:
    """Plays `ports.AcceptedIndex`, and is what the fold in `entrypoints.events` writes to.

    Reads happen on the event loop (a lookup by key takes microseconds), writes in one thread of its own; what
    isn't written yet is found in memory. `position` moves over sequences that are known without a gap: our
    own acknowledgements move it, so a single replica never reads back what it wrote itself.
    """

    def __init__(self, directory: Path, key_id: str, *, horizon_days: int) -> None:
        """Keep ``index.sqlite`` in `directory`; forget ratings received more than `horizon_days` ago.

        `key_id` names the key of the receipts: under another key every receipt is another.
        """
        self._path = directory / "index.sqlite"
        self._key_id = key_id
        self._horizon = timedelta(days=horizon_days)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="index")
        self._writing = asyncio.Lock()
        self._file: IndexFile | None = None
        self._filter = ReceiptFilter()
        self._fresh: dict[bytes, Accepted] = {}
        self._flushing: dict[bytes, Accepted] = {}
        self._fresh_revisions: dict[tuple[bytes, int], Revision] = {}
        self._flushing_revisions: dict[tuple[bytes, int], Revision] = {}
        self._ahead: set[int] = set()
        self._position = self._written = 0
        self._ready = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether it has caught up with the stream, and is sound."""
        return self._ready.is_set()

    async def wait_ready(self) -> None:
        """Wait until it is `ready`."""
        await self._ready.wait()

    @property
    def position(self) -> int:
        """Every rating and revision of the stream up to this sequence is remembered."""
        return self._position

    @property
    def broken(self) -> bool:
        """Whether the file had to be given up; `open` makes it anew."""
        return self._file is None

    @property
    def unwritten(self) -> int:
        """Ratings and revisions that only memory holds."""
        ratings = len(self._fresh) + len(self._flushing)
        return ratings + len(self._fresh_revisions) + len(self._flushing_revisions)

    def mark_ready(self) -> None:
        """Say that the stream has been read to its end."""
        if self._file is not None:
            self._ready.set()

    def mark_behind(self) -> None:
        """Say that the stream may hold more than is remembered."""
        self._ready.clear()

    async def open_as_it_is(self) -> None:
        """Take up the file as it was left, to recognise what it knows while the broker can't be asked.

        `open` follows once it can, and tells whether the file belongs to the stream.
        """
        if self._path.exists():
            try:
                await self.open(None)
            except sqlite3.Error as error:
                _log.warning("index_not_taken_up", reason=repr(error))

    async def open(self, stream: str | None, *, afresh: bool = False) -> None:
        """Take up the file where it belongs to `stream` (the time of its creation), else start from nothing.

        Args:
            stream: identity of FEEDBACK; None while nobody knows it.
            afresh: start from nothing in any case.

        Raises:
            sqlite3.Error: no file can be made there.
        """
        async with self._writing:
            self._drop_file()
            self._fresh, self._flushing, self._ahead = {}, {}, set()
            self._fresh_revisions, self._flushing_revisions = {}, {}
            origin = Origin(stream, self._key_id)
            file, self._filter = await self._in_thread(self._open_file, origin, afresh)
            for receipt in self._fresh:  # acknowledged while the file was being read
                self._filter.add(receipt)
            self._position = self._written = file.position
            self._file = file

    def _open_file(
        self,
        origin: Origin,
        afresh: bool,  # noqa: FBT001 - called by position only
    ) -> tuple[IndexFile, ReceiptFilter]:
        if afresh:
            IndexFile.delete(self._path)
        file = IndexFile(self._path, origin)
        try:
            return file, ReceiptFilter(file.receipts())
        except sqlite3.Error as error:
            _log.warning("index_discarded", reason=repr(error))
            file.close()
            IndexFile.delete(self._path)
            return IndexFile(self._path, origin), ReceiptFilter()

    async def _in_thread(self, work: Callable[[*A], T], *arguments: *A) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def find(self, receipts: Iterable[bytes]) -> Mapping[bytes, Accepted]:
        """See `ports.AcceptedIndex.find`."""
        if self._file is None:
            raise IndexNotReadyError
        found: dict[bytes, Accepted] = {}
        stored: list[bytes] = []
        for receipt in receipts:
            recent = self._fresh.get(receipt) or self._flushing.get(receipt)
            if recent is not None:
                found[receipt] = recent
            elif receipt in self._filter:
                stored.append(receipt)
        if not stored:  # as nearly always: most ratings are new, or have just come
            return found
        try:
            found.update((rating.receipt, rating) for rating in self._file.find(stored))
        except sqlite3.Error as error:
            self._give_up(error)
            raise IndexNotReadyError from error
        return found

    def add(self, accepted: Iterable[Accepted]) -> None:
        """See `ports.AcceptedIndex.add`."""
        for rating in accepted:
            if rating.sequence < 0:
                continue
            for receipt in (rating.receipt, *rating.others) if rating.others else (rating.receipt,):
                earlier = self._fresh.get(receipt)
                if earlier is None or rating.sequence < earlier.sequence:
                    self._fresh[receipt] = rating
                    self._filter.add(receipt)
            self._note(rating.sequence)
        self._move_up()

    def revisions(self, receipt: bytes) -> tuple[Revision, ...]:
        """See `ports.AcceptedIndex.revisions`."""
        if self._file is None:
            raise IndexNotReadyError
        try:
            first = {revision.number: revision for revision in self._file.revisions(receipt)}
        except sqlite3.Error as error:
            self._give_up(error)
            raise IndexNotReadyError from error
        for held in (self._flushing_revisions, self._fresh_revisions):
            for revision in held.values():
                earlier = first.get(revision.number)
                if revision.receipt == receipt and (earlier is None or revision.sequence < earlier.sequence):
                    first[revision.number] = revision
        return tuple(first[number] for number in sorted(first))

    def revised(self, receipts: Sequence[bytes]) -> set[bytes]:
        """Which of `receipts` have a revision.

        Raises:
            TransientError: the index is being made anew.
        """
        if self._file is None:
            raise IndexNotReadyError
        held = {receipt for receipt, _ in (*self._flushing_revisions, *self._fresh_revisions)}
        try:
            return {*held.intersection(receipts), *self._file.revised(receipts)}
        except sqlite3.Error as error:
            self._give_up(error)
            raise IndexNotReadyError from error

    def add_revisions(self, revisions: Iterable[Revision]) -> None:
        """See `ports.AcceptedIndex.add_revisions`."""
        for revision in revisions:
            if revision.sequence < 0:
                continue
            place = (revision.receipt, revision.number)
            earlier = self._fresh_revisions.get(place)
            if earlier is None or revision.sequence < earlier.sequence:
                self._fresh_revisions[place] = revision
            self._note(revision.sequence)
        self._move_up()

    def skip(self, sequences: Iterable[int]) -> None:
        """See `ports.AcceptedIndex.skip`."""
        for sequence in sequences:
            self._note(sequence)
        self._move_up()

    def fold(self, accepted: Iterable[Accepted], through: int, revisions: Iterable[Revision] = ()) -> None:
        """Remember what the stream holds, which was read without a gap from `position` up to `through`."""
        self.add(accepted)
        self.add_revisions(revisions)
        self._position = max(self._position, through)
        self._ahead = {sequence for sequence in self._ahead if sequence > self._position}
        self._move_up()

    def _note(self, sequence: int) -> None:
        if sequence > self._position:  # repeats name a place that was passed long ago
            self._ahead.add(sequence)

    def _move_up(self) -> None:
        while self._position + 1 in self._ahead:
            self._position += 1
            self._ahead.remove(self._position)

    async def flush(self) -> None:
        """Write what is in memory, with the position, in one transaction."""
        async with self._writing:
            fresh = self._fresh or self._fresh_revisions
            if self._file is None or (not fresh and self._position == self._written):
                return
            self._flushing, self._fresh = self._fresh, {}
            self._flushing_revisions, self._fresh_revisions = self._fresh_revisions, {}
            ratings, revisions = list(self._flushing.items()), list(self._flushing_revisions.values())
            position = self._position
            try:
                await self._in_thread(self._file.write, ratings, revisions, position)
            except sqlite3.Error as error:
                self._give_up(error)
            self._flushing, self._flushing_revisions, self._written = {}, {}, position

    async def prune(self, now: datetime) -> None:
        """Forget ratings that were received before the horizon."""
        async with self._writing:
            if self._file is None:
                return
            try:
                await self._in_thread(self._file.forget_before, now - self._horizon)
            except sqlite3.Error as error:
                self._give_up(error)

    async def close(self) -> None:
        """Write what is in memory and close the file."""
        await self.flush()
        self._drop_file()
        self._thread.shutdown(wait=True)

    def _give_up(self, error: sqlite3.Error) -> None:
        """Stop answering; the fold sees it and opens the index afresh."""
        _log.error("index_broken", reason=repr(error))
        self._drop_file()

    def _drop_file(self) -> None:
        self._ready.clear()
        if self._file is not None:
            # In the writer's thread, where it can't pull the connection from under a statement.
            self._thread.submit(self._file.close)
            self._file = None
