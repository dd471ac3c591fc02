"""A witness: an independent party who cosigns a checkpoint only if the log grew from the one it saw before.

What it keeps is in one directory: ``witness.key`` (secret), ``log.key`` (the log's verifier key, pinned) and
``checkpoint`` (the last one that it cosigned). It is the latter that makes a fork or a rollback impossible to
hide, so the directory belongs on another machine, in other hands, than the log.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.audit.archive_log import ArchiveLog
from deploy.audit.consistency import contradiction
from deploy.local.errors import LocalError
from services.archive.domain.notes import (
    Algorithm,
    NoteError,
    Opened,
    SigningKey,
    VerifierKey,
    open_note,
)
from shared.kernel.clock import Clock
from shared.kernel.errors import describe

KEY: Final = "witness.key"
LOG_KEY: Final = "log.key"
KEPT: Final = "checkpoint"


class ContradictedError(LocalError):
    """The log was forked or rolled back, or its signature is not its key's: nothing is cosigned."""


@dataclass(slots=True)
class Witness:
    """Cosigns for one log; :meth:`look` as often as wanted."""

    directory: Path
    key: SigningKey
    log_key: VerifierKey
    clock: Clock

    @classmethod
    def open(cls, directory: Path, log: ArchiveLog, clock: Clock, log_key: str | None) -> "Witness":
        """The witness in ``directory``; at first contact it pins ``log_key``, or what the archive claims.

        Raises:
            ContradictedError: another key than the one that was pinned is given.
            LocalError: there is no key; see :func:`make_key`. Or the archive does not answer.
        """
        path = directory / LOG_KEY
        if path.exists():
            pinned = VerifierKey.parse(path.read_text(encoding="utf-8"))
            if log_key is not None and VerifierKey.parse(log_key) != pinned:
                raise ContradictedError(
                    describe(
                        log_key, f"the key of the log, {pinned.text}", f"ask why it changed, then edit {path}"
                    )
                )
        else:
            pinned = VerifierKey.parse(log.claimed_keys()[0] if log_key is None else log_key)
            _replace(path, f"{pinned.text}\n")
        return cls(directory, read_key(directory), pinned, clock)

    def kept(self) -> Opened | None:
        """The last checkpoint that was cosigned; None before the first.

        Raises:
            ContradictedError: the file was changed.
        """
        path = self.directory / KEPT
        if not path.exists():
            return None
        return self._open(path.read_text(encoding="utf-8"), "keeps")

    def look(self, log: ArchiveLog) -> str:
        """Look at the newest checkpoint once, and cosign it if it continues the kept one; what came of it.

        The checkpoint is kept durably before its cosignature leaves, so that a crash in between can't make
        this witness sign two logs.

        Raises:
            ContradictedError: it does not; nothing was cosigned.
            LocalError: the archive does not answer, has signed nothing yet, or does not know this witness.
        """
        now = self._open(log.checkpoint(), "shows")
        kept = self.kept()
        if kept is not None:
            found = contradiction(log, kept, now)
            if found is not None:
                raise ContradictedError(
                    f"{found.sentence}. Nothing was cosigned; {self.directory / KEPT} is evidence."
                )
            if kept.checkpoint.size == now.checkpoint.size and now.signed_by(self.key.verifier):
                return f"still {now.checkpoint.size} entries, cosigned before"
        size = now.checkpoint.size
        line = self.key.sign(now.note.body, self.clock.now())
        _replace(self.directory / KEPT, str(now.note.adding(line)))
        log.cosign(size, line.line)
        since = "" if kept is None else f", which begin with the {kept.checkpoint.size} seen before"
        return f"cosigned {size} entries{since}: root {now.checkpoint.root.hex()}"

    def _open(self, note: str, verb: str) -> Opened:
        try:
            return open_note(note, (self.log_key, self.key.verifier), self.log_key.name)
        except NoteError as error:
            raise ContradictedError(
                f"What this witness {verb} is not signed as it should be: {error}"
            ) from error


def make_key(directory: Path, name: str) -> SigningKey:
    """The witness's key; a new one, for its owner's eyes only, if there is none.

    Raises:
        NoteError: the name has blanks or plus signs; or the file is damaged.
    """
    path = directory / KEY
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        _replace(path, SigningKey.generate(name, Algorithm.COSIGNATURE_V1).text + "\n")
    return read_key(directory)


def read_key(directory: Path) -> SigningKey:
    """The witness's key.

    Raises:
        LocalError: there is none.
        NoteError: the file is damaged.
    """
    path = directory / KEY
    if not path.exists():
        raise LocalError(describe(str(path), "the key of this witness", "make one with --name"))
    return SigningKey.parse(path.read_text(encoding="ascii"))


def _replace(path: Path, text: str) -> None:
    """Write durably, whole or not at all; readable by the owner only."""
    part = path.with_name(f".{path.name}.new")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
