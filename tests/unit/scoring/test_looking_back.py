"""Earlier days through the use cases: the same bytes as a fold of that day, what moved and why, timelines."""

import asyncio
from datetime import date, timedelta

import pytest

from services.scoring.application.cursors import ListRevisedError
from services.scoring.application.fold import Fold
from services.scoring.application.looking_back import history_hash
from services.scoring.application.pages import WantedList
from services.scoring.application.past import Past
from services.scoring.application.published import PublishedList
from services.scoring.application.workshop import OverloadedError, Workshop
from services.scoring.domain.lists import RANKED, SUPPRESSED, ListKey, Row
from services.scoring.domain.moves import Move
from services.scoring.domain.spans import Period, PeriodKind, Rolling
from services.scoring.entrypoints.units import history_body
from shared.kernel.errors import InvalidValueError, NotFoundError
from shared.kernel.grades import Level
from tests.unit.scoring.feedback import NOW, feedback, messages, none_is_invalid
from tests.unit.scoring.serving import (
    RULES,
    TODAY,
    UNITS,
    WINDOWS,
    fold,
    look_back,
    months,
    stored,
    take_past,
)


def folded_on(day: date) -> Fold:
    """All ratings, folded as of that day."""
    made = Fold(UNITS, RULES, day)
    made.take(months(), none_is_invalid)
    return made


@pytest.mark.parametrize("back", [1, 19, 20, 50, 92])
def test_a_list_as_of_an_earlier_day_has_the_bytes_that_a_fold_of_that_day_gives(back: int) -> None:
    day = TODAY - timedelta(days=back)
    expected = folded_on(day).lists()
    past = fold().past()
    shown = past.keys(day)
    assert {str(key) for key in shown} >= {f"window.all.{days}" for days in RULES.windows.days}
    for span in dict.fromkeys(key.span for key in shown):
        for key, found in past.lists(span, day).items():
            if key in expected:
                assert found.canonical() == expected[key].canonical(), key
    assert {str(key) for key in shown} & expected.keys()


def row_of(found: PublishedList, unit_id: str) -> Row:
    return next(row for row in found.rows if row.unit_id == unit_id)


@pytest.mark.parametrize(
    ("unit_id", "window"),
    [
        (WINDOWS[0].unit_id, 30),
        (WINDOWS[1].unit_id, 7),
        (WINDOWS[0].parent_id, 90),
        (UNITS.by_level(Level.CITY)[0].unit_id, 30),
        (UNITS.by_level(Level.PROVINCE)[0].unit_id, 365),
        (WINDOWS[-1].unit_id, 30),
    ],
)
async def test_a_timeline_is_the_units_rows_in_the_lists_of_those_days(unit_id: str, window: int) -> None:
    past = look_back()
    found = await past.history(unit_id, str(window), 40)
    assert [point.day for point in found.points] == [
        TODAY - timedelta(days=back) for back in range(39, -1, -1)
    ]
    for point in found.points[::13]:
        key = found.list
        wanted = WantedList(str(key.level), key.kind, str(window))
        if point.day == TODAY:
            row = row_of(stored().lists[str(key)], unit_id)
        else:
            row = row_of((await past.list_page(wanted, point.day, None, None)).list, unit_id)
        assert (point.status, point.ratings, point.good, point.score, point.rank, point.band) == (
            row.status, row.ratings, row.good, row.score, row.rank, row.band,
        )  # fmt: skip
        assert (point.interval_low, point.interval_high) == (row.interval_low, row.interval_high)


async def test_a_timeline_says_nothing_about_days_on_which_the_unit_is_suppressed() -> None:
    found = await look_back().history(WINDOWS[-1].unit_id, "30", 5)
    assert all(point.status == SUPPRESSED and set(point[2:]) == {None} for point in found.points)


async def test_days_of_a_unit_are_shown_alone_where_none_of_them_is_a_small_group() -> None:
    province = UNITS.by_level(Level.PROVINCE)[0].unit_id
    window = WINDOWS[0].unit_id
    past = look_back()
    large = (await past.history(province, "7", 30)).points
    small = (await past.history(window, "7", 30)).points
    assert all(point.ratings_of_day is not None for point in large)
    assert sum(point.ratings_of_day or 0 for point in large[-7:]) == large[-1].ratings
    assert any(point.status == RANKED or point.ratings for point in small)
    assert all(point.ratings_of_day is None for point in small)


