"""Surges, quarantine shares and stale rankings: what the counts show, and what they must not."""

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.notify.application.watching import place_name
from services.notify.domain.watch import Rating, Watch
from services.notify.domain.watch_rules import quarantine_share, ranking_stale, surge
from tests.unit.notify.support import NOW, PACK

RULE, SHARE, STALE = PACK.alerts.surge, PACK.alerts.quarantine_share, PACK.alerts.ranking_stale


def rating(number: int, at: datetime, grade: int = 1, **changes: object) -> Rating:
    found = Rating(f"r{number}", "U000112", "3601", "360102", "marriage", grade, at, at)
    return replace(found, **changes)  # type: ignore[arg-type]  # by name


def history(watch: Watch, days: int = 30, per_day: int = 1) -> int:
    """Quiet days before NOW; returns the next sequence."""
    number = 0
    for day in range(days, 1, -1):
        for part in range(per_day):
            number += 1
            watch.rated(rating(number, NOW - timedelta(days=day, minutes=part * 20)), number)
    return number + 1


def burst(watch: Watch, first: int, count: int, at: datetime = NOW) -> list[Rating]:
    found = [rating(first + each, at - timedelta(minutes=each)) for each in range(count)]
    for number, each in enumerate(found, first):
        watch.rated(each, number)
    return found


def test_a_surge_is_told_with_the_baseline_and_the_probability() -> None:
    watch = Watch(RULE)
    burst(watch, history(watch), 12)
    (found,) = watch.surges(RULE, NOW)
    assert (found.count, found.county, found.kind) == (12, "360102", "marriage")
    assert found.usual == pytest.approx(1.0, abs=0.1)
    assert found.probability <= RULE.probability
    alert = surge(found, place_name(found.city, found.county, NOW.date()), PACK)
    assert alert.title == "群体性事件预警:南昌市东湖区婚姻登记24小时内差评12条"
    assert "360102" not in alert.title + alert.body, "people know names, not codes"
    assert alert.figures["place"] == "南昌市东湖区"
    assert "约1.0条" in alert.body
    assert f"{found.probability:.2g}" in alert.body
    assert alert.unit_id is None
    assert len(alert.evidence) == 12


KINDS = ("marriage", "funeral", "elderly", "rescue")


def complaints(first: int, count: int, issue: str = "conduct") -> list[Rating]:
    """The same issue at four kinds of windows of one county, by people who were content on the whole."""
    return [
        rating(
            first + each, NOW - timedelta(minutes=each), 3,
            kind=KINDS[each % 4], unit_id=f"U00011{each % 4}", issues=(issue,),
        )
        for each in range(count)
    ]  # fmt: skip


def test_a_surge_of_one_issue_is_seen_over_all_kinds_of_windows_of_a_county() -> None:
    watch = Watch(RULE)
    for number, each in enumerate(complaints(history(watch), 12), 100):
        watch.rated(each, number)
    (found,) = watch.surges(RULE, NOW)
    assert (found.issue, found.kind, found.county, found.count) == ("conduct", "", "360102", 12)
    assert found.probability <= RULE.probability
    alert = surge(found, place_name(found.city, found.county, NOW.date()), PACK)
    assert alert.title == "群体性事件预警:南昌市东湖区“作风”问题24小时内差评12条"
    assert "各类窗口最近24小时收到“作风”分项差评12条" in alert.body
    assert "通常约0.0条" in alert.body
    assert f"{found.probability:.2g}" in alert.body
    assert alert.figures["issue"] == "conduct"
    assert "kind" not in alert.figures


def test_issues_are_counted_apart_in_each_county() -> None:
    watch = Watch(RULE)
    first = history(watch)
    issues = ("service", "efficiency", "quality", "conduct", "image")
    for number in range(20):
        (each,) = complaints(first + number, 1, issues[number % 5])
        watch.rated(each, first + number)
    elsewhere = [replace(each, county="360103") for each in complaints(first + 20, 4, "conduct")]
    for number, each in enumerate(elsewhere, first + 20):
        watch.rated(each, number)
    assert watch.surges(RULE, NOW) == [], "four of each issue here, four there"


def test_an_issue_that_is_corrected_or_held_is_counted_no_more() -> None:
    watch = Watch(RULE)
    found = complaints(history(watch), 12)
    for number, each in enumerate(found, 100):
        watch.rated(each, number)
    for each in found[:4]:
        watch.corrected(each, replace(each, issues=("image",)))
    for each in found[4:8]:
        watch.taken_out(each, event_id=f"hold-{each.event_id}", held=True)
    assert watch.surges(RULE, NOW) == []
    for each in found[4:8]:
        watch.put_back(each)
    (again,) = watch.surges(RULE, NOW, [("3601", "360102", "", "conduct")])
    assert again.count == 8


