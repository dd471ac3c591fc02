"""The spool's thread: it owns the file, and commits for all callers that wait when a commit begins."""

import asyncio
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from services.intake.adapters.receipt_filter import ReceiptFilter
from services.intake.adapters.spool_file import (
    ROW_BYTES,
    Amount,
    SpoolFile,
    files_set_aside,
    move_aside,
    spool_path,
)
from services.intake.adapters.spool_lock import SpoolLock
from services.intake.application.spooling import (
    Entry,
    SpoolDoubtError,
    SpoolFullError,
    SpoolUnavailableError,
)
from shared.kernel.clock import Clock
from shared.kernel.errors import describe
from shared.observability.logging import get_logger

MOST_TOGETHER: Final = 2000
"""Messages that share one commit; more wait for the next."""
REOPEN_S: Final = 1.0
DISK_RESERVE: Final = 32 * 1024 * 1024
"""Bytes of the disk that are left free: forgetting what was drained needs room, too."""
_DAMAGED: Final = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB"})
_NOTHING: Final = Amount(0, 0, 0)

_log = get_logger(component="spool")


def room_on_disk(directory: Path, size: int) -> tuple[int, int]:
    """Free bytes of the disk, and how many there have to be for `size` bytes more.

    Raises:
        OSError: the directory is gone.
    """
    space = os.statvfs(directory)
    # Twice: into the log first, and then into the file.
    return space.f_bavail * space.f_frsize, DISK_RESERVE + 2 * size


@dataclass(slots=True)
class SpoolView:
    """What the event loop knows of the spool; only the loop touches it.

    Attributes:
        filter: contains every receipt that something waiting is about; None where nothing waits.
        trouble: why nothing can be spooled at present; None if it can.
        reopening: whether the thread was asked to open the file anew, and has not answered.
        damaged_files: files in the directory that could not be read and wait for a person.
    """

    amount: Amount = _NOTHING
    reader: SpoolFile | None = None
    filter: ReceiptFilter | None = None
    trouble: str | None = "it is not open yet"
    reopening: bool = False
    damaged_files: int = 0

    def close_reader(self) -> None:
        """Stop looking things up."""
        reader, self.reader = self.reader, None
        if reader is not None:
            reader.close()


@dataclass(slots=True)
class Job:
    """One caller's part of a commit; `work` is something else to do in the thread, by itself."""

    done: "asyncio.Future[Any]"
    entries: Sequence[Entry] = ()
    forgotten: Sequence[int] = ()
    work: Callable[[SpoolFile], Any] | None = None
    rows: list[int] = field(default_factory=list)


