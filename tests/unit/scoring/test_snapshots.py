"""Which snapshot a start begins from, and when the next one is taken: over stores in memory."""

import asyncio
import threading
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.application.fold import Fold
from services.scoring.application.publication import Publisher
from services.scoring.application.published import STREAM
from services.scoring.application.snapshots import (
    MIN_INTERVAL_S,
    Cadence,
    KeepSnapshots,
    PastRewrittenError,
    RestoreFold,
    anchor_of,
)
from services.scoring.domain.snapshots import Cause, Ground, Snapshot, StreamState, refuse
from shared.kernel.errors import PermanentError
from shared.kernel.grades import Level
from shared.kernel.units import UnitRegistry, load_units
from shared.rules import RulePack, load_pack
from shared.testing.leases import ManualTime
from tests.unit.scoring.fakes import (
    Measured,
    MemoryBucket,
    MemoryRankingStore,
    RecordedEvents,
    SettableClock,
)
from tests.unit.scoring.feedback import NOW, Message, messages, none_is_invalid, random_feedback
from tests.unit.scoring.snapshot_fakes import (
    MemoryHistory,
    MemorySnapshots,
    MemorySnapshotStore,
    RecordedSnapshots,
    snapshot_of,
)

UNITS = load_units()
RULES = load_pack(None, NOW.date())
STREAMED = messages(random_feedback(UNITS.by_level(Level.WINDOW)[:10], 120, seed=1))
GROUND = Ground(STREAM, "sha256:registry", "sha256:rules", date(2026, 11, 20))
STATE = StreamState("monday", 1, 30, "hash")
GOOD = snapshot_of(b"blob")


class TestRefusing:
    @pytest.mark.parametrize(
        ("state", "what"),
        [
            (STATE, "the message at its position is there"),
            (STATE._replace(first=10), "it is the oldest that is left"),
            (STATE._replace(first=11, message_hash=None), "it has expired, and the next one has not"),
            (
                STATE._replace(first=20, message_hash=None),
                "so have later ones: the archive has them",
            ),
            (STATE._replace(last=10), "it is the last"),
        ],
    )
    def test_a_snapshot_of_this_stream_under_these_rules_is_used(self, state: StreamState, what: str) -> None:
        assert refuse(GOOD, GROUND, state) is None, what

    def test_a_snapshot_of_nothing_is_used_on_an_empty_stream(self) -> None:
        empty = replace(GOOD, position=0, message_hash="")
        assert refuse(empty, GROUND, StreamState("monday", 0, 0, None)) is None

    @pytest.mark.parametrize(
        ("snapshot", "state", "cause", "reason"),
        [
            (replace(GOOD, format=2), STATE, Cause.FORMAT, "format 2, expected 1"),
            (GOOD, STATE._replace(created="tuesday"), Cause.STREAM, "another stream.*A stream went back"),
            (replace(GOOD, stream="CASES"), STATE, Cause.STREAM, "snapshot of CASES"),
            (GOOD, STATE._replace(last=9, message_hash=None), Cause.HISTORY, "ends at 9: it went back.*went"),
            (
                GOOD,
                STATE._replace(message_hash="other"),
                Cause.HISTORY,
                "given out twice.*A stream went back",
            ),
            (GOOD, STATE._replace(message_hash=None), Cause.HISTORY, "has lost the message there"),
            (replace(GOOD, registry="sha256:old"), STATE, Cause.REGISTRY, "sha256:old, in use is sha256:reg"),
            (replace(GOOD, rules="sha256:old"), STATE, Cause.RULES, "sha256:old, today's are sha256:rules"),
            (replace(GOOD, as_of=date(2026, 11, 21)), STATE, Cause.DAY, "2026-11-21, today is 2026-11-20"),
        ],
    )
    def test_every_other_one_is_refused_with_the_reason(
        self, snapshot: Snapshot, state: StreamState, cause: Cause, reason: str
    ) -> None:
        refusal = refuse(snapshot, GROUND, state)
        assert refusal is not None
        assert refusal.cause is cause
        with pytest.raises(PermanentError, match=reason):
            raise PermanentError(refusal.reason)
        assert refusal.history_changed == (cause in {Cause.STREAM, Cause.HISTORY})

    def test_a_changed_past_is_seen_even_when_the_rules_have_changed_too(self) -> None:
        foreign = replace(GOOD, rules="sha256:old", registry="sha256:old")
        refusal = refuse(foreign, GROUND, STATE._replace(created="tuesday"))
        assert refusal is not None
        assert refusal.history_changed

    @given(
        position=st.integers(0, 40),
        first=st.integers(0, 40),
        length=st.integers(0, 40),
        created=st.sampled_from(["monday", "tuesday"]),
        found=st.sampled_from(["hash", "other"]),
    )
    def test_what_is_used_is_of_this_stream_and_not_behind_its_end(
        self, position: int, first: int, length: int, created: str, found: str
    ) -> None:
        last = first + length - 1
        there = first <= position <= last and position > 0
        state = StreamState(created, first, max(last, 0), found if there else None)
        if refuse(replace(GOOD, position=position), GROUND, state) is None:
            assert created == "monday"
            assert position <= state.last
            assert not there or found == "hash"


