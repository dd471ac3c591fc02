"""What a replica is called in the lease, so that a restart knows the lease of its former life as its own.

A name in a file, and a lock on that file for as long as the process lives. The system takes the lock away
when the process is dead and not before: whoever gets it knows that nobody else bears the name. A frozen
process still has it.
"""

import os
import socket
from pathlib import Path
from typing import Final
from uuid import uuid4

import structlog

try:
    import fcntl
except ImportError:  # pragma: no cover - no POSIX: every life has a name of its own
    fcntl = None  # type: ignore[assignment]  # looked at below

log = structlog.get_logger(__name__)

FILE: Final = "instance"
LONGEST: Final = 512


class Instance:
    """One replica's name. Hold on to the object: with it goes the right to the name."""

    def __init__(self, directory: Path | None) -> None:
        """Take the name that lies in ``directory``, or begin one there.

        Args:
            directory: of this replica alone, on a disk of this machine; None: the name is of this life only,
                as it is where another process has the directory or nothing can be written to it.
        """
        self._held: int | None = None
        self.name: str = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
        """Unique among all processes that live."""
        if directory is None or fcntl is None:
            return
        try:
            directory.mkdir(parents=True, exist_ok=True)
            file = os.open(directory / FILE, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            log.warning("instance_unknown", directory=str(directory), reason=str(error))
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.name, self._held = _kept_name(file), file
        except OSError as error:
            log.info("instance_taken", directory=str(directory), reason=str(error))
            os.close(file)

    def close(self) -> None:
        """Give the name up; the next process may bear it."""
        if self._held is not None:
            os.close(self._held)
            self._held = None


def _kept_name(file: int) -> str:
    """The name in the file; another one if it was given on another machine, whose copy this may be."""
    host, name = socket.gethostname(), os.pread(file, LONGEST, 0).decode(errors="replace").strip()
    if name.rpartition("-")[0] == host:
        return name
    name = f"{host}-{uuid4().hex}"
    os.ftruncate(file, 0)
    os.pwrite(file, name.encode(), 0)
    return name
