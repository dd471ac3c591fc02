"""Streams and log in memory: what differs is reported once, and that it agrees again too."""

import asyncio
from datetime import UTC, timedelta
from time import monotonic
from typing import cast

import pytest

from services.archive.application import reconciling
from services.archive.application.envelopes import read_attributes
from services.archive.application.ports import EntryLog
from services.archive.application.reconciling import DivergedError, Reconciliation
from services.archive.domain.entries import Arrival
from services.archive.domain.leaves import seal
from services.archive.metrics import ArchiveMetrics
from shared.events import Envelope, StreamDiverged
from shared.kernel.errors import TransientError
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import AUDIT, FEEDBACK
from shared.observability.metrics import ServiceMetrics
from shared.testing.builders import envelope_of, feedback_submitted
from shared.testing.clock import FixedClock
from tests.unit.archive.fakes import MemoryLog, MemoryStreams

RATING = envelope_of(feedback_submitted())


class Reported:
    """The events that were published; refuses them while ``away``."""

    def __init__(self) -> None:
        self.events: list[Envelope[StreamDiverged]] = []
        self.away = False

    async def publish(self, envelope: Envelope[StreamDiverged]) -> None:
        if self.away:
            raise BrokerUnavailableError("away")
        self.events.append(envelope)


class World:
    """One stream, its archive, and a reconciliation of both."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.streams = MemoryStreams()
        self.reported = Reported()
        self.refused: dict[str, str] = {}
        self.clock = FixedClock(RATING.receivedat.astimezone(UTC))
        self.service_metrics = ServiceMetrics("archive")
        self.metrics = ArchiveMetrics(self.service_metrics)
        self.renew()

    def renew(self) -> None:
        """Begin another life of the process."""
        self.reconciliation = Reconciliation(
            entry_log=cast("EntryLog", self.log),
            source=self.streams,
            reports=self.reported,
            refused=lambda: self.refused,
            leads=lambda: True,
            metrics=self.metrics,
            clock=self.clock,
            streams=(FEEDBACK,),
            interval_s=60,
        )

    def put(self, *sequences: int) -> None:
        """Ratings in stream and archive."""
        for sequence in sequences:
            body = RATING.model_copy(update={"id": f"{RATING.id[:-6]}{sequence:06d}"}).to_json()
            self.streams.put(FEEDBACK, [sequence], body)
            self.archive(FEEDBACK, sequence, body)

    def archive(self, stream: str, sequence: int, body: bytes) -> None:
        """One entry of the log."""
        arrival = Arrival(stream, sequence, "feedback.v1.submitted.3607.360702", body, read_attributes(body))
        self.log.entries += seal(len(self.log.entries), [arrival], {})

    def archive_reports(self) -> None:
        """What was reported reaches the log, as every event does."""
        for number, event in enumerate(self.reported.events, 1):
            self.archive(AUDIT, number, event.to_json())

    @property
    def told(self) -> list[tuple[str, bool, int, int, int]]:
        return [
            (each.data.kind, each.data.raised, each.data.first, each.data.last, each.data.sequences)
            for each in self.reported.events
        ]


@pytest.fixture
def world() -> World:
    world = World()
    world.put(*range(1, 31))
    return world


async def test_a_stream_that_agrees_is_not_reported(world: World) -> None:
    await world.reconciliation.round()
    await world.reconciliation.round()
    assert world.told == []
    assert await world.reconciliation.check() == "streams and archive agree"
    compared = world.service_metrics.registry.get_sample_value(
        "pingyi_archive_reconciled_total", {"stream": FEEDBACK}
    )
    assert compared == 30 + 2 * 30  # everything once, and everything again in each turn of the rotation


async def test_what_the_stream_lost_is_reported_once_and_its_return_too(world: World) -> None:
    lost = {sequence: world.streams.kept[FEEDBACK].pop(sequence) for sequence in (12, 13, 20)}
    await world.reconciliation.round()
    await world.reconciliation.round()
    assert world.told == [("lost_in_stream", True, 12, 20, 3)]
    with pytest.raises(DivergedError, match="FEEDBACK lost_in_stream 12 to 20"):
        await world.reconciliation.check()
    world.streams.kept[FEEDBACK] |= lost
    await world.reconciliation.round()
    assert world.told[1:] == [("lost_in_stream", False, 12, 20, 0)]


async def test_holes_that_the_broker_does_not_name_are_found_by_comparing(world: World) -> None:
    world.streams.named = 0
    del world.streams.kept[FEEDBACK][15]
    await world.reconciliation.round()
    assert world.told == [("lost_in_stream", True, 15, 15, 1)]


async def test_what_the_archive_never_got_is_reported(world: World) -> None:
    world.log.entries = [entry for entry in world.log.entries if entry.leaf.sequence != 9]
    await world.reconciliation.round()
    assert world.told == [("missing_in_archive", True, 9, 9, 1)]


async def test_other_bytes_at_a_sequence_are_reported(world: World) -> None:
    world.streams.put(FEEDBACK, [9], b"forged")
    await world.reconciliation.round()
    assert world.told == [("other_bytes", True, 9, 9, 1)]


async def test_expiry_at_the_front_is_normal(world: World) -> None:
    await world.reconciliation.round()
    world.streams.max_age_s = 400 * 86_400
    world.clock.advance(days=401)
    for sequence in range(1, 11):
        del world.streams.kept[FEEDBACK][sequence]
    await world.reconciliation.round()
    assert world.told == []


async def test_a_front_that_went_before_its_time_is_reported(world: World) -> None:
    await world.reconciliation.round()
    world.streams.max_age_s = 400 * 86_400
    world.clock.advance(days=399)
    for sequence in range(1, 11):
        del world.streams.kept[FEEDBACK][sequence]
    await world.reconciliation.round()
    assert world.told == [("front_lost", True, 1, 10, 2)]


async def test_a_full_stream_may_drop_its_oldest(world: World) -> None:
    world.streams.makes_room = True
    for sequence in range(1, 11):
        del world.streams.kept[FEEDBACK][sequence]
    await world.reconciliation.round()
    assert world.told == []


async def test_a_stream_that_went_back_is_reported_even_before_it_is_refused(world: World) -> None:
    for sequence in range(26, 31):
        del world.streams.kept[FEEDBACK][sequence]
    await world.reconciliation.round()
    assert world.told == [("went_back", True, 26, 30, 2)]


async def test_another_life_reports_nothing_again_but_the_end(world: World) -> None:
    lost = world.streams.kept[FEEDBACK].pop(12)
    await world.reconciliation.round()
    world.archive_reports()
    world.renew()
    await world.reconciliation.round()
    assert len(world.told) == 1
    world.streams.kept[FEEDBACK][12] = lost
    await world.reconciliation.round()
    assert world.told[1:] == [("lost_in_stream", False, 12, 12, 0)]
    world.archive_reports()
    world.renew()
    await world.reconciliation.round()
    assert len(world.told) == 2


async def test_two_archives_report_the_same_event(world: World) -> None:
    del world.streams.kept[FEEDBACK][12]
    await world.reconciliation.round()
    world.renew()
    await world.reconciliation.round()
    assert world.reported.events[0].id == world.reported.events[1].id


async def test_a_report_that_was_not_taken_is_made_again(world: World) -> None:
    del world.streams.kept[FEEDBACK][12]
    world.reported.away = True
    await world.reconciliation.round()
    world.reported.away = False
    await world.reconciliation.round()
    assert world.told == [("lost_in_stream", True, 12, 12, 1)]


async def test_a_loss_that_grows_is_reported_when_it_doubled(world: World) -> None:
    for sequence in (3, 4, 5, 6, 7):
        del world.streams.kept[FEEDBACK][sequence]
        await world.reconciliation.round()
    assert [sequences for *_, sequences in world.told] == [1, 2, 4]


async def test_a_silent_stream_is_asked_again_in_the_next_round(world: World) -> None:
    world.streams.silent.add(FEEDBACK)
    await world.reconciliation.round()
    world.streams.silent.clear()
    del world.streams.kept[FEEDBACK][12]
    world.clock.advance(seconds=timedelta(minutes=1).total_seconds())
    await world.reconciliation.round()
    assert world.told == [("lost_in_stream", True, 12, 12, 1)]
    assert issubclass(BrokerUnavailableError, TransientError)


async def test_a_round_rests_longer_than_it_works(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a chunk takes; nobody waits for it, and others want the processor."""
    takes_s = 0.02
    fetch = world.streams.fetch

    async def slowly(stream: str, first: int, last: int) -> list[StoredMessage]:
        await asyncio.sleep(takes_s)
        return await fetch(stream, first, last)

    monkeypatch.setattr(reconciling, "CHUNK", 5)
    monkeypatch.setattr(world.streams, "fetch", slowly)
    began = monotonic()
    await world.reconciliation.round()
    assert monotonic() - began >= (1 + reconciling.REST) * takes_s * (30 / 5)
