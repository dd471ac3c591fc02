"""Pairs within a minute: a function of the set of ratings that count, of the day, and of nothing else."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.domain.buckets import Column
from services.scoring.domain.days import DAY_MS, SHANGHAI_MS, day_of_ms
from services.scoring.domain.ledger import Ledger
from services.scoring.domain.pace import Pace
from services.scoring.domain.ratings import PUBLIC, Rating, Revision, State
from tests.support.properties import retried
from tests.unit.scoring.feedback import rating
from tests.unit.scoring.full_oracle import Event
from tests.unit.scoring.test_ledger_decisions import (
    AS_OF,
    NOON_MS,
    RULES,
    UNITS,
    feed,
    folded,
    histories,
    revived,
)

MINUTE_MS = 60_000


def counted_one_by_one(ledger: Ledger, events: Sequence[Event]) -> list[tuple[list[int], list[int]]]:
    """Ratings and pairs of yesterday and today by comparing all ratings that count with one another."""
    found = []
    for day in (ledger.as_of - 1, ledger.as_of):
        alone = [[each.occurred_ms for each in standing(events, unit, day)] for unit in range(UNITS)]
        pairs = [
            sum(a // MINUTE_MS == b // MINUTE_MS for at, a in enumerate(times) for b in times[:at])
            for times in alone
        ]
        found.append(([len(times) for times in alone], pairs))
    return found


def standing(events: Sequence[Event], unit: int, day: int) -> list[Rating]:
    """Public ratings of a unit and day without repeat keys: nothing but the newest decision moves them."""
    submitted = {each.event_id: each for each in events if isinstance(each, Rating) and not each.synthetic}
    newest: dict[bytes, Revision] = {}
    for each in events:
        if isinstance(each, Revision):
            known = newest.get(each.submitted.event_id)
            if known is None or known.number < each.number:
                newest[each.submitted.event_id] = each
    found = []
    for event_id, one in submitted.items():
        decided = newest.get(event_id)
        if decided is not None and decided.state is not State.COUNTED:
            continue
        now = one if decided is None else decided.standing
        late = now.received_ms - now.occurred_ms > RULES.lateness_days * DAY_MS
        if not late and now.source == PUBLIC and (now.unit, day_of_ms(now.occurred_ms)) == (unit, day):
            found.append(now)
    return found


def seen(ledger: Ledger) -> list[tuple[list[int], list[int]]]:
    return [(day.ratings.tolist(), day.pairs.tolist()) for day in ledger.pace()]


def without_repeats(events: Sequence[Event]) -> list[Event]:
    """The same events, but no rating replaces another."""
    return [
        each._replace(repeat_key=None)
        if isinstance(each, Rating)
        else each._replace(
            submitted=each.submitted._replace(repeat_key=None),
            standing=each.standing._replace(repeat_key=None),
        )
        for each in events
    ]


@given(histories().map(without_repeats), st.integers(0, 2), st.data())
def test_any_order_split_restart_and_day_give_what_counting_one_by_one_gives(
    events: list[Event], days_later: int, data: st.DataObject
) -> None:
    ledger = folded([])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(events)), max_size=3)))
    for start, end in pairwise([0, *cuts, len(events)]):
        feed(ledger, events[start:end])
        ledger = revived(ledger)
    ledger.advance(AS_OF + days_later)
    assert seen(ledger) == counted_one_by_one(ledger, events)


@given(histories(), st.integers(0, 2))
def test_moving_on_to_a_day_gives_what_starting_on_it_gives(events: list[Event], days_later: int) -> None:
    moved = folded(events)
    moved.advance(AS_OF + days_later)
    fresh = folded(events, AS_OF + days_later)
    assert seen(moved) == seen(fresh)


@given(histories())
def test_it_counts_the_ratings_that_the_buckets_count(events: list[Event]) -> None:
    ledger = folded(events)
    daily = ledger.daily_ratings(2)
    assert [day.ratings.tolist() for day in ledger.pace()] == daily.tolist()


@retried(30)
@given(histories())
def test_daily_ratings_add_up_to_the_window(events: list[Event]) -> None:
    ledger = folded(events)
    assert ledger.daily_ratings(30).sum(axis=0).tolist() == ledger.windows()[30][:, Column.RATINGS].tolist()


def test_ratings_of_other_sources_set_no_pace() -> None:
    ledger = folded([rating(number, occurred_ms=NOON_MS, source=0) for number in range(9)])
    assert seen(ledger)[1] == ([0] * UNITS, [0] * UNITS)


def test_a_minute_is_fixed_and_never_reaches_over_midnight() -> None:
    pace = Pace(1, AS_OF)
    midnight = AS_OF * DAY_MS - SHANGHAI_MS
    for occurred_ms in (midnight - 1, midnight, midnight + MINUTE_MS - 1, midnight + MINUTE_MS):
        pace.add(0, day_of_ms(occurred_ms), occurred_ms)
    assert [(int(day.ratings[0]), int(day.pairs[0])) for day in pace.days()] == [(1, 0), (3, 1)]


def test_days_before_yesterday_cost_no_memory() -> None:
    pace = Pace(1, AS_OF)
    pace.add(0, AS_OF - 2, NOON_MS - 2 * DAY_MS)
    pace.remove(0, AS_OF - 2, NOON_MS - 2 * DAY_MS)
    assert pace.dump()["keys"] == b""
    pace.add(0, AS_OF, NOON_MS)
    assert len(pace.dump()["keys"]) == 8
    pace.advance(AS_OF + 2)
    assert pace.dump()["keys"] == b""


def test_a_dump_of_other_units_is_refused() -> None:
    pace = Pace(3, AS_OF)
    pace.add(2, AS_OF, NOON_MS)
    with pytest.raises(ValueError, match="other units"):
        Pace(2, AS_OF).load(pace.dump())


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=60), st.data())
def test_pairs_are_those_of_the_minutes_that_are_left(
    added: list[tuple[int, int]], data: st.DataObject
) -> None:
    pace = Pace(3, AS_OF)
    for unit, minute in added:
        pace.add(unit, AS_OF, NOON_MS + minute * MINUTE_MS)
    if data.draw(st.booleans()):
        pace.settle()
    kept = list(added)
    for unit, minute in data.draw(st.lists(st.sampled_from(added), unique=True)) if added else []:
        pace.remove(unit, AS_OF, NOON_MS + minute * MINUTE_MS)
        kept.remove((unit, minute))
    counts = Counter(kept)
    expected = [sum(n * (n - 1) // 2 for (unit, _), n in counts.items() if unit == of) for of in range(3)]
    assert pace.days()[1].pairs.tolist() == expected
