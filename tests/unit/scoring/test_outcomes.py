"""What became of cases, against a naive count, and the figures made of it, against exact fractions."""

import math
from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from fractions import Fraction
from itertools import product
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.application.cases import CaseParser, parsed
from services.scoring.application.sections import Sections, write_sections
from services.scoring.domain.days import day_number
from services.scoring.domain.lists import RankedList, canonical_json
from services.scoring.domain.outcomes import (
    OUTCOME_WIDTH,
    CaseState,
    Outcome,
    Outcomes,
    OutcomeTable,
    is_closed,
)
from services.scoring.domain.ranking import Ranker
from services.scoring.domain.rectification import rectified
from services.scoring.domain.roster import Roster
from services.scoring.domain.spans import Period, Rolling, Span, periods_of
from shared.events.catalogue import EXAMPLES
from shared.kernel.grades import Level, Source
from shared.kernel.units import load_units
from shared.rules import load_pack
from shared.rules.case_outcomes import OutcomeRules
from tests.support.properties import retried
from tests.unit.scoring.case_events import case_event
from tests.unit.scoring.feedback import NOW, Message
from tests.unit.scoring.tables import add_ratings, random_statistics, small_province

DAY = date(2026, 11, 20)
TODAY = day_number(DAY)
RESTATED = 800
KEPT = RESTATED + 366
UNITS = 4
LENGTHS = (7, 30, 365)
RULES = OutcomeRules()
flags = st.booleans()


@st.composite
def histories(draw: st.DrawFn) -> list[CaseState]:
    """All events of some cases, in the order of their making; a closing is never before an earlier one.

    A case that was overdue once is never on time again.
    """
    found: list[CaseState] = []
    for number in range(draw(st.integers(1, 6))):
        day = TODAY - draw(st.sampled_from([0, 3, 29, 31, 200, 400, KEPT - 2, KEPT, KEPT + 5]))
        missed = False
        for version in range(1, draw(st.integers(1, 5)) + 1):
            day += draw(st.sampled_from([0, 0, 1, 8, 40]))
            overdue_on = draw(st.none() | st.sampled_from([day, day - 1, day - 35, day - 500]))
            closed_on = draw(st.sampled_from([None, day]))
            missed = missed or overdue_on is not None
            unit, on_time = draw(st.integers(0, UNITS - 1)), draw(flags) and not missed
            asked, confirmed, reopened = draw(st.tuples(flags, flags, flags))
            outcome = Outcome(unit, closed_on, on_time, asked, confirmed, reopened, overdue_on)
            state = outcome if closed_on is not None or overdue_on is not None else None
            found.append(CaseState(number.to_bytes(16, "big"), version, state, f"{number}.{version}", day))
    return found


def counted(states: Sequence[CaseState], first: int, last: int, as_of: int) -> OutcomeTable:
    """The table of some days, by the newest state of each case and nothing else."""
    newest: dict[bytes, CaseState] = {}
    for state in states:
        if state.case_id not in newest or newest[state.case_id].version < state.version:
            newest[state.case_id] = state
    table = np.zeros((UNITS, OUTCOME_WIDTH), dtype=np.int64)
    for state in newest.values():
        if state.outcome is None:
            continue
        unit, closed_on, *marks, overdue_on = state.outcome
        if closed_on is not None and closed_on <= last:
            table[unit] += (1, *marks) if closed_on >= max(first, as_of - KEPT) else 0
        elif overdue_on is not None and overdue_on <= last:
            table[unit] += (1, 0, marks[1], 0, 1)
    return table


def tables(outcomes: Outcomes, periods: Sequence[Period]) -> dict[Span, list[list[int]]]:
    found = dict(outcomes.spans(periods))
    return {span: table.tolist() for span, table in found.items()}


