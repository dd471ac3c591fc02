"""Watching processes in tests."""

from collections.abc import Iterable

import psutil


def wait_until_gone(processes: Iterable[psutil.Process], timeout_s: float) -> None:
    """Fail with a list of those that still run after ``timeout_s`` seconds; zombies count as gone."""
    _, alive = psutil.wait_procs(list(processes), timeout=timeout_s)
    left = [each for each in alive if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    assert not left, f"still running after {timeout_s:g} s: {left}"
