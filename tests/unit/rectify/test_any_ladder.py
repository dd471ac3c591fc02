"""Whatever happens, in whatever order, with crashes in between: the ladders are what a naive count says.

The oracle counts anew, from what happened to the cases and from what people decided; it knows nothing of
books, stages or comparisons.
"""

import asyncio
from datetime import date
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings

from services.rectify.application.sanctioning import SanctionChangedError
from services.rectify.domain.case import Outcome
from services.rectify.domain.sanctions import IllegalSanctionMoveError
from services.rectify.domain.strikes import CaseNews
from shared.events.sanctions import SanctionChanged, StrikeCounted, StrikeWithdrawn
from shared.kernel.clock import business_day
from shared.kernel.errors import TransientError
from shared.testing.builders import UNIT
from tests.unit.rectify.ladder_world import COLLEAGUE, HEAD, SIGNER, World

CASES = st.sampled_from(["case-1", "case-2", "case-3", "case-4", "case-5"])
PEOPLE = {"sign": SIGNER, "reject": SIGNER, "appeal": HEAD, "grant": COLLEAGUE, "refuse": COLLEAGUE}
STEPS = st.one_of(
    st.tuples(st.sampled_from(["overdue", "overdue", "annulled", "revived", "resolved", "unfounded"]), CASES),
    st.tuples(st.just("passes"), st.sampled_from([1.0, 8.0, 100.0, 364.0])),
    st.tuples(st.sampled_from(sorted(PEOPLE)), st.integers(0, 9)),
    st.tuples(st.sampled_from(["settles", "settles", "crashes", "restarts"]), st.none()),
)


def play(world: World, step: tuple[str, Any]) -> None:
    """Let one thing happen."""
    what, which = step
    if what == "overdue":
        world.overdue(which)
    elif what in {"annulled", "revived"}:
        world.tell(which, what)
    elif what in {"resolved", "unfounded"}:
        world.complaint_closed(which, Outcome(what))
    elif what == "passes":
        world.later(days=which)
    elif what == "restarts":
        world.restart()
    elif what in PEOPLE:
        known = [sanction for sanction, _ in world.book.sanctions(UNIT)]
        if known:
            try:
                world.ask(known[which % len(known)], what, PEOPLE[what])
            except (IllegalSanctionMoveError, SanctionChangedError):
                return
    else:
        world.store.lose_answers = what == "crashes"
        try:
            asyncio.run(world.keep.settle([UNIT]))
        except TransientError:
            world.restart()
        world.store.lose_answers = False


def standing_grounds(news: list[CaseNews]) -> set[tuple[str, str]]:
    """Ladder and case of what should count, were there no people."""
    found: set[tuple[str, str]] = set()
    for case_id in {each.case.case_id for each in news}:
        state: dict[str, str] = {}
        for each in (each for each in news if each.case.case_id == case_id):
            if each.fact == "clock-reached":
                state.setdefault("U", "due")
            elif each.fact == "closed" and each.case.origin == "complaint":
                assert each.case.answer is not None
                if each.case.answer.outcome is Outcome.RESOLVED:
                    state["C"] = "due"
                elif state.get("C") == "due":
                    state["C"] = "unfounded"
            for ladder, now in state.items():
                if (each.fact, now) == ("annulled", "due"):
                    state[ladder] = "annulled"
                elif (each.fact, now) == ("revived", "annulled"):
                    state[ladder] = "due"
        found |= {(ladder, case_id) for ladder, now in state.items() if now == "due"}
    return found


def within_a_year(one: date, other: date) -> bool:
    """Whether less than a year lies between two days."""
    last = max(one, other)
    a_year_before = date(last.year - 1, last.month, 28 if (last.month, last.day) == (2, 29) else last.day)
    return min(one, other) > a_year_before


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, min_size=4, max_size=40))
def test_ladders_are_what_a_naive_count_says(steps: list[tuple[str, Any]]) -> None:
    world = World()
    for step in steps:
        play(world, step)
    world.settle()
    published = [event for _, event in world.store.events]
    last = {
        event.data.sanction_id: event.data for event in published if isinstance(event.data, SanctionChanged)
    }
    refused = {
        data.sanction.strikes[-1]
        for data in last.values()
        if data.sanction.status in {"rejected", "overturned"}
    }
    counted: dict[str, tuple[int, Any]] = {}
    for place, event in enumerate(published):
        if isinstance(event.data, StrikeCounted):
            counted[event.data.strike_id] = (place, event)
        elif isinstance(event.data, StrikeWithdrawn):
            del counted[event.data.strike_id]
    alive = {(event.data.ladder, event.data.case_id) for _, event in counted.values()}
    due = standing_grounds(world.news)
    assert alive <= due
    ended_by_people = {
        (data.ladder, data.case_id)
        for event in published
        if isinstance(data := event.data, StrikeWithdrawn)
        and data.because in {"sanction_rejected", "appeal_granted"}
    }
    assert due - alive == due & ended_by_people
    assert refused >= {
        event.data.strike_id
        for event in published
        if isinstance(event.data, StrikeWithdrawn)
        and event.data.because in {"sanction_rejected", "appeal_granted"}
    }
    over = {"withdrawn", "rejected", "overturned"}
    open_ones = [data for data in last.values() if data.sanction.status not in over]
    assert len(open_ones) == len(counted)
    for place, event in counted.values():
        strike = event.data
        day = business_day(strike.occurred_at)
        before = [
            other
            for earlier, other in counted.values()
            if earlier < place
            and other.data.ladder == strike.ladder
            and within_a_year(day, business_day(other.data.occurred_at))
        ]
        (mine,) = [data for data in open_ones if data.sanction.strikes[-1] == strike.strike_id]
        assert mine.sanction.step == min(3, len(before) + 1)
        assert mine.sanction.rests_on[-1] == event.id
        assert len(mine.sanction.rests_on) == mine.sanction.step
