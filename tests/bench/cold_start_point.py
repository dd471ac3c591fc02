"""One start of the cold start measurement, in a process of its own; also the making of its snapshot.

``python -m tests.bench.cold_start_point``.
"""

import asyncio
import hashlib
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from datetime import time as clock_time
from itertools import islice

from shared.observability.starting import uncollected

with uncollected():  # as the service does
    import msgspec
    import uvloop
    from nats.aio.client import Client

    from services.scoring.adapters.snapshot_store import JetStreamHistory, JetStreamSnapshotStore
    from services.scoring.application.fold import Fold
    from services.scoring.application.sections import Sections
    from services.scoring.application.snapshots import Cadence, KeepSnapshots, RestoreFold, anchor_of
    from services.scoring.domain.lists import RankedList
    from services.scoring.domain.snapshots import Refusal, Snapshot
    from services.scoring.entrypoints.memory import StartMemory
    from shared.kernel.clock import SHANGHAI
    from shared.messaging.connection import BrokerSettings, connect
    from shared.messaging.streams import FEEDBACK
    from shared.rules.loading import load_pack
    from tests.bench.fold_events import LAST_DAY, Stored, registry_of, stored_events, windows_of
    from tests.bench.fold_sides import TAKE, new_fold, refuse
    from tests.bench.processes import peak_resident_mb, resident_mb

NOON = datetime.combine(LAST_DAY, clock_time(12), SHANGHAI)


class Noon:
    """A clock that stands on the day that the events lead up to."""

    def now(self) -> datetime:
        """Noon of that day."""
        return NOON


class Silent:
    """A `SnapshotObserver` that fails where a snapshot is not used."""

    def leading(self, *, leads: bool) -> None:
        """See `SnapshotObserver`."""

    def snapshot_saved(self, snapshot: Snapshot, seconds: float) -> None:
        """See `SnapshotObserver`."""

    def snapshot_failed(self) -> None:
        """See `SnapshotObserver`."""
        raise AssertionError("the snapshot could not be stored")

    def snapshot_restored(self, snapshot: Snapshot) -> None:
        """See `SnapshotObserver`."""

    def snapshot_refused(self, refusal: Refusal) -> None:
        """See `SnapshotObserver`."""
        raise AssertionError(refusal.reason)

    def history_changed(self, *, changed: bool) -> None:
        """See `SnapshotObserver`."""


async def make(client: Client, events: int, units: int, _born_s: float) -> dict[str, object]:
    """Fold ``events``, keep the fold, and let FEEDBACK end with the last of them, at its sequence."""
    # In a thread, so that the connection is still there afterwards.
    fold, last = await asyncio.to_thread(_folded, events, units)
    await _end_with(client, last)
    store, history = JetStreamSnapshotStore(client), JetStreamHistory(client, FEEDBACK)
    keep = KeepSnapshots(store, history, Noon(), Silent(), Cadence(1, 1.0), asyncio.Lock())
    taken = await keep.take(fold, anchor_of(last))
    if not await keep.store(taken):
        raise AssertionError("the snapshot does not count")
    return {"bytes": len(taken.blob), **_described(fold.lists())}


def _folded(events: int, units: int) -> tuple[Fold, Stored]:
    """A fold of so many events, and the last of them."""
    registry = registry_of(units)
    fold, last = new_fold(registry), None
    messages = stored_events(windows_of(registry), events)
    while portion := list(islice(messages, TAKE)):
        fold.take(portion, refuse)
        last = portion[-1]
    if last is None:
        raise AssertionError("no events")
    return fold, last


async def _end_with(client: Client, last: Stored) -> None:
    jetstream = client.jetstream(timeout=30)
    config = (await jetstream.stream_info(FEEDBACK)).config
    await jetstream.delete_stream(FEEDBACK)
    await jetstream.add_stream(config.evolve(first_seq=last.sequence))
    answer = await jetstream.publish(last.subject, last.data)
    if answer.seq != last.sequence:
        raise AssertionError(f"stored at {answer.seq}, expected {last.sequence}")


async def scoring(client: Client, events: int, units: int, born_s: float) -> dict[str, object]:
    """What the service does between its birth and its first rankings."""
    memory, laps = StartMemory(), _Laps(born_s)
    memory.begin()
    laps.note("interpreter, imports, connection")
    registry, rules = registry_of(units), load_pack(None, LAST_DAY)
    store, history = JetStreamSnapshotStore(client), JetStreamHistory(client, FEEDBACK)
    restore = RestoreFold(store, history, registry, Noon(), Silent(), Fold.load)
    fold = (await restore.restore(rules, accept_new_history=False)).fold
    if fold is None or fold.position != events:
        raise AssertionError(f"expected a fold of {events} events, got {fold and fold.position}")
    laps.note("snapshot read, checked and taken up")
    described = _described(fold.lists())
    laps.note("all lists ranked and hashed")
    memory.end()
    return {"parts": laps.parts, **described}


async def decode(client: Client, events: int, units: int, _born_s: float) -> dict[str, object]:
    """The same bytes, checked and decoded; nothing is made of them."""
    del events, units
    store = JetStreamSnapshotStore(client)
    (snapshot,) = await store.catalogue()
    found = Sections(await store.read(snapshot))
    kept = [found[name] for name in found]
    return {"kept": len(kept)}


class _Laps:
    """How long each part took, the first since the birth of the process.

    Who begins the process says when: the system's own answer counts from the boot, whose time it knows to
    the second only.
    """

    def __init__(self, born_s: float) -> None:
        self._last = born_s
        self.parts: dict[str, float] = {}

    def note(self, part: str) -> None:
        now = time.time()
        self.parts[part] = now - self._last
        self._last = now


def _described(lists: Mapping[str, RankedList]) -> dict[str, object]:
    joined = "".join(sorted(f"{key} {found.hash}\n" for key, found in lists.items()))
    return {"lists": len(lists), "lists_hash": hashlib.sha256(joined.encode()).hexdigest()}


SIDES: Mapping[str, Callable[[Client, int, int, float], Awaitable[dict[str, object]]]] = {
    "make": make,
    "scoring": scoring,
    "decode": decode,
}


async def measure(side: str, url: str, events: int, units: int, born_s: float) -> object:
    """Do one side's work; what it took of time, processor and memory."""
    client = await connect(BrokerSettings(nats_url=url), "bench")
    outcome = await SIDES[side](client, events, units, born_s)
    elapsed = time.time() - born_s
    answer = {
        **outcome,
        "elapsed_s": elapsed,
        "cpu_s": time.process_time(),
        "resident_mb": resident_mb(os.getpid()),
        "peak_mb": peak_resident_mb(os.getpid()),
    }
    await client.close()
    return answer


def main() -> None:
    """Do the job that stands on the standard input."""
    job = json.load(sys.stdin)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.stdout.write(msgspec.json.encode(runner.run(measure(**job))).decode())


if __name__ == "__main__":
    main()
