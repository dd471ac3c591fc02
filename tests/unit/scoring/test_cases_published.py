"""Outcomes of cases on their way: into what is published, closed periods, snapshots, recomputations."""

import asyncio
import json
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from deploy.local.errors import LocalError
from deploy.local.history.moments import parse_moment
from deploy.local.history.offline import recompute_offline
from deploy.local.history.records import parse_record
from deploy.local.history.sources import Source, SourceEndsError, fold_into
from services.scoring.application.cases import CASES, parsed
from services.scoring.application.fold import Fold
from services.scoring.application.past import Past
from services.scoring.application.published import STREAM, PublishedBooks
from services.scoring.application.recompute import diff_lists, recompute, recompute_like
from services.scoring.application.replay import Replay, Stop
from services.scoring.application.snapshots import (
    Cadence,
    KeepSnapshots,
    PastRewrittenError,
    RestoreFold,
    anchor_of,
)
from services.scoring.domain.lists import Row
from services.scoring.domain.snapshots import Cause
from services.scoring.domain.spans import Rolling
from shared.events import PeriodClosed, PeriodRestated
from shared.messaging.group_commit import Outgoing
from shared.rules import load_pack
from tests.unit.scoring.calendars import KEY, LAST_OPEN, Calendar, noon, october
from tests.unit.scoring.case_events import case_event, case_messages
from tests.unit.scoring.fakes import SettableClock
from tests.unit.scoring.feedback import NOW, Message, messages, none_is_invalid
from tests.unit.scoring.publishing import RULES, UNITS, WINDOWS, Platform, good
from tests.unit.scoring.snapshot_fakes import (
    MemoryHistory,
    MemorySnapshots,
    MemorySnapshotStore,
    RecordedSnapshots,
)
from tests.unit.scoring.test_fold_feedback import World

LIST = f"window.{WINDOWS[0].kind}.30"
SETTLED = [case_event(WINDOWS[0], number, at=NOW - timedelta(hours=1)) for number in range(6)]
ON = partial(load_pack, None)


def take_cases(fold: Fold, found: list[Message]) -> None:
    fold.take_cases(
        parsed(fold.case_parser, found, none_is_invalid), found[-1].sequence, anchor_of(found[-1])
    )