class World:
    """A stream, its snapshots, and one life of the service."""

    def __init__(self) -> None:
        self.kept = MemorySnapshots()
        self.history = MemoryHistory()
        self.history.messages = list(STREAMED)
        self.clock = SettableClock(NOW)
        self.time = ManualTime()
        self.restart()

    def restart(self, registry: UnitRegistry = UNITS) -> None:
        self.store = MemorySnapshotStore(self.kept)
        self.told = RecordedSnapshots()
        self.restorer = RestoreFold(self.store, self.history, registry, self.clock, self.told, Fold.load)
        self.still = asyncio.Lock()
        self.keeper = KeepSnapshots(
            self.store, self.history, self.clock, self.told, Cadence(50, 300), self.still, self.time
        )

    async def save(self, position: int) -> bool:
        fold = folded(position)
        return await self.keeper.store(await self.keeper.take(fold, anchor_of(STREAMED[position - 1])))

    async def restore(
        self, rules: RulePack = RULES, *, accept: bool = False
    ) -> tuple[int | None, Cause | None]:
        """Position that is begun from, and the sign of a changed past."""
        found = await self.restorer.restore(rules, accept_new_history=accept)
        assert (found.fold is None) == (found.snapshot is None)
        if found.fold is not None and found.snapshot is not None:
            position = found.fold.position
            assert found.snapshot.position == position
            assert found.snapshot.message_hash == anchor_of(STREAMED[position - 1])
            assert bytes_of(found.fold) == bytes_of(folded(position))
        position_found = None if found.fold is None else found.fold.position
        return position_found, None if found.changed is None else found.changed.cause

    @property
    def refused(self) -> list[Cause]:
        return [refusal.cause for refusal in self.told.refused]


def folded(position: int) -> Fold:
    fold = Fold(UNITS, RULES, NOW.date())
    fold.take(STREAMED[:position], none_is_invalid)
    return fold


def bytes_of(fold: Fold) -> list[bytes]:
    return [found.canonical() for found in fold.lists().values()]


async def test_a_first_start_has_nothing_to_compare_with_and_folds_from_the_beginning() -> None:
    world = World()
    assert await world.restore() == (None, None)
    assert (world.refused, world.told.changed) == ([], False)


async def test_a_start_begins_from_the_newest_snapshot() -> None:
    world = World()
    for position in (50, 100):
        assert await world.save(position)
    world.restart()
    assert await world.restore() == (100, None)
    assert (world.told.restored, world.refused) == ([100], [])


