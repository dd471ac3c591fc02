"""Puts what tests write into memory: servers that sync every message wait for no disk then.

A killed process loses nothing in a file system in memory that it would keep on a disk, and no test switches
the power off. ``--basetemp DIR`` puts it on a disk again; soaks and benchmarks always write to one.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

import pytest

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a new directory in it, readable by its owner only
PREFIX: Final = "pingyi-tests-"
ROOM_BYTES: Final = 6 * 1024**3
"""Free memory and free room for files in it that there must be; a run takes 2 GiB of it at most."""

_MADE = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Choose the directory, once a run: the workers are told."""
    wanted = config.option.basetemp is None and not hasattr(config, "workerinput")
    if not wanted or config.option.markexpr == "soak" or not has_room(MEMORY):
        return
    _remove_left_behind()
    made = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=MEMORY))
    config.option.basetemp = str(made / "run")
    config.stash[_MADE] = made


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give the memory back; the next run does it where this one ends by a signal."""
    made = config.stash.get(_MADE, None)
    if made is not None:
        shutil.rmtree(made, ignore_errors=True)


def has_room(directory: Path) -> bool:
    """Whether ``directory`` is one of memory that takes a run's files."""
    try:
        free_bytes = min(shutil.disk_usage(directory).free, _available_bytes())
    except OSError:
        return False
    return os.access(directory, os.W_OK) and free_bytes >= ROOM_BYTES


def _available_bytes() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def _remove_left_behind() -> None:
    for path in MEMORY.glob(f"{PREFIX}*"):
        pid = path.name.removeprefix(PREFIX).partition("-")[0]
        if not Path("/proc", pid).exists():
            shutil.rmtree(path, ignore_errors=True)
