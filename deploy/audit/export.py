"""Writes the whole signed log into a directory that ``verify_export.py`` checks without the platform."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.audit import verify_export
from deploy.audit.archive_log import ArchiveLog
from deploy.local.errors import LocalError, ServiceRefusedError
from services.archive.domain.notes import Checkpoint, Note
from services.archive.domain.tiles import full_tiles, levels_of
from shared.kernel.errors import describe

FILE_ENTRIES: Final = 10_000
VERIFIER: Final = "verify_export.py"
UNFINISHED: Final = "unfinished"
"""Holds the checkpoint that an export was begun with, until it is complete."""
README: Final = """\
An export of the audit log {origin}: {size} entries, up to the checkpoint in `checkpoint`.

  checkpoint        newest signed checkpoint (C2SP tlog-checkpoint), with the lines of witnesses
  checkpoints/N     every signed checkpoint, by number of entries
  entries/N.ndjson  entries from index N on, one a line: index, canonical leaf, the event's bytes in base64
  tile/L/N          full tiles of the RFC 6962 tree, 256 hashes each (C2SP tlog-tiles)
  keys              verifier keys as the archive gave them: compare them with what you know
  verify_export.py  checks all of it, offline; Python 3.11 and `cryptography`; short enough to read first

  python verify_export.py . --key KEY [--checkpoint A_CHECKPOINT_THAT_YOU_KEPT]

Keep `checkpoint` where nobody else can change it: with it, the next export can't hide a change of this one.
"""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: how many entries, the key that the archive claims, and what it could not give."""

    size: int
    key: str
    missing: tuple[str, ...]


def export(log: ArchiveLog, directory: Path, say: Callable[[str], None]) -> Exported:
    """Write everything under the last checkpoint into ``directory``: new, empty, or begun and interrupted.

    In constant memory, and with nothing judged: what was tampered with is exported as it is. An export that
    was interrupted is finished up to the checkpoint that it was begun with; what is there is not fetched
    again.

    Raises:
        LocalError: there is something else in the directory, or the archive does not answer or has signed
            nothing yet.
    """
    note = _begun(log, directory)
    if note is None:
        note = log.checkpoint()
        directory.mkdir(parents=True, exist_ok=True)
        _write(directory / UNFINISHED, note)
    head = Checkpoint.parse(Note.parse(note).body)
    for name in ("checkpoints", "entries", "tile"):
        (directory / name).mkdir(exist_ok=True)
    keys = log.claimed_keys()
    _write(directory / "keys", "".join(f"{key}\n" for key in keys))
    for size, text in log.checkpoints():
        if size <= head.size:
            _write(directory / f"checkpoints/{size}", text)
    for first in range(0, head.size, FILE_ENTRIES):
        end = min(first + FILE_ENTRIES, head.size)
        path = directory / f"entries/{first:09d}.ndjson"
        if not path.exists():
            log.write_entries(first, end, path)
            say(f"{end} of {head.size} entries")
    missing = _write_tiles(log, directory, head.size)
    shutil.copyfile(verify_export.__file__, directory / VERIFIER)
    _write(directory / "README", README.format(origin=head.origin, size=head.size))
    _write(directory / "checkpoint", note)
    (directory / UNFINISHED).unlink()
    return Exported(head.size, keys[0], missing)


def _begun(log: ArchiveLog, directory: Path) -> str | None:
    """The checkpoint of the export that was begun in ``directory``; None if nothing is there.

    Raises:
        LocalError: something else is there, or an export of another log.
    """
    if not directory.exists() or not any(directory.iterdir()):
        return None
    path = directory / UNFINISHED
    if not path.exists():
        raise LocalError(
            describe(
                str(directory),
                "a directory that is new or empty, or has an export that was interrupted",
                "name another one, or remove it first",
            )
        )
    note = path.read_text(encoding="utf-8")
    body = Note.parse(note).body
    if Note.parse(log.checkpoint(Checkpoint.parse(body).size)).body != body:
        raise LocalError(
            describe(
                f"{directory}, begun with another checkpoint than this archive has of that size",
                "an export of this log",
                "keep both, they contradict each other; export into a new directory",
            )
        )
    return note


def _write_tiles(log: ArchiveLog, directory: Path, size: int) -> tuple[str, ...]:
    missing: list[str] = []
    for level in range(levels_of(size)):
        for index in range(full_tiles(size, level)):
            path = directory / f"tile/{level}/{index}"
            path.parent.mkdir(exist_ok=True)
            if path.exists():
                continue
            part = directory / "tile.part"
            try:
                part.write_bytes(log.tile(level, index))
                part.rename(path)
            except ServiceRefusedError as error:
                missing.append(f"tile {level}/{index}: {error}")
    return tuple(missing)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="")
