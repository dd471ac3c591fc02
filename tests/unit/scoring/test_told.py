"""Whatever was told last is what stands in the bucket, whoever died between the two."""

from datetime import date, timedelta
from typing import TypeVar

import pytest

from services.scoring.adapters.told_events import read_told
from services.scoring.application.publication import Publisher
from services.scoring.application.published import BOOKS_KEY
from services.scoring.application.told import ToldList
from shared.events import Envelope, EventData, PeriodClosed, PeriodRestated
from shared.kernel.errors import TransientError
from shared.messaging.direct import Read
from tests.unit.scoring.calendars import KEY, LAST_OPEN, Calendar, exclusion, october, reinstatement
from tests.unit.scoring.fakes import MemoryRankingStore
from tests.unit.scoring.publishing import UNITS, WINDOWS, good

Data = TypeVar("Data", bound=EventData)
TODAY = date(2026, 11, 20)
FACTS = ("revised", "score-changed", "period-closed", "period-restated")
LIST = KEY.replace("2026-10", "90")


async def platform() -> Calendar:
    """Thirty-five ratings of one window, published."""
    found = Calendar(TODAY)
    found.feed(october(35))
    await found.publish()
    found.clock.pass_time(61)
    return found


async def dies_between_events_and_bucket(found: Calendar) -> None:
    """Whatever is told from here on does not stand in the bucket."""
    found.store.fail_next_commit = True
    with pytest.raises(TransientError):
        await found.publish()


async def assert_told_is_what_stands(found: Calendar) -> None:
    """As a subscriber sees it who keeps the last event of each list and unit, and the rows that were told."""
    live = await found.live()
    rows: dict[str, dict[str, object]] = {}
    for event in found.events.revised():
        rows.setdefault(event.data.list, {}).update(
            {row.unit_id: row.model_dump() for row in event.data.changed}
        )
    last = {event.data.list: event.data.list_hash for event in found.events.revised()}
    assert last == {key: live[key].hash for key in last}
    for key, known in rows.items():
        standing = {row.unit_id: row._asdict() for row in live[key].rows}
        assert {unit_id: standing[unit_id] for unit_id in known} == known
    units = {event.data.unit_id: event.data for event in found.events.changed()}
    announced = (await MemoryRankingStore(found.bucket).load()).announced
    assert {(unit_id, each.rank, each.score, each.band) for unit_id, each in units.items()} == {
        (unit_id, each.rank, each.score, each.band) for unit_id, each in announced.items()
    }


async def test_what_was_told_and_then_taken_back_before_it_stood_there_is_told_to_be_so() -> None:
    found = await platform()
    before = (await found.live())[LIST]
    found.feed([exclusion(3)])
    await dies_between_events_and_bucket(found)
    told = [event.data.list_hash for event in found.events.revised() if event.data.list == LIST][-1]
    found.feed([reinstatement(3)])
    await found.restarted()
    await found.publish()
    last = [event.data for event in found.events.revised() if event.data.list == LIST][-1]
    assert (last.previous_hash, last.list_hash) == (told, before.hash)
    assert [row.unit_id for row in last.changed] == [WINDOWS[0].unit_id]
    await assert_told_is_what_stands(found)


async def test_a_row_that_only_the_lost_revision_changed_is_told_by_the_next_one() -> None:
    found = await platform()
    found.feed([exclusion(3)])
    await dies_between_events_and_bucket(found)
    found.feed([reinstatement(3), *good(40, unit=1, first=900)])
    await found.restarted()
    await found.publish()
    await assert_told_is_what_stands(found)


async def test_what_was_told_and_is_still_so_is_written_down_and_not_told_again() -> None:
    found = await platform()
    found.feed([exclusion(3)])
    await dies_between_events_and_bucket(found)
    sent = len(found.events.sent)
    await found.restarted()
    await found.publish()
    assert len(found.events.sent) == sent
    await assert_told_is_what_stands(found)
    await found.restarted()
    assert not found.publisher._told  # noqa: SLF001 - that the bucket now knows it is what is asked here
    assert not await found.publish()


