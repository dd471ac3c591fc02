"""Earlier days, looked back at with today's knowledge, against the naive oracle."""

from collections.abc import Sequence
from datetime import date

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.domain.buckets import HISTORY_DAYS, IntTable
from services.scoring.domain.days import DAY_MS, day_number, day_of
from services.scoring.domain.history import History
from services.scoring.domain.ledger import Ledger
from services.scoring.domain.ratings import PUBLIC, SOURCES, Rating, Revision, State
from services.scoring.domain.spans import Period, PeriodKind, Rolling, Span
from shared.kernel.grades import Source
from shared.rules.pack import Windows
from tests.support.properties import retried
from tests.unit.scoring import full_oracle
from tests.unit.scoring.feedback import rating
from tests.unit.scoring.full_oracle import Event, Judged

UNITS = 3
RULES = Windows(days=(7, 30, 90, 365), primary_days=30, lateness_days=30, replacement_days=30)
AS_OF = day_number(date(2026, 3, 4))
NOON_MS = AS_OF * DAY_MS + 4 * 3_600_000
BACK = st.one_of(
    st.integers(0, RULES.days[-1] + HISTORY_DAYS),
    st.sampled_from([0, 1, 6, 7, 8, 29, 30, 31, 89, 90, 91, 92, 93, 364, 365, 366, 456, 457]),
)


@st.composite
def years(draw: st.DrawFn) -> list[Event]:
    """Ratings of more than a year, each received when it happened, and a few decisions about them."""
    events: list[Event] = []
    for number in range(draw(st.integers(0, 25))):
        one = rating(
            number,
            unit=draw(st.integers(0, UNITS - 1)),
            grade=draw(st.integers(1, 5)),
            weight_milli=draw(st.sampled_from([1000, 800])),
            occurred_ms=NOON_MS - draw(BACK) * DAY_MS,
            source=draw(st.sampled_from([PUBLIC, PUBLIC, 0])),
        )
        events.append(one)
        if draw(st.integers(0, 3)) == 0:
            events.append(Revision(1, draw(st.sampled_from(list(State))), one, one._replace(grade=1)))
    return sorted(events, key=lambda each: each.received_ms if isinstance(each, Rating) else NOON_MS)


def folded(events: Sequence[Event], as_of: int = AS_OF) -> Ledger:
    ledger = Ledger(UNITS, RULES, as_of)
    for event in events:
        if isinstance(event, Rating):
            ledger.fold(event)
        else:
            ledger.revise(event)
    return ledger


def days_of(span: Span, day: int) -> tuple[int, int]:
    if isinstance(span, Rolling):
        return day - span.days + 1, day
    return day_number(span.first), min(day, day_number(span.last))


def rows(table: IntTable | None) -> dict[int, tuple[int, ...]]:
    found = [] if table is None else table.tolist()
    return {unit: tuple(row) for unit, row in enumerate(found) if any(row)}


def assert_shows(history: History, judged: Judged, day: int) -> None:
    """Every span that the history offers as of ``day``, and what it is compared with."""
    for span in history.spans(day):
        now = history.at(span, day)
        first, last = days_of(span, day)
        earlier = (first - 1, last - 1) if isinstance(span, Rolling) else days_of(span.before, AS_OF)
        for number, source in enumerate(SOURCES):
            assert rows(now.get(source)) == judged.window(number, first, last), (str(span), source)
        before = history.before(span, day, now)
        assert rows(before[Source.PUBLIC]) == judged.window(PUBLIC, *earlier), str(span)


@retried(200)
@given(years(), st.integers(0, HISTORY_DAYS))
def test_every_span_as_of_an_earlier_day_is_what_the_oracle_counts(events: list[Event], back: int) -> None:
    judged = full_oracle.judge(events, RULES.lateness_days, RULES.replacement_days)
    history = folded(events).history()
    assert [span for span in history.spans(AS_OF - back) if isinstance(span, Rolling)] == [
        Rolling(days) for days in RULES.days
    ]
    assert_shows(history, judged, AS_OF - back)


