"""Where the embedded broker collects an atomic batch until it is committed: in memory, as a cluster does.

A replicated stream collects the messages of a batch in memory. One with a single replica makes a store on
disk for each batch and removes it after the commit, which costs more than the commit itself (ADR 0065). The
server has no setting for it, but a directory for them: while it runs, that is made a link into memory. The
server removes it at each of its starts, so it is linked anew after each.

What is acknowledged has been synced to the stream's own files, in either case. Only streams whose messages
may be sent again are staged so: a power cut within a commit may leave the first part of a batch that nobody
has an acknowledgement of.
"""

import contextlib
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from shared.messaging.streams import ALERTS, FEEDBACK, VAULT

STAGED: Final = (FEEDBACK, VAULT, ALERTS)
"""Their publishers know each message by its id and send again what was not acknowledged."""
MEMORY: Final = Path("/dev/shm")  # noqa: S108 - the directory in it is made for this user alone, and checked
LEAST_FREE_BYTES: Final = 48 * 1024 * 1024
"""Some batches of the largest size."""
PATIENCE_S: Final = 2.0
PAUSE_S: Final = 0.002
BATCHES: Final = "batches"
"""Name of the server's directory for batches, in a stream's own."""


class MemoryStaging:
    """Links the directories for batches of one server's streams into memory, where the system has some."""

    def __init__(self, store: Path, *, streams: tuple[str, ...] = STAGED, memory: Path = MEMORY) -> None:
        """For the server whose ``store_dir`` is ``store``; ``memory`` is a file system in memory."""
        self._store = store
        self._streams = streams
        self._memory = memory
        name = hashlib.sha256(os.fsencode(store.resolve())).hexdigest()[:16]
        self.directory = memory / f"pingyi-{os.getuid()}-{name}"
        """Where the batches are."""

    def link(self, patience_s: float = PATIENCE_S) -> tuple[str, ...]:
        """Link what is not linked yet, of the streams that there are; the names of those that are now.

        A directory that the server uses at the moment is left to it. Whatever fails, batches go to the disk.
        """
        until = time.monotonic() + patience_s
        with contextlib.suppress(OSError):
            if self._usable():
                return tuple(home.name for home in self._homes() if self._link(home, until))
        return ()

    def clear(self) -> None:
        """Give the memory back, when the server has ended."""
        with contextlib.suppress(OSError):
            if self._is_ours():
                shutil.rmtree(self.directory)

    def _usable(self) -> bool:
        if not self._memory.is_dir() or shutil.disk_usage(self._memory).free < LEAST_FREE_BYTES:
            return False
        with contextlib.suppress(FileExistsError):
            self.directory.mkdir(mode=0o700)
        return self._is_ours()

    def _is_ours(self) -> bool:
        """Whether it is a directory of this user that nobody else may enter: anybody can make names there."""
        found = self.directory.lstat()
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077

    def _homes(self) -> Iterator[Path]:
        for stream in self._streams:
            yield from self._store.glob(f"jetstream/*/streams/{stream}")

    def _link(self, home: Path, until: float) -> bool:
        place, target = home / BATCHES, self.directory / home.parent.parent.name / home.name
        if place.is_symlink():
            return place.readlink() == target
        shutil.rmtree(target, ignore_errors=True)  # of before a crash: the server begins without
        target.mkdir(parents=True, mode=0o700)
        while True:
            with contextlib.suppress(OSError):
                place.rmdir()  # only if no batch is in it
            with contextlib.suppress(FileExistsError):
                place.symlink_to(target, target_is_directory=True)
                return True
            if time.monotonic() > until:
                return False
            time.sleep(PAUSE_S)
