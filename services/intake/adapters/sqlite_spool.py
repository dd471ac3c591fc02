"""The spool as the event loop sees it: one SQLite file with an owner, written by a thread of its own."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from services.intake.adapters.jetstream_log import read_accepted
from services.intake.adapters.spool_file import ROW_BYTES, Amount, SpoolFile
from services.intake.adapters.spool_writer import Job, SpoolView, SpoolWriter, room_on_disk
from services.intake.adapters.stored_revisions import read_revision
from services.intake.application.spooling import Entry, Kept, SpoolFullError, SpoolUnavailableError
from services.intake.domain.accepted import Accepted
from services.intake.domain.pseudonyms import Pseudonyms
from services.intake.domain.revisions import Revision
from shared.kernel.clock import Clock
from shared.kernel.errors import describe
from shared.messaging.group_commit import PublishOverloadedError
from shared.observability.logging import get_logger

LEAST_ROOM: Final = 2048
"""With less room than a common rating takes, the spool says that it is full."""

_log = get_logger(component="spool")


class SqliteSpool:
    """Plays `application.spooling.Spool`.

    Writes happen in the thread, never on the loop: an fsync takes milliseconds. Look-ups by receipt happen on
    the loop, and only where something waits; a Bloom filter answers most of them.
    """

    def __init__(
        self, directory: Path, pseudonyms: Pseudonyms, clock: Clock, *, max_bytes: int, max_queued: int
    ) -> None:
        """Keep the file in `directory`, of this process alone; take up to `max_bytes` (0: nothing at all)."""
        self._directory = directory
        self._pseudonyms = pseudonyms
        self._clock = clock
        self._max_bytes = max_bytes
        self._max_queued = max_queued
        self._view = SpoolView()
        self._writer = SpoolWriter(directory, clock, self._view)
        self._queued = 0
        self._reserved = 0

    @property
    def depth(self) -> int:
        """Messages that wait."""
        return self._view.amount.messages

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._view.amount.size

    @property
    def set_aside_messages(self) -> int:
        """Messages that were taken out of the order and wait for a person."""
        return self._view.amount.aside

    @property
    def damaged_files(self) -> int:
        """Files that could not be read and wait for a person."""
        return self._view.damaged_files

    @property
    def trouble(self) -> str | None:
        """Why nothing can be spooled at present; None if it can."""
        if self._view.trouble is not None:
            return self._view.trouble
        if self.size + self._reserved + LEAST_ROOM > self._max_bytes:
            return f"it is full: {self.size} of {self._max_bytes} bytes"
        try:
            free, least = room_on_disk(self._directory, LEAST_ROOM)
        except OSError as error:
            return repr(error)
        return f"its disk is full: {free >> 20} of {least >> 20} MiB free" if free < least else None

    def oldest_age_s(self) -> float:
        """Seconds that the oldest message has waited; 0 if none waits."""
        reader = self._view.reader
        if reader is None or not self.depth:
            return 0.0
        try:
            oldest_ms = reader.oldest_ms()
        except sqlite3.Error:
            return 0.0
        return 0.0 if oldest_ms is None else max(0.0, self._clock.now().timestamp() - oldest_ms / 1000)

    async def start(self) -> None:
        """Open the file, or go on trying in the background; `trouble` says which."""
        self._writer.start()
        await self._wait(self._put(work=lambda _file: None))

    @staticmethod
    async def _wait(job: Job) -> None:
        try:
            await job.done
        except SpoolUnavailableError as error:
            _log.error("spool_starts_closed", reason=str(error))

    async def stop(self) -> None:
        """Commit what is queued, close the file and give the lock away."""
        self._view.close_reader()  # the writer goes last: whoever does brings the log into the file
        await self._writer.stop()

    async def keep(self, entries: Sequence[Entry]) -> list[int]:
        """See `Spool.keep`."""
        size = sum(entry.size + ROW_BYTES for entry in entries)
        taken = self.size + self._reserved
        if taken + size > self._max_bytes:
            raise SpoolFullError(f"{taken} bytes in the spool", f"at most {self._max_bytes}")
        if self._view.trouble is not None:
            raise self._unavailable()
        if self._queued + len(entries) > self._max_queued:
            raise PublishOverloadedError(
                describe(
                    f"{self._queued} messages on their way to the spool",
                    f"at most {self._max_queued}",
                    "retry after a second",
                )
            )
        self._queued += len(entries)
        self._reserved += size
        try:
            job = self._put(entries=entries)
            await asyncio.shield(job.done)
        finally:
            self._queued -= len(entries)
            self._reserved -= size
        return job.rows

    def find(self, receipts: Iterable[bytes]) -> Mapping[bytes, Accepted]:
        """See `Spool.find`."""
        found: dict[bytes, Accepted] = {}
        for kept in self._ratings([receipt for receipt in receipts if self._may_hold(receipt)]):
            rating = read_accepted(kept.entry.message.payload, -kept.row, self._pseudonyms)
            if rating is not None:
                found.setdefault(rating.receipt, rating)
        return found

    def revisions(self, receipt: bytes) -> tuple[Revision, ...]:
        """See `Spool.revisions`."""
        reader = self._view.reader
        if reader is None or not self._may_hold(receipt):
            return ()
        try:
            waiting = reader.revisions(receipt)
        except sqlite3.Error as error:
            raise self._unreadable(error) from error
        read = (read_revision(kept.entry.message.payload, -kept.row, self._pseudonyms) for kept in waiting)
        return tuple(revision for revision in read if revision is not None)

    def rating(self, receipt: bytes) -> Kept | None:
        """See `Spool.rating`."""
        return next(iter(self._ratings([receipt] if self._may_hold(receipt) else [])), None)

    def read(self, row: int) -> Kept | None:
        """See `Spool.read`."""
        reader = self._view.reader
        if reader is None:
            return None
        try:
            return reader.read(row)
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    async def oldest(self, most: int) -> list[Kept]:
        """See `Spool.oldest`."""
        found: list[Kept] = await self._put(work=lambda file: file.oldest(most)).done
        return found

    async def done(self, rows: Sequence[int]) -> None:
        """See `Spool.done`."""
        await self._put(forgotten=rows).done

    async def set_aside(self, row: int, reason: str) -> None:
        """See `Spool.set_aside`."""
        _log.error("spool_message_set_aside", row=row, reason=reason)

        def set_aside(file: SpoolFile) -> Amount:
            file.set_aside(row, reason)
            return file.amount()

        await self._put(work=set_aside).done

    async def erase_record(self, record_id: str) -> bool:
        """See `Spool.erase_record`."""
        return bool(await self._put(work=lambda file: file.erase_record(record_id)).done)

    def _put(
        self,
        *,
        entries: Sequence[Entry] = (),
        forgotten: Sequence[int] = (),
        work: Callable[[SpoolFile], Any] | None = None,
    ) -> Job:
        job = Job(asyncio.get_running_loop().create_future(), entries, forgotten, work)
        self._writer.put(job)
        return job

    def _may_hold(self, receipt: bytes) -> bool:
        return self._view.filter is not None and receipt in self._view.filter

    def _ratings(self, receipts: Sequence[bytes]) -> list[Kept]:
        reader = self._view.reader
        if reader is None or not receipts:
            return []
        try:
            return list(reader.ratings(receipts))
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    def _unavailable(self) -> SpoolUnavailableError:
        return SpoolUnavailableError(
            describe(
                f"a spool that can't be used: {self._view.trouble}",
                "one that can be written",
                "see /readyz; retry later",
            )
        )

    def _unreadable(self, error: sqlite3.Error) -> SpoolUnavailableError:
        if not self._view.reopening:
            _log.error("spool_unreadable", reason=repr(error))
        self._writer.reopen(f"reading failed: {error!r}")
        return self._unavailable()
