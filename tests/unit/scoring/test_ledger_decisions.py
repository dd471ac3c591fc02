"""Corrections, quarantine, exclusion, clusters, sources and periods: the ledger against the naive oracle."""

from collections.abc import Sequence
from datetime import date
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.domain.buckets import Column
from services.scoring.domain.clusters import Clusters, cluster_share_milli
from services.scoring.domain.days import DAY_MS, day_number, day_of
from services.scoring.domain.ledger import Ledger
from services.scoring.domain.ratings import PUBLIC, SOURCES, Rating, Revision, State
from services.scoring.domain.spans import Period, PeriodKind, Rolling, Span
from shared.kernel.grades import Source
from shared.rules.pack import Windows
from tests.support.properties import retried
from tests.unit.scoring import full_oracle
from tests.unit.scoring.feedback import fingerprint, rating
from tests.unit.scoring.full_oracle import Event, Judged

UNITS = 3
RULES = Windows(days=(7, 30, 90, 365), primary_days=30, lateness_days=30, replacement_days=30)
AS_OF = day_number(date(2026, 3, 4))
"""In the first days of March: February is still open, and January has closed."""
NOON_MS = AS_OF * DAY_MS + 4 * 3_600_000
MINUTE_MS = 60_000
SLACK_MS = 4 * DAY_MS

KEYS = st.one_of(st.none(), st.none(), st.sampled_from([b"a" * 16, b"b" * 16]))
PRINTS = st.sampled_from([(), (), (1,), (2,), (1, 2), (3,), (1, 3, 4)]).map(
    lambda numbers: tuple(fingerprint(each) for each in numbers)
)


