"""Campaigns, findings and panels as folds of events."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.domain.panels import PanelBook, Seat
from services.intake.domain.supervision import (
    Campaign,
    CampaignBook,
    Finding,
    FindingBook,
    Phase,
    Phases,
    Target,
    Trust,
    whole,
)
from shared.kernel.grades import Level
from shared.kernel.registry_book import Merge, RegistryBook
from shared.kernel.units import load_units

PHASES = Phases(date(2026, 3, 1), date(2026, 3, 15), date(2026, 10, 1), date(2026, 12, 31))
CAMPAIGN = Campaign(
    "c", "走访", 2, 20, (Target("360721", "3607", 4), Target("360722", "3607", 6)), PHASES, "province"
)
UNITS = load_units()


@pytest.mark.parametrize(
    ("day", "phase"),
    [
        (date(2026, 2, 28), Phase.NOT_BEGUN),
        (date(2026, 3, 1), Phase.MOBILISE),
        (date(2026, 3, 15), Phase.RUN),
        (date(2026, 9, 30), Phase.RUN),
        (date(2026, 10, 1), Phase.CONSOLIDATE),
        (date(2026, 12, 31), Phase.CONSOLIDATE),
        (date(2027, 1, 1), Phase.OVER),
    ],
)
def test_a_campaign_is_in_the_phase_of_the_day(day: date, phase: Phase) -> None:
    assert PHASES.on(day) is phase


@given(st.lists(st.tuples(st.sampled_from(["360721", "360722", "360102"]), st.sampled_from("abcdefgh"))))
def test_coverage_counts_each_household_of_each_county_once_in_any_order(
    visits: list[tuple[str, str]],
) -> None:
    book = CampaignBook()
    book.opened(CAMPAIGN)
    for county, household in visits:
        book.visited("c", county, household, "1")
    book.visited("unknown", "360721", "a", "1")
    coverage = book.coverage(CAMPAIGN)
    for county, each in coverage.items():
        assert each.done == len({household for place, household in visits if place == county})
        assert each.visits == sum(place == county for place, _ in visits)
        assert 0 <= each.share <= 1
    assert whole(coverage).target == 10
    assert book.share_on(date(2026, 2, 1)) == 1.0
    counted = sum(min(each.done, each.target) for each in coverage.values())
    assert book.share_on(date(2026, 5, 1)) == pytest.approx(min(whole(coverage).done, 10) / 10)
    assert counted <= whole(coverage).done


def test_a_county_sees_its_own_part_of_a_campaign() -> None:
    book = CampaignBook()
    book.opened(CAMPAIGN)
    for county, household, team in (("360721", "a", "1"), ("360722", "b", "1"), ("360722", "c", "2")):
        book.visited("c", county, household, team)
    own = book.coverage(CAMPAIGN, lambda target: target.county == "360721")
    assert (list(own), whole(own).target, whole(own).done) == (["360721"], 4, 1)
    assert (book.teams_out(CAMPAIGN, own), book.teams_out(CAMPAIGN, book.coverage(CAMPAIGN))) == (1, 2)


def test_a_finding_is_verified_by_others_one_number_after_the_other() -> None:
    book = FindingBook()
    when = datetime(2026, 7, 3, tzinfo=UTC)
    finding = Finding("f", "incident", "U000200", "crime", when, "inspector", "3607", "360721")
    book.verified("f", 1, Trust.VERIFIED, "supervisor")  # before it is known: nothing to verify
    book.recorded(finding)
    book.verified("f", 1, Trust.VERIFIED, "inspector")
    assert (book.unverified, book.get("f")) == (1, finding)
    book.verified("f", 1, Trust.VERIFIED, "supervisor")
    book.verified("f", 1, Trust.REFUTED, "somebody-late")
    book.verified("f", 2, Trust.REFUTED, "province")
    found = book.get("f")
    assert found is not None
    assert (found.trust, found.revision, found.decided_by) == (Trust.REFUTED, 2, "province")


@pytest.mark.parametrize(
    ("panel", "division", "unit", "allowed"),
    [
        (Level.COUNTY, "360702", "U000533", True),
        (Level.COUNTY, "360721", "U000533", False),
        (Level.COUNTY, "360702", "U000008", False),
        (Level.CITY, "360700", "U000533", True),
        (Level.CITY, "360700", "U000008", True),
        (Level.CITY, "360100", "U000533", False),
        (Level.PROVINCE, "360000", "U000533", True),
        (Level.PROVINCE, "360000", "U000001", True),
    ],
)
def test_a_panel_judges_its_own_subtree(panel: Level, division: str, unit: str, allowed: bool) -> None:  # noqa: FBT001 - a parameter of the test
    book = PanelBook()
    seat = Seat("p1.0", panel, division, 2026, "deputy")
    book.enrolled(seat, enrolled=True)
    issue = book.issue("p1.0", UNITS.get(unit), 2026)
    assert (issue is None) == allowed
    assert book.issue("p1.0", UNITS.get(unit), 2027) is not None
    book.enrolled(seat, enrolled=False)
    assert book.issue("p1.0", UNITS.get(unit), 2026) is not None


def test_a_seat_is_given_taken_and_given_again_and_a_repeat_is_no_change() -> None:
    book, seat = PanelBook(), Seat("a", Level.COUNTY, "360721", 2026, "deputy")
    turns = []
    for enrolled, news in ((True, True), (True, False), (False, True), (False, False), (True, True)):
        assert book.would_change("a", seat, enrolled=enrolled) is news
        turns.append(book.turns("a", seat))
        if news:
            book.enrolled(seat, enrolled=enrolled)
    assert turns == [0, 1, 1, 2, 2], "each change has a number of its own"
    assert book.would_change("a", replace(seat, group="retired"), enrolled=True)
    assert not book.would_change("b", seat, enrolled=False), "nobody loses a seat that they never had"


def test_nothing_of_a_load_counts_before_it_is_complete_and_of_two_the_first_stands() -> None:
    book = RegistryBook(UNITS)
    merge = Merge("U000532", "U000533", date(2027, 1, 1))
    book.part("one", merge)
    book.part("other", Merge("U000533", "U000532", date(2027, 1, 1)))
    assert book.units == tuple(UNITS)
    assert not book.loaded("lost", 1, 2)
    assert book.loaded("one", 1, 1)
    assert not book.loaded("other", 1, 1)
    assert (book.number, dict(book.merges)) == (1, {"U000532": merge})
    ended = [(unit.unit_id, unit.successor) for unit in book.units if unit.valid_to is not None]
    assert ended == [("U000532", "U000533")]
    renamed = replace(UNITS.get("U000532"), name="x", valid_to=merge.on)
    book.part("two", renamed)
    assert book.loaded("two", 2, 1)
    assert dict(book.merges) == {"U000532": merge}, (
        "an event from before there were successors takes none away"
    )
    book.part("three", replace(renamed, valid_to=None))
    assert book.loaded("three", 3, 1)
    assert not book.merges, "it goes on"
    assert not book.loaded("short", 4, 1)
    book.clear()
    assert (book.number, book.units) == (0, tuple(UNITS))
