"""The publisher over fakes: what is told, what is kept, what a crash leaves behind."""

from datetime import timedelta
from typing import Any

import pytest

from services.scoring.application.ports import StoreConflictError
from services.scoring.application.publication import Publisher
from services.scoring.application.recompute import diff_lists, recompute
from services.scoring.domain import ranking
from shared.kernel.errors import TransientError
from shared.kernel.grades import Level
from shared.messaging.lease import NotLeaderError
from tests.unit.scoring.fakes import MemoryRankingStore
from tests.unit.scoring.feedback import NOW, feedback, messages, random_feedback
from tests.unit.scoring.publishing import RULES, UNITS, WINDOWS, Platform, good


async def test_the_first_publication_writes_every_list_and_tells_what_is_shown() -> None:
    platform = Platform()
    platform.feed(good(12))
    assert await platform.publish()
    assert len(await platform.live()) == 8 * 16
    assert {event.data.list for event in platform.events.revised()} == {
        f"{level}.{days}"
        for level in (f"window.{WINDOWS[0].kind}", "window.all", "county.all", "city.all", "province.all")
        for days in (7, 30, 90, 365, "2026-11", "2026Q4", "2026")
    }
    for event in platform.events.revised():
        assert event.data.previous_hash is None
        assert (event.data.changed_units, len(event.data.changed)) == (1, 1)
    told = {event.data.unit_id: event.data for event in platform.events.changed()}
    assert told[WINDOWS[0].unit_id].reasons == ("published",)
    assert {each.window_days for each in told.values()} == {30}
    assert {each.level for each in told.values()} == {Level.WINDOW, Level.COUNTY, Level.CITY}
    await platform.assert_recomputable()


async def test_nothing_new_publishes_nothing() -> None:
    platform = Platform()
    platform.feed(good(12))
    await platform.publish()
    sent, written = len(platform.events.sent), platform.bucket.last
    assert not await platform.publish()
    assert (len(platform.events.sent), platform.bucket.last) == (sent, written)


async def test_a_repeat_moves_the_position_and_tells_nothing() -> None:
    platform = Platform()
    platform.feed(good(12))
    await platform.publish()
    sent, computations = len(platform.events.sent), platform.measured.computations
    platform.feed(good(1))
    assert await platform.publish()
    assert platform.publisher.position == 13
    assert len(platform.events.sent) == sent
    assert platform.measured.computations == computations


async def test_a_revision_names_its_predecessor_and_the_rows_that_changed() -> None:
    platform = Platform()
    platform.feed(random_feedback(WINDOWS[:20], 500, seed=1))
    await platform.publish()
    before = await platform.live()
    platform.events.sent.clear()
    platform.feed(good(40, unit=30, first=10_000, grade=1))
    await platform.publish()
    after = await platform.live()
    for event in platform.events.revised():
        key = event.data.list
        assert event.data.previous_hash == before[key].hash
        assert event.data.list_hash == after[key].hash
        old = {row.unit_id: row for row in before[key].rows}
        changed = [row for row in after[key].rows if old[row.unit_id] != row]
        assert [row.unit_id for row in event.data.changed] == [row.unit_id for row in changed]
        assert [row.model_dump() for row in event.data.changed] == [row._asdict() for row in changed]


async def test_a_change_within_the_minute_is_told_after_it_without_new_ratings() -> None:
    platform = Platform()
    platform.feed(good(40))
    await platform.publish()
    platform.events.sent.clear()
    platform.clock.pass_time(10)
    platform.feed(good(30, first=1000, grade=1))
    await platform.publish()
    unit = WINDOWS[0].unit_id
    assert unit not in {event.data.unit_id for event in platform.events.changed()}
    platform.clock.pass_time(10)
    await platform.publish()
    assert platform.events.changed() == []
    platform.clock.pass_time(41)
    await platform.publish()
    (told,) = [event.data for event in platform.events.changed() if event.data.unit_id == unit]
    assert "score" in told.reasons
    assert told.previous_score is not None
    assert told.score is not None
    assert told.score < told.previous_score