async def test_a_day_without_ratings_is_said_to_have_none_beside_days_that_are_shown() -> None:
    unit, made = WINDOWS[0], Fold(UNITS, RULES, TODAY)
    days_ago = [2] * 40 + [0] * 12
    events = [
        feedback(unit, number=number, occurred_at=NOW - timedelta(days=ago))
        for number, ago in enumerate(days_ago)
    ]
    made.take(messages(events), none_is_invalid)

    async def take() -> Past:
        return made.past()

    found = await look_back(take).history(unit.unit_id, "7", 4)
    assert [point.status for point in found.points] == [SUPPRESSED, RANKED, RANKED, RANKED]
    assert [point.ratings_of_day for point in found.points] == [None, 40, 0, 12]
    assert history_body(found).fewer_than is None, "a day that is not published at all hides no small group"


async def test_a_timeline_of_another_content_has_another_hash() -> None:
    past = look_back()
    one = await past.history(WINDOWS[0].unit_id, "30", 5)
    assert history_hash(one) == history_hash(await look_back().history(WINDOWS[0].unit_id, "30", 5))
    assert history_hash(one) != history_hash(await past.history(WINDOWS[0].unit_id, "30", 6))
    assert history_hash(one) != history_hash(await past.history(WINDOWS[1].unit_id, "30", 5))


@pytest.mark.parametrize("since", ["yesterday", "2026-11-01", "2026-09-01"])
@pytest.mark.parametrize("key", ["window.all.30", "county.all.90", "city.all.7", "province.all.30"])
async def test_moves_are_the_differences_of_the_two_lists(key: str, since: str) -> None:
    found = await look_back().changes(key, since, 2000, None)
    before = {row.unit_id: row for row in found.before.rows}
    differing = {
        row.unit_id
        for row in found.after.rows
        if (row.status, row.rank, row.score, row.band)
        != (before[row.unit_id].status, *before[row.unit_id][3:5], before[row.unit_id].band)
    }
    assert {move.unit_id for move in found.moves} == differing
    assert found.moved == len(differing) > 0
    assert found.after.canonical() == fold().lists()[key].canonical()
    distances = [
        abs(move.places or 0)
        for move in found.moves
        if move.before is not None and move.after is not None and move.before.status == move.after.status
    ]
    assert distances == sorted(distances, reverse=True)


async def test_what_entered_and_left_and_the_peers_explain_the_whole_move() -> None:
    found = await look_back().changes("city.all.30", "2026-10-21", 100, None)
    shown = [move for move in found.moves if not move.exchange.hides]
    assert shown
    for move in shown:
        entered, left = move.exchange.entered, move.exchange.left
        assert move.before is not None
        assert move.after is not None
        assert left is not None
        assert entered.ratings is not None
        assert left.ratings is not None
        assert move.after.ratings == (move.before.ratings or 0) + entered.ratings - left.ratings
        assert entered.ratings == (entered.good or 0) + (entered.bad or 0)
        # By themselves; of what is unproven, a third of them at 0.8, some is left out.
        assert entered.mean_weight == pytest.approx(0.93, abs=0.02)
        assert move.before.left_out
        assert move.after.left_out
        assert move.by_ratings is not None
        assert move.by_peers is not None
        assert move.by_ratings + move.by_peers == pytest.approx(
            (move.after.score or 0) - (move.before.score or 0), abs=0.011
        )


async def test_a_period_only_gains() -> None:
    found = await look_back().changes("city.all.2026-11", "2026-11-05", 100, None)
    assert found.moved
    assert all(move.exchange.left is None for move in found.moves)


async def test_moves_come_page_by_page() -> None:
    past = look_back()
    whole = await past.changes("window.all.90", "2026-10-01", 2000, None)
    pages: list[Move] = []
    cursor: str | None = None
    while True:
        page = await past.changes("window.all.90", "2026-10-01", 7, cursor)
        pages += page.moves
        cursor = page.next
        if cursor is None:
            break
    assert pages == whole.moves
    first = await past.changes("window.all.90", "2026-10-01", 7, None)
    with pytest.raises(InvalidValueError, match=r"changes of window\.all\.90 since 2026-10-02"):
        await past.changes("window.all.90", "2026-10-02", 7, first.next)


