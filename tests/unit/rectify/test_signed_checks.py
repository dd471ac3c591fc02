"""Quarterly checks that a person signs: who may, when, what is recorded."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest

from services.rectify.application.checking import CheckSignedError, QuarterRunsError, SignCheck
from services.rectify.domain.book import Summary
from services.rectify.domain.checks import Quarter, check_quarter, figures_of
from services.rectify.domain.signed_checks import RegionFigures, SignedCheck
from shared.events import Provenance
from shared.events.sanctions import QuarterChecked
from shared.kernel.units import load_units
from shared.testing.builders import CITY, COUNTY
from tests.support.access import as_staff
from tests.unit.rectify.ladder_world import World
from tests.unit.rectify.lives import MONDAY, new_case
from tests.unit.shared.auth.rectify_app import serve_rectify

QUARTER = Quarter.parse("2026Q4")
OVER = datetime(2027, 1, 6, 3, tzinfo=UTC)
DIVISION = (CITY, "all")


class Office:
    """A world of ladders, and the checks that are signed in it."""

    def __init__(self) -> None:
        self.world = World()
        self.sign = SignCheck(self.world.store, self.world, self.world.packs, self.world.clock)

    def figures(self) -> tuple[RegionFigures, ...]:
        now, book = self.world.clock.now(), self.world.book
        return tuple(figures_of(each) for each in check_quarter(QUARTER, (), book, now, lambda *_: True))

    def signed(self, by: str = "city-supervisor-1") -> tuple[SignedCheck, bool]:
        return asyncio.run(
            self.sign(QUARTER, DIVISION, self.figures(), by=by, provenance=Provenance("request"))
        )

    @property
    def told(self) -> list[QuarterChecked]:
        return [event.data for _, event in self.world.store.events if isinstance(event.data, QuarterChecked)]


def test_a_signed_check_is_an_event_with_the_figures_and_who_stands_for_them() -> None:
    office = Office()
    office.world.overdue("case-1")
    office.world.settle()
    office.world.clock.set(OVER)
    check, repeated = office.signed()
    assert (check.revision, repeated) == (1, False)
    (event,) = office.told
    assert (event.city, event.county, event.quarter, event.by) == (*DIVISION, "2026Q4", "city-supervisor-1")
    (region,) = event.regions
    assert (region.city, region.county, region.strikes, region.unsigned) == (CITY, COUNTY, 1, 1)
    assert office.world.book.checks[check.key] == check, "the fold of the stream says the same"


def test_the_same_figures_again_are_no_event_and_others_or_another_person_are_the_next_revision() -> None:
    office = Office()
    office.world.clock.set(OVER)
    first, _ = office.signed()
    assert office.signed() == (first, True)
    other, _ = office.signed("city-supervisor-2")
    office.world.clock.set(MONDAY)
    office.world.overdue("case-1")
    office.world.settle()
    office.world.clock.set(OVER)
    last, _ = office.signed("city-supervisor-2")
    assert [each.revision for each in (first, other, last)] == [1, 2, 3]
    assert [each.by for each in office.told] == ["city-supervisor-1", *["city-supervisor-2"] * 2]


def test_a_quarter_that_runs_is_signed_by_nobody() -> None:
    office = Office()
    office.world.clock.set(datetime(2026, 12, 31, 15, 59, tzinfo=UTC))
    with pytest.raises(QuarterRunsError, match="2026-12-31"):
        office.signed()
    office.world.clock.set(datetime(2026, 12, 31, 16, 1, tzinfo=UTC))
    assert office.signed()[0].revision == 1, "the day is Shanghai's"


def test_of_two_who_sign_at_once_one_is_told_to_look_again() -> None:
    office = Office()
    office.world.clock.set(OVER)
    office.signed()
    known = dict(office.world.book.checks)
    office.signed("city-supervisor-2")
    office.world.book.checks.clear()
    office.world.book.checks.update(known)  # whoever has not read the other's yet
    with pytest.raises(CheckSignedError):
        office.signed("city-supervisor-3")


def test_a_check_counts_more_than_it_names() -> None:
    cases = [Summary.of(new_case(case_id=str(number)), number) for number in range(1, 211)]
    (check,) = check_quarter(QUARTER, cases, World().book, OVER, lambda *_: True)
    assert (len(check.overdue), figures_of(check).overdue) == (200, 210)


@pytest.fixture
async def http(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    app = serve_rectify("nats://127.0.0.1:1", load_units().get("U000532"), monkeypatch, {})
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://rectify") as client:
        yield client


async def test_a_supervisor_signs_for_the_own_division_and_who_sees_it_reads_it(
    http: httpx.AsyncClient,
) -> None:
    county, city = as_staff("county.supervisor", "360702"), as_staff("city.viewer", "360700")
    signed = await http.post("/v1/checks/2025Q4", json={}, headers=county)
    assert signed.status_code == 201, signed.text
    assert (signed.json()["city"], signed.json()["county"]) == ("3607", "360702")
    again = await http.post("/v1/checks/2025Q4", json={}, headers=county)
    assert (again.status_code, again.json()) == (200, signed.json())
    for who, seen in ((county, 1), (city, 1), (as_staff("county.viewer", "360721"), 0)):
        found = await http.get("/v1/checks", params={"quarter": "2025Q4"}, headers=who)
        assert len(found.json()["items"]) == seen
    assert (await http.get("/v1/checks", params={"quarter": "2025Q3"}, headers=county)).json()["items"] == []
    assert (await http.post("/v1/checks/2025Q5", json={}, headers=county)).status_code == 422
