"""A baseline of the fold: the same rolling ranking as a Bytewax dataflow.

Two ways: ``stateful_map``, which the documentation shows for rolling state, and ``stateful_batch``, which
hands a unit's events of one batch over together and is faster.
"""

from collections.abc import Sequence
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import TestingSource, run_main

from tests.bench.bare_fold import BareEvent, Tally, decode

BATCH = 1_000
"""Events in one batch of the source: 100 and 10,000 were slower."""

Scored = tuple[str, tuple[tuple[float, ...], tuple[int, ...]]]
Latest = dict[str, tuple[tuple[float, ...], tuple[int, ...]]]


def rolling_map(bodies: Sequence[bytes]) -> Latest:
    """By ``stateful_map``: the newest scores and counts of each unit."""

    def roll(state: Tally | None, event: BareEvent) -> tuple[Tally, object]:
        tally = state or Tally()
        tally.add(event)
        return tally, (tally.scores(), tally.ratings())

    flow, keyed, latest = _source(bodies)
    op.output("out", op.stateful_map("roll", keyed, roll), _Sink(latest))
    run_main(flow)
    return latest


def rolling_batch(bodies: Sequence[bytes]) -> Latest:
    """By ``stateful_batch``: the newest scores and counts of each unit."""
    flow, keyed, latest = _source(bodies)
    op.output("out", op.stateful_batch("roll", keyed, _Rolling), _Sink(latest))
    run_main(flow)
    return latest


def _source(bodies: Sequence[bytes]) -> tuple[Any, Any, Latest]:
    flow = Dataflow("rolling_ranking")
    stream = op.input("in", flow, TestingSource(bodies, batch_size=BATCH))
    return flow, op.flat_map_batch("parse", stream, _parse), {}


def _parse(bodies: Sequence[bytes]) -> list[tuple[str, BareEvent]]:
    return [(event.data.unit_id, event) for event in map(decode, bodies)]


class _Rolling(StatefulBatchLogic):  # type: ignore[misc]  # Bytewax is not looked into: pyproject.toml
    def __init__(self, resumed: Tally | None) -> None:
        self._tally = resumed or Tally()

    def on_batch(self, values: list[BareEvent]) -> tuple[list[object], bool]:
        for event in values:
            self._tally.add(event)
        return [(self._tally.scores(), self._tally.ratings())], False

    def snapshot(self) -> Tally:
        return self._tally


class _Partition(StatelessSinkPartition):  # type: ignore[misc]  # as above
    def __init__(self, latest: Latest) -> None:
        self._latest = latest

    def write_batch(self, items: list[Scored]) -> None:
        self._latest.update(items)


class _Sink(DynamicSink):  # type: ignore[misc]  # as above
    def __init__(self, latest: Latest) -> None:
        self._latest = latest

    def build(self, _step_id: str, _worker_index: int, _worker_count: int) -> _Partition:
        return _Partition(self._latest)