@pytest.mark.parametrize(
    "damage",
    [
        lambda blob: blob[:1000] + bytes([blob[1000] ^ 1]) + blob[1001:],
        lambda blob: blob[:-1],
        lambda _: b"",
    ],
    ids=["a flipped bit", "truncated", "gone"],
)
async def test_a_damaged_snapshot_is_refused_and_an_older_one_is_used(damage: object) -> None:
    world = World()
    await world.save(50)
    await world.save(100)
    assert callable(damage)
    newest, older = world.kept.counting
    world.kept.blobs[newest.blob] = damage(world.kept.blobs[newest.blob])
    world.restart()
    assert await world.restore() == (50, None)
    assert world.refused == [Cause.CORRUPT]
    world.kept.blobs[older.blob] = damage(world.kept.blobs[older.blob])
    world.restart()
    assert await world.restore() == (None, None)
    assert world.refused == [Cause.CORRUPT, Cause.CORRUPT]


async def test_a_blob_that_the_fold_refuses_is_refused_with_its_words() -> None:
    world = World()
    await world.save(50)

    def load(_blob: bytes, _registry: UnitRegistry, _rules: RulePack) -> Fold:
        raise PermanentError("a blob of version 7")

    restorer = RestoreFold(world.store, world.history, UNITS, world.clock, world.told, load)
    assert (await restorer.restore(RULES, accept_new_history=False)).fold is None
    assert [refusal.reason for refusal in world.told.refused] == ["a blob of version 7"]


async def test_a_blob_of_another_position_than_it_is_said_to_have_is_refused() -> None:
    world = World()
    await world.save(50)
    restorer = RestoreFold(world.store, world.history, UNITS, world.clock, world.told, lambda *_: folded(49))
    assert (await restorer.restore(RULES, accept_new_history=False)).fold is None
    assert world.refused == [Cause.CORRUPT]


async def test_snapshots_of_another_registry_or_other_rules_are_refused_and_all_is_folded() -> None:
    world = World()
    await world.save(50)
    world.restart(UnitRegistry(replace(unit, valid_from=date(2020, 1, 1)) for unit in UNITS))
    assert await world.restore() == (None, None)
    assert world.refused == [Cause.REGISTRY]
    world.restart()
    assert await world.restore(replace(RULES, hash="sha256:other")) == (None, None)
    assert world.refused == [Cause.RULES]


async def test_a_snapshot_of_yesterday_is_used_and_one_of_tomorrow_is_not() -> None:
    world = World()
    await world.save(50)
    world.restart()
    world.clock.time = NOW + timedelta(days=1)
    assert await world.restore() == (50, None)
    world.clock.time = NOW - timedelta(days=1)
    world.restart()
    assert await world.restore() == (None, None)
    assert world.refused == [Cause.DAY]


def make_anew(world: World) -> None:
    world.history.created = "tuesday"


def go_back(world: World) -> None:
    del world.history.messages[80:]


def reuse_sequences(world: World) -> None:
    world.history.messages[99] = replace(world.history.messages[99], data=b"another")


@pytest.mark.parametrize(
    ("change", "cause", "older"),
    [(make_anew, Cause.STREAM, None), (go_back, Cause.HISTORY, 50), (reuse_sequences, Cause.HISTORY, 50)],
)
async def test_a_stream_whose_past_changed_is_folded_only_if_somebody_allows_it(
    change: object, cause: Cause, older: int | None
) -> None:
    world = World()
    await world.save(50)
    await world.save(100)
    assert callable(change)
    change(world)
    world.restart()
    assert await world.restore() == (None, cause)
    assert await world.restore() == (None, cause)
    assert (world.refused, world.told.changed) == ([cause], True), "told once, however often it is tried"
    world.restart()
    assert await world.restore(accept=True) == (older, cause)
    assert world.told.changed is not True


