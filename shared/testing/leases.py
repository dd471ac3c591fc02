"""Leases in memory, and what every `LeaseStore` does: the fake and the broker's bucket run the same suite."""

import asyncio
from abc import abstractmethod

import pytest

from shared.messaging.lease import Lease, LeaseConflictError, LeaseRecord, LeaseStore
from shared.messaging.publisher import BrokerUnavailableError

KEY = "scoring"


class ManualTime:
    """Monotonic seconds that pass when a test says so."""

    def __init__(self) -> None:
        """Start at 1,000."""
        self.now = 1000.0

    def __call__(self) -> float:
        """The present second."""
        return self.now

    def pass_time(self, seconds: float) -> None:
        """Let ``seconds`` go by."""
        self.now += seconds


class MemoryLeaseStore:
    """A `LeaseStore` whose time is the test's.

    Attributes:
        away: every call fails, and nothing is written.
        lose_next_answer: the next write is made, but its answer gets lost.
    """

    def __init__(self, monotonic: ManualTime) -> None:
        """Start empty."""
        self.away = False
        self.lose_next_answer = False
        self._monotonic = monotonic
        self._records: dict[str, tuple[LeaseRecord, float]] = {}
        self._last = 0

    def _standing(self, key: str) -> LeaseRecord | None:
        record, ends = self._records.get(key, (None, 0.0))
        return record if self._monotonic() < ends else None

    async def read(self, key: str) -> LeaseRecord | None:
        """See `LeaseStore.read`."""
        if self.away:
            raise BrokerUnavailableError("away")
        return self._standing(key)

    async def write(self, key: str, holder: str, ttl_s: float, replaces: int) -> int:
        """See `LeaseStore.write`."""
        if self.away:
            raise BrokerUnavailableError("away")
        standing = self._standing(key)
        if (standing.sequence if standing is not None else 0) != replaces:
            raise LeaseConflictError(key)
        self._last += 1
        self._records[key] = (LeaseRecord(holder, self._last), self._monotonic() + ttl_s)
        if self.lose_next_answer:
            self.lose_next_answer = False
            raise BrokerUnavailableError("written, but nobody said so")
        return self._last


class LeaseStoreSuite:
    """Behaviour of the role. Subclass it as ``Test…`` with a fixture ``store`` and :meth:`pass_time`."""

    @abstractmethod
    async def pass_time(self, seconds: float) -> None:
        """Let the store's time go by."""

    async def test_nobody_has_a_lease_at_first(self, store: LeaseStore) -> None:
        """An absent key is no error."""
        assert await store.read(KEY) is None

    async def test_what_was_written_is_read_with_its_sequence(self, store: LeaseStore) -> None:
        """The sequence is what the next write replaces."""
        sequence = await store.write(KEY, "a", 5, 0)
        assert await store.read(KEY) == LeaseRecord("a", sequence)
        again = await store.write(KEY, "a", 5, sequence)
        assert again > sequence

    async def test_only_who_knows_what_stands_there_may_write(self, store: LeaseStore) -> None:
        """The second contender, and a holder that was overtaken, are refused."""
        first = await store.write(KEY, "a", 5, 0)
        with pytest.raises(LeaseConflictError):
            await store.write(KEY, "b", 5, 0)
        second = await store.write(KEY, "b", 5, first)
        with pytest.raises(LeaseConflictError):
            await store.write(KEY, "a", 5, first)
        assert await store.read(KEY) == LeaseRecord("b", second)

    async def test_of_many_contenders_at_once_one_gets_it(self, store: LeaseStore) -> None:
        """The store decides, not the order of the questions."""
        contenders = [store.write(KEY, f"n{number}", 5, 0) for number in range(20)]
        outcomes = await asyncio.gather(*contenders, return_exceptions=True)
        winners = [outcome for outcome in outcomes if isinstance(outcome, int)]
        losers = [outcome for outcome in outcomes if isinstance(outcome, LeaseConflictError)]
        assert (len(winners), len(losers)) == (1, len(contenders) - 1)

    async def test_what_is_not_renewed_disappears_and_may_be_taken(self, store: LeaseStore) -> None:
        """The key of a dead holder frees itself, and the dead one is refused when it wakes up."""
        sequence = await store.write(KEY, "a", 1, 0)
        await self.pass_time(2.5)
        assert await store.read(KEY) is None
        await store.write(KEY, "b", 5, 0)
        with pytest.raises(LeaseConflictError):
            await store.write(KEY, "a", 5, sequence)

    async def test_two_replicas_lead_one_after_the_other(self, store: LeaseStore) -> None:
        """The whole life of a lease: gained, renewed, let go, taken over at once."""
        first, second = Lease(store, KEY, "a"), Lease(store, KEY, "b")
        await first.step()
        await second.step()
        assert (first.is_leader, second.is_leader, second.holder) == (True, False, "a")
        await first.step()
        assert first.term == 1
        await first.release()
        await second.step()
        await first.step()
        assert (first.is_leader, second.is_leader, first.holder) == (False, True, "b")
