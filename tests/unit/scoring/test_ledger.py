from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.domain.buckets import Column, DailyBuckets
from services.scoring.domain.days import DAY_MS, day_number, day_of_ms
from services.scoring.domain.ledger import Ledger
from services.scoring.domain.ratings import Rating
from shared.kernel.errors import InvalidValueError
from shared.rules.pack import Windows
from tests.unit.scoring import oracle
from tests.unit.scoring.feedback import rating

UNITS = 4
RULES = Windows(days=(7, 30, 90, 365), primary_days=30, lateness_days=30, replacement_days=30)
AS_OF = day_number(date(2026, 3, 1))
NOON_MS = AS_OF * DAY_MS + 4 * 3_600_000
"""12:00 in Shanghai on the day AS_OF."""
HOUR_MS = 3_600_000

KEYS = st.one_of(st.none(), st.sampled_from([b"a" * 16, b"b" * 16, b"c" * 16]))


@st.composite
def ratings(draw: st.DrawFn) -> Rating:
    """Received within the memory's slack of one another, happened up to a year and more before."""
    received_ms = NOON_MS - draw(st.integers(0, 34 * 24)) * HOUR_MS
    number = draw(st.integers(0, 40))
    behind_days = draw(st.sampled_from([0, 0, 0, 1, 6, 7, 29, 30, 31, 89, 90, 364, 365, 400]))
    return rating(
        number,
        unit=draw(st.integers(0, UNITS - 1)),
        grade=draw(st.integers(1, 5)),
        weight_milli=draw(st.sampled_from([1000, 800, 400, 200])),
        occurred_ms=received_ms - behind_days * DAY_MS + draw(st.sampled_from([0, 0, -1, 1])),
        received_ms=received_ms,
        repeat_key=draw(KEYS),
        synthetic=draw(st.sampled_from([False] * 9 + [True])),
        proven=draw(st.booleans()),
    )


def one_each(many: list[Rating]) -> list[Rating]:
    """An event id stands for one content."""
    return list({each.event_id: each for each in many}.values())


def fold(many: list[Rating], as_of: int = AS_OF) -> Ledger:
    ledger = Ledger(UNITS, RULES, as_of)
    for each in many:
        ledger.fold(each)
    return ledger


def state(ledger: Ledger) -> tuple[dict[int, list[list[int]]], tuple[int, ...]]:
    books = ledger.books()
    return (
        {days: table.tolist() for days, table in ledger.windows().items()},
        (books.accepted, books.counted, books.replaced, books.late),
    )


