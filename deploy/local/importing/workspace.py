"""What an import leaves beside its file: how far it has come, what became of each row, what was refused.

``<file>.import/<import id>-<head of the file's hash>/`` holds ``journal.ndjson``, ``results.csv`` and, until
the end, ``rejects.part``.
Everything that a batch adds is on disk before the journal says so; what was written beyond the journal's word
is cut off when the import goes on, so a kill at any moment neither loses nor doubles a line.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from deploy.local.errors import LocalError
from deploy.local.importing.rejects import PRIVATE, Reject
from shared.kernel.errors import describe

VERSION: Final = 1
SUFFIX: Final = ".import"
_JOURNAL: Final = "journal.ndjson"
_RESULTS: Final = "results.csv"
_REJECTS: Final = "rejects.part"
_LOCK: Final = "lock"
_RESULTS_HEAD: Final = b"row,status,event_id\n"
"""No receipt codes: whoever holds them can take ratings back, and a file may come from the rated unit."""


class WorkspaceError(LocalError):
    """What lies beside the file does not go with what was asked for."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What must be the same for an import to go on.

    Attributes:
        sha256: of the file.
        settings: everything else that decides which rows there are and what they become.
    """

    import_id: str
    sha256: str
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import has come.

    Attributes:
        batches: that have been answered.
        results_bytes: length of the results that count.
        rejects_bytes: length of the rejects that count.
        done: whether the file has been read to its end and the reject file is written.
        reject_file: where that is; None if nothing was refused.
    """

    batches: int = 0
    rows: int = 0
    accepted: int = 0
    duplicate: int = 0
    conflict: int = 0
    rejected: int = 0
    results_bytes: int = 0
    rejects_bytes: int = 0
    done: bool = False
    reject_file: str | None = None


class Workspace:
    """The folder of one import; open while it runs."""

    def __init__(self, folder: Path, identity: Identity, progress: Progress, lock: IO[bytes]) -> None:
        """Use `open_workspace`."""
        self._lock = lock
        self.folder = folder
        self.identity = identity
        self.progress = progress
        self._journal = _append(folder / _JOURNAL)
        self._results = _append(folder / _RESULTS)
        self._rejects = _append(folder / _REJECTS)

    def add(self, results: bytes, rejects: Iterable[Reject], progress: Progress) -> None:
        """Keep what a batch led to; durable on return.

        Args:
            results: lines for ``results.csv``.
            rejects: rows for the reject file.
            progress: counts after the batch; lengths are filled in here.
        """
        self._results.write(results)
        self._rejects.write(b"".join(msgspec.json.encode(reject) + b"\n" for reject in rejects))
        _sync(self._results)
        _sync(self._rejects)
        self.record(replace(progress, results_bytes=self._results.tell(), rejects_bytes=self._rejects.tell()))

    def record(self, progress: Progress) -> None:
        """Say in the journal how far the import has come; durable on return."""
        self._journal.write(_line(asdict(progress)))
        _sync(self._journal)
        self.progress = progress

    def rejects(self) -> Iterator[Reject]:
        """What was refused so far, in the order of the file."""
        decode = msgspec.json.Decoder(Reject).decode
        with (self.folder / _REJECTS).open("rb") as file:
            for line in file:
                yield decode(line)

    def close(self, *, finished: bool) -> None:
        """Close the files; the rejects are in their own file once `finished`."""
        for file in (self._journal, self._results, self._rejects, self._lock):
            file.close()
        if finished:
            (self.folder / _REJECTS).unlink(missing_ok=True)


def open_workspace(file: Path, identity: Identity) -> Workspace:
    """The workspace of an import of `file`, new or where it was left.

    Raises:
        WorkspaceError: the import began with other settings, or runs already.
        OSError: the folder can't be written.
    """
    folder = folder_of(file, identity)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with ExitStack() as on_error:
        lock = on_error.enter_context(_lock(folder))
        begun = read_journal(folder)
        if begun is None:
            progress = _begin(folder, identity)
        else:
            earlier, progress, length = begun
            _require_same(earlier, identity)
            _cut(folder / _JOURNAL, length)
            _cut(folder / _RESULTS, progress.results_bytes or len(_RESULTS_HEAD))
            _cut(folder / _REJECTS, progress.rejects_bytes)
        on_error.pop_all()
        return Workspace(folder, identity, progress, lock)


def _begin(folder: Path, identity: Identity) -> Progress:
    for name in (_JOURNAL, _RESULTS, _REJECTS):
        (folder / name).unlink(missing_ok=True)
    with _append(folder / _RESULTS) as results:
        results.write(_RESULTS_HEAD)
    with _append(folder / _JOURNAL) as journal:
        journal.write(_line({"version": VERSION, **asdict(identity)}))
        _sync(journal)
    return Progress(results_bytes=len(_RESULTS_HEAD))


def folder_of(file: Path, identity: Identity) -> Path:
    """Where an import of `file` keeps what it needs: another one when the file has other bytes."""
    return file.with_name(file.name + SUFFIX) / f"{identity.import_id}-{identity.sha256[:8]}"


def imports_of(file: Path) -> list[Identity]:
    """All imports of the file at this path, whatever the file held then."""
    parent = file.with_name(file.name + SUFFIX)
    begun = [read_journal(folder) for folder in sorted(parent.iterdir())] if parent.is_dir() else []
    return [each[0] for each in begun if each is not None]


def read_journal(folder: Path) -> tuple[Identity, Progress, int] | None:
    """Identity, progress and the journal's length up to its last whole line; None where nothing was begun."""
    try:
        raw = (folder / _JOURNAL).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    whole = raw[: raw.rfind(b"\n") + 1]
    lines = whole.splitlines()
    if not lines:
        return None
    first = json.loads(lines[0])
    if first.pop("version", None) != VERSION:
        raise WorkspaceError(
            describe(str(folder), f"the journal of version {VERSION}", "remove the folder and import again")
        )
    progress = Progress(**json.loads(lines[-1])) if len(lines) > 1 else Progress()
    return Identity(**first), progress, len(whole)


def _require_same(earlier: Identity, asked: Identity) -> None:
    differing = {
        name for name, value in asked.settings.items() if earlier.settings.get(name) != value
    } | earlier.settings.keys() - asked.settings.keys()
    if differing:
        raise WorkspaceError(
            describe(
                ", ".join(f"{name}={asked.settings.get(name)}" for name in sorted(differing)),
                ", ".join(f"{name}={earlier.settings.get(name)}" for name in sorted(differing))
                + f", as import {asked.import_id} began",
                "repeat the command as it was, or choose another --import-id",
            )
        )


def _lock(folder: Path) -> IO[bytes]:
    """Keep every other process out; the system takes the lock back even after SIGKILL."""
    lock = _append(folder / _LOCK)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise WorkspaceError(
            describe(str(folder), "an import that is not running", "let the other command come to its end")
        ) from error
    return lock


def _append(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, PRIVATE), "ab")


def _cut(path: Path, length: int) -> None:
    if path.exists() and path.stat().st_size > length:
        os.truncate(path, length)


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"