async def test_a_change_that_waits_for_its_minute_survives_a_restart() -> None:
    platform = Platform()
    platform.feed(good(40))
    await platform.publish()
    platform.clock.pass_time(10)
    platform.feed(good(30, first=1000, grade=1))
    await platform.publish()
    platform.events.sent.clear()
    platform.restart()
    await platform.publish()
    assert platform.events.sent == []
    platform.clock.pass_time(60)
    await platform.publish()
    assert WINDOWS[0].unit_id in {event.data.unit_id for event in platform.events.changed()}


@pytest.mark.parametrize("failure", ["not written", "answer lost"])
async def test_a_crash_between_events_and_bucket_repeats_the_same_events_or_none(failure: str) -> None:
    platform = Platform()
    platform.feed(random_feedback(WINDOWS[:10], 300, seed=2))
    platform.store.fail_next_commit = failure == "not written"
    platform.store.lose_next_answer = failure == "answer lost"
    with pytest.raises(TransientError):
        await platform.publish()
    first = [event.message_id for event in platform.events.sent]
    platform.events.sent.clear()
    platform.restart()
    await platform.publish()
    assert [event.message_id for event in platform.events.sent] == ([] if failure == "answer lost" else first)
    await platform.assert_recomputable()


async def test_events_that_the_bus_did_not_take_are_not_written_down() -> None:
    platform = Platform()
    platform.feed(good(12))
    platform.events.fail_next = True
    with pytest.raises(TransientError):
        await platform.publish()
    assert platform.bucket.values == {}
    assert await platform.publish()
    assert platform.events.revised()
    assert len(platform.measured.latencies_s) == 12


async def test_a_second_instance_steps_back_and_follows() -> None:
    platform = Platform()
    platform.feed(good(12))
    await platform.publish()
    other = Publisher(
        MemoryRankingStore(platform.bucket), platform.events, UNITS, platform.clock, platform.measured
    )
    await other.load()
    platform.feed(good(5, first=100))
    await platform.publish()
    with pytest.raises(StoreConflictError):
        await other.publish(platform.fold)
    sent = len(platform.events.sent)
    assert not await other.publish(platform.fold)
    assert len(platform.events.sent) == sent


async def test_a_second_instance_is_refused_when_only_an_announcement_is_due() -> None:
    platform = Platform()
    platform.feed(good(40))
    await platform.publish()
    platform.clock.pass_time(10)
    platform.feed(good(30, first=1000, grade=1))
    await platform.publish()  # the lists; the announcement waits for its minute
    other = Publisher(
        MemoryRankingStore(platform.bucket), platform.events, UNITS, platform.clock, platform.measured
    )
    await other.publish(platform.fold)
    platform.clock.pass_time(51)
    assert await platform.publish()
    assert WINDOWS[0].unit_id in {event.data.unit_id for event in platform.events.changed()}
    written = platform.bucket.last
    with pytest.raises(StoreConflictError):
        await other.publish(platform.fold)
    assert platform.bucket.last == written


async def test_two_overlapping_instances_tell_the_same_move_under_the_same_id() -> None:
    platform = Platform()
    platform.feed(good(40))
    await platform.publish()
    platform.clock.pass_time(61)
    other = Publisher(
        MemoryRankingStore(platform.bucket), platform.events, UNITS, platform.clock, platform.measured
    )
    await other.load()
    platform.feed(good(30, first=1000, grade=1))
    platform.events.sent.clear()
    await platform.publish()
    ids = {event.data.unit_id: event.id for event in platform.events.changed()}
    platform.events.sent.clear()
    platform.feed(good(1, first=1000, grade=1))  # a repeat: the fold has moved on, the scores have not
    with pytest.raises(StoreConflictError):
        await other.publish(platform.fold)
    assert {event.data.unit_id: event.id for event in platform.events.changed()} == ids
    assert WINDOWS[0].unit_id in ids