@pytest.mark.parametrize(
    ("days", "per_day", "count", "why"),
    [
        (30, 1, 4, "fewer than five would point at people"),
        (30, 8, 12, "it is usual there"),
        (10, 1, 40, "too little history to know what is usual"),
    ],
)
def test_no_surge_where(days: int, per_day: int, count: int, why: str) -> None:
    watch = Watch(RULE)
    burst(watch, history(watch, days, per_day), count)
    assert watch.surges(RULE, NOW) == [], why


def test_an_import_of_old_ratings_is_no_surge_of_today() -> None:
    watch = Watch(RULE)
    first = history(watch)
    for number in range(first, first + 40):
        watch.rated(rating(number, NOW - timedelta(days=9), received_at=NOW), number)
    assert watch.surges(RULE, NOW) == []


def test_ratings_that_are_held_make_no_surge_and_released_ones_do() -> None:
    watch = Watch(RULE)
    ratings = burst(watch, history(watch), 12)
    for each in ratings:
        watch.taken_out(each, event_id=f"hold-{each.event_id}", held=True)
        watch.taken_out(each, event_id=f"out-{each.event_id}", held=False)  # excluded after being held
    assert watch.surges(RULE, NOW) == []
    for each in ratings:
        watch.put_back(each)
    watch.rated(rating(9999, NOW), 9999)
    (found,) = watch.surges(RULE, NOW)
    assert found.count == 13


def test_drills_and_other_sources_are_not_counted() -> None:
    watch = Watch(RULE)
    first = history(watch)
    for number in range(first, first + 40):
        watch.rated(rating(number, NOW, counted=False), number)
    assert watch.surges(RULE, NOW) == []


def test_quiet_places_hardly_ever_raise_a_false_surge() -> None:
    """A hundred places with their own pace, Poisson, one look at the end of each: none in expectation."""
    random = Random(7)
    false = 0
    for place in range(100):
        watch = Watch(RULE)
        pace = random.choice([0.05, 0.3, 1.0, 3.0, 8.0])
        number = 0
        for hour in range(31 * 24, -1, -1):
            for _ in range(sum(random.random() < pace / 24 / 4 for _ in range(4))):
                number += 1
                watch.rated(rating(place * 10_000 + number, NOW - timedelta(hours=hour)), number)
        false += len(watch.surges(RULE, NOW))
    assert false == 0


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(range(8)), undone=st.sets(st.integers(0, 7)))
def test_what_is_taken_out_and_put_back_leaves_no_trace(order: list[int], undone: set[int]) -> None:
    watch, plain = Watch(RULE), Watch(RULE)
    first = history(watch)
    history(plain)
    ratings = burst(watch, first, 8)
    burst(plain, first, 8)
    for place in order:
        watch.taken_out(ratings[place], event_id="h", held=True)
    for place in order:
        watch.put_back(ratings[place])
    for place in undone:
        for each in (watch, plain):
            each.taken_out(ratings[place], event_id="x", held=False)
    counts = [
        [found.count for found in each.surges(RULE, NOW, [("3601", "360102", "marriage", "")])]
        for each in (watch, plain)
    ]
    assert counts[0] == counts[1] or not counts[0]  # evidence of what came back is not known any more
    assert watch.held_shares(SHARE, NOW, ["U000112"]) == []


def test_a_large_share_of_held_ratings_goes_to_those_above() -> None:
    watch = Watch(RULE)
    ratings = burst(watch, 1, 30)
    for each in ratings[:9]:
        watch.taken_out(each, event_id=f"hold-{each.event_id}", held=True)
    assert watch.held_shares(SHARE, NOW) == [], "one less than the pack's ten"
    watch.taken_out(ratings[9], event_id="hold-10", held=True)
    (found,) = watch.held_shares(SHARE, NOW)
    assert (found.held, found.ratings) == (10, 30)
    alert = quarantine_share(found, "东湖区婚姻登记处", PACK)
    assert "33%" in alert.body
    assert alert.evidence[0] == "hold-10"


def test_rankings_that_stand_still_are_told_once_for_each_position() -> None:
    watch = Watch(RULE)
    burst(watch, 1, 25, NOW - timedelta(minutes=11))
    assert watch.stale(STALE, NOW - timedelta(minutes=9), 0) is None, "nothing is old enough"
    found = watch.stale(STALE, NOW + timedelta(minutes=5), 3)
    assert found is not None
    alert = ranking_stale(found, PACK)
    assert alert.figures["position"] == "3"
    again = watch.stale(STALE, NOW + timedelta(minutes=6), 3)
    assert again is not None
    assert ranking_stale(again, PACK).alert_id == alert.alert_id
    assert watch.stale(STALE, NOW + timedelta(minutes=7), 25) is None, "a ranking has them all"
