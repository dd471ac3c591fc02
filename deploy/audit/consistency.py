"""Compares what the archive says now with a checkpoint that was kept: here nobody has to be trusted."""

from dataclasses import dataclass

from deploy.audit.archive_log import ArchiveLog
from deploy.local.errors import ServiceRefusedError
from services.archive.domain.merkle import verify_consistency
from services.archive.domain.notes import Opened


@dataclass(frozen=True, slots=True)
class Contradiction:
    """What the archive shows is not the log that was there when the checkpoint was kept."""

    what: str
    """``rolled back``, ``forked`` or ``unproved``."""
    sentence: str


def contradiction(log: ArchiveLog, kept: Opened, now: Opened) -> Contradiction | None:
    """Whether the log of ``now`` does not begin with that of ``kept``; both with checked signatures.

    Raises:
        LocalError: the archive does not answer.
    """
    old, new = kept.checkpoint, now.checkpoint
    if new.size < old.size:
        return Contradiction(
            "rolled back",
            f"ROLLED BACK: the log was signed with {old.size} entries and has {new.size} now; "
            f"entries {new.size} to {old.size - 1} are gone",
        )
    if new.size == old.size and new.root != old.root:
        roots = f"root {old.root.hex()} then, {new.root.hex()} now"
        return Contradiction("forked", f"FORKED: two logs of {old.size} entries were signed: {roots}")
    try:
        path = log.consistency(old.size, new.size) if new.size > old.size else []
    except ServiceRefusedError as error:
        return Contradiction("unproved", f"The archive can't prove that it only grew: {error}")
    if verify_consistency(old.size, new.size, old.root, new.root, path):
        return None
    return Contradiction(
        "forked",
        f"FORKED: the log of {new.size} entries does not begin with the {old.size} that were signed before; "
        f"at least one entry below {old.size} was changed",
    )