class SpoolWriter:
    """Owns the file in one directory; its public methods belong to the loop, the rest to the thread."""

    def __init__(self, directory: Path, clock: Clock, view: SpoolView) -> None:
        """Show the loop what happens in `view`."""
        self._directory = directory
        self._clock = clock
        self._view = view
        self._lock = SpoolLock(directory)
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._file: SpoolFile | None = None
        self._amount = _NOTHING
        self._next = 1
        self._shrunk = False
        self._reopening: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start the thread, which opens the file, and again whenever that is necessary."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Commit what is queued, close the file and give the lock away."""
        if self._reopening is not None:
            self._reopening.cancel()
        if self._thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None

    def put(self, job: Job) -> None:
        """Queue `job`; its future is answered on the loop.

        Raises:
            SpoolUnavailableError: the thread does not run.
        """
        if self._thread is None:
            raise SpoolUnavailableError(
                describe("a spool that is closed", "one of a running process", "retry later")
            )
        self._jobs.put(job)

    def reopen(self, reason: str) -> None:
        """Reading has failed, so `reason` is the trouble until the thread has opened the file anew.

        It does so in a second, whatever else fails meanwhile: a file that opens, but can't be read, is not
        opened again and again for each who asks.
        """
        self._view.trouble = reason
        if self._view.reopening or self._loop is None:
            return
        self._view.reopening = True
        again = Job(self._loop.create_future(), work=self._anew)
        self._reopening = self._loop.call_later(REOPEN_S, self._jobs.put, again)

    def _run(self) -> None:
        self._open()
        while True:
            try:
                first = self._jobs.get(timeout=REOPEN_S if self._file is None else None)
            except queue.Empty:
                self._open()
                continue
            jobs, stop = self._together(first)
            self._serve(jobs)
            if stop:
                break
        self._close()
        self._lock.release()

    def _together(self, first: Job | None) -> tuple[list[Job], bool]:
        """`first` and what else has been asked for meanwhile, and whether to stop then."""
        jobs: list[Job] = []
        messages, job = 0, first
        while job is not None:
            jobs.append(job)
            messages += len(job.entries)
            if messages >= MOST_TOGETHER:
                return jobs, False
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return jobs, False
        return jobs, True

    def _tell(self, what: Callable[[], None]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(what)

    def _open(self) -> None:
        """Take the lock and the file; what can't be read is set aside and begun anew."""
        try:
            self._lock.take()
            file, amount, abouts = self._take_up()
            reader = SpoolFile(spool_path(self._directory), readonly=True)
        except (sqlite3.Error, OSError, SpoolUnavailableError) as error:
            reason = str(error) if isinstance(error, SpoolUnavailableError) else repr(error)
            self._tell(lambda: self._say_closed(reason))
            return
        self._file, self._amount, self._next, self._shrunk = file, amount, file.last_row() + 1, False
        damaged = len(files_set_aside(self._directory))
        view = self._view

        def say() -> None:
            view.close_reader()
            view.reader, view.amount = reader, amount
            view.filter = ReceiptFilter(abouts) if abouts else None
            view.damaged_files, view.trouble, view.reopening = damaged, None, False

        self._tell(say)

    def _take_up(self) -> tuple[SpoolFile, Amount, list[bytes]]:
        path = spool_path(self._directory)
        try:
            file = SpoolFile(path)
            return file, file.amount(), list(file.abouts())
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorname not in _DAMAGED:
                raise
            aside = move_aside(path, self._clock.now())
            # Never deleted: it holds what was promised. The gauge of damaged files stays up until a person
            # has dealt with it.
            _log.critical("spool_file_damaged", reason=repr(error), kept_as=aside.name)
        return SpoolFile(path), _NOTHING, []

    def _say_closed(self, reason: str) -> None:
        if self._view.trouble != reason:
            _log.error("spool_not_usable", reason=reason)
        self._view.trouble, self._view.reopening = reason, False
        self._view.close_reader()

    def _anew(self, _file: SpoolFile) -> None:
        self._close()
        self._open()

    def _serve(self, jobs: list[Job]) -> None:
        if self._file is None and jobs:
            self._open()
        writes = [job for job in jobs if job.work is None]
        if writes:
            self._commit(writes)
        for job in jobs:
            if job.work is not None:
                self._do(job, job.work)

    def _usable(self) -> SpoolFile:
        if self._file is None:
            raise SpoolUnavailableError(
                describe("a spool that can't be opened", "a disk that can be written", "see /readyz; retry")
            )
        return self._file

    def _commit(self, jobs: list[Job]) -> None:
        entries: list[tuple[int, Entry]] = []
        row = self._next
        for job in jobs:
            job.rows = list(range(row, row + len(job.entries)))
            entries += zip(job.rows, job.entries, strict=True)
            row += len(job.entries)
        forgotten = [old for job in jobs for old in job.forgotten]
        size = sum(entry.size + ROW_BYTES for _, entry in entries)
        try:
            file = self._usable()
            if entries:
                self._require_room(size)
            freed = file.write(entries, forgotten, self._clock.now())
        except (sqlite3.Error, OSError, SpoolUnavailableError) as error:
            failure = self._failed(error)
            self._tell(lambda: _answer(jobs, failure))
            return
        except Exception as error:  # noqa: BLE001 - a defect: the thread would end, and nobody have an answer
            self._say_defect(jobs, error)
            return
        self._next = row
        before = self._amount
        self._amount = Amount(
            before.messages + len(entries) - freed.messages, before.size + size - freed.size, before.aside
        )
        self._say_written(jobs, [entry.kinship.about for _, entry in entries])
        if self._amount.messages:
            self._shrunk = False
        elif not self._shrunk and not self._amount.aside:
            self._shrink(file)

    def _say_written(self, jobs: list[Job], abouts: list[bytes]) -> None:
        amount, view = self._amount, self._view

        def say() -> None:
            view.amount = amount
            if not amount.messages:
                view.filter = None  # a filter can't forget; an empty spool can
            elif abouts:
                view.filter = view.filter or ReceiptFilter()
                for about in abouts:
                    view.filter.add(about)
            _answer(jobs, None)

        self._tell(say)

    def _shrink(self, file: SpoolFile) -> None:
        try:
            file.shrink()
        except sqlite3.Error as error:
            _log.warning("spool_not_shrunk", reason=repr(error))
        self._shrunk = True

    def _require_room(self, size: int) -> None:
        free, least = room_on_disk(self._directory, size)
        if free < least:
            raise SpoolFullError(f"{free} free bytes on the disk", f"at least {least}")

    def _do(self, job: Job, work: Callable[[SpoolFile], Any]) -> None:
        try:
            result = work(self._usable())
            if isinstance(result, Amount):  # what `work` has changed is counted anew
                self._amount = result
        except (sqlite3.Error, OSError, SpoolUnavailableError) as error:
            failure = self._failed(error)
            self._tell(lambda: _answer([job], failure))
            return
        except Exception as error:  # noqa: BLE001 - as in `_commit`
            self._say_defect([job], error)
            return
        amount = self._amount

        def say() -> None:
            self._view.amount = amount
            if not job.done.done():
                job.done.set_result(result)

        self._tell(say)

    def _say_defect(self, jobs: Sequence[Job], error: Exception) -> None:
        _log.error("spool_defect", exc_info=error)
        self._tell(lambda: _answer(jobs, error))

    def _failed(self, error: Exception) -> SpoolUnavailableError:
        """What callers are told; after anything but a lack of room the file is opened anew, and checked."""
        if isinstance(error, SpoolUnavailableError):
            return error
        if isinstance(error, sqlite3.Error) and error.sqlite_errorname == "SQLITE_FULL":
            return SpoolFullError("a full disk", "room for another message")
        self._close()
        reason = f"writing failed: {error!r}"
        self._tell(lambda: self._say_closed(reason))
        return SpoolDoubtError(
            describe(repr(error), "a disk that can be written", "retry later; look at the disk")
        )

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


def _answer(jobs: Sequence[Job], error: Exception | None) -> None:
    for job in jobs:
        if job.done.done():
            continue
        if error is None:
            job.done.set_result(None)
        else:
            job.done.set_exception(error)
            job.done.exception()  # marks it as seen: a caller may have gone