@given(st.lists(ratings(), max_size=40).map(one_each), st.data())
def test_order_and_repeats_change_nothing(many: list[Rating], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(many))
    repeated = data.draw(st.permutations([*shuffled, *(shuffled[: len(shuffled) // 2])]))
    assert state(fold(shuffled)) == state(fold(many))
    assert state(fold(repeated)) == state(fold(many))


@given(st.lists(ratings(), max_size=40).map(one_each))
def test_the_fold_is_what_the_oracle_counts(many: list[Rating]) -> None:
    ledger = fold(many)
    _, books = oracle.counted(many, RULES.lateness_days, RULES.replacement_days)
    assert state(ledger)[1] == (books.accepted, books.counted, books.replaced, books.late)
    assert ledger.books().balanced
    for window_days, table in ledger.windows().items():
        expected = oracle.statistics(many, AS_OF, window_days, RULES.lateness_days, RULES.replacement_days)
        found = {unit: tuple(row[:10]) for unit, row in enumerate(table.tolist()) if any(row)}
        assert found == expected


@given(st.lists(ratings(), max_size=30).map(one_each), st.lists(st.integers(1, 40), max_size=4))
def test_days_that_pass_between_ratings_give_the_windows_of_the_last_day(
    many: list[Rating], steps: list[int]
) -> None:
    last = AS_OF + sum(steps)
    ledger = Ledger(UNITS, RULES, AS_OF)
    days = [AS_OF]
    for step in steps:
        days.append(days[-1] + step)
    share = len(many) // len(days) + 1
    for place, day in enumerate(days):
        ledger.advance(day)
        for each in many[place * share : (place + 1) * share]:
            ledger.fold(each)
    assert state(ledger)[0] == state(fold(many, last))[0]


def test_the_later_rating_of_one_transaction_counts_and_the_earlier_is_replaced() -> None:
    key = b"k" * 16
    ledger = fold(
        [
            rating(1, unit=0, grade=1, occurred_ms=NOON_MS, repeat_key=key),
            rating(2, unit=1, grade=5, occurred_ms=NOON_MS + 1, repeat_key=key),
        ]
    )
    table = ledger.windows()[7]
    assert table[0].sum() == 0
    assert table[1, Column.GRADE_5] == 1
    assert (ledger.books().counted, ledger.books().replaced) == (1, 1)


def test_of_two_ratings_received_at_once_the_larger_event_id_counts() -> None:
    key = b"k" * 16
    first = rating(1, grade=1, occurred_ms=NOON_MS, repeat_key=key)
    second = rating(2, grade=5, occurred_ms=NOON_MS, repeat_key=key)
    for order in ([first, second], [second, first]):
        assert fold(order).windows()[7][0, Column.GRADE_5] == 1


def test_a_rating_thirty_days_after_the_first_replaces_it_and_one_a_millisecond_later_does_not() -> None:
    key = b"k" * 16
    start_ms = NOON_MS - 33 * DAY_MS
    first = rating(1, occurred_ms=start_ms, repeat_key=key)
    within = rating(2, occurred_ms=start_ms + 30 * DAY_MS, repeat_key=key)
    beyond = rating(3, occurred_ms=start_ms + 30 * DAY_MS + 1, repeat_key=key)
    assert fold([first, within]).books().replaced == 1
    assert fold([first, beyond]).books().replaced == 0
    assert fold([beyond, within, first]).books().counted == 2


def test_thirty_days_of_lateness_count_and_a_millisecond_more_does_not() -> None:
    received_ms = NOON_MS
    on_time = rating(1, occurred_ms=received_ms - 30 * DAY_MS, received_ms=received_ms)
    late = rating(2, occurred_ms=received_ms - 30 * DAY_MS - 1, received_ms=received_ms)
    ledger = fold([on_time, late])
    assert (ledger.books().counted, ledger.books().late) == (1, 1)
    assert ledger.windows()[90][0, Column.RATINGS] == 1


def test_a_late_rating_replaces_nothing() -> None:
    key = b"k" * 16
    counted = rating(1, grade=2, occurred_ms=NOON_MS - 1000, repeat_key=key)
    late = rating(2, grade=5, occurred_ms=NOON_MS - 31 * DAY_MS, received_ms=NOON_MS, repeat_key=key)
    ledger = fold([counted, late])
    assert ledger.windows()[7][0, Column.GRADE_2] == 1
    assert ledger.books().replaced == 0


def test_a_probe_is_counted_nowhere() -> None:
    ledger = fold([rating(1, occurred_ms=NOON_MS, synthetic=True)])
    assert ledger.books().accepted == 0
    assert ledger.books().synthetic == 1
    assert ledger.windows()[365].sum() == 0


def test_a_day_begins_at_midnight_in_shanghai() -> None:
    midnight_ms = AS_OF * DAY_MS - 8 * HOUR_MS
    assert day_of_ms(midnight_ms) == AS_OF
    assert day_of_ms(midnight_ms - 1) == AS_OF - 1
    assert day_number(date(1970, 1, 1)) == 0


def test_a_window_of_seven_days_holds_today_and_six_days_before() -> None:
    many = [rating(back, occurred_ms=NOON_MS - back * DAY_MS) for back in range(12)]
    assert fold(many).windows()[7][0, Column.RATINGS] == 7
    tomorrow = fold([rating(1, occurred_ms=NOON_MS + DAY_MS)])
    assert tomorrow.windows()[365].sum() == 0
    tomorrow.advance(AS_OF + 1)
    assert tomorrow.windows()[7][0, Column.RATINGS] == 1


def test_windows_nest() -> None:
    many = [rating(back, occurred_ms=NOON_MS - back * DAY_MS) for back in range(0, 400, 3)]
    counts = [int(table[0, Column.RATINGS]) for table in fold(many).windows().values()]
    assert all(short <= long for short, long in pairwise(counts))
    assert counts[-1] == len(range(0, 365, 3))


def test_memory_forgets_what_was_received_before_its_horizon() -> None:
    ledger = Ledger(UNITS, RULES, AS_OF)
    for day in range(200):
        moment_ms = NOON_MS + day * DAY_MS
        for number in range(5):
            ledger.fold(rating(day * 5 + number, occurred_ms=moment_ms, repeat_key=bytes([day, number]) * 8))
    ids, keys = ledger.remembered()
    assert ids == keys == 36 * 5


def test_a_rating_after_the_forgotten_group_begins_a_group_of_its_own() -> None:
    key = b"k" * 16
    ledger = Ledger(UNITS, RULES, AS_OF)
    for number, day in enumerate((0, 10, 36, 37)):
        ledger.fold(rating(number, occurred_ms=NOON_MS + day * DAY_MS, repeat_key=key))
    assert (ledger.books().counted, ledger.books().replaced) == (2, 2)


def test_windows_that_do_not_ascend_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="ascending"):
        DailyBuckets(1, (30, 7), AS_OF)


def test_the_day_never_goes_back() -> None:
    with pytest.raises(InvalidValueError, match="fold the stream again"):
        Ledger(UNITS, RULES, AS_OF).advance(AS_OF - 1)