@retried(100)
@given(years(), st.integers(1, HISTORY_DAYS), st.integers(0, 40))
def test_days_that_passed_and_a_restart_change_nothing_about_the_past(
    events: list[Event], back: int, steps: int
) -> None:
    ledger = folded(events, AS_OF - steps)
    revived = Ledger.load(msgspec.msgpack.decode(msgspec.msgpack.encode(ledger.dump())), UNITS, RULES)
    for each in (ledger, revived):
        each.advance(AS_OF)
    judged = full_oracle.judge(events, RULES.lateness_days, RULES.replacement_days)
    for each in (ledger, revived):
        assert_shows(each.history(), judged, AS_OF - back)


@retried(100)
@given(years(), BACK.filter(bool), st.integers(1, 60))
def test_a_span_moves_by_exactly_what_entered_and_what_left(
    events: list[Event], back: int, forward: int
) -> None:
    history = folded(events).history()
    since = AS_OF - back
    day = min(AS_OF, since + forward)
    for span in history.spans(since):
        flow = history.flow(span, since, day)
        before, after = (history.at(span, each)[Source.PUBLIC] for each in (since, day))
        left = np.zeros_like(before) if flow.left is None else flow.left
        assert (before + flow.entered - left == after).all()
        assert (flow.entered >= 0).all()
        assert (left >= 0).all()


@retried(50)
@given(years(), st.sampled_from(RULES.days), st.integers(0, HISTORY_DAYS - 1), st.integers(0, 20))
def test_windows_day_by_day_are_the_windows_of_those_days(
    events: list[Event], length: int, back: int, days: int
) -> None:
    public = folded(events).history().public
    last = AS_OF - back
    found = {day: table.copy() for day, table in public.rolling(last - days, last, length)}
    assert list(found) == list(range(last - days, last + 1))
    for day, table in found.items():
        assert (table == public.total(day - length + 1, day)).all()


def test_what_was_lent_stays_as_it_was() -> None:
    ledger = folded([rating(1, occurred_ms=NOON_MS), rating(2, occurred_ms=NOON_MS - 60 * DAY_MS)])
    history = ledger.history()
    for number, back in enumerate((0, 0, 1, 60, 60), 10):
        ledger.fold(rating(number, occurred_ms=NOON_MS - back * DAY_MS))
    assert ledger.windows()[90][0, 0] == 7
    assert history.at(Rolling(90), AS_OF)[Source.PUBLIC][0, 0] == 2
    assert history.at(Period(PeriodKind.YEAR, 2026, 1), AS_OF)[Source.PUBLIC][0, 0] == 2
    ledger.advance(AS_OF + 500)
    assert history.at(Rolling(90), AS_OF)[Source.PUBLIC][0, 0] == 2


def test_every_window_can_be_asked_for_as_of_each_of_the_last_92_days() -> None:
    history = folded([]).history()
    assert {days: AS_OF - history.first_day(Rolling(days)) for days in RULES.days} == {
        7: 450, 30: 427, 90: 367, 365: 92,
    }  # fmt: skip
    assert Rolling(365) in history.spans(AS_OF - 92)
    assert Rolling(365) not in history.spans(AS_OF - 93)


def test_a_period_can_be_asked_for_from_its_first_day_on() -> None:
    history = folded([]).history()
    month = Period(PeriodKind.MONTH, 2026, 2)
    assert day_of(history.first_day(month)) == date(2026, 2, 1)
    labels = {str(span) for span in history.spans(day_number(date(2026, 2, 10)))}
    assert labels == {"7", "30", "90", "365", "2026-01", "2026-02", "2025Q4", "2026Q1", "2025", "2026"}


@pytest.mark.parametrize("as_of_first", [True, False])
def test_a_day_beyond_what_is_kept_is_forgotten(as_of_first: bool) -> None:  # noqa: FBT001 - table-driven
    old = rating(1, occurred_ms=NOON_MS - (365 + HISTORY_DAYS + 1) * DAY_MS)
    ledger = Ledger(UNITS, RULES, AS_OF if as_of_first else AS_OF - 2)
    ledger.fold(old)
    ledger.advance(AS_OF)
    assert not ledger.history().public.days
