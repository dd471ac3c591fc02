"""Vetoes from what supervision found, and who is named at the ends of a closed list."""

import asyncio
from dataclasses import replace
from datetime import date

import pytest

from services.rectify.application.ladder_translation import due_event
from services.rectify.domain.checks import Quarter, campaigns_in, check_quarter
from services.rectify.domain.closed_lists import Row, is_poor
from services.rectify.domain.nominations import IllegalNominationError, NominationStatus
from services.rectify.domain.sanctions import SanctionStatus
from shared.events.sanctions import TalkCandidateNamed, UnitNominated, VetoImposed, VetoLifted
from shared.events.supervision import CampaignOpened
from shared.kernel.errors import InvalidValueError
from shared.kernel.grades import Level
from shared.rules.ladders import Ladders
from shared.testing.builders import CITY, COUNTY, UNIT, period_closed, ranking_row
from shared.testing.registry_builders import example_of
from tests.unit.rectify.ladder_world import COLLEAGUE, HEAD, SIGNER, UNITS, World

THIS_YEAR = 2026
WINDOWS = [unit for unit in UNITS if unit.kind == "marriage"][:20]


@pytest.mark.parametrize(
    ("kind", "severity", "vetoed"),
    [
        ("crime", "ordinary", True),
        ("group_petition", "ordinary", True),
        ("liability_accident", "ordinary", False),
        ("liability_accident", "severe", True),
        ("broken_promise", "ordinary", False),
        ("broken_promise", "major", True),
    ],
)
def test_an_incident_vetoes_from_its_least_severity_on(kind: str, severity: str, vetoed: bool) -> None:  # noqa: FBT001 - a table's column
    world = World()
    world.incident(kind, severity, verification="verified")
    world.settle()
    assert [each.veto for each in world.standing()] == ([kind] if vetoed else [])


def test_a_veto_is_a_proposal_once_verified_and_holds_once_signed() -> None:
    world = World()
    finding = world.incident("crime")
    world.settle()
    assert world.standing() == [], "reported is not verified"
    world.verify(finding, 1, "verified")
    world.settle()
    (proposal,) = world.standing()
    assert (proposal.year, proposal.rests_on[0], len(proposal.rests_on)) == (THIS_YEAR, finding, 2)
    assert world.book.veto(UNIT, THIS_YEAR) is None
    signed = world.ask(proposal, "sign", SIGNER)
    imposed = world.store.events[-1][1].data
    assert isinstance(imposed, VetoImposed)
    assert (imposed.veto, imposed.year) == ("crime", THIS_YEAR)
    assert world.book.veto(UNIT, THIS_YEAR) == signed
    assert world.book.veto(UNIT, THIS_YEAR + 1) is None
    world.verify(finding, 2, "verified")  # once more, by somebody else
    world.settle()
    assert len(world.standing()) == 1
    world.verify(finding, 3, "refuted")
    world.settle()
    lifted = world.store.events[-1][1].data
    assert isinstance(lifted, VetoLifted)
    assert lifted.because == "finding_fell_away"
    assert world.book.veto(UNIT, THIS_YEAR) is None


def test_a_proposed_veto_is_withdrawn_and_a_granted_appeal_lifts_one() -> None:
    world = World()
    finding = world.incident("crime", verification="verified")
    world.settle()
    world.verify(finding, 1, "refuted")
    world.settle()
    assert world.facts()[-1] == "withdrawn"
    world.criticised()
    world.verify(world.store.events[-1][1].id, 1, "verified")
    world.settle()
    (veto,) = world.standing()
    assert veto.veto == "criticised"
    world.ask(veto, "sign", SIGNER)
    world.ask(veto, "appeal", HEAD)
    assert world.book.veto(UNIT, THIS_YEAR) is not None
    world.ask(veto, "grant", COLLEAGUE)
    lifted = world.store.events[-1][1].data
    assert isinstance(lifted, VetoLifted)
    assert lifted.because == "appeal_granted"
    world.settle()
    assert world.standing() == [], "the finding stands, but somebody has decided"


def closed_list(world: World, **fields: object) -> list[str]:
    """A quarter's list of twenty windows is closed, in two parts; whom it names."""
    rows = [
        ranking_row(unit_id=unit.unit_id, name=unit.name, rank=place, score=95 - 2.0 * place, **fields)
        for place, unit in enumerate(WINDOWS, 1)
    ]
    whole = {
        "list": "window.marriage.2026Q4", "period": "2026Q4", "first": date(2026, 10, 1),
        "last": date(2026, 12, 31), "closed_on": date(2027, 1, 31), "parts": 2,
    }  # fmt: skip
    assert not world.close_list(period_closed(**whole, part=2, items=rows[15:]))
    named = world.close_list(period_closed(**whole, part=1, items=rows[:15]))
    assert not world.close_list(period_closed(**whole, part=1, items=rows[:15])), "it is closed once"
    for unit_id in sorted(named):
        world.settle(unit_id)
    return sorted(named)


def test_the_first_ten_are_nominated_and_the_last_three_are_candidates_for_a_talk() -> None:
    world = World()
    closed_list(world)
    nominated = [event.data for _, event in world.store.events if isinstance(event.data, UnitNominated)]
    assert sorted(each.nomination.rank for each in nominated) == list(range(1, 11))
    assert {each.nomination.awaits for each in nominated} == {Level.COUNTY}
    candidates = [event.data for _, event in world.store.events if isinstance(event.data, TalkCandidateNamed)]
    assert sorted(each.rank for each in candidates) == [18, 19, 20]
    assert not any(each.proposable for each in candidates)
    assert "proposed" not in world.facts()
    closed_list(world)
    assert len([fact for fact in world.facts() if fact == "unit-nominated"]) == 10