async def test_the_same_move_made_again_later_has_another_id() -> None:
    platform = Platform()
    platform.feed(good(40))
    await platform.publish()
    unit, ids = WINDOWS[0].unit_id, []
    for number in range(3):
        platform.clock.pass_time(61)
        platform.feed(good(30 * (number + 1), first=1000 * (number + 1), grade=1 if number % 2 == 0 else 5))
        await platform.publish()
        ids += [event.id for event in platform.events.changed() if event.data.unit_id == unit]
        platform.events.sent.clear()
    assert len(set(ids)) == len(ids) >= 3


async def test_every_move_of_a_day_names_the_rank_that_the_day_began_with_also_after_a_restart() -> None:
    platform = Platform()
    places = [place for place, unit in enumerate(WINDOWS) if unit.kind == WINDOWS[0].kind][:4]
    for number, place in enumerate(places):
        platform.feed(good(40 + number, unit=place, first=1000 * number))  # the fewest ratings: the last rank
    best = WINDOWS[places[-1]].unit_id
    await platform.publish()
    platform.fold.advance(NOW.date() + timedelta(days=1))
    platform.events.sent.clear()
    for number in (1, 2):
        platform.clock.pass_time(61)
        platform.feed(good(number, unit=places[-1], first=50_000 + 1000 * number, grade=3 - number))
        await platform.publish()
        platform.restart()
        platform.fold.advance(NOW.date() + timedelta(days=1))
    told = [event.data for event in platform.events.changed() if event.data.unit_id == best]
    assert len(told) == 2
    assert {each.day_start_rank for each in told} == {1}
    assert told[-1].rank == 4


async def test_a_fold_behind_what_is_published_publishes_nothing() -> None:
    platform = Platform()
    platform.feed(good(12))
    await platform.publish()
    written = platform.bucket.last
    platform.stream = platform.stream[:6]
    platform.restart()
    await platform.publisher.load()
    assert not await platform.publish()
    assert platform.bucket.last == written


async def test_midnight_moves_the_windows_without_any_rating() -> None:
    platform = Platform()
    platform.feed(good(12))
    await platform.publish()
    platform.events.sent.clear()
    platform.fold.advance(NOW.date() + timedelta(days=1))
    assert await platform.publish()
    live = await platform.live()
    assert {each.as_of for each in live.values()} == {NOW.date() + timedelta(days=1)}
    told = {event.data.list: event.data for event in platform.events.revised()}
    assert told.keys() == {key for key, each in live.items() if each.rows[0].status != "suppressed"}
    assert {(each.as_of, each.changed_units) for each in told.values()} == {
        (NOW.date() + timedelta(days=1), 0)
    }
    platform.events.sent.clear()
    platform.fold.advance(NOW.date() + timedelta(days=7))
    platform.clock.pass_time(7 * 86_400)
    await platform.publish()
    assert {event.data.window_days for event in platform.events.revised() if event.data.changed} == {7}


async def test_latency_is_measured_from_receipt_to_publication() -> None:
    platform = Platform()
    platform.clock.pass_time(2)
    platform.feed([feedback(WINDOWS[0], number=1, occurred_at=NOW, received_at=NOW + timedelta(seconds=0.5))])
    await platform.publish()
    assert platform.measured.latencies_s == [1.5]


async def test_a_difference_is_told_by_list_unit_and_field() -> None:
    platform = Platform()
    platform.feed(good(40))
    await platform.publish()
    again = recompute(messages(good(41)), UNITS, RULES, NOW.date())
    lines = diff_lists(await platform.live(), again)
    assert any(
        line.startswith("window.all.30: ") and "ratings published 40, recomputed 41" in line for line in lines
    )
    assert not any(line.startswith("window.lottery.30") for line in lines)
    missing = diff_lists({}, {"county.all.7": again["county.all.7"]})
    assert missing == ["county.all.7: not published, but the stream gives it"]