class Cases:
    """The stream of cases beside a platform's ratings."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.stream: list[Message] = []

    def feed(self, events: list[Outgoing]) -> None:
        new = case_messages(events, len(self.stream) + 1)
        self.stream += new
        take_cases(self.platform.fold, new)

    async def assert_recomputable(self) -> None:
        live = await self.platform.live()
        again = recompute_like(self.platform.stream, UNITS, lambda _: RULES, live, self.stream)
        assert diff_lists(live, again) == []


async def first_row(platform: Platform) -> Row:
    return (await platform.live())[LIST].rows[0]


async def test_cases_move_the_composite_that_is_published_and_it_is_recomputed_byte_for_byte() -> None:
    platform = Platform()
    cases = Cases(platform)
    platform.feed(good(35))
    await platform.publish()
    before = await first_row(platform)
    assert (before.composite, before.cases) == (before.score, None)
    cases.feed(SETTLED)
    assert await platform.publish()
    row = await first_row(platform)
    assert (row.cases, row.score, row.rank) == (6, before.score, before.rank)
    assert row.rectification == pytest.approx((5 * 75 + 6 * 100) / 11, abs=5e-5)
    assert row.composite == pytest.approx(0.7 * (row.score or 0) + 0.3 * (row.rectification or 0), abs=1e-4)
    live = await platform.live()
    assert live[LIST].head["positions"] == {STREAM: 35, CASES: 6}
    assert platform.events.revised()[-1].data.positions == {STREAM: 35, CASES: 6}
    await cases.assert_recomputable()
    at_five = recompute(platform.stream, UNITS, RULES, NOW.date(), {STREAM: 35, CASES: 5}, cases.stream)
    assert at_five[LIST].hash != live[LIST].hash, "the position decides"
    without = recompute(platform.stream, UNITS, RULES, NOW.date(), {STREAM: 35}, cases.stream)
    assert without[LIST].rows[0] == before


async def test_who_never_closes_a_case_has_no_cleaner_record_than_who_does() -> None:
    platform = Platform()
    cases = Cases(platform)
    platform.feed(good(35))
    cases.feed(SETTLED)
    await platform.publish()
    before = await first_row(platform)
    late: dict[str, Any] = {"overdue": True, "overdue_since": NOW - timedelta(days=50)}
    cases.feed([case_event(WINDOWS[0], 9, 2, "answered", **late)])
    assert await platform.publish()
    row = await first_row(platform)
    assert (row.cases, row.score, row.rank) == (7, before.score, before.rank)
    assert row.rectification == pytest.approx((5 * 75 + 6 * 100) / 12, abs=5e-5)
    await cases.assert_recomputable()
    cases.feed([case_event(WINDOWS[0], 9, 3, **late)])
    await platform.publish()
    assert (await first_row(platform)).rectification == pytest.approx((375 + 600 + 200 / 3) / 12, abs=5e-5)
    await cases.assert_recomputable()


async def test_what_only_moves_the_position_changes_no_list_and_nothing_is_published_twice() -> None:
    platform = Platform()
    cases = Cases(platform)
    platform.feed(good(35))
    await platform.publish()
    said = len(platform.events.sent)
    cases.feed([case_event(WINDOWS[0], 1, 1, "opened")])
    assert await platform.publish(), "the books say how far it has come"
    assert not await platform.publish()
    assert len(platform.events.sent) == said
    books = PublishedBooks.parse(platform.bucket.values["books"][0])
    assert (books.position, books.cases, books.books.balanced) == (35, 1, True)


async def test_a_fold_that_has_not_come_as_far_with_cases_publishes_nothing() -> None:
    platform = Platform()
    cases = Cases(platform)
    platform.feed(good(35))
    cases.feed(SETTLED)
    await platform.publish()
    live = await platform.live()
    platform.restart()
    await platform.publisher.load()
    assert platform.publisher.is_behind(platform.fold)
    assert not await platform.publish()
    take_cases(platform.fold, cases.stream[:5])
    platform.feed(good(1, first=50))
    assert not await platform.publish()
    assert {key: each.hash for key, each in (await platform.live()).items()} == {
        key: each.hash for key, each in live.items()
    }
    take_cases(platform.fold, cases.stream[5:])
    assert await platform.publish()
    await cases.assert_recomputable()


async def test_a_list_that_cases_bring_to_and_fro_is_another_event_each_time() -> None:
    platform = Platform()
    cases = Cases(platform)
    platform.feed(good(35))
    await platform.publish()
    for version in range(2, 6):
        status = "closed" if version % 2 == 0 else "in_progress"
        cases.feed([case_event(WINDOWS[0], 1, version, status)])
        await platform.publish()
    ids = [each.id for each in platform.events.revised()]
    assert len(set(ids)) == len(ids)
    assert (await first_row(platform)).rectification is None
    await cases.assert_recomputable()


# --- closed periods ----------------------------------------------------------------------------------------


async def test_a_case_that_is_annulled_after_the_close_restates_the_list_and_is_its_cause() -> None:
    calendar = Calendar(date(2026, 11, 20))
    cases = Cases(calendar)
    calendar.feed(october(35))
    moment = noon(date(2026, 10, 20))
    cases.feed([case_event(WINDOWS[0], number, at=moment) for number in range(6)])
    await calendar.on(LAST_OPEN)
    await calendar.on(LAST_OPEN + timedelta(days=1))
    closed = await calendar.stands()
    assert closed.is_closed
    assert closed.rows[0].cases == 6
    assert calendar.said(PeriodClosed)
    late = noon(date(2026, 12, 1))
    annulled = case_event(WINDOWS[0], 2, 3, "annulled", at=late, closed_at=moment)
    cases.feed([annulled])
    await calendar.publish()
    (mine,) = [each.data for each in calendar.said(PeriodRestated) if each.subject == KEY]
    assert isinstance(mine, PeriodRestated)
    assert (mine.causes, mine.restatement, mine.closed_hash) == ((annulled.message_id,), 1, closed.hash)
    assert mine.positions == {STREAM: 35, CASES: 7}
    assert [row.cases for row in mine.changed] == [5]
    assert not await calendar.publish()
    await cases.assert_recomputable()
    cases.feed([case_event(WINDOWS[0], 2, 4, at=late, closed_at=moment, revived=True)])
    await calendar.publish()
    assert (await calendar.stands()).rows[0].cases == 6
    await cases.assert_recomputable()


async def test_an_earlier_day_is_shown_with_what_was_settled_by_then() -> None:
    fold = Fold(UNITS, RULES, NOW.date())
    fold.take(messages(good(35)), none_is_invalid)
    moments = [NOW - timedelta(days=days) for days in (1, 1, 1, 1, 1, 0)]
    take_cases(fold, case_messages([case_event(WINDOWS[0], n, at=at) for n, at in enumerate(moments)]))
    past: Past = fold.past()
    assert past.cases == 6
    today, yesterday = (
        past.lists(Rolling(30), day)[LIST].rows for day in (NOW.date(), NOW.date() - timedelta(days=1))
    )
    assert today == fold.lists()[LIST].rows
    assert {row.cases for row in yesterday} == {None}, "its ratings were of today"
    longer = past.lists(Rolling(90), NOW.date())[f"window.{WINDOWS[0].kind}.90"]
    assert longer.rows[0].cases == 6


# --- lives -------------------------------------------------------------------------------------------------


def folded(ratings: int, cases: int) -> Fold:
    fold = Fold(UNITS, RULES, NOW.date())
    if ratings:
        fold.take(messages(good(35))[:ratings], none_is_invalid)
    if cases:
        take_cases(fold, case_messages(SETTLED)[:cases])
    return fold


def bytes_of(fold: Fold) -> list[bytes]:
    return [found.canonical() for found in fold.lists().values()]


@pytest.mark.parametrize("kill_point", [0, 1, 5])
def test_a_fold_taken_up_from_its_dump_goes_on_with_cases_to_the_same_bytes(kill_point: int) -> None:
    whole = folded(35, 6)
    revived = Fold.load(folded(35, kill_point).dump(), UNITS, RULES)
    assert revived.cases.position == kill_point
    take_cases(revived, case_messages(SETTLED)[kill_point:])
    assert bytes_of(revived) == bytes_of(whole)
    assert revived.dump() == Fold.load(revived.dump(), UNITS, RULES).dump()


def test_other_rules_from_today_on_keep_the_cases_that_were_folded() -> None:
    world = World()
    take_cases(world.feedback.fold, case_messages(SETTLED))
    world.feedback.fold_messages(messages(good(35)), 0, 0)
    world.other_rules_from = NOW.date() + timedelta(days=1)
    world.clock.pass_time(86_400)
    assert world.feedback.renew()
    assert (world.feedback.fold.position, world.feedback.fold.cases.position) == (0, 6)
    world.feedback.fold_messages(messages(good(35)), 0, 0)
    assert world.feedback.fold.lists()[LIST].rows[0].cases == 6


async def test_nothing_is_published_before_cases_have_caught_up() -> None:
    world = World()
    world.feedback.cases_caught_up = False
    world.feedback.fold_messages(messages(good(35)), 0, 0)
    assert world.feedback.caught_up
    assert not world.feedback.publishable


class Kept:
    """Snapshots of two streams, whose past may change."""

    def __init__(self) -> None:
        self.ratings, self.cases = MemoryHistory(), MemoryHistory()
        self.ratings.messages = messages(good(35))
        self.cases.messages = case_messages(SETTLED)
        self.store, self.told = MemorySnapshotStore(MemorySnapshots()), RecordedSnapshots()
        clock, still = SettableClock(NOW), asyncio.Lock()
        self.keeper = KeepSnapshots(
            self.store, self.ratings, clock, self.told, Cadence(50, 300), still, cases=self.cases
        )
        self.restorer = RestoreFold(self.store, self.ratings, UNITS, clock, self.told, Fold.load, self.cases)

    async def save(self, cases: int) -> None:
        assert await self.keeper.store(
            await self.keeper.take(folded(35, cases), anchor_of(self.ratings.messages[-1]))
        )

    async def restore(self) -> tuple[int | None, Cause | None]:
        found = await self.restorer.restore(RULES, accept_new_history=False)
        return (
            None if found.fold is None else found.fold.cases.position,
            None if found.changed is None else found.changed.cause,
        )


@pytest.mark.parametrize("cases", [0, 4])
async def test_a_snapshot_says_how_far_it_has_come_with_cases_and_is_begun_from(cases: int) -> None:
    kept = Kept()
    await kept.save(cases)
    assert await kept.restore() == (cases, None)
    kept.cases.first = 6  # what has expired unread is for the archive
    assert await kept.restore() == (cases, None)


async def test_cases_whose_past_changed_are_folded_only_if_somebody_allows_it() -> None:
    for change, cause in (("made anew", Cause.STREAM), ("back", Cause.HISTORY), ("reused", Cause.HISTORY)):
        kept = Kept()
        await kept.save(4)
        if change == "made anew":
            kept.cases.created = "tuesday"
        elif change == "back":
            del kept.cases.messages[2:]
        else:
            kept.cases.messages[3] = replace(kept.cases.messages[3], data=b"another")
        assert await kept.restore() == (None, cause), change
        assert "CASES" in kept.told.refused[0].reason


async def test_no_snapshot_is_taken_of_cases_that_the_stream_no_longer_has_so() -> None:
    kept = Kept()
    kept.cases.messages[3] = replace(kept.cases.messages[3], data=b"another")
    with pytest.raises(PastRewrittenError, match="another case at 4"):
        await kept.save(4)


# --- recomputing -------------------------------------------------------------------------------------------


def test_one_pass_gives_at_every_pair_of_positions_what_a_fold_of_its_own_gives() -> None:
    stream, cases = messages(good(35)), case_messages(SETTLED)
    keys = frozenset({LIST, "county.all.90"})
    day = NOW.date()
    stops = [
        Stop(35, day, RULES, keys, 6),
        Stop(32, day, RULES, keys, 4),
        Stop(32, day, RULES, keys, 0),
        Stop(34, day, RULES, keys, 2),  # goes back: needs a fold of its own
        Stop(35, day + timedelta(days=30), RULES, keys, 6),
    ]
    replay = Replay(UNITS, stops)
    replay.take_cases(cases[:3])
    replay.take_cases(cases[3:])
    replay.take(stream)
    for stop, lists in zip(stops, replay.finish(), strict=True):
        places = {STREAM: stop.position, CASES: stop.cases}
        alone = recompute(stream, UNITS, RULES, stop.as_of, places, cases)
        assert {key: found.hash for key, found in lists.items()} == {key: alone[key].hash for key in keys}
    assert (replay.cases_end, replay.cases_position, replay.cases_invalid) == (6, 6, 0)


def entry(event: Outgoing, stream: str, sequence: int) -> bytes:
    """An item of the archive's `GET /v1/events`, on a line."""
    body = json.loads(event.payload)
    line = {"stream": stream, "sequence": sequence, "subject": event.subject, "event": body}
    return json.dumps(line).encode() + b"\n"