async def test_a_unit_that_only_the_lost_publication_showed_is_told_to_be_hidden_again() -> None:
    found = await platform()
    found.feed(good(30, first=2000, grade=1))
    await dies_between_events_and_bucket(found)
    moved = [event.data for event in found.events.changed() if event.data.unit_id == WINDOWS[0].unit_id][-1]
    del found.stream[35:]  # as an accepted new past of the stream leaves them out
    await found.restarted()
    found.clock.pass_time(61)
    await found.publish()
    back = [event.data for event in found.events.changed() if event.data.unit_id == WINDOWS[0].unit_id][-1]
    assert (back.previous_score, back.previous_rank) == (moved.score, moved.rank)
    assert moved.score is not None
    assert (back.reasons, back.score) == (("withdrawn",), None)
    await assert_told_is_what_stands(found)


async def test_another_replica_that_takes_over_knows_what_the_dead_one_told() -> None:
    found = await platform()
    other = Publisher(MemoryRankingStore(found.bucket), found.events, UNITS, found.clock, found.measured)
    await other.load()
    found.feed([exclusion(3)])
    await dies_between_events_and_bucket(found)
    found.feed([reinstatement(3)])
    await other.begin_term()
    await other.publish(found.fold)
    await assert_told_is_what_stands(found)


async def test_a_closing_that_was_told_is_final_and_another_list_than_that_is_a_restatement_of_it() -> None:
    found = await platform()
    await found.on(LAST_OPEN)
    found.fold.advance(LAST_OPEN + timedelta(days=1))
    found.today = LAST_OPEN + timedelta(days=1)
    found.clock.pass_time(86_400)
    await dies_between_events_and_bucket(found)
    (closed,) = _of(found.said(PeriodClosed), PeriodClosed)
    found.feed([exclusion(3)])
    await found.restarted()
    await found.publish()
    assert len(_of(found.said(PeriodClosed), PeriodClosed)) == 1
    (again,) = _of(found.said(PeriodRestated), PeriodRestated)
    standing = await found.stands()
    assert again.closed_hash == closed.list_hash == standing.head["closed_hash"]
    assert (again.restatement, again.list_hash) == (1, standing.hash)
    assert standing.head["restatement"] == 1
    assert [row.ratings for row in again.changed] == [34]


async def test_a_restatement_that_was_told_and_taken_back_is_followed_by_another() -> None:
    found = await platform()
    await found.on(LAST_OPEN)
    await found.on(LAST_OPEN + timedelta(days=1))
    closed = await found.stands()
    found.feed([exclusion(3)])
    await dies_between_events_and_bucket(found)
    found.feed([reinstatement(3)])
    await found.restarted()
    await found.publish()
    told = _of(found.said(PeriodRestated), PeriodRestated)
    standing = await found.stands()
    assert [each.restatement for each in told] == [1, 2]
    assert told[-1].list_hash == standing.hash == closed.hash
    assert standing.head["restatement"] == 2
    assert standing.head["closed_on"] == closed.head["closed_on"]


async def test_a_bucket_that_an_older_version_wrote_is_gone_on_with() -> None:
    found = await platform()
    value, sequence = found.bucket.values[BOOKS_KEY]
    found.bucket.values[BOOKS_KEY] = (value[: value.index(b',"told":')] + b"}", sequence)
    await found.restarted()
    assert not await found.publish()
    found.feed([exclusion(3)])
    await found.publish()
    await assert_told_is_what_stands(found)


def test_more_rows_than_one_event_names_are_not_known_by_name() -> None:
    some, more = ToldList("a", frozenset({"U000001"})), ToldList("b", None)
    assert some.after(None) == some
    assert ToldList("c", frozenset({"U000002"})).after(some).changed == frozenset({"U000001", "U000002"})
    assert some.after(more).changed is None
    assert more.after(some) == ToldList("b", None)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"data":{"list":7}}', b"\xff"])
def test_a_message_that_is_no_event_is_passed_over_and_the_rest_is_known(body: bytes) -> None:
    subjects = [f"ranking.v1.{fact}.36.00" for fact in FACTS]
    poison = [Read(subject, at, body) for at, subject in enumerate(subjects, 1)]
    good_one = Read(subjects[0], 9, b'{"data":{"list":"l","list_hash":"h","changed_units":0,"changed":[]}}')
    told = read_told([*poison, good_one])
    assert told.lists == {"l": ToldList("h", frozenset())}
    assert (told.last, told.units, told.periods) == (9, {}, {})


def _of(found: list[Envelope[EventData]], kind: type[Data]) -> list[Data]:
    return [each.data for each in found if each.subject == KEY and isinstance(each.data, kind)]
