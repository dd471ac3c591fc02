"""Calendar periods: closed once, final, and restated beside what was closed."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from services.scoring.application.fold import Fold, registry_hash
from services.scoring.application.recompute import diff_lists, recompute_like
from services.scoring.domain.spans import parse_span
from shared.events import PeriodClosed, PeriodRestated
from shared.kernel.units import UnitRegistry
from tests.unit.scoring.calendars import KEY, LAST_OPEN, OCTOBER, Calendar, exclusion, noon, october
from tests.unit.scoring.feedback import Message, none_is_invalid
from tests.unit.scoring.publishing import RULES, UNITS, WINDOWS


async def test_a_period_closes_thirty_days_after_its_end_and_not_before() -> None:
    calendar = Calendar(date(2026, 11, 20))
    calendar.feed(october(35))
    await calendar.on(LAST_OPEN)
    assert calendar.said(PeriodClosed) == []
    assert not (await calendar.stands()).is_closed
    await calendar.on(LAST_OPEN + timedelta(days=1))
    closed = [event.data for event in calendar.said(PeriodClosed)]
    assert len(closed) == 16 + 1  # of the window's 16 lists one comes in two parts
    assert {event.period for event in closed if isinstance(event, PeriodClosed)} == {OCTOBER}
    (mine,) = [event for event in closed if isinstance(event, PeriodClosed) and event.list == KEY]
    assert (mine.first, mine.last, mine.closed_on) == (
        date(2026, 10, 1), date(2026, 10, 31), date(2026, 12, 1),
    )  # fmt: skip
    assert (mine.units, len(mine.items), mine.items[0].ratings) == (99, 99, 35)
    assert "sorted_by" in mine.model_fields_set  # said by the event, not filled in by whoever reads it
    scores = [getattr(row, mine.sorted_by) for row in mine.items if row.status == "ranked"]
    assert scores
    assert scores == sorted(scores, reverse=True)
    standing = await calendar.stands()
    assert standing.hash == mine.list_hash == standing.head["closed_hash"]
    assert standing.head["closed_on"] == "2026-12-01"


async def test_the_parts_of_a_closed_list_are_the_whole_list() -> None:
    calendar = Calendar(date(2026, 11, 20))
    calendar.feed(october(35))
    await calendar.on(LAST_OPEN)
    await calendar.on(LAST_OPEN + timedelta(days=1))
    key = f"window.all.{OCTOBER}"
    parts = [each.data for each in calendar.said(PeriodClosed) if each.subject == key]
    rows = [row.unit_id for part in parts if isinstance(part, PeriodClosed) for row in part.items]
    assert [(part.part, part.parts) for part in parts if isinstance(part, PeriodClosed)] == [(1, 2), (2, 2)]
    assert rows == [row.unit_id for row in (await calendar.live())[key].rows]
    assert len(rows) == len(WINDOWS)


async def test_a_closed_period_closes_once_whatever_days_pass_and_however_often_it_restarts() -> None:
    calendar = Calendar(date(2026, 11, 20))
    calendar.feed(october(35))
    await calendar.on(LAST_OPEN)
    await calendar.on(date(2026, 12, 1))
    said = len(calendar.said(PeriodClosed))
    for day in (date(2026, 12, 2), date(2026, 12, 20)):
        await calendar.on(day)
        await calendar.restarted()
        await calendar.publish()
    assert len(calendar.said(PeriodClosed)) == said
    assert calendar.said(PeriodRestated) == []


async def test_a_service_that_was_away_when_a_period_closed_closes_it_when_it_is_back() -> None:
    calendar = Calendar(date(2026, 11, 20))
    calendar.feed(october(35))
    await calendar.on(date(2026, 11, 25))
    calendar.today = date(2026, 12, 24)
    calendar.clock.time = noon(calendar.today)
    await calendar.restarted()
    await calendar.publish()
    (mine,) = [each.data for each in calendar.said(PeriodClosed) if each.subject == KEY]
    assert isinstance(mine, PeriodClosed)
    assert mine.closed_on == date(2026, 12, 24)
    assert mine.items[0].ratings == 35


async def test_a_correction_after_the_close_restates_the_list_and_leaves_the_closed_event_alone() -> None:
    calendar = Calendar(date(2026, 11, 20))
    calendar.feed(october(35))
    await calendar.on(LAST_OPEN)
    await calendar.on(date(2026, 12, 1))
    closed = await calendar.stands()
    exclude = exclusion(3)
    calendar.feed([exclude])
    await calendar.publish()
    restated = [each.data for each in calendar.said(PeriodRestated)]
    assert {event.list.split(".")[0] for event in restated if isinstance(event, PeriodRestated)} == {
        "window", "county", "city", "province",
    }  # fmt: skip
    (mine,) = [event for event in restated if isinstance(event, PeriodRestated) and event.list == KEY]
    assert (mine.restatement, mine.closed_hash) == (1, closed.hash)
    assert mine.list_hash != closed.hash
    assert mine.causes == (exclude.message_id,)
    assert [row.ratings for row in mine.changed] == [34]
    standing = await calendar.stands()
    assert (standing.hash, standing.head["restatement"]) == (mine.list_hash, 1)
    assert standing.head["closed_hash"] == closed.hash
    calendar.events.sent.clear()
    calendar.feed([exclusion(4)])
    await calendar.publish()
    (again,) = [each.data for each in calendar.said(PeriodRestated) if each.subject == KEY]
    assert isinstance(again, PeriodRestated)
    assert (again.restatement, len(again.causes), again.closed_hash) == (2, 1, closed.hash)


async def test_a_correction_that_nobody_published_before_a_crash_is_restated_afterwards() -> None:
    calendar = Calendar(date(2026, 11, 20))
    calendar.feed(october(35))
    await calendar.on(LAST_OPEN)
    await calendar.on(date(2026, 12, 1))
    calendar.feed([exclusion(3)])
    calendar.fold = Fold.load(calendar.fold.dump(), UNITS, RULES)  # killed, and back from its snapshot
    await calendar.publish()
    (mine,) = [each.data for each in calendar.said(PeriodRestated) if each.subject == KEY]
    assert isinstance(mine, PeriodRestated)
    assert len(mine.causes) == 1


async def test_ratings_that_come_too_late_are_told_by_the_closing_and_change_nothing() -> None:
    calendar = Calendar(date(2026, 11, 20))
    calendar.feed(october(35))
    calendar.feed(october(4, grade=1, first=100, received=noon(date(2026, 11, 25))))
    await calendar.on(LAST_OPEN)
    await calendar.on(date(2026, 12, 1))
    (mine,) = [each.data for each in calendar.said(PeriodClosed) if each.subject == KEY]
    assert isinstance(mine, PeriodClosed)
    assert (mine.late_missed, mine.items[0].ratings) == (4, 35)


async def test_ratings_that_come_too_late_for_a_closed_period_are_told_by_its_list_from_then_on() -> None:
    calendar = Calendar(date(2026, 11, 20))
    calendar.feed(october(35))
    calendar.feed(october(4, grade=1, first=100, received=noon(date(2026, 11, 25))))
    await calendar.on(LAST_OPEN)
    assert "late_missed" not in (await calendar.stands()).head
    await calendar.on(date(2026, 12, 1))
    closed = await calendar.stands()
    assert closed.head["late_missed"] == 4
    said = len(calendar.events.sent)
    calendar.feed(october(2, grade=1, first=200, received=noon(date(2026, 12, 1))))
    await calendar.publish()
    standing = await calendar.stands()
    assert standing.head == {**closed.head, "late_missed": 6}
    assert standing.computed_hash() == closed.hash
    assert (standing.version, len(calendar.events.sent)) != (closed.version, said)
    await calendar.restarted()
    await calendar.publish()
    assert (await calendar.stands()).head == standing.head
    calendar.feed([exclusion(3)])
    await calendar.publish()
    restated = (await calendar.stands()).head
    assert (restated["restatement"], restated["late_missed"]) == (1, 6)


async def test_a_unit_under_another_name_restates_nothing_that_was_closed_under_the_old_one() -> None:
    calendar = Calendar(date(2026, 11, 20))
    calendar.feed(october(35))
    await calendar.on(LAST_OPEN)
    await calendar.on(date(2026, 12, 1))
    closed = await calendar.stands()
    renamed = UnitRegistry(
        replace(unit, name=f"{unit.name}（新）") if unit is WINDOWS[0] else unit for unit in UNITS
    )
    assert registry_hash(renamed) == registry_hash(UNITS), "a snapshot serves under both"
    dumped = calendar.fold.dump()
    calendar.restart()
    calendar.fold = Fold.load(dumped, renamed, RULES)
    await calendar.publish()
    assert calendar.said(PeriodRestated) == []
    live = await calendar.live()
    assert live[KEY].head == closed.head
    today = live[KEY.replace(OCTOBER, "30")]
    assert today.head["registry"] != closed.head["registry"]
    assert f"{WINDOWS[0].name}（新）" in {row.name for row in today.rows}


async def test_a_failed_publication_closes_the_period_when_it_is_repeated_and_does_not_tell_it_again() -> (
    None
):
    calendar = Calendar(date(2026, 11, 20))
    calendar.feed(october(35))
    await calendar.on(LAST_OPEN)
    calendar.store.fail_next_commit = True
    with pytest.raises(Exception, match="away"):
        await calendar.on(date(2026, 12, 1))
    told = [each.data for each in calendar.said(PeriodClosed) if each.subject == KEY]
    calendar.events.sent.clear()
    await calendar.publish()
    standing = await calendar.stands()
    assert (
        [getattr(each, "list_hash", None) for each in told]
        == [standing.head["closed_hash"]]
        == [standing.hash]
    )
    assert calendar.events.sent == []


async def test_open_and_closed_lists_are_equal_to_those_recomputed_from_the_stream() -> None:
    calendar = Calendar(date(2026, 11, 20))
    calendar.feed(october(35))
    await calendar.on(LAST_OPEN)
    await calendar.on(date(2026, 12, 1))
    calendar.feed([*october(3, first=50, received=noon(date(2026, 11, 2))), exclusion(7)])
    await calendar.publish()
    live = await calendar.live()
    again = recompute_like(_stream(calendar), UNITS, lambda _: RULES, live)
    assert diff_lists(live, again) == []
    assert str(parse_span(OCTOBER)) in {key.rsplit(".", 1)[1] for key in again}


async def test_a_period_that_closes_on_the_first_day_of_other_rules_is_recomputed_under_those() -> None:
    """Its list is as of the day before, its rules are those that it was closed under."""
    other, first = replace(RULES, version="other", hash=f"sha256:{'0' * 64}"), date(2026, 12, 1)
    calendar = Calendar(date(2026, 11, 20))
    calendar.feed(october(35))
    await calendar.on(LAST_OPEN)
    calendar.fold = Fold(UNITS, other, first)  # as at midnight: all is folded anew
    calendar.take(calendar.stream)
    await calendar.on(first)
    closed = await calendar.stands()
    assert (closed.is_closed, closed.as_of, closed.head["rules"]) == (True, LAST_OPEN, other.hash)
    live = await calendar.live()
    rules_on = lambda day: other if day >= first else RULES  # noqa: E731 - one line of the test
    assert diff_lists(live, recompute_like(_stream(calendar), UNITS, rules_on, live)) == []
    calendar.fold = Fold(UNITS, other, first + timedelta(days=3))
    calendar.take(calendar.stream)
    await calendar.on(first + timedelta(days=3))
    live = await calendar.live()
    assert diff_lists(live, recompute_like(_stream(calendar), UNITS, rules_on, live)) == []


def _stream(calendar: Calendar) -> list[Message]:
    fold = Fold(UNITS, RULES, calendar.today)
    fold.take(calendar.stream, none_is_invalid)
    assert fold.books() == calendar.fold.books()
    return calendar.stream


async def test_a_month_that_a_clock_ahead_has_begun_is_not_closed_by_one_that_is_behind() -> None:
    found = Calendar(LAST_OPEN)
    found.feed(october(35))
    await found.publish()
    await found.on(LAST_OPEN + timedelta(days=1))
    found.today = LAST_OPEN
    await found.restarted()
    found.feed(october(1, first=99))
    await found.publish()
    closed = [event.data for event in found.said(PeriodClosed)]
    assert {each.period for each in closed if isinstance(each, PeriodClosed)} == {OCTOBER}
    begun = {key: each for key, each in (await found.live()).items() if key.endswith(".2026-12")}
    assert begun
    assert not [key for key, each in begun.items() if each.is_closed]
