"""The watch over fakes: what is raised, taken down, kept over a restart and said only once."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.adapters.flag_events import BusFlagEvents
from services.scoring.adapters.nats_flag_store import decode
from services.scoring.application.fold import Fold
from services.scoring.application.ports import FlagStore, StoreConflictError
from services.scoring.application.watch import IntegrityWatch
from services.scoring.domain import flags as module
from services.scoring.domain.flags import Flags, Moment, revise
from services.scoring.domain.integrity import Examination, Finding
from shared.events import UnitFlagged
from shared.kernel.errors import TransientError
from shared.kernel.grades import Level
from shared.kernel.units import load_units
from shared.rules import load_pack
from shared.testing.publisher import InMemoryPublisher, Published
from tests.unit.scoring.fakes import CountedExaminations, MemoryBucket, MemoryFlagStore, SettableClock
from tests.unit.scoring.feedback import NOW, Message, feedback, none_is_invalid
from tests.unit.scoring.flag_store_suite import FlagStoreSuite, MakeFlagStore

UNITS = load_units()
RULES = load_pack(None, NOW.date())
UNIT = UNITS.by_level(Level.WINDOW)[0]
HOLD_S = RULES.integrity.hold_s


class TestMemoryFlagStore(FlagStoreSuite):
    @pytest.fixture
    def make_store(self) -> MakeFlagStore:
        bucket = MemoryBucket()

        def make() -> FlagStore:
            return MemoryFlagStore(bucket)

        return make


class Platform:
    """A bucket and a bus that outlive any number of service lives."""

    def __init__(self) -> None:
        self.bucket = MemoryBucket()
        self.bus = InMemoryPublisher()
        self.clock = SettableClock(NOW)
        self.counted = CountedExaminations()
        self.stream: list[Message] = []
        self.restart()

    def restart(self) -> None:
        """Begin a new life: everything in memory is gone."""
        self.store, self.watch = self.instance()
        self.fold = Fold(UNITS, RULES, NOW.date())
        self.fold.take(self.stream, none_is_invalid)

    def instance(self) -> tuple[MemoryFlagStore, IntegrityWatch]:
        store = MemoryFlagStore(self.bucket)
        events = BusFlagEvents(self.bus, UNITS)
        return store, IntegrityWatch(store, events, self.clock, self.counted)

    def stuff(self, count: int = 60) -> None:
        """Rate one window ``count`` times within three minutes."""
        first = len(self.stream) + 1
        times = [NOW - timedelta(minutes=30, seconds=3 * number) for number in range(count)]
        events = [
            feedback(UNIT, number=first + at, occurred_at=time, citizen=at, transaction=first)
            for at, time in enumerate(times)
        ]
        new = [Message(event.subject, event.payload, first + at) for at, event in enumerate(events)]
        self.stream += new
        self.fold.take(new, none_is_invalid)

    def forget(self) -> None:
        """Let everything that was rated be gone, as if it had been excluded."""
        self.fold = Fold(UNITS, RULES, NOW.date())
        self.fold.position = len(self.stream)

    async def look(self) -> bool:
        return await self.watch.look(self.fold)

    def said(self) -> list[tuple[str, bool]]:
        return [(each.envelope.data.signal, each.envelope.data.raised) for each in self.bus.published]


async def test_a_flag_is_told_once_when_it_is_raised_and_once_when_it_is_taken_down() -> None:
    platform = Platform()
    assert not await platform.look()
    platform.stuff()
    assert await platform.look()
    assert not await platform.look()
    assert platform.said() == [("seconds_between", True)]
    platform.forget()
    platform.clock.pass_time(HOLD_S)
    assert await platform.look()
    assert platform.said() == [("seconds_between", True), ("seconds_between", False)]
    raised, down = platform.bus.published
    assert raised.subject == f"integrity.v1.unit-flagged.{UNIT.city}.{UNIT.county}"
    for each in (raised, down):
        assert isinstance(each.envelope.data, UnitFlagged)
        assert each.envelope.data.unit_id == each.envelope.subject == UNIT.unit_id
        assert each.envelope.rules == RULES.hash
    assert raised.envelope.data.statistic >= raised.envelope.data.threshold > down.envelope.data.statistic
    assert platform.counted.standing == [0, 1, 1, 0]


async def test_a_flag_that_flickers_stands_for_the_time_that_the_pack_says() -> None:
    platform = Platform()
    platform.stuff()
    await platform.look()
    platform.forget()
    platform.clock.pass_time(HOLD_S - 1)
    assert not await platform.look()
    platform.clock.pass_time(1)
    assert await platform.look()


async def test_the_same_flag_raised_again_on_one_day_is_another_event() -> None:
    platform = Platform()
    platform.stuff()
    full = platform.fold
    for _ in range(2):
        platform.fold = full
        await platform.look()
        platform.forget()
        platform.clock.pass_time(HOLD_S)
        await platform.look()
    assert len({each.envelope.id for each in platform.bus.published}) == 4
    assert [raised for _, raised in platform.said()] == [True, False, True, False]


async def test_a_restart_says_nothing_again() -> None:
    platform = Platform()
    platform.stuff()
    await platform.look()
    platform.restart()
    assert not await platform.look()
    assert platform.bus.attempts == 1
    flags = platform.watch.flags
    assert flags is not None
    assert list(flags.standing) == [(UNIT.unit_id, "seconds_between")]


async def restarted_after(platform: Platform) -> list[Published]:
    """A look that fails, a restart with more ratings folded, and a look that goes well."""
    platform.stuff()
    with pytest.raises(TransientError):
        await platform.look()
    platform.stuff(7)  # so that the numbers are others now
    platform.restart()
    platform.clock.pass_time(20)
    await platform.look()
    return platform.bus.published


async def test_a_crash_before_the_event_was_published_publishes_it_as_it_was() -> None:
    plain, failing = Platform(), Platform()
    plain.stuff()
    await plain.look()
    failing.bus.fail()
    published = await restarted_after(failing)
    assert [each.envelope for each in published] == [each.envelope for each in plain.bus.published]


async def test_a_crash_after_the_event_was_published_repeats_its_id() -> None:
    platform = Platform()
    platform.bus.lose_answers()
    published = await restarted_after(platform)
    assert platform.bus.attempts == 2
    assert len(published) == 1


async def test_a_write_whose_answer_was_lost_is_told_all_the_same() -> None:
    platform = Platform()
    platform.store.lose_next_answer = True
    published = await restarted_after(platform)
    assert [each.envelope.data.raised for each in published] == [True]


async def test_nothing_is_said_before_it_is_written_down() -> None:
    platform = Platform()
    platform.stuff()
    platform.store.fail_next_commit = True
    with pytest.raises(TransientError):
        await platform.look()
    assert platform.bus.attempts == 0
    assert await platform.look()
    assert platform.said() == [("seconds_between", True)]


async def test_of_two_instances_only_one_says_anything() -> None:
    platform = Platform()
    platform.stuff()
    _, second = platform.instance()
    await second.look(Fold(UNITS, RULES, NOW.date()))
    assert await platform.look()
    with pytest.raises(StoreConflictError):
        await second.look(platform.fold)
    assert not await second.look(platform.fold)
    assert platform.bus.attempts == 1


async def test_a_fold_that_lags_takes_nothing_down() -> None:
    platform = Platform()
    platform.stuff()
    await platform.look()
    platform.clock.pass_time(HOLD_S)
    assert not await platform.watch.look(Fold(UNITS, RULES, NOW.date()))
    assert platform.said() == [("seconds_between", True)]


async def test_the_outbox_is_empty_when_everything_is_out() -> None:
    platform = Platform()
    platform.stuff()
    await platform.look()
    stored = decode(platform.bucket.values["flags"][0])
    assert (stored.outbox, stored.serial, stored.position) == ((), 1, len(platform.stream))


async def test_a_unit_that_the_registry_has_lost_holds_nothing_up() -> None:
    bus = InMemoryPublisher()
    finding = Finding("U999999", "burst", 1, 1, 1, None, 0.0, {})
    one = module.Notice(finding, True, 0, "2026-11-20", "r", 1)
    known = one._replace(finding=finding._replace(unit_id=UNIT.unit_id))
    await BusFlagEvents(bus, UNITS).publish([one, known])
    assert [each.envelope.subject for each in bus.published] == [UNIT.unit_id]


def finding(unit: int, probability: float = 1e-9) -> Finding:
    return Finding(f"U{unit:06d}", "burst", 1, 9.0, 3.0, 1.0, probability, {})


@given(st.lists(st.sets(st.integers(0, 5)), max_size=12), st.integers(0, 3))
def test_raised_and_taken_down_alternate_and_add_up_to_what_stands(days: list[set[int]], hold: int) -> None:
    flags, told = Flags({}), dict[str, bool]()
    serials = []
    for at, units in enumerate(days):
        found = Examination(tuple(map(finding, sorted(units))), {})
        before = flags
        flags = revise(flags, found, Moment(at, "d", "r", at), hold)
        for notice in flags.outbox:
            unit = notice.finding.unit_id
            assert told.get(unit, False) != notice.raised
            told[unit] = notice.raised
            serials.append(notice.serial)
        assert (flags is before) == (not flags.outbox)
        assert {f"U{unit:06d}" for unit in units} <= {unit for unit, _ in flags.standing}
        assert {unit for unit, raised in told.items() if raised} == {unit for unit, _ in flags.standing}
        flags = flags.told() if flags.outbox else flags
    assert serials == list(range(1, len(serials) + 1))


def test_the_likeliest_are_left_out_when_there_are_far_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_FLAGS", 2)
    found = Examination(tuple(finding(unit, unit / 100) for unit in range(4)), {})
    flags = revise(Flags({}), found, Moment(0, "d", "r", 1), 0)
    assert [unit for unit, _ in flags.standing] == ["U000000", "U000001"]