@retried(600)
@given(histories(), st.randoms(use_true_random=False))
def test_any_order_repeats_days_and_restarts_give_what_the_newest_states_say(
    states: list[CaseState], random: Random
) -> None:
    told = [*states, *random.choices(states, k=random.randrange(len(states) + 1))]
    random.shuffle(told)
    as_of = TODAY
    outcomes = Outcomes(UNITS, LENGTHS, as_of)
    for state in told:
        outcomes.fold(state)
        step = random.randrange(8)
        if step == 0:
            as_of += random.choice((1, 40))
            outcomes.advance(as_of)
        elif step == 1:
            sections = Sections(write_sections({"cases": outcomes.dump()}))
            outcomes = Outcomes.load(sections["cases"], UNITS, LENGTHS)
        elif step == 2:
            tables(outcomes, periods_of(DAY))  # whoever looks must not change what comes
    periods = periods_of(DAY + timedelta(days=as_of - TODAY))
    expected: dict[Span, list[list[int]]] = {}
    spans: list[Span] = [*map(Rolling, LENGTHS), *periods]
    for span in spans:
        first = as_of - span.days + 1 if isinstance(span, Rolling) else day_number(span.first)
        expected[span] = counted(states, first, as_of, as_of).tolist()
    found = tables(outcomes, periods)
    nothing = [[0] * OUTCOME_WIDTH for _ in range(UNITS)]
    assert (found or dict.fromkeys(expected, nothing)) == expected
    for period in (periods[1].before, periods[2].before):
        last = day_number(period.last)
        assert (
            outcomes.period(period).tolist()
            == counted(states, day_number(period.first), last, as_of).tolist()
        )


@retried(300)
@given(histories(), st.sampled_from([0, 0, 40, 400]))
def test_a_closed_period_is_told_to_have_changed_whenever_it_has_and_never_else(
    states: list[CaseState], later: int
) -> None:
    outcomes = Outcomes(UNITS, LENGTHS, TODAY + later)
    closed = [periods_of(DAY + timedelta(days=later - back)) for back in range(60, 800, 30)]
    looked_at = {
        each
        for three in closed
        for each in three
        if is_closed(each, TODAY + later) and TODAY + later - day_number(each.last) <= RESTATED
    }
    for state in states:
        before = {each: outcomes.period(each).tolist() for each in looked_at}
        told = Counter(outcomes.touched())
        outcomes.fold(state)
        for each in looked_at:
            changed = outcomes.period(each).tolist() != before[each]
            assert (outcomes.touched()[each] > told[each]) is changed, each


def test_an_overdue_case_counts_from_its_day_until_it_is_closed_and_then_where_it_was_closed() -> None:
    outcomes, october = Outcomes(UNITS, LENGTHS, TODAY), periods_of(date(2026, 10, 15))[0]
    since = TODAY - 40
    outcomes.fold(CaseState(b"a" * 16, 2, Outcome(1, None, False, True, False, False, since), "late", since))
    for span in (Rolling(7), Rolling(30), october, october.before):
        counts = span != october.before
        assert outcomes.days().at(span, TODAY)[1].tolist() == ([1, 0, 1, 0, 1] if counts else [0] * 5), span
    assert outcomes.days().at(Rolling(7), since - 1)[1].tolist() == [0] * 5
    closed = Outcome(1, TODAY - 10, False, True, True, False, since)
    outcomes.fold(CaseState(b"a" * 16, 3, closed, "closed", TODAY - 10))
    assert outcomes.days().at(Rolling(7), TODAY)[1].tolist() == [0] * 5, "closed before these days"
    assert outcomes.days().at(Rolling(30), TODAY)[1].tolist() == [1, 0, 1, 1, 0]
    assert outcomes.period(october)[1].tolist() == [1, 0, 1, 0, 1], "at the end of October it was overdue"


def test_a_case_overdue_since_before_a_window_gets_into_the_table_that_stands() -> None:
    outcomes, periods, since = Outcomes(UNITS, LENGTHS, TODAY), periods_of(DAY), TODAY - 40
    outcomes.fold(CaseState(b"b" * 16, 2, Outcome(2, TODAY, True, True, True, False), "other", TODAY))
    given = outcomes.spans(periods)[Rolling(7)]
    outcomes.fold(CaseState(b"a" * 16, 2, Outcome(1, None, False, True, False, False, since), "late", since))
    assert outcomes.spans(periods)[Rolling(7)][1].tolist() == [1, 0, 1, 0, 1]
    assert given[1].tolist() == [0] * 5


