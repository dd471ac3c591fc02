"""What ``pingyi audit verify`` does not believe the archive: signatures, and checkpoints kept earlier."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.audit.archive_log import ArchiveLog
from deploy.audit.consistency import contradiction
from deploy.audit.keys import Trusted
from deploy.local.errors import LocalError, ServiceRefusedError
from services.archive.domain.notes import NoteError, Opened, open_note
from shared.kernel.errors import describe


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that is not as it should be."""

    where: str
    what: str
    expected: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was compared.

    Attributes:
        newest: the note that the archive shows, with a signature that is trusted; None if it has none.
        sentences: what holds.
    """

    newest: str | None
    findings: tuple[Found, ...]
    sentences: tuple[str, ...]


def compare(log: ArchiveLog, trusted: Trusted, saved: Sequence[Path]) -> Outcome:
    """Check the newest checkpoint's signature, and that the log of each saved one is a beginning of it.

    Raises:
        LocalError: a saved checkpoint can't be read, or is not signed by a trusted key; or no answer.
    """
    kept = {path: _read(path, trusted) for path in saved}
    try:
        opened = open_note(log.checkpoint(), trusted.keys)
    except ServiceRefusedError as error:
        if not kept:
            return Outcome(None, (), ("nothing is signed yet",))
        found = [
            Found(
                str(path),
                "ROLLED BACK: no checkpoint at all",
                f"one of {old.checkpoint.size} entries or more ({error})",
            )
            for path, old in kept.items()
        ]
        return Outcome(None, tuple(found), ())
    except NoteError as error:
        return Outcome(
            None, (Found("newest checkpoint", str(error), "one that is signed by the key you trust"),), ()
        )
    findings: list[Found] = []
    names = " and ".join(f"{key.name}+{key.key_hash.hex()}" for key in opened.signers)
    sentences = [f"checkpoint {opened.checkpoint.size} is signed by {names}"]
    for path, old in kept.items():
        found_one = contradiction(log, old, opened)
        if found_one is None:
            sentences.append(f"it begins with the {old.checkpoint.size} entries of {path}")
        else:
            findings.append(Found(str(path), found_one.sentence, "a log that only grew since"))
    return Outcome(str(opened.note), tuple(findings), tuple(sentences))


def _read(path: Path, trusted: Trusted) -> Opened:
    try:
        return open_note(path.read_text(encoding="utf-8"), trusted.keys)
    except (OSError, UnicodeDecodeError) as error:
        raise LocalError(
            describe(str(path), f"a checkpoint in a file ({error})", "name the file that you saved")
        ) from error
