"""Log files of child processes: opened for append, bounded whenever the child is (re)started."""

from pathlib import Path
from typing import BinaryIO

MAX_LOG_BYTES = 8 * 1024 * 1024
"""A log beyond this size becomes ``<name>.1`` at the next start; one older generation is kept."""


def open_log(path: Path, *, max_bytes: int = MAX_LOG_BYTES) -> BinaryIO:
    """Open ``path`` for appending, after moving it aside if it outgrew ``max_bytes``; makes its directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > max_bytes:
        path.replace(path.with_name(f"{path.name}.1"))
    return path.open("ab")


def tail(path: Path, lines: int = 15) -> str:
    """The last ``lines`` lines of a log as text; empty if there is no such file."""
    if not path.exists():
        return ""
    with path.open("rb") as log:
        size = log.seek(0, 2)
        log.seek(max(0, size - lines * 1000))  # long lines are cut rather than the whole log read
        text = log.read().decode("utf-8", errors="replace")
    return "\n".join(text.splitlines()[-lines:])
