"""One point of the growth measurement: a year's events through scoring's fold, in a process of its own.

``python -m tests.bench.growth_point``. The events are made in portions between two readings of the clock,
so that ten million of them need no room.
"""

import json
import os
import sys
import time
from itertools import islice

from tests.bench.fold_events import registry_of, stored_events, windows_of
from tests.bench.fold_sides import TAKE, new_fold, refuse
from tests.bench.processes import peak_resident_mb, resident_mb


def measure(events: int, units: int) -> object:
    """Fold ``events`` about ``units`` windows; processor time and memory of the fold."""
    registry = registry_of(units)
    fold = new_fold(registry)
    messages = stored_events(windows_of(registry), events)
    before = resident_mb(os.getpid())
    cpu = elapsed = 0.0
    while portion := list(islice(messages, TAKE)):
        cpu_before, started = time.process_time(), time.perf_counter()
        fold.take(portion, refuse)
        elapsed += time.perf_counter() - started
        cpu += time.process_time() - cpu_before
    cpu_before, started = time.process_time(), time.perf_counter()
    fold.freeze()
    elapsed += time.perf_counter() - started
    cpu += time.process_time() - cpu_before
    if fold.books().accepted + fold.books().duplicates != events:
        raise AssertionError(f"{events} events expected, the books have {fold.books()}")
    now = resident_mb(os.getpid())
    return {
        "cpu_s": cpu,
        "elapsed_s": elapsed,
        "state_mb": now - before,
        "resident_mb": now,
        "peak_mb": peak_resident_mb(os.getpid()),
    }


def main() -> None:
    """Do the job that stands on the standard input."""
    json.dump(measure(**json.load(sys.stdin)), sys.stdout)


if __name__ == "__main__":
    main()
