"""Ways to fold the same bytes, each in a process of its own: scoring's, and the baselines.

``python -m tests.bench.fold_sides``. The events are made before the clock starts. What folds also tells the
plain count of ratings in each window, so that all sides can be held against one another.
"""

import gc
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import add
from typing import Final

from services.scoring.application.fold import Fold, Message
from services.scoring.domain.buckets import Column
from services.scoring.domain.spans import Rolling
from shared.events import FeedbackSubmitted, InvalidEventError, parse_envelope, spec_for_data
from shared.kernel.grades import Source
from shared.kernel.units import UnitRegistry
from shared.rules.loading import load_pack
from tests.bench.bare_fold import WINDOWS, decode
from tests.bench.fold_events import LAST_DAY, Stored, registry_of, stored_events, windows_of
from tests.bench.processes import watching

TAKE: Final = 1_000
"""Messages in one take, about what the reader hands over under load."""

Counted = Callable[[], list[int]]
"""Asked when the clock has stopped: plain count of ratings in each window."""


def new_fold(registry: UnitRegistry) -> Fold:
    """An empty fold whose windows end on the day that the events lead up to."""
    return Fold(registry, load_pack(None, LAST_DAY), LAST_DAY)


def refuse(_message: Message, error: InvalidEventError) -> None:
    """All events here are valid."""
    raise error


def scoring(stored: Sequence[Stored], registry: UnitRegistry, _url: str) -> Counted:
    """The service's fold, up to statistics that could be ranked."""
    fold = new_fold(registry)
    for start in range(0, len(stored), TAKE):
        fold.take(stored[start : start + TAKE], refuse)
    spans = fold.freeze().spans
    return lambda: [int(spans[Rolling(days)][Source.PUBLIC][:, Column.RATINGS].sum()) for days in WINDOWS]


def bytewax_map(stored: Sequence[Stored], _registry: UnitRegistry, _url: str) -> Counted:
    """Bytewax with a stateful map."""
    from tests.bench.bare_bytewax import rolling_map  # noqa: PLC0415 - other sides shall not load Bytewax

    latest = rolling_map([message.data for message in stored])
    return lambda: _total(ratings for _, ratings in latest.values())


def bytewax_batch(stored: Sequence[Stored], _registry: UnitRegistry, _url: str) -> Counted:
    """Bytewax with stateful batches."""
    from tests.bench.bare_bytewax import rolling_batch  # noqa: PLC0415 - as above

    latest = rolling_batch([message.data for message in stored])
    return lambda: _total(ratings for _, ratings in latest.values())


def redis(stored: Sequence[Stored], _registry: UnitRegistry, url: str) -> Counted:
    """One pipelined Redis."""
    from tests.bench.bare_redis import rolling  # noqa: PLC0415 - as above

    tallies = rolling(url, [message.data for message in stored])
    return lambda: _total(tally.ratings() for tally in tallies.values())


def msgspec(stored: Sequence[Stored], _registry: UnitRegistry, _url: str) -> Counted:
    """Parsing alone with msgspec: the fields that a plain count needs."""
    for message in stored:
        decode(message.data)
    return list


def pydantic(stored: Sequence[Stored], _registry: UnitRegistry, _url: str) -> Counted:
    """Parsing alone with the contract's pydantic model."""
    model = spec_for_data(FeedbackSubmitted).envelope
    for message in stored:
        parse_envelope(model, message.data)
    return list


def _total(counts: Iterable[Sequence[int]]) -> list[int]:
    totals = [0] * len(WINDOWS)
    for each in counts:
        totals = list(map(add, totals, each))
    return totals


SIDES: Final[Mapping[str, Callable[[Sequence[Stored], UnitRegistry, str], Counted]]] = {
    "scoring": scoring,
    "bytewax_map": bytewax_map,
    "bytewax_batch": bytewax_batch,
    "redis": redis,
    "msgspec": msgspec,
    "pydantic": pydantic,
}


def measure(side: str, events: int, days: int, units: int, url: str, pids: Mapping[str, int]) -> object:
    """Let ``side`` fold ``events`` of ``days`` about ``units`` windows; time, cost and what it counted."""
    registry = registry_of(units)
    stored = list(stored_events(windows_of(registry), events, days))
    gc.collect()
    gc.freeze()  # the events: in the service they come and go, and no collection walks over all of them
    with watching(pids) as spent:
        cpu, started = time.process_time(), time.perf_counter()
        counted = SIDES[side](stored, registry, url)
        elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
    return {"counted": counted(), "elapsed_s": elapsed, "cpu": {side: cpu, **spent.seconds}}


def main() -> None:
    """Do the job that stands on the standard input."""
    json.dump(measure(**json.load(sys.stdin)), sys.stdout)


if __name__ == "__main__":
    main()
