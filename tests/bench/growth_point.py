"""One point of the growth measurement: a year's events through scoring's fold, in a process of its own.

``python -m tests.bench.growth_point``. The events are made in portions between two readings of the clock,
so that ten million of them need no room. Counting them is measured up to the last sum; reading the tables of
all spans out, which a ranking does and whose cost depends on the units alone, is measured by itself.
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
    cpu = 0.0
    while portion := list(islice(messages, TAKE)):
        started = time.process_time()
        fold.take(portion, refuse)
        cpu += time.process_time() - started
    started = time.process_time()
    fold.past()  # adds up what still waits, and copies nothing
    counted = time.process_time()
    fold.freeze()
    cpu, read = cpu + counted - started, time.process_time() - counted
    if fold.books().accepted + fold.books().duplicates != events:
        raise AssertionError(f"{events} events expected, the books have {fold.books()}")
    now = resident_mb(os.getpid())
    return {
        "cpu_s": cpu,
        "read_s": read,
        "state_mb": now - before,
        "resident_mb": now,
        "peak_mb": peak_resident_mb(os.getpid()),
    }


def main() -> None:
    """Do the job that stands on the standard input."""
    json.dump(measure(**json.load(sys.stdin)), sys.stdout)


if __name__ == "__main__":
    main()