async def test_a_stream_that_is_as_it_was_again_is_gone_on_with() -> None:
    world = World()
    await world.save(100)
    go_back(world)
    world.restart()
    assert await world.restore() == (None, Cause.HISTORY)
    world.history.messages = list(STREAMED)
    assert await world.restore() == (100, None)
    assert world.told.changed is False


async def test_expiry_at_the_front_is_normal_and_what_expired_unread_is_for_the_archive() -> None:
    world = World()
    await world.save(50)
    for first in (51, 60):
        world.history.first = first
        world.restart()
        assert await world.restore() == (50, None)
    assert world.refused == []


def test_a_snapshot_is_due_after_enough_messages_or_enough_time_if_anything_was_folded() -> None:
    world = World()
    keeper, time = world.keeper, world.time
    keeper.began_from(1000)
    assert not keeper.due(1050), "not so soon after the start"
    time.pass_time(MIN_INTERVAL_S)
    assert keeper.due(1050)
    assert not keeper.due(1049)
    time.pass_time(300 - MIN_INTERVAL_S)
    assert keeper.due(1001)
    assert not keeper.due(1000)
    assert keeper.due(3), "folded anew under other rules"


async def test_after_a_snapshot_the_next_one_is_due_later() -> None:
    world = World()
    world.keeper.began_from(0, at_once=True)
    assert world.keeper.due(0)
    await world.save(50)
    assert not world.keeper.due(100)
    assert not world.keeper.changed(50)
    assert world.keeper.changed(51)
    world.time.pass_time(MIN_INTERVAL_S)
    assert world.keeper.due(100)
    assert not world.keeper.due(99)


async def test_a_store_without_room_is_told_and_asked_again_only_when_the_next_one_is_due() -> None:
    world = World()
    world.store.full = True
    assert not await world.save(50)
    assert (world.told.failures, world.told.saved) == (1, [])
    assert not world.keeper.due(100)
    world.store.full = False
    assert await world.save(100)
    assert world.told.saved == [100]


async def test_a_replica_that_was_overtaken_does_not_move_the_pointer() -> None:
    world = World()
    await world.save(50)
    zombie = world.keeper
    world.restart()
    await world.save(100)
    taken = await zombie.take(folded(60), anchor_of(STREAMED[59]))
    assert not await zombie.store(taken)
    assert [each.position for each in world.kept.counting] == [100, 50]
    zombie.begin_term()
    assert await zombie.store(await zombie.take(folded(110), anchor_of(STREAMED[109])))


async def test_a_stream_that_says_otherwise_than_what_was_folded_stops_the_fold() -> None:
    world = World()
    world.history.messages[49] = Message(STREAMED[49].subject, b"another", 50)
    with pytest.raises(PastRewrittenError, match="another message at 50"):
        await world.save(50)
    assert world.kept.counting == ()


async def test_nobody_else_touches_the_fold_while_it_is_copied() -> None:
    world, copying, go_on = World(), threading.Event(), threading.Event()

    class SlowFold(Fold):
        def dump(self) -> bytes:
            copying.set()
            assert go_on.wait(10)
            return super().dump()

    fold = SlowFold(UNITS, RULES, NOW.date())
    fold.take(STREAMED[:50], none_is_invalid)
    taking = asyncio.create_task(world.keeper.take(fold, anchor_of(STREAMED[49])))
    assert await asyncio.to_thread(copying.wait, 10)
    publisher = Publisher(
        MemoryRankingStore(MemoryBucket()),
        RecordedEvents(UNITS),
        UNITS,
        world.clock,
        Measured(),
        still=world.still,
    )
    publishing = asyncio.create_task(publisher.publish(fold))
    await asyncio.sleep(0.05)
    assert not publishing.done()
    assert publisher.position == 0
    go_on.set()
    taken = await taking
    assert taken.snapshot.position == 50
    assert await publishing
    assert bytes_of(Fold.load(taken.blob, UNITS, RULES)) == bytes_of(fold)
