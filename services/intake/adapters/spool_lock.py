"""Who owns a spool: a lock on a file beside it, held for as long as the owner lives."""

import fcntl
import os
import socket
from pathlib import Path
from typing import Final

from services.intake.application.spooling import SpoolUnavailableError
from shared.kernel.errors import describe

FILE: Final = "spool.lock"
_LONGEST: Final = 256


class SpoolLock:
    """The system takes it from a dead process and from nobody else, so a takeover needs no time limit."""

    def __init__(self, directory: Path) -> None:
        """Lock the spool in `directory`; nothing happens before `take`."""
        self._path = directory / FILE
        self._held: int | None = None

    def take(self) -> None:
        """Take the lock, or keep it.

        Raises:
            SpoolUnavailableError: somebody else has it.
            OSError: the file can't be made.
        """
        if self._held is not None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(file, _LONGEST, 0).decode(errors="replace").strip() or "another process"
            os.close(file)
            raise SpoolUnavailableError(
                describe(
                    f"a spool that belongs to {owner}",
                    "a directory of its own",
                    "set another DATA_DIR or wait",
                )
            ) from error
        os.ftruncate(file, 0)
        os.pwrite(file, f"{socket.gethostname()} pid {os.getpid()}\n".encode(), 0)
        self._held = file

    def release(self) -> None:
        """Give it up."""
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def owner(self) -> str | None:
        """Who has it at present; None if nobody does."""
        try:
            file = os.open(self._path, os.O_RDWR)
        except OSError:
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return os.pread(file, _LONGEST, 0).decode(errors="replace").strip() or "another process"
        else:
            return None
        finally:
            os.close(file)