def test_an_old_event_of_a_case_that_was_settled_long_ago_does_not_count_when_it_is_told_again() -> None:
    outcomes, since, much_later = Outcomes(UNITS, LENGTHS, TODAY), TODAY - 50, TODAY + KEPT
    late = CaseState(b"a" * 16, 2, Outcome(1, None, False, True, False, False, since), "late", since)
    closed = Outcome(1, TODAY - 10, False, True, True, False, since)
    outcomes.fold(late)
    outcomes.fold(CaseState(b"a" * 16, 3, closed, "closed", TODAY - 10))
    outcomes.advance(much_later)
    outcomes.fold(late)
    assert outcomes.days().at(Rolling(7), much_later)[1].tolist() == [0] * 5


def test_a_table_that_was_given_never_changes_and_is_the_same_object_while_nothing_does() -> None:
    outcomes, periods = Outcomes(UNITS, LENGTHS, TODAY), periods_of(DAY)
    settled = Outcome(1, TODAY, True, True, True, False)
    outcomes.fold(CaseState(b"a" * 16, 2, settled, "e", TODAY))
    first = outcomes.spans(periods)
    assert all(outcomes.spans(periods)[span] is table for span, table in first.items())
    outcomes.fold(CaseState(b"a" * 16, 3, None, "f", TODAY))
    assert first[Rolling(7)][1].tolist() == [1, 1, 1, 1, 0]
    assert outcomes.spans(periods) == {}, "annulled: no trace"


def test_what_corrects_a_closed_period_is_its_cause_and_what_was_in_time_is_not() -> None:
    october = periods_of(date(2026, 10, 15))[0]
    closing = day_number(date(2026, 10, 15))
    outcomes = Outcomes(UNITS, LENGTHS, day_number(date(2026, 12, 5)))
    outcomes.fold(CaseState(b"a" * 16, 2, Outcome(0, closing, True, True, True, False), "closed", closing))
    assert outcomes.touched()[october] == 1
    assert outcomes.causes(october) == ()
    outcomes.fold(CaseState(b"a" * 16, 3, None, "annulled", day_number(date(2026, 12, 4))))
    assert outcomes.causes(october) == ("annulled",)
    again = Outcomes.load(Sections(write_sections({"c": outcomes.dump()}))["c"], UNITS, LENGTHS)
    assert again.causes(october) == ("annulled",)
    assert again.touched()[october] == 1
    again.forget_causes(october, ("annulled", "other"))
    assert again.causes(october) == ()


# --- the index ---------------------------------------------------------------------------------------------


@st.composite
def rows(draw: st.DrawFn) -> list[int]:
    settled = draw(st.integers(0, 40))
    asked = draw(st.integers(0, settled))
    return [
        settled, draw(st.integers(0, settled)), asked, draw(st.integers(0, asked)),
        draw(st.integers(0, settled)),
    ]  # fmt: skip


shares = st.integers(0, 3)
packs = st.builds(
    OutcomeRules, shares, shares, shares, st.integers(1, 9), st.sampled_from([0.0, 75.0, 99.999]),
    st.integers(5, 9), st.integers(1, 4),
).filter(lambda pack: pack.on_time + pack.confirmed + pack.not_reopened > 0)  # fmt: skip


def exact_index(row: Sequence[int], rules: OutcomeRules) -> Fraction | None:
    settled, on_time, asked, confirmed, reopened = row
    worth: Fraction | int = (
        rules.on_time * on_time + rules.confirmed * confirmed + rules.not_reopened * (settled - reopened)
    )
    most = (rules.on_time + rules.not_reopened) * settled + rules.confirmed * asked
    if not most:
        return None
    whole = rules.on_time + rules.confirmed + rules.not_reopened
    if settled < rules.show_from:
        thirds = math.floor(Fraction(3 * worth, most) + Fraction(1, 2))
        worth, most = Fraction(rules.few_count_as * whole * thirds, 3), rules.few_count_as * whole
    prior = Fraction(str(rules.prior_index)) * rules.prior_cases * whole
    return (prior + 100 * worth) / (rules.prior_cases * whole + most)


@retried(600)
@given(st.lists(rows(), min_size=1, max_size=5), packs)
def test_the_index_is_the_exact_mean_of_cases_and_prior_ones(
    table: list[list[int]], rules: OutcomeRules
) -> None:
    found = rectified(np.array(table, dtype=np.int64), rules)
    for row, index, cases in zip(table, found.points.tolist(), found.cases.tolist(), strict=True):
        exact = exact_index(row, rules)
        if exact is None:
            assert math.isnan(index)
        else:
            assert Fraction(str(index)) == Fraction(math.floor(exact * 10**4 + Fraction(1, 2)), 10**4)
        assert cases == (row[0] if row[0] >= rules.show_from else 0)