@pytest.mark.parametrize("since", ["today", "2026-13-01", "2026-11-20", "2027-01-01", "1999-01-01"])
async def test_changes_since_no_day_before_today_are_refused(since: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        await look_back().changes("county.all.30", since, 10, None)
    assert caught.value.field == "since"


@pytest.mark.parametrize("key", ["county.all.31", "county.marriage.30", "street.all.30", "county", ""])
async def test_changes_of_an_unknown_list_name_those_that_there_are(key: str) -> None:
    with pytest.raises(NotFoundError, match=r"window, county, city, province.*marriage.*7, 30, 90, 365"):
        await look_back().changes(key, "yesterday", 10, None)


async def test_a_day_that_is_no_longer_kept_is_answered_with_the_days_that_are() -> None:
    with pytest.raises(InvalidValueError) as caught:
        await look_back().list_page(WantedList(window="365"), TODAY - timedelta(days=93), 10, None)
    assert "the window 365 from 2026-08-20" in str(caught.value)
    assert "the window 7 from 2025-08-27" in str(caught.value)
    wanted = WantedList(period="2026-10")
    with pytest.raises(InvalidValueError, match=r"one of .*2026-09"):
        await look_back().list_page(wanted, date(2026, 9, 20), 10, None)


async def test_a_fold_that_goes_on_is_copied_anew_after_some_seconds() -> None:
    now, taken = 0.0, 0

    async def take() -> Past:
        nonlocal taken
        taken += 1
        past = await take_past()
        return Past(past.registry, past.rules, past.history, past.position + taken)

    past = look_back(take, lambda: now)
    for moment, position in ((0.0, 9001), (4.9, 9001), (5.0, 9002), (9.9, 9002), (20.0, 9003)):
        now = moment
        assert (await past.history(WINDOWS[0].unit_id, "7", 1)).position == position


async def test_a_cursor_of_moves_holds_until_others_have_moved() -> None:
    now = 0.0
    on = [fold()]

    async def take() -> Past:
        return on[0].past()

    past = look_back(take, lambda: now)
    page = await past.changes("window.all.30", "yesterday", 5, None)
    on[0] = Fold(UNITS, RULES, TODAY)
    on[0].take(months()[:8000], none_is_invalid)
    now = 10.0
    with pytest.raises(ListRevisedError):
        await past.changes("window.all.30", "yesterday", 5, page.next)


async def test_who_asks_the_same_at_once_waits_for_one_computation() -> None:
    workshop, made = Workshop(), []

    def work() -> list[int]:
        made.append(1)
        return [7]

    answers = await asyncio.gather(*(workshop.get("same", work) for _ in range(50)))
    assert (answers, made) == ([[7]] * 50, [1])
    assert await workshop.get("same", lambda: [8]) == [7]


async def test_too_much_at_once_is_refused_with_the_time_to_come_again() -> None:
    workshop = Workshop(at_once=1, most_waiting=1)
    holding = asyncio.Event()
    loop = asyncio.get_running_loop()

    def work() -> list[int]:
        asyncio.run_coroutine_threadsafe(holding.wait(), loop).result(10)
        return []

    waiting = [asyncio.create_task(workshop.get(number, work)) for number in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError) as caught:
        await workshop.get(2, work)
    assert caught.value.retry_after_s
    holding.set()
    await asyncio.gather(*waiting)
    assert await workshop.get(2, lambda: [1]) == [1]


async def test_a_computation_that_fails_is_tried_anew_and_the_oldest_answers_are_forgotten() -> None:
    workshop = Workshop(items_kept=3)

    def fail() -> list[int]:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await workshop.get("a", fail)
    assert await workshop.get("a", lambda: [1, 1]) == [1, 1]
    assert await workshop.get("b", lambda: [2, 2]) == [2, 2]
    assert await workshop.get("a", lambda: [3]) == [3]


def test_the_lists_of_a_day_are_those_that_can_be_shown() -> None:
    keys = fold().past().keys(TODAY - timedelta(days=100))
    spans = {key.span for key in keys}
    assert Rolling(90) in spans
    assert Rolling(365) not in spans
    assert Period(PeriodKind.MONTH, 2026, 8) not in spans
    assert ListKey(Level.WINDOW, "marriage", Rolling(7)) in keys