def test_a_sanction_on_a_score_is_proposed_where_it_is_poor_beyond_doubt() -> None:
    world = World()
    closed_list(world, interval_low=60.0, interval_high=79.9, n=30.0)
    proposed = [each for unit in WINDOWS for each in world.standing(unit.unit_id)]
    assert [each.measure for each in proposed] == ["约谈主要负责人"] * 3
    assert {each.list for each in proposed} == {"window.marriage.2026Q4"}


@pytest.mark.parametrize(
    ("n", "high", "poor"), [(30.0, 79.9999, True), (29.9, 60.0, False), (500.0, 80.0, False)]
)
def test_poor_is_thirty_ratings_and_a_probability_of_95_per_cent(n: float, high: float, poor: bool) -> None:  # noqa: FBT001 - a table's column
    assert is_poor(Row(UNIT, 99, 70.0, high, n), Ladders()) is poor


def test_a_month_and_the_province_name_nobody() -> None:
    world = World()
    assert not world.close_list(period_closed())
    assert not world.close_list(
        period_closed(list="province.all.2026Q4", level="province", kind=None, period="2026Q4")
    )


def test_a_nomination_goes_up_level_by_level() -> None:
    world = World()
    closed_list(world)
    (nomination, _), *_ = world.book.nominations(WINDOWS[0].unit_id)
    for level in (Level.COUNTY, Level.CITY, Level.PROVINCE):
        stored = asyncio.run(world.people.nomination(nomination.nomination_id))
        assert stored.nomination.awaits is level
        after = asyncio.run(world.people.confirm(stored, by=f"{level}-one", level=level))
        again = asyncio.run(world.people.confirm(after, by=f"{level}-two", level=level))
        assert again == after
    assert after.nomination.status is NominationStatus.CONFIRMED
    assert [each.by for each in after.nomination.confirmations] == ["county-one", "city-one", "province-one"]
    done = after._replace(nomination=replace(after.nomination, confirmations=()))
    with pytest.raises(IllegalNominationError):
        asyncio.run(world.people.confirm(done, by="x", level=Level.COUNTY))


def test_a_veto_masks_a_unit_from_nominations_as_long_as_it_holds() -> None:
    world = World()
    first = WINDOWS[0]
    finding = world.incident(
        "crime", verification="verified", unit_id=first.unit_id, city=first.city, county=first.county
    )
    world.settle(first.unit_id)
    world.ask(world.standing(first.unit_id)[0], "sign", SIGNER)
    closed_list(world)
    assert list(world.book.nominations(first.unit_id)) == []
    world.verify(finding, 1, "refuted")
    world.settle(first.unit_id)
    ((nomination, _),) = world.book.nominations(first.unit_id)
    assert nomination.rank == 1


def test_a_veto_takes_a_nomination_away_and_gives_it_back_when_it_is_lifted() -> None:
    world = World()
    closed_list(world)
    first = WINDOWS[0]
    finding = world.incident(
        "crime", verification="verified", unit_id=first.unit_id, city=first.city, county=first.county
    )
    world.settle(first.unit_id)
    world.ask(world.standing(first.unit_id)[0], "sign", SIGNER)
    world.settle(first.unit_id)
    ((nomination, _),) = world.book.nominations(first.unit_id)
    assert nomination.status is NominationStatus.WITHDRAWN
    world.verify(finding, 1, "refuted")
    world.settle(first.unit_id)
    ((nomination, _),) = world.book.nominations(first.unit_id)
    assert (nomination.status, nomination.awaits) == (NominationStatus.OPEN, Level.COUNTY)


def test_the_quarterly_check_tells_what_waits_in_each_region_in_sight() -> None:
    world = World()
    world.overdue("case-1")
    world.overdue("case-2")
    world.settle()
    world.ask(world.standing()[0], "sign", SIGNER)
    world.ask(world.standing()[0], "appeal", HEAD)
    quarter = Quarter.parse("2026Q4")
    (check,) = check_quarter(quarter, (), world.book, world.clock.now(), lambda *_: True)
    assert (check.city, check.county, check.strikes, check.appeals) == (CITY, COUNTY, 2, 1)
    assert check.unsigned == [world.standing()[1].sanction_id]
    assert check_quarter(quarter, (), world.book, world.clock.now(), lambda *_: False) == ()
    earlier = check_quarter(Quarter.parse("2026Q3"), (), world.book, world.clock.now(), lambda *_: True)
    assert earlier == ()
    with pytest.raises(InvalidValueError, match="2026Q4"):
        Quarter.parse("2026Q5")


def test_a_campaign_is_in_one_phase_each_day() -> None:
    world = World()
    data = example_of(
        CampaignOpened, mobilise_from="2026-10-01", run_from="2026-11-01", consolidate_from="2026-12-01",
        ends="2026-12-31",
    )  # fmt: skip
    world.supervise(data)
    (campaign,) = campaigns_in(Quarter.parse("2026Q4"), world.book)
    phases = [campaign.phase_on(date(2026, month, 15)) for month in (9, 10, 11, 12)]
    assert phases == ["planned", "mobilise", "run", "consolidate"]
    assert campaign.phase_on(date(2027, 1, 1)) == "ended"
    assert campaigns_in(Quarter.parse("2026Q3"), world.book) == ()


def test_events_of_the_platform_have_the_same_id_however_often_they_are_made() -> None:
    world = World()
    world.overdue("case-1")
    (due,) = world.ladderer.due(UNIT, world.clock.now())
    first = due_event(due, world.clock.now())
    world.later(days=1)
    assert due_event(due, world.clock.now()).id == first.id
    assert SanctionStatus.PROPOSED.label == "待签发"