def test_the_index_of_few_cases_tells_neither_how_many_they_are_nor_what_became_of_one() -> None:
    numbers: dict[float, set[int]] = {}
    for settled in range(1, 5):
        parts = [range(settled + 1)] * 3
        for on_time, confirmed, reopened in product(*parts):
            table = np.array([[settled, on_time, settled, confirmed, reopened]], dtype=np.int64)
            found = rectified(table, RULES)
            assert found.cases.tolist() == [0]
            numbers.setdefault(float(found.points[0]), set()).add(settled)
    assert len(numbers) == 4
    assert all(each == {1, 2, 3, 4} for each in numbers.values())


def test_more_good_cases_never_lower_the_index_and_a_bad_one_always_does() -> None:
    good, bad = [1, 1, 1, 1, 0], [1, 0, 1, 0, 1]
    table = np.array([np.array(good) * n for n in range(5, 40)], dtype=np.int64)
    index = rectified(table, RULES).points
    assert (np.diff(index) > 0).all()
    assert (rectified(table + np.array(bad), RULES).points < index).all()
    assert index.max() < 100


# --- in the lists ------------------------------------------------------------------------------------------

PROVINCE = small_province()
EVERYBODY = tuple(PROVINCE)
PACK = load_pack(None, DAY)
SPAN: Span = Rolling(30)


def ranked(table: OutcomeTable | None) -> dict[str, RankedList]:
    statistics = random_statistics(EVERYBODY, Random(3))
    window = next(place for place, unit in enumerate(EVERYBODY) if unit.level is Level.WINDOW)
    add_ratings(statistics, window, [5] * 40, 1000)
    roster = Roster(PROVINCE, PACK.kinds, DAY, min_group=PACK.prior.min_group)
    outcomes = None if table is None else {SPAN: table}
    return Ranker(roster, PACK).rank({SPAN: {Source.PUBLIC: statistics}}, {}, outcomes)


def test_cases_move_the_composite_of_their_window_and_of_those_above_and_no_rank() -> None:
    place = next(place for place, unit in enumerate(EVERYBODY) if unit.level is Level.WINDOW)
    window = EVERYBODY[place]
    table = np.zeros((len(EVERYBODY), OUTCOME_WIDTH), dtype=np.int64)
    before = ranked(None)
    assert {key: found.canonical() for key, found in ranked(table).items()} == {
        key: found.canonical() for key, found in before.items()
    }, "no case, no byte"
    table = table.copy()
    table[place] = (6, 5, 6, 4, 2)
    after = ranked(table)
    touched, unit = {window.unit_id}, window
    while unit.parent_id is not None:
        unit = PROVINCE.get(unit.parent_id)
        touched.add(unit.unit_id)
    for key, found in after.items():
        assert b"[" + b",".join(found.items) + b"]" == canonical_json([row.document() for row in found.rows])
        assert [row.rank for row in found.rows] == [row.rank for row in before[key].rows]
        for row, old in zip(found.rows, before[key].rows, strict=True):
            if row.unit_id in touched and row.score is not None:
                assert (row.cases, row.rectification) == (6, 73.4848)
                exact = (7 * Fraction(str(row.score)) + 3 * Fraction("73.4848")) / 10
                assert row.composite == pytest.approx(float(exact), abs=5.1e-5)
            else:
                assert row == old
                assert row.composite == row.score
                assert "cases" not in row.document()
    few = table.copy()
    few[place] = (4, 4, 4, 4, 0)
    (row,) = [row for row in ranked(few)["window.all.30"].rows if row.unit_id == window.unit_id]
    assert row.cases is None
    assert row.rectification is not None
    assert row.composite != row.score


