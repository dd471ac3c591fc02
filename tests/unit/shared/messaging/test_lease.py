"""Who leads, and since when: over a store in memory whose time the test moves."""

import asyncio
import contextlib

import pytest

from shared.messaging.lease import Lease, LeaseTimes, NotLeaderError
from shared.testing.leases import KEY, LeaseStoreSuite, ManualTime, MemoryLeaseStore


class TestMemoryLeaseStore(LeaseStoreSuite):
    @pytest.fixture
    def monotonic(self) -> ManualTime:
        self.time = ManualTime()
        return self.time

    @pytest.fixture
    def store(self, monotonic: ManualTime) -> MemoryLeaseStore:
        return MemoryLeaseStore(monotonic)

    async def pass_time(self, seconds: float) -> None:
        self.time.pass_time(seconds)


class World:
    """Two replicas on one store and one time."""

    def __init__(self) -> None:
        self.time = ManualTime()
        self.store = MemoryLeaseStore(self.time)
        self.changes: list[bool] = []
        self.first = self.replica("first")
        self.second = self.replica("second")

    def replica(self, name: str) -> Lease:
        return Lease(self.store, KEY, name, monotonic=self.time, on_change=self.changes.append)

    def leaders(self) -> list[str]:
        """Whoever may write now: never two."""
        return [lease.name for lease in (self.first, self.second) if lease.is_leader]


async def test_a_holder_that_renews_leads_for_ever_in_one_term() -> None:
    world = World()
    for _ in range(20):
        await world.first.step()
        await world.second.step()
        world.time.pass_time(1.5)
        world.first.check()
        assert not world.second.is_leader
    assert (world.first.term, world.second.term, world.changes) == (1, 0, [True])


async def test_a_frozen_holder_no_longer_leads_before_anybody_else_can() -> None:
    world = World()
    await world.first.step()
    world.time.pass_time(3.9)
    assert world.leaders() == ["first"]
    world.time.pass_time(0.2)
    with pytest.raises(NotLeaderError, match="led by nobody"):
        world.first.check()
    await world.second.step()
    assert world.leaders() == []
    world.time.pass_time(1.0)
    await world.second.step()
    assert world.leaders() == ["second"]
    await world.first.step()
    await world.first.step()
    assert (world.leaders(), world.first.holder) == (["second"], "second")
    assert world.changes == [True, True, False]


async def test_a_holder_that_wakes_up_before_anybody_took_over_leads_in_a_new_term() -> None:
    world = World()
    await world.first.step()
    world.time.pass_time(4.5)
    assert world.leaders() == []
    await world.first.step()
    assert (world.first.is_leader, world.first.term) == (True, 2)
    world.time.pass_time(30)
    await world.first.step()
    await world.first.step()
    assert (world.first.is_leader, world.first.term) == (True, 3)


async def test_a_lost_answer_costs_nothing_if_the_lease_was_written() -> None:
    world = World()
    world.store.lose_next_answer = True
    await world.first.step()
    assert world.leaders() == []
    await world.first.step()
    assert (world.first.is_leader, world.first.term) == (True, 1)
    world.store.lose_next_answer = True
    world.time.pass_time(1.5)
    await world.first.step()
    assert world.first.is_leader
    await world.first.step()
    assert (world.first.is_leader, world.first.term) == (True, 1)


async def test_without_the_broker_leadership_ends_with_the_lease_and_comes_back() -> None:
    world = World()
    await world.first.step()
    world.store.away = True
    for _ in range(3):
        world.time.pass_time(1.4)
        await world.first.step()
    assert not world.first.is_leader
    assert world.changes == [True, False]
    world.store.away = False
    await world.first.step()
    assert (world.first.is_leader, world.first.term) == (True, 2)


async def test_a_released_lease_is_taken_over_at_once() -> None:
    world = World()
    await world.first.step()
    await world.first.release()
    assert not world.first.is_leader
    await world.second.step()
    world.second.check()


async def test_releasing_what_one_does_not_have_leaves_the_leader_alone() -> None:
    world = World()
    await world.first.step()
    await world.second.step()
    await world.second.release()
    await world.first.step()
    assert (world.first.is_leader, world.first.term) == (True, 1)


async def test_a_release_that_the_broker_does_not_hear_frees_the_lease_in_time() -> None:
    world = World()
    await world.first.step()
    world.store.away = True
    await world.first.release()
    world.store.away = False
    await world.second.step()
    assert world.leaders() == []
    world.time.pass_time(5)
    await world.second.step()
    assert world.leaders() == ["second"]


async def test_safekeeping_it_renews_until_cancelled() -> None:
    time = ManualTime()
    store = MemoryLeaseStore(time)
    lease = Lease(store, KEY, "only", times=LeaseTimes(renew_s=0.001, contend_s=0.001), monotonic=time)
    keeping = asyncio.create_task(lease.keep())
    for _ in range(30):
        await asyncio.sleep(0.003)
        time.pass_time(1)
    assert (lease.is_leader, lease.term) == (True, 1)
    keeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await keeping
    time.pass_time(5)
    assert not lease.is_leader