@st.composite
def ratings(draw: st.DrawFn, number: int) -> Rating:
    """Received within the stream's slack of one another; few units, bins and prints, so that they meet."""
    received_ms = NOON_MS - draw(st.integers(0, SLACK_MS // MINUTE_MS)) * MINUTE_MS
    if draw(st.booleans()):
        received_ms = NOON_MS - draw(st.integers(0, 30)) * MINUTE_MS
    behind_days = draw(st.sampled_from([0, 0, 0, 0, 1, 3, 6, 29, 30, 31]))
    return rating(
        number,
        unit=draw(st.integers(0, UNITS - 1)),
        grade=draw(st.integers(1, 5)),
        weight_milli=draw(st.sampled_from([1000, 800, 400, 200])),
        occurred_ms=received_ms - behind_days * DAY_MS + draw(st.sampled_from([0, 0, -1, 1])),
        received_ms=received_ms,
        repeat_key=draw(KEYS),
        synthetic=draw(st.sampled_from([False] * 15 + [True])),
        fingerprints=draw(PRINTS),
        source=draw(st.sampled_from([PUBLIC] * 5 + [0, 3])),
        place=draw(st.integers(0, 2)),
        dimensions=draw(st.one_of(st.none(), st.binary(min_size=5, max_size=5).map(_sub_grades))),
        proven=draw(st.booleans()),
    )


def _sub_grades(noise: bytes) -> bytes | None:
    grades = bytes(each % 6 for each in noise)
    return grades if any(grades) else None


@st.composite
def revisions(draw: st.DrawFn, of: Rating) -> list[Revision]:
    """Some decisions about one rating, as intake would number them."""
    standing, found = of, []
    for number in range(1, draw(st.integers(0, 3)) + 1):
        if draw(st.booleans()):
            standing = standing._replace(
                grade=draw(st.integers(1, 5)),
                unit=draw(st.integers(0, UNITS - 1)),
                fingerprints=draw(PRINTS),
                proven=draw(st.booleans()),
            )
        found.append(Revision(number, draw(st.sampled_from(list(State))), of, standing))
    return found


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Ratings and decisions in any order, some of them more than once."""
    events: list[Event] = []
    for number in range(draw(st.integers(0, 14))):
        one = draw(ratings(number))
        events += [one, *draw(revisions(one))]
    events += draw(st.lists(st.sampled_from(events), max_size=4)) if events else []
    return draw(st.permutations(events))


def feed(ledger: Ledger, events: Sequence[Event]) -> None:
    for event in events:
        if isinstance(event, Rating):
            ledger.fold(event)
        else:
            ledger.revise(event)


def folded(events: Sequence[Event], as_of: int = AS_OF) -> Ledger:
    ledger = Ledger(UNITS, RULES, as_of)
    feed(ledger, events)
    return ledger


def revived(ledger: Ledger) -> Ledger:
    """The ledger after a restart from its snapshot."""
    return Ledger.load(msgspec.msgpack.decode(msgspec.msgpack.encode(ledger.dump())), UNITS, RULES)


def days_of(span: Span, as_of: int) -> tuple[int, int]:
    if isinstance(span, Rolling):
        return as_of - span.days + 1, as_of
    return day_number(span.first), min(as_of, day_number(span.last))


def assert_equal(ledger: Ledger, judged: Judged) -> None:
    """Books, every span of every source, and what each is compared with."""
    books = ledger.books()
    assert books.balanced
    assert (books.accepted, books.counted, books.replaced, books.held, books.excluded, books.late) == (
        judged.accepted, judged.counted, judged.replaced, judged.held, judged.excluded, judged.late,
    )  # fmt: skip
    before = ledger.before()
    for span, statistics in ledger.spans().items():
        first, last = days_of(span, ledger.as_of)
        earlier = (first - 1, last - 1) if isinstance(span, Rolling) else days_of(span.before, ledger.as_of)
        for number, source in enumerate(SOURCES):
            for found, (start, end) in ((statistics, (first, last)), (before[span], earlier)):
                table = found.get(source)
                rows = [] if table is None else table.tolist()
                assert {unit: tuple(row) for unit, row in enumerate(rows) if any(row)} == judged.window(
                    number, start, end
                ), (str(span), source)


def judged(events: Sequence[Event]) -> Judged:
    return full_oracle.judge(events, RULES.lateness_days, RULES.replacement_days)


@retried(1000)
@given(histories())
def test_any_order_any_repeats_and_any_corrections_give_what_the_oracle_counts(events: list[Event]) -> None:
    assert_equal(folded(events), judged(events))


@retried(1000)
@given(histories(), st.data())
def test_any_kill_point_with_a_restart_from_the_last_snapshot_changes_nothing(
    events: list[Event], data: st.DataObject
) -> None:
    ledger = Ledger(UNITS, RULES, AS_OF)
    place = 0
    while place < len(events):
        snapshot, kept = revived(ledger), place
        place += data.draw(st.integers(1, len(events) - place))
        feed(ledger, events[kept:place])
        if data.draw(st.booleans()):  # killed before the next snapshot: fold the tail again
            ledger = snapshot
            feed(ledger, events[kept:place])
        if data.draw(st.booleans()):
            ledger.settle()
    assert_equal(ledger, judged(events))


@retried(1000)
@given(histories(), st.lists(st.integers(0, 12), max_size=4), st.data())
def test_days_that_pass_in_between_give_the_spans_of_the_last_day(
    events: list[Event], steps: list[int], data: st.DataObject
) -> None:
    ledger = Ledger(UNITS, RULES, AS_OF - 3)
    for step in steps:
        cut = data.draw(st.integers(0, len(events)))
        feed(ledger, events[:cut])
        ledger.advance(ledger.as_of + step)
        ledger = revived(ledger) if data.draw(st.booleans()) else ledger
    feed(ledger, events)
    assert_equal(ledger, judged(events))


@retried(1000)
@given(st.data())
def test_decisions_long_after_the_memory_has_gone_subtract_exactly_what_was_added(
    data: st.DataObject,
) -> None:
    """A hundred days of traffic in its order; then decisions about ratings of the first days."""
    events: list[Event] = []
    for day in range(6):
        for number in range(data.draw(st.integers(0, 3))):
            moment = NOON_MS - (99 - day) * DAY_MS + data.draw(st.integers(0, 3)) * MINUTE_MS
            events.append(
                rating(
                    day * 10 + number,
                    unit=data.draw(st.integers(0, 1)),
                    grade=data.draw(st.integers(1, 5)),
                    occurred_ms=moment,
                    repeat_key=data.draw(KEYS),
                    fingerprints=data.draw(PRINTS),
                )
            )
    later = Random(data.draw(st.integers(0, 2**16)))
    for day in range(6, 100):  # from one seed: drawing all of it would take longer than folding it
        moment = NOON_MS - (99 - day) * DAY_MS + later.randrange(4) * MINUTE_MS
        key, prints = later.choice([None, b"a" * 16]), later.choice([(), (fingerprint(1),)])
        events.append(
            rating(
                day * 10,
                unit=later.randrange(2),
                grade=later.randint(1, 5),
                occurred_ms=moment,
                repeat_key=key,
                fingerprints=prints,
            )
        )
    old = [each for each in events if isinstance(each, Rating) and each.received_ms < NOON_MS - 94 * DAY_MS]
    for each in old:
        states = data.draw(st.lists(st.sampled_from(list(State)), max_size=3))
        events += [Revision(number, state, each, each) for number, state in enumerate(states, 1)]
    assert_equal(folded(events), judged(events))


def test_a_decision_that_comes_before_its_rating_waits_for_it() -> None:
    one = rating(1, grade=1, occurred_ms=NOON_MS)
    ledger = folded([Revision(1, State.HELD, one, one)])
    assert ledger.books().accepted == ledger.books().held == 0
    ledger.fold(one)
    assert (ledger.books().accepted, ledger.books().held, ledger.books().counted) == (1, 1, 0)
    ledger.revise(Revision(2, State.COUNTED, one, one._replace(grade=4)))
    assert ledger.windows()[7][0, Column.GRADE_4] == 1


def test_the_highest_decision_wins_whatever_comes_last() -> None:
    one = rating(1, occurred_ms=NOON_MS)
    decisions = [Revision(number, state, one, one) for number, state in ((1, State.HELD), (2, State.COUNTED))]
    for order in (decisions, decisions[::-1]):
        assert folded([one, *order]).books().counted == 1


def test_withdrawing_the_newer_rating_lets_the_one_that_it_replaced_count_again() -> None:
    key = b"k" * 16
    older = rating(1, grade=2, occurred_ms=NOON_MS, repeat_key=key)
    newer = rating(2, grade=5, occurred_ms=NOON_MS + 1, repeat_key=key)
    ledger = folded([older, newer, Revision(1, State.EXCLUDED, newer, newer)])
    assert ledger.windows()[7][0, Column.GRADE_2] == 1
    assert (ledger.books().counted, ledger.books().replaced, ledger.books().excluded) == (1, 0, 1)


@pytest.mark.parametrize(
    ("size", "share"), [(1, 1000), (2, 846), (3, 699), (10, 330), (200, 31), (10_500, 0)]
)
def test_a_cluster_totals_one_plus_the_logarithm_of_its_size(size: int, share: int) -> None:
    assert cluster_share_milli(size) == full_oracle.share_milli(size) == share


def test_shares_of_clusters_are_exact_up_to_the_size_at_which_they_vanish() -> None:
    assert all(cluster_share_milli(size) == full_oracle.share_milli(size) for size in range(1, 10_600))


def test_two_hundred_ratings_from_one_device_weigh_like_six_and_a_bit() -> None:
    many = [
        rating(number, occurred_ms=NOON_MS + number, fingerprints=(fingerprint(7),)) for number in range(200)
    ]
    table = folded(many).windows()[7]
    assert table[0, Column.RATINGS] == 200
    assert table[0, Column.UNPROVEN] == 200 * 31


def test_a_huge_cluster_costs_no_more_for_each_rating_than_a_small_one() -> None:
    """No clock: the recounts are counted. They stop growing where the share no longer changes."""
    recounts: list[int] = []
    for size in (2_000, 20_000):
        told: list[Rating] = []
        clusters = Clusters(lambda rating, _old, _new, told=told: told.append(rating))  # type: ignore[misc]  # binds the list
        for number in range(size):
            clusters.add(rating(number, occurred_ms=NOON_MS, fingerprints=(fingerprint(1),)), AS_OF)
        recounts.append(len(told))
    assert recounts[1] < 4 * recounts[0]
    assert recounts[1] < 5 * 20_000


def test_sources_are_never_added_together() -> None:
    assessed = rating(1, occurred_ms=NOON_MS, source=SOURCES.index(Source.SOCIAL))
    spans = folded([assessed, rating(2, grade=1, occurred_ms=NOON_MS)]).spans()
    assert spans[Rolling(7)][Source.PUBLIC][0, Column.RATINGS] == 1
    assert spans[Rolling(7)][Source.SOCIAL][0, Column.GRADE_5] == 1
    assert Source.SELF not in spans[Rolling(7)]


def test_a_period_stays_open_for_thirty_days_after_its_end() -> None:
    january = Period(PeriodKind.MONTH, 2026, 1)
    on_day_30 = Ledger(UNITS, RULES, day_number(date(2026, 3, 2)))
    on_day_31 = Ledger(UNITS, RULES, day_number(date(2026, 3, 3)))
    assert january in on_day_30.open_periods()
    assert january not in on_day_31.open_periods()


@pytest.mark.parametrize(
    ("day", "open_ones"),
    [
        (date(2026, 1, 1), "2025-12 2026-01 2025Q4 2026Q1 2025 2026"),
        (date(2026, 1, 31), "2026-01 2026Q1 2026"),
        (date(2028, 2, 29), "2028-01 2028-02 2028Q1 2028"),
        (date(2028, 3, 30), "2028-02 2028-03 2028Q1 2028"),
        (date(2026, 3, 1), "2026-01 2026-02 2026-03 2026Q1 2026"),
    ],
)
def test_open_periods_at_the_turn_of_the_year_and_on_the_29th_of_february(day: date, open_ones: str) -> None:
    found = Ledger(UNITS, RULES, day_number(day)).open_periods()
    assert " ".join(map(str, found)) == open_ones


def test_a_year_with_a_29th_of_february_counts_that_day_in_its_month_quarter_and_year() -> None:
    leap_day = day_number(date(2028, 2, 29))
    ledger = folded([rating(1, occurred_ms=leap_day * DAY_MS)], leap_day)
    spans = ledger.spans()
    for span in ("2028-02", "2028Q1", "2028"):
        (table,) = [found[Source.PUBLIC] for each, found in spans.items() if str(each) == span]
        assert table[0, Column.RATINGS] == 1
    assert day_of(leap_day) == Period(PeriodKind.MONTH, 2028, 2).last


def test_late_ratings_are_counted_for_the_period_that_they_missed() -> None:
    january = Period(PeriodKind.MONTH, 2026, 1)
    late = rating(1, occurred_ms=NOON_MS - 40 * DAY_MS, received_ms=NOON_MS)
    ledger = folded([late])
    assert ledger.late_in(january) == 1
    ledger.revise(Revision(1, State.EXCLUDED, late, late))
    assert ledger.late_in(january) == 0