async def test_a_replica_that_no_longer_leads_says_and_writes_nothing() -> None:
    platform = Platform()
    platform.feed(good(12))
    platform.leads = False
    with pytest.raises(NotLeaderError):
        await platform.publish()
    assert (platform.events.sent, platform.bucket.values) == ([], {})
    platform.leads = True
    assert await platform.publish()
    await platform.assert_recomputable()


async def test_a_follower_shows_what_the_leader_publishes_and_goes_on_from_there() -> None:
    platform = Platform()
    platform.feed(random_feedback(WINDOWS[:20], 300, seed=1))
    leader, leading_store = platform.publisher, platform.store
    platform.restart()
    await platform.publisher.refresh()
    await leader.publish(platform.fold)
    shown = await platform.publisher.refresh()
    assert shown is not None
    assert shown.books is not None
    assert (shown.books.position, len(shown.lists)) == (len(platform.stream), 8 * 16)
    assert await platform.publisher.refresh() is shown
    platform.events.sent.clear()
    platform.feed(good(40, unit=30, first=10_000, grade=1))
    assert await platform.publish()
    await platform.assert_recomputable()
    assert {event.data.previous_hash for event in platform.events.revised()} <= {
        found.hash for found in shown.lists.values()
    }
    with pytest.raises(StoreConflictError):
        await leading_store.commit({"books": b"{}"}, {})


async def test_a_follower_that_keeps_warm_ranks_only_what_is_new_when_it_leads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[object] = []
    kind = ranking._SpanRanker  # noqa: SLF001 - what a ranker remembers a span with

    def noted(*arguments: Any) -> object:  # noqa: ANN401 - handed on
        made.append(arguments)
        return kind(*arguments)

    monkeypatch.setattr(ranking, "_SpanRanker", noted)
    platform = Platform()
    platform.feed(random_feedback(WINDOWS[:20], 300, seed=1))
    await platform.publisher.refresh()
    await platform.publisher.warm(platform.fold)
    spans = len(made)
    assert (spans > 0, platform.bucket.values, platform.events.sent) == (True, {}, [])
    platform.feed(good(12, unit=30, first=10_000))
    assert await platform.publish()
    assert len(made) == spans
    await platform.assert_recomputable()


async def test_what_a_follower_received_is_measured_by_the_leader_alone() -> None:
    platform = Platform()
    platform.feed(good(12))
    await platform.publisher.refresh()
    await platform.publisher.refresh()
    platform.feed(good(3, first=100))
    await platform.publish()
    assert len(platform.measured.latencies_s) == 3


async def test_a_fold_of_an_accepted_new_past_replaces_what_reaches_further() -> None:
    platform = Platform()
    platform.feed(random_feedback(WINDOWS[:20], 300, seed=1))
    await platform.publish()
    platform.stream = platform.stream[:100]
    platform.restart()
    await platform.publisher.load()
    assert not await platform.publish()
    platform.publisher.allow_backwards()
    assert await platform.publish()
    assert platform.publisher.position == 100
    await platform.assert_recomputable()


async def test_whatever_a_list_that_shows_something_becomes_is_told_though_no_row_changed() -> None:
    """A rating of a hidden unit can change the prior and, rounded, no row: also that must be on record."""
    platform = Platform()
    kind = [window for window in WINDOWS if window.kind == WINDOWS[0].kind]
    platform.feed(random_feedback(kind[:8], 400, seed=3))
    await platform.publish()
    without_rows = 0
    for number in range(12):
        before = await platform.live()
        platform.events.sent.clear()
        platform.feed(good(1, unit=WINDOWS.index(kind[20 + number]), first=10_000 + number))
        await platform.publish()
        told = {event.data.list: event.data for event in platform.events.revised()}
        for key, found in (await platform.live()).items():
            if found.hash != before[key].hash and found.rows[0].status != "suppressed":
                assert told[key].list_hash == found.hash
                assert told[key].previous_hash == before[key].hash
                without_rows += told[key].changed_units == 0
    assert without_rows