def test_spans_with_equal_ratings_and_other_cases_are_told_apart() -> None:
    place = next(place for place, unit in enumerate(EVERYBODY) if unit.level is Level.WINDOW)
    statistics = {Source.PUBLIC: random_statistics(EVERYBODY, Random(3))}
    add_ratings(statistics[Source.PUBLIC], place, [5] * 40, 1000)
    few, many = (np.zeros((len(EVERYBODY), OUTCOME_WIDTH), dtype=np.int64) for _ in range(2))
    few[place], many[place] = (5, 5, 5, 5, 0), (9, 5, 5, 5, 0)
    roster = Roster(PROVINCE, PACK.kinds, DAY, min_group=PACK.prior.min_group)
    spans: list[Span] = [Rolling(7), Rolling(30), Rolling(90)]
    found = Ranker(roster, PACK).rank(
        dict.fromkeys(spans, statistics), {}, {Rolling(30): few, Rolling(90): many}
    )
    cases = [
        next(row.cases for row in found[f"window.all.{span}"].rows if row.unit_id == EVERYBODY[place].unit_id)
        for span in spans
    ]
    assert cases == [None, 5, 9]


# --- events ------------------------------------------------------------------------------------------------

ALL = load_units()
WINDOW = ALL.by_level(Level.WINDOW)[0]
PARSER = CaseParser({unit.unit_id: place for place, unit in enumerate(ALL)})


def read(event: bytes, subject: str = "cases.v1.changed.3601.360102.x") -> CaseState | None:
    return PARSER.parse(Message(subject, event, 1))


def test_every_example_of_the_contract_is_read_and_counts_once_it_is_settled() -> None:
    statuses: Counter[bool] = Counter()
    for folder in sorted(EXAMPLES.glob("cases.*")):
        for file in folder.glob("*.json"):
            state = read(file.read_bytes())
            assert state is not None, file
            statuses[state.outcome is not None] += 1
    assert min(statuses[False], statuses[True]) > 0


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({}, (True, True, True, False)),
        ({"overdue": True, "reopened": 2}, (False, True, True, True)),
        ({"confirmed_by": "silence"}, (True, True, False, False)),
        ({"confirmed_by": "supervisor", "origin": "inspection"}, (True, False, False, False)),
    ],
)
def test_an_outcome_is_what_the_closed_case_says(record: dict[str, Any], expected: tuple[bool, ...]) -> None:
    late = NOW.replace(hour=23, minute=59)
    for status in ("closed", "explained"):
        state = read(case_event(WINDOW, 1, 7, status, at=late, **record).payload)
        assert state is not None
        assert state.version == 7
        assert state.outcome is not None
        assert state.outcome.closed_on == TODAY, "midnight is Shanghai's"
        assert state.outcome[2:] == (*expected, None)


def test_an_open_case_counts_since_its_deadline_was_missed_and_a_closed_one_says_since_when() -> None:
    since = NOW - timedelta(days=3)
    record: dict[str, Any] = {"overdue": True, "overdue_since": since}
    answered = read(case_event(WINDOW, 1, status="answered", **record).payload)
    assert answered is not None
    assert answered.outcome is not None
    assert answered.outcome[1:] == (None, False, True, False, False, TODAY - 3)
    closed = read(case_event(WINDOW, 1, **record).payload)
    assert closed is not None
    assert closed.outcome is not None
    assert closed.outcome[1:] == (TODAY, False, True, True, False, TODAY - 3)
    annulled = read(case_event(WINDOW, 1, status="annulled", **record).payload)
    assert annulled is not None
    assert annulled.outcome is None


def test_open_and_annulled_cases_and_drills_say_nothing_and_broken_ones_are_told() -> None:
    for status in ("opened", "in_progress", "annulled"):
        closed_at = NOW if status == "annulled" else None
        state = read(case_event(WINDOW, 1, status=status, closed_at=closed_at).payload)
        assert state is not None
        assert state.outcome is None
    good = case_event(WINDOW, 1).payload
    assert read(good.replace(b'"synthetic":false', b'"synthetic":true')) is None
    assert read(good, "cases.v1.other.x") is None
    told: list[int] = []
    broken = [
        b"{", good.replace(b'"version":2', b'"version":0'), good.replace(WINDOW.unit_id.encode(), b"U999999"),
        good.replace(b"2026-11-20T", b"1969-01-01T"), good.replace(b"2026-11-20T", b"2400-01-01T"),
    ]  # fmt: skip
    found = parsed(
        PARSER,
        [Message("cases.v1.changed.a.b.c", body, number) for number, body in enumerate(broken)],
        lambda message, _error: told.append(message.sequence),
    )
    assert list(found) == [None] * len(broken)
    assert told == [0, 1, 2, 3, 4]
