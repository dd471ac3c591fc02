"""The sequencer over streams in memory: faults of one stream stay with that stream."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from time import monotonic
from typing import cast

import pytest

from services.archive.application import sequencer, silences
from services.archive.application.ports import EntryLog, LogUnavailableError
from services.archive.application.replaying import ReplayRefusedError
from services.archive.application.sequencer import BATCH_ENTRIES, LINGER_S, Sequencer
from services.archive.domain.entries import Arrival, Entry
from services.archive.domain.leaves import seal
from services.archive.domain.tiles import TreeEdge
from services.archive.metrics import ArchiveMetrics
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import ALERTS, FEEDBACK
from shared.observability.metrics import ServiceMetrics
from shared.testing.builders import alert_raised, envelope_of
from tests.unit.archive.fakes import Leading, MemoryLog, MemoryStreams, stored

LIMIT_S = 10.0


class Archive:
    """A sequencer of two streams, its log and its source."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.streams = MemoryStreams()
        self.leading = Leading()
        self.service_metrics = ServiceMetrics("archive")
        self.metrics = ArchiveMetrics(self.service_metrics)
        self.renew()

    def renew(self, batch_entries: int = BATCH_ENTRIES) -> None:
        """Begin another life of the process."""
        # The log's other half answers the API, which the sequencer does not use.
        self.sequencer = Sequencer(
            cast("EntryLog", self.log),
            self.streams,
            self.leading,
            self.replay,
            self.metrics,
            (FEEDBACK, ALERTS),
            batch_entries=batch_entries,
        )

    async def replay(self) -> TreeEdge:
        """Nothing is announced; the tree over what is there."""
        tree = TreeEdge()
        tree.extend([entry.leaf_hash for entry in self.log.entries])
        return tree

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.sequencer.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def until_archived(self, stream: str, sequences: Sequence[int]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while self.log.sequences(stream) != list(sequences):  # noqa: ASYNC110 - a list has no event
                await asyncio.sleep(0.005)

    def lost(self, stream: str) -> float:
        """What the metrics say was lost of ``stream``."""
        name = "pingyi_archive_sequences_lost_total"
        return self.service_metrics.registry.get_sample_value(name, {"stream": stream}) or 0.0


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the usual pauses between two looks: they are waited for in full."""
    monkeypatch.setattr(sequencer, "LOOK_S", sequencer.LOOK_S / 10)
    monkeypatch.setattr(sequencer, "FOLLOW_S", sequencer.FOLLOW_S / 10)


@pytest.fixture
def archive() -> Archive:
    return Archive()


@pytest.fixture
def _asks_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the usual patience with a stream that does not answer."""
    monkeypatch.setattr(silences, "FIRST_SILENCE_S", silences.FIRST_SILENCE_S / 10)


@pytest.mark.usefixtures("_asks_again_soon")
async def test_a_stream_that_does_not_answer_holds_up_no_other(archive: Archive) -> None:
    archive.streams.put(FEEDBACK, range(1, 4))
    archive.streams.silent.add(FEEDBACK)
    archive.sequencer.offer(FEEDBACK, archive.streams.put(FEEDBACK, range(1, 4)))
    archive.sequencer.offer(ALERTS, archive.streams.put(ALERTS, range(1, 6)))
    async with archive.running():
        await archive.until_archived(ALERTS, [1, 2, 3, 4, 5])
        assert archive.log.sequences(FEEDBACK) == []
        assert FEEDBACK not in archive.streams.acknowledged
        archive.streams.silent.clear()
        await archive.until_archived(FEEDBACK, [1, 2, 3])


@pytest.mark.usefixtures("_asks_again_soon")
async def test_a_stream_that_falls_silent_before_a_gap_is_filled_holds_up_no_other(archive: Archive) -> None:
    async with archive.running():
        archive.sequencer.offer(FEEDBACK, archive.streams.put(FEEDBACK, [1]))
        await archive.until_archived(FEEDBACK, [1])
        archive.streams.silent.add(FEEDBACK)
        archive.sequencer.offer(FEEDBACK, archive.streams.put(FEEDBACK, [2, 3])[1:])
        archive.sequencer.offer(ALERTS, archive.streams.put(ALERTS, [1]))
        await archive.until_archived(ALERTS, [1])
        assert archive.log.sequences(FEEDBACK) == [1]
        archive.streams.silent.clear()
        await archive.until_archived(FEEDBACK, [1, 2, 3])


async def test_a_silent_stream_is_not_asked_before_every_batch_of_the_others(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long these take: it is left alone for longer than they may."""
    monkeypatch.setattr(silences, "FIRST_SILENCE_S", silences.LONGEST_SILENCE_S)
    archive.streams.silent.add(FEEDBACK)
    archive.sequencer.offer(FEEDBACK, archive.streams.put(FEEDBACK, [1]))
    async with archive.running():
        for sequence in range(1, 21):
            archive.sequencer.offer(ALERTS, archive.streams.put(ALERTS, [sequence]))
            await archive.until_archived(ALERTS, range(1, sequence + 1))
    assert archive.streams.asked.count(FEEDBACK) == 1


async def test_a_stream_that_was_made_anew_during_an_interruption_is_refused(archive: Archive) -> None:
    async with archive.running():
        archive.sequencer.offer(FEEDBACK, archive.streams.put(FEEDBACK, [1, 2, 3]))
        await archive.until_archived(FEEDBACK, [1, 2, 3])
        # The broker comes back with another stream that has already reached the same sequence, and goes on.
        archive.streams.put(FEEDBACK, [1, 2, 3], b"another stream")
        archive.streams.interrupted += 1
        archive.sequencer.offer(FEEDBACK, archive.streams.put(FEEDBACK, [4], b"another stream"))
        archive.sequencer.offer(ALERTS, archive.streams.put(ALERTS, [1]))
        await archive.until_archived(ALERTS, [1])
        assert FEEDBACK in archive.sequencer.refused
    assert archive.log.sequences(FEEDBACK) == [1, 2, 3]
    assert archive.streams.acknowledged[FEEDBACK] == 3


async def test_after_an_interruption_the_same_stream_goes_on_and_is_asked_again_at_once(
    archive: Archive,
) -> None:
    async with archive.running():
        archive.sequencer.offer(FEEDBACK, archive.streams.put(FEEDBACK, [1, 2, 3]))
        await archive.until_archived(FEEDBACK, [1, 2, 3])
        archive.streams.asked.clear()
        archive.streams.interrupted += 1
        archive.sequencer.offer(FEEDBACK, archive.streams.put(FEEDBACK, [4]))
        await archive.until_archived(FEEDBACK, [1, 2, 3, 4])
    assert archive.streams.asked
    assert archive.sequencer.refused == {}


async def test_what_expired_before_the_archive_first_saw_a_stream_is_not_lost(archive: Archive) -> None:
    archive.streams.put(FEEDBACK, range(101, 106))
    archive.sequencer.offer(FEEDBACK, archive.streams.put(FEEDBACK, [101, 102]))
    async with archive.running():
        await archive.until_archived(FEEDBACK, range(101, 106))
    assert archive.lost(FEEDBACK) == 0


async def test_what_expires_of_a_stream_while_its_first_deliveries_wait_is_not_lost(archive: Archive) -> None:
    deliveries = archive.streams.put(FEEDBACK, [101, 102])
    archive.streams.kept[FEEDBACK] = {102: b"no event"}
    archive.sequencer.offer(FEEDBACK, deliveries)
    async with archive.running():
        await archive.until_archived(FEEDBACK, [101, 102])
    assert archive.lost(FEEDBACK) == 0


async def test_the_first_message_delivered_out_of_order_is_not_taken_for_the_beginning(
    archive: Archive,
) -> None:
    archive.sequencer.offer(FEEDBACK, archive.streams.put(FEEDBACK, range(101, 106))[3:])
    async with archive.running():
        await archive.until_archived(FEEDBACK, range(101, 106))
    assert archive.lost(FEEDBACK) == 0


async def test_what_vanishes_from_the_middle_is_lost(archive: Archive) -> None:
    archive.sequencer.offer(FEEDBACK, archive.streams.put(FEEDBACK, [1, 2]))
    async with archive.running():
        await archive.until_archived(FEEDBACK, [1, 2])
        archive.sequencer.offer(FEEDBACK, archive.streams.put(FEEDBACK, [6]))
        await archive.until_archived(FEEDBACK, [1, 2, 6])
    assert archive.lost(FEEDBACK) == 3


async def test_what_trickles_in_is_archived_a_few_dozen_at_a_time(archive: Archive) -> None:
    appended: list[int] = []
    append = archive.log.append

    async def counted(entries: Sequence[Entry]) -> None:
        appended.append(len(entries))
        await append(entries)

    archive.log.append = counted  # type: ignore[method-assign]  # a probe
    began = monotonic()
    async with archive.running():
        for sequence in range(1, 101):
            archive.sequencer.offer(FEEDBACK, archive.streams.put(FEEDBACK, [sequence]))
            await asyncio.sleep(0.002)
        await archive.until_archived(FEEDBACK, range(1, 101))
    assert len(appended) < 3 + (monotonic() - began) / LINGER_S, appended


async def test_only_the_leader_archives_and_whoever_gains_the_lease_starts_anew(archive: Archive) -> None:
    archive.leading.is_leader = False
    archive.sequencer.offer(FEEDBACK, archive.streams.put(FEEDBACK, [1, 2, 3]))
    async with archive.running():
        await asyncio.sleep(0)  # it looks at its lease first
        archive.leading.is_leader = True
        await archive.until_archived(FEEDBACK, [1, 2, 3])
        archive.leading.is_leader = False
        async with asyncio.timeout(LIMIT_S):
            while archive.sequencer.sealed() is not None:  # noqa: ASYNC110 - a state has no event
                await asyncio.sleep(0.005)
        other = seal(3, [Arrival(FEEDBACK, 4, "feedback.v1.fact.all.all", b"no event", None)], {})
        archive.streams.put(FEEDBACK, [4])
        await archive.log.append(other)  # the one that leads meanwhile
        archive.leading.is_leader = True
        archive.sequencer.offer(FEEDBACK, archive.streams.put(FEEDBACK, [5]))
        await archive.until_archived(FEEDBACK, [1, 2, 3, 4, 5])


async def test_a_lease_that_ran_out_while_the_process_was_frozen_keeps_the_batch_from_being_written(
    archive: Archive,
) -> None:
    freeze = [True]
    fetch = archive.sequencer.known_ids.indexes_of

    async def frozen(ids: Collection[str]) -> dict[str, int]:
        if freeze:
            freeze.clear()
            archive.leading.is_leader = False  # another one leads when the process goes on
        return await fetch(ids)

    archive.sequencer.known_ids.indexes_of = frozen  # type: ignore[method-assign]  # a probe before the insert
    event = envelope_of(alert_raised()).to_json()
    archive.sequencer.offer(ALERTS, archive.streams.put(ALERTS, [1], event))
    async with archive.running():
        async with asyncio.timeout(LIMIT_S):
            while freeze:  # noqa: ASYNC110 - a list has no event
                await asyncio.sleep(0.005)
        assert archive.log.entries == []
        archive.leading.is_leader = True
        await archive.until_archived(ALERTS, [1])


async def test_a_replay_that_is_refused_archives_nothing_and_says_why(archive: Archive) -> None:
    async def refuse() -> TreeEdge:
        raise ReplayRefusedError("no message 7 in FEEDBACK")

    archive.replay = refuse  # type: ignore[method-assign]  # a probe
    archive.renew()
    archive.sequencer.offer(FEEDBACK, archive.streams.put(FEEDBACK, [1]))
    async with archive.running():
        async with asyncio.timeout(LIMIT_S):
            while archive.sequencer.blocked is None:  # noqa: ASYNC110 - a state has no event
                await asyncio.sleep(0.005)
    assert archive.sequencer.blocked == "no message 7 in FEEDBACK"
    assert archive.log.entries == []
    assert archive.streams.acknowledged == {}


class SlowLog(MemoryLog):
    """Takes its time to write, so that the next batch is made ready meanwhile, and fails when told to."""

    def __init__(self, failures: Sequence[str] = ()) -> None:
        super().__init__()
        self.failures = list(failures)
        self.asked_while_writing = 0
        self._writing = False

    async def indexes_of(self, event_ids: Collection[str]) -> dict[str, int]:
        self.asked_while_writing += self._writing
        return await super().indexes_of(event_ids)

    async def append(self, entries: Sequence[Entry]) -> None:
        self._writing = True
        for _ in range(20):
            await asyncio.sleep(0)
        self._writing = False
        failure = self.failures.pop(0) if self.failures else ""
        if failure == "lost":
            raise LogUnavailableError("nothing was written")
        await super().append(entries[: len(entries) // 2] if failure == "in part" else entries)
        if failure:
            raise LogUnavailableError("nobody said how far it was written")


@pytest.mark.parametrize("failures", [[], ["", "lost"], ["", "in part", "", "in part"], ["", "unknown"] * 3])
async def test_batches_that_overlap_are_one_log_whatever_becomes_of_a_write(
    archive: Archive, failures: list[str]
) -> None:
    archive.log = log = SlowLog(failures)
    archive.renew(batch_entries=4)
    events = [envelope_of(alert_raised()).to_json() for _ in range(6)]
    for sequence in range(1, 49):  # each id comes eight times, the next time often in the very next batch
        archive.sequencer.offer(ALERTS, archive.streams.put(ALERTS, [sequence], events[sequence % 6]))
    async with archive.running():
        await archive.until_archived(ALERTS, range(1, 49))
        async with asyncio.timeout(LIMIT_S):
            while archive.streams.acknowledged.get(ALERTS) != 48:  # noqa: ASYNC110 - a state has no event
                await asyncio.sleep(0.005)
        sealed = archive.sequencer.sealed()
    assert [entry.leaf.duplicate_of for entry in log.entries] == [None] * 6 + [n % 6 for n in range(6, 48)]
    assert log.asked_while_writing > 0
    assert sealed is not None
    assert sealed.tree is not None
    assert sealed.tree.root() == (await archive.replay()).root()


async def test_a_shutdown_lets_the_write_under_way_finish_and_acknowledges_it(archive: Archive) -> None:
    archive.log = log = SlowLog()
    archive.renew(batch_entries=4)
    archive.sequencer.offer(ALERTS, archive.streams.put(ALERTS, range(1, 201)))
    async with archive.running():
        async with asyncio.timeout(LIMIT_S):
            while not log.entries:  # noqa: ASYNC110 - a list has no event
                await asyncio.sleep(0)
        await archive.sequencer.drain()
        durable = len(log.entries)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(log.entries) == durable < 200
        assert archive.streams.acknowledged[ALERTS] == durable


class GatedLog(MemoryLog):
    """Writes when the test lets it; says when a batch of `ALERTS` is about to be written."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.open.set()
        self.writing = asyncio.Event()
        self.meanwhile: Callable[[], None] = lambda: None

    async def append(self, entries: Sequence[Entry]) -> None:
        if entries[0].leaf.stream == ALERTS and not self.writing.is_set():
            self.writing.set()
            self.meanwhile()
        await self.open.wait()
        await super().append(entries)


class RepeatingStreams(MemoryStreams):
    """The broker delivers `ALERTS` again while a gap of `FEEDBACK` is being fetched."""

    def __init__(self, repeat: Callable[[], None]) -> None:
        super().__init__()
        self.repeat = repeat
        self.repeated = asyncio.Event()

    async def fetch(self, stream: str, first: int, last: int) -> list[StoredMessage]:
        if (stream, first) == (FEEDBACK, 2) and not self.repeated.is_set():
            self.repeat()
            self.repeated.set()
        return await super().fetch(stream, first, last)


async def test_what_comes_again_while_it_is_being_written_is_acknowledged_only_when_it_is_written(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequencer, "LOOK_S", 60.0)  # a look waits for what is being written, whatever comes
    archive.log = log = GatedLog()
    archive.streams = streams = RepeatingStreams(
        lambda: archive.sequencer.offer(ALERTS, [stored(ALERTS, each) for each in (1, 2, 3)])
    )
    archive.renew(batch_entries=4)
    async with archive.running():
        archive.sequencer.offer(FEEDBACK, streams.put(FEEDBACK, [1]))
        await archive.until_archived(FEEDBACK, [1])
        log.open.clear()
        streams.put(FEEDBACK, [2])
        late = streams.put(FEEDBACK, [3, 4, 5])
        log.meanwhile = lambda: archive.sequencer.offer(FEEDBACK, late)
        archive.sequencer.offer(ALERTS, streams.put(ALERTS, [1, 2, 3, 4]))
        async with asyncio.timeout(LIMIT_S):
            await streams.repeated.wait()
        await asyncio.sleep(0.3)  # long enough for what was dropped to be acknowledged
        assert log.sequences(ALERTS) == []
        assert ALERTS not in streams.acknowledged
        log.open.set()
        await archive.until_archived(ALERTS, [1, 2, 3, 4])
        await archive.until_archived(FEEDBACK, [1, 2, 3, 4, 5])
        assert ALERTS in streams.acknowledged
