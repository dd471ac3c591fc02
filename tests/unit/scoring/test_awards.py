"""Who comes first in a closed list, and whom a veto keeps from it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import cache
from itertools import permutations

import httpx
import msgspec
import pytest
from fastapi import FastAPI

from services.scoring.application.awards import IMPOSED, LIFTED, ReadAwards, Vetoes
from services.scoring.application.handlers import ReadRankings
from services.scoring.application.published import PublishedList, StoredRankings
from services.scoring.domain.lists import Row
from services.scoring.entrypoints.awards import make_awards_router
from shared.events.catalogue import EXAMPLES
from shared.kernel.grades import Level
from shared.observability.problem import install_handlers
from tests.support.access import as_staff, guard
from tests.unit.scoring.serving import UNITS, WINDOWS, stored

QUARTER = "2026Q3"
KIND = WINDOWS[0].kind
KEY = f"window.{KIND}.{QUARTER}"


def veto(
    number: int,
    unit_id: str,
    version: int = 2,
    *,
    lifted: bool = False,
    year: int = 2026,
    **other: object,
) -> bytes:
    """An event about a veto, as rectify publishes it."""
    event = {
        "specversion": "1.0", "id": f"e{number}.{version}", "type": LIFTED if lifted else IMPOSED,
        "time": f"2026-10-{10 + number:02}T04:00:00.000Z",
        "data": {
            "sanction_id": f"s{number}", "unit_id": unit_id, "by": "city-supervisor", "veto": "crime",
            "year": year, "sanction": {"version": version, "ground": "veto"},
        },
        **other,
    }  # fmt: skip
    return json.dumps(event).encode()


def vetoes(*bodies: bytes) -> Vetoes:
    found = Vetoes()
    for number, body in enumerate(bodies, 1):
        found.fold(body, number)
    found.caught_up = True
    return found


def standing(found: Vetoes, year: int = 2026) -> Mapping[str, str]:
    return {unit_id: each.event_id for unit_id, each in found.of_year(year).items()}


def test_a_veto_stands_for_its_year_until_it_is_lifted_in_any_order_and_with_repeats() -> None:
    bodies = [
        veto(1, "U1"),
        veto(1, "U1", 3, lifted=True),
        veto(2, "U2"),
        veto(2, "U2"),
        veto(3, "U3", year=2025),
    ]
    for order in permutations(bodies):
        found = vetoes(*order)
        assert standing(found) == {"U2": "e2.2"}
        assert standing(found, 2025) == {"U3": "e3.2"}
        assert standing(found, 2027) == {}
    again = vetoes(*bodies, veto(4, "U2"), veto(1, "U1", 4))
    assert standing(again) == {"U1": "e1.4", "U2": "e2.2"}, "of two the first is named"


def test_other_facts_about_sanctions_and_drills_move_the_position_alone_and_noise_is_refused() -> None:
    found = vetoes(b'{"type":"cn.pingyi.sanctions.signed.v1"}', veto(1, "U1", synthetic=True))
    assert standing(found) == {}
    assert found.position == 2
    with pytest.raises(msgspec.MsgspecError):
        found.fold(b"{", 3)


@pytest.mark.parametrize(("fact", "stands"), [("veto-imposed", True), ("veto-lifted", False)])
def test_the_contracts_own_examples_are_read(fact: str, stands: bool) -> None:  # noqa: FBT001 - a parameter of a test
    files = sorted((EXAMPLES / f"sanctions.{fact}.v1").glob("*.json"))
    assert files
    for file in files:
        body = file.read_bytes()
        event = json.loads(body)
        found = vetoes(body)
        assert standing(found, event["data"]["year"]) == (
            {event["data"]["unit_id"]: event["id"]} if stands else {}
        )


def closed() -> StoredRankings:
    """What is published, with the list of the last quarter closed."""
    found = stored()
    key = next(key for key in found.lists if key.startswith(f"window.{KIND}.") and key.endswith("2026"))
    source = found.lists[key]
    head = {**source.head, "list": KEY, "period": QUARTER}
    made = PublishedList(head, source.rows, source.items).closed(date(2026, 10, 31), source.hash, 0, 0)
    return replace(found, lists={**found.lists, KEY: made})


def reader(known: Vetoes, found: StoredRankings | None = None, most: int = 3) -> ReadAwards:
    rankings = found or closed()
    return ReadAwards(ReadRankings(UNITS, lambda: rankings, lambda: None), known, UNITS, lambda: most)


@cache
def rows() -> Sequence[Row]:
    """Of the closed list; not to be changed."""
    return closed().lists[KEY].rows


async def get(known: Vetoes, region: str = "360000", **params: str) -> httpx.Response:
    app = FastAPI()
    install_handlers(app)
    app.include_router(make_awards_router(reader(known), UNITS))
    role = {"360000": "province.viewer"}.get(region, "county.viewer")
    transport = httpx.ASGITransport(guard(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://scoring") as client:
        asked = {"period": QUARTER, "kind": KIND, **params}
        return await client.get("/v1/awards", params=asked, headers=as_staff(role, region))


async def test_the_first_of_a_closed_list_are_named_and_the_place_of_a_vetoed_unit_stays_empty() -> None:
    names = [row.unit_id for row in rows()]
    answer = (await get(vetoes())).json()
    assert [row["unit_id"] for row in answer["items"]] == names[:3]
    assert answer["masked"] == []
    answer = (await get(vetoes(veto(1, names[1]), veto(2, names[3])))).json()
    assert [row["unit_id"] for row in answer["items"]] == [names[0], names[2]]
    assert [row["rank"] for row in answer["items"]] == [1, 3], "a veto changes no rank, and nobody moves up"
    assert answer["masked"] == [
        {"unit_id": names[1], "name": rows()[1].name, "rank": 2, "veto": "crime", "event_id": "e1.2"}
    ]
    assert (answer["list"], answer["period"], answer["closed_on"]) == (KEY, QUARTER, "2026-10-31")
    assert answer["positions"] == {"FEEDBACK": 8900, "REGISTRY": 2}
    lifted = vetoes(veto(1, names[1]), veto(1, names[1], 3, lifted=True))
    assert [row["unit_id"] for row in (await get(lifted)).json()["items"]] == names[:3]


async def test_why_a_unit_is_left_out_is_told_to_those_in_whose_scope_it_is() -> None:
    unit = UNITS.get(rows()[0].unit_id)
    known = vetoes(veto(1, unit.unit_id))
    elsewhere = next(each.county for each in WINDOWS if each.county != unit.county)
    (there,) = (await get(known, unit.county)).json()["masked"]
    (other,) = (await get(known, elsewhere)).json()["masked"]
    assert (there["veto"], there["event_id"]) == ("crime", "e1.2")
    assert (other["unit_id"], other["veto"], other["event_id"]) == (unit.unit_id, None, None)


async def test_below_a_city_the_same_holds_with_ranks_of_its_own() -> None:
    city = next(unit for unit in UNITS.by_level(Level.CITY) if unit.city == UNITS.get(rows()[0].unit_id).city)
    inside = {unit.unit_id for unit in UNITS.subtree(city.unit_id)}
    expected = [row.unit_id for row in rows() if row.unit_id in inside and row.rank is not None]
    answer = (await get(vetoes(veto(1, expected[0])), parent=city.unit_id)).json()
    assert [row["unit_id"] for row in answer["items"]] == expected[1:3]
    assert answer["parent"] == city.unit_id
    assert answer["masked"][0]["rank"] == 1


async def test_what_has_not_closed_or_does_not_exist_is_refused_with_what_does() -> None:
    answer = await get(vetoes(), period="2026Q4")
    assert answer.status_code == 422
    assert QUARTER in answer.text
    assert (await get(vetoes(), kind="lottery")).status_code == 422
    waiting = Vetoes()
    assert (await get(waiting)).status_code == 503
    with pytest.raises(Exception, match="none has closed yet"):
        reader(vetoes(), stored()).of("window", KIND, QUARTER, None)
