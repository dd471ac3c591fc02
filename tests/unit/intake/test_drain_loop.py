"""When the broker is tried, how fast is drained, and what readiness says; on a spool of our own."""

import asyncio
from time import monotonic
from typing import cast

import pytest

from services.intake.application.draining import Drainer
from services.intake.application.spooling import SpoolFullError
from services.intake.domain.circuit import Circuit
from services.intake.entrypoints.spool import DrainLoop, SpoolHealth, watch_broker
from shared.kernel.errors import TransientError
from shared.messaging.group_commit import PublishOverloadedError


class Spool:
    """Plays `WatchedSpool`, and a drainer of it: a step takes 500 messages, or fails as told."""

    def __init__(self) -> None:
        self.depth, self.set_aside_messages, self.damaged_files = 0, 0, 0
        self.trouble: str | None = None
        self.failures: list[Exception] = []
        self.circuit = Circuit()
        self.connected = self.index_ready = True
        self.probes = 0

    def oldest_age_s(self) -> float:
        return 7.0 if self.depth else 0.0

    async def step(self) -> int:
        if self.failures:
            raise self.failures.pop()
        moved = min(500, self.depth)
        self.depth -= moved
        self.circuit.close()
        return moved

    async def probe(self) -> None:
        self.probes += 1

    def loop(self, per_second: int) -> DrainLoop:
        return DrainLoop(
            cast("Drainer", self),
            self,
            circuit=self.circuit,
            connected=lambda: self.connected,
            index_ready=lambda: self.index_ready,
            probe=self.probe,
            per_second=per_second,
        )


async def run(spool: Spool, seconds: float) -> None:
    task = asyncio.create_task(spool.loop(1_000_000).run())
    await asyncio.sleep(seconds)
    task.cancel()


async def test_draining_keeps_to_its_rate() -> None:
    spool = Spool()
    spool.depth = 10_000
    began = monotonic()
    task = asyncio.create_task(spool.loop(per_second=2500).run())
    async with asyncio.timeout(20):
        while spool.depth > 8_000:  # noqa: ASYNC110 - a number has no event
            await asyncio.sleep(0.005)
    took_s = monotonic() - began
    task.cancel()
    assert spool.depth == 8_000, "one step after the other"
    assert took_s > 3 * 500 / 2500 - 0.01, "each but the first one waits for those before it"


@pytest.mark.parametrize("lacking", ["connected", "index_ready"])
async def test_nothing_is_tried_without_a_connection_or_before_the_index_knows_the_stream(
    lacking: str,
) -> None:
    spool = Spool()
    spool.depth = 10
    setattr(spool, lacking, False)
    await run(spool, 0.25)
    assert (spool.depth, spool.circuit.closed) == (10, False)


async def test_an_empty_spool_asks_before_the_circuit_closes_and_a_failed_step_opens_it() -> None:
    spool = Spool()
    await run(spool, 0.05)
    assert (spool.probes, spool.circuit.closed) == (1, True)
    spool.depth, spool.failures = 10, [TransientError("gone")]
    await run(spool, 0.05)
    assert (spool.depth, spool.circuit.closed, spool.circuit.trips) == (10, False, 1)
    await run(spool, 0.05)
    assert (spool.depth, spool.circuit.closed) == (0, True)


async def test_live_ratings_that_fill_the_queue_go_first_and_open_no_circuit() -> None:
    spool = Spool()
    spool.circuit.close()
    spool.depth, spool.failures = 10, [PublishOverloadedError("full")]
    await run(spool, 0.1)
    assert (spool.depth, spool.circuit.trips) == (0, 0)


@pytest.mark.parametrize("closed", [True, False])
async def test_a_spool_that_cannot_be_drained_keeps_no_live_rating_from_the_broker(*, closed: bool) -> None:
    spool = Spool()
    if closed:
        spool.circuit.close()
    spool.depth, spool.failures = 10, [SpoolFullError("a full disk", "room")]
    await run(spool, 0.05)
    assert (spool.depth, spool.circuit.closed, spool.circuit.trips) == (10, True, 0)
    assert spool.probes == (0 if closed else 1)
    await run(spool, 0.05)
    assert spool.depth == 0


async def test_a_lost_connection_frees_who_waits() -> None:
    class Waiting:
        freed = 0

        def abandon(self) -> None:
            self.freed += 1

    up, circuit, waiting = [True], Circuit(), Waiting()
    circuit.close()
    task = asyncio.create_task(watch_broker(lambda: up[0], circuit, (waiting,)))
    await asyncio.sleep(0.02)
    up[0] = False
    await asyncio.sleep(0.2)
    assert (waiting.freed, circuit.closed) == (1, False)
    task.cancel()


async def test_readiness_waits_for_a_start_then_takes_the_spool_and_fails_without_both() -> None:
    spool, now = Spool(), [0.0]
    health = SpoolHealth(spool, spool.circuit, lambda: spool.index_ready, grace_s=5, now=lambda: now[0])
    with pytest.raises(TransientError, match="a start"):
        await health.accepting()
    now[0] = 6.0
    assert await health.accepting() == "by the spool"
    spool.circuit.close()
    assert (await health.accepting(), await health.empty()) == ("by the broker", "empty")
    spool.circuit.trip()
    spool.depth, spool.trouble = 3, "it is full"
    with pytest.raises(TransientError, match="it is full"):
        await health.accepting()
    with pytest.raises(TransientError, match="3 messages wait, the oldest for 7 s"):
        await health.empty()