def test_a_file_of_both_streams_gives_what_the_streams_give(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    ratings = [entry(event, STREAM, number) for number, event in enumerate(good(35), 1)]
    cases = [entry(event, CASES, number) for number, event in enumerate(SETTLED, 1)]
    path.write_bytes(b"".join([*ratings, *cases]))
    found = asyncio.run(recompute_offline(Source(str(path)), RULES, None))
    expected = recompute(messages(good(35)), UNITS, RULES, NOW.date(), cases=case_messages(SETTLED))
    assert {key: each.hash for key, each in found.lists.items()} == {
        key: each.hash for key, each in expected.items()
    }
    assert found.lists[LIST].rows[0].cases == 6
    four = asyncio.run(recompute_offline(Source(str(path)), RULES, parse_moment("seq:33/4")))
    alone = recompute(messages(good(33)), UNITS, RULES, NOW.date(), cases=case_messages(SETTLED[:4]))
    assert four.lists[LIST].hash == alone[LIST].hash
    for text in ("seq:33/", "seq:/4", "seq:33/x"):
        with pytest.raises(LocalError, match="write it like one of these"):
            parse_moment(text)
    replay = Replay(UNITS, [Stop(35, NOW.date(), RULES, frozenset({LIST}), 6)])
    asyncio.run(fold_into((replay,), Source(str(path)), None))
    assert replay.finish()[0][LIST].hash == expected[LIST].hash
    path.write_bytes(b"".join([*ratings, *cases[:5]]))
    short = Replay(UNITS, [Stop(35, NOW.date(), RULES, frozenset({LIST}), 6)])
    with pytest.raises(SourceEndsError, match=r"CASES up to sequence 5.*up to sequence 6.*audit export"):
        asyncio.run(fold_into((short,), Source(str(path)), None))


async def test_a_record_of_the_past_says_both_positions() -> None:
    platform = Platform()
    cases = Cases(platform)
    platform.feed(good(35))
    cases.feed(SETTLED)
    await platform.publish()
    revised = [each for each in platform.events.sent if ".revised." in each.subject]
    record = parse_record(revised[0].payload)
    assert record is not None
    assert (record.position, record.cases) == (35, 6)
