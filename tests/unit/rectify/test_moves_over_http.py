"""Who may make which move, and what a refused one is answered with: rectify's real app on ports in memory."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from services.rectify.application.desk import LostRaceError
from services.rectify.application.ports import StoredCase
from services.rectify.entrypoints.bodies import AcceptTransferIn, ContactIn
from services.rectify.entrypoints.permitting import only_if
from shared.kernel.grades import Level
from shared.kernel.units import load_units
from tests.support.access import as_staff
from tests.unit.rectify.lives import new_case
from tests.unit.shared.auth.rectify_app import serve_rectify

HERE, THERE, ELSEWHERE = "U000532", "U000533", "U001000"
"""Two windows of a county, and one of another city."""
OFFICER, NEIGHBOUR = as_staff("unit.handler", HERE, "officer"), as_staff("unit.handler", THERE, "neighbour")
COUNTY = as_staff("county.handler", "360702", "county-handler")


class Case:
    """The case, and the moves that are asked for."""

    def __init__(self, http: httpx.AsyncClient, case_id: str) -> None:
        self.http = http
        self.path = f"/v1/cases/{case_id}"

    async def move(self, who: dict[str, str], move: str, **fields: object) -> httpx.Response:
        return await self.http.post(f"{self.path}/moves", json={"move": move, **fields}, headers=who)

    async def moved(self, who: dict[str, str], move: str, **fields: object) -> Any:  # noqa: ANN401 - JSON
        answer = await self.move(who, move, **fields)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def assigned(self) -> None:
        await self.moved(OFFICER, "classify", case_class="A")
        await self.moved(OFFICER, "assign", to=to(HERE))


def to(unit_id: str) -> dict[str, str]:
    return {"unit_id": unit_id, "handler": "窗口负责人"}


@pytest.fixture
async def case(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Case]:
    ids: dict[str, str] = {}
    app = serve_rectify("nats://127.0.0.1:1", load_units().get(HERE), monkeypatch, ids)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://rectify") as http:
        yield Case(http, ids["case_id"])


@pytest.mark.parametrize(
    "fields", [{"move": "accept_transfer"}, {"move": "refuse_transfer", "reason": "不属本单位"}]
)
async def test_whoever_proposes_a_transfer_neither_accepts_nor_refuses_it_but_whoever_is_asked_does(
    case: Case, fields: dict[str, str]
) -> None:
    await case.assigned()
    await case.moved(OFFICER, "propose_transfer", to=to(THERE), reason="属殡仪馆")
    own = await case.move(OFFICER, **fields)
    assert (own.status_code, THERE in own.json()["detail"]) == (403, True)
    after = await case.moved(NEIGHBOUR, **fields)
    assert after["responsible"]["unit_id"] == (THERE if fields["move"] == "accept_transfer" else HERE)
    assert after["pending_transfer"] is None


@pytest.mark.parametrize(
    "fields", [{"move": "accept_transfer"}, {"move": "refuse_transfer", "reason": "不属本单位"}]
)
async def test_who_has_authority_over_both_sides_does_not_answer_the_own_proposal(
    case: Case, fields: dict[str, str]
) -> None:
    await case.assigned()
    await case.moved(COUNTY, "propose_transfer", to=to(THERE), reason="属殡仪馆")
    own = await case.move(COUNTY, **fields)
    assert (own.status_code, "proposed the transfer" in own.json()["detail"]) == (403, True)
    colleague = as_staff("county.handler", "360702", "another-county-handler")
    await case.moved(colleague, **fields)


async def test_who_proposes_a_transfer_to_the_own_bureau_may_accept_it(case: Case) -> None:
    await case.assigned()
    bureau = next(unit for unit in load_units().by_level(Level.COUNTY) if unit.county == "360702")
    await case.moved(COUNTY, "propose_transfer", to=to(bureau.unit_id), reason="由局本级办理")
    taken = await case.moved(COUNTY, "accept_transfer")
    assert taken["responsible"]["unit_id"] == bureau.unit_id
    await case.moved(COUNTY, "propose_transfer", to=to(THERE), reason="属殡仪馆")
    assert (await case.move(COUNTY, "accept_transfer")).status_code == 403, "a new proposal is judged anew"


def test_what_was_judged_holds_for_the_state_that_was_judged_and_for_no_later_one() -> None:
    stored = StoredCase(new_case(), 7, "request")
    accept, contact = AcceptTransferIn(move="accept_transfer"), ContactIn(move="contact")
    assert only_if(accept, accept.move, stored, None) == 7
    assert only_if(accept, accept.move, stored, 6) == 6, "the desk knows a repeat, or says what has changed"
    assert only_if(contact, contact.move, stored, None) is None
    with pytest.raises(LostRaceError):  # what a proposal at the same moment would lead to
        only_if(accept, accept.move, stored, 8)


async def test_a_transfer_to_another_city_is_for_that_city_alone(case: Case) -> None:
    await case.assigned()
    await case.moved(COUNTY, "propose_transfer", to=to(ELSEWHERE), reason="属樟树市")
    assert (await case.move(COUNTY, "accept_transfer")).status_code == 403
    assert (await case.move(NEIGHBOUR, "accept_transfer")).status_code == 404
    taker = as_staff("county.handler", "360982")
    assert (await case.moved(taker, "accept_transfer"))["responsible"]["unit_id"] == ELSEWHERE


async def test_the_window_gives_the_first_class_and_its_county_another_one_with_a_reason(case: Case) -> None:
    key = {"Idempotency-Key": "k"}
    await case.moved(OFFICER | key, "classify", case_class="A")
    assert (await case.moved(OFFICER | key, "classify", case_class="A"))["case_class"] == "A", "a repeat"
    own = await case.move(OFFICER, "classify", case_class="B", reason="情况复杂")
    assert (own.status_code, "cases.judge" in own.json()["detail"]) == (403, True)
    assert "reason" in (await case.move(COUNTY, "classify", case_class="B")).json()["missing"][0]


async def test_the_level_above_asks_and_the_window_replies(case: Case) -> None:
    await case.assigned()
    own = await case.move(OFFICER, "inquire", question="为何未联系评价人？")
    assert (own.status_code, "cases.judge" in own.json()["detail"]) == (403, True)
    asked = await case.moved(COUNTY, "inquire", question="为何未联系评价人？")
    assert (asked["inquiries"], "respond" in asked["open_moves"]) == (1, True)
    replied = await case.moved(OFFICER, "respond", text="已于今日上门联系")
    assert "respond" not in replied["open_moves"]


@pytest.mark.parametrize(
    ("move", "field"),
    [("assign", "to.unit_id"), ("propose_transfer", "to.unit_id"), ("plan", "responsible_unit")],
)
async def test_a_unit_that_is_not_registered_is_named_with_what_was_expected(
    case: Case, move: str, field: str
) -> None:
    named: dict[str, object] = {field: "U999999"} if move == "plan" else {"to": to("U999999")}
    answer = await case.move(COUNTY, move, **named)
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert (error["field"], error["value"]) == (field, "'U999999'")
    assert error["expected"] == "the id of a registered unit"
    assert error["remedy"]


async def test_nobody_assigns_a_case_out_of_the_part_that_they_are_there_for(case: Case) -> None:
    await case.moved(OFFICER, "classify", case_class="A")
    for who, unit in ((OFFICER, THERE), (COUNTY, ELSEWHERE)):
        refused = await case.move(who, "assign", to=to(unit))
        assert (refused.status_code, "transfer" in refused.json()["detail"]) == (403, True)
    assert (await case.moved(COUNTY, "assign", to=to(THERE)))["responsible"]["unit_id"] == THERE


async def test_mine_is_what_i_or_my_unit_or_bureau_answer_for_whoever_it_is_about(case: Case) -> None:
    async def mine(who: dict[str, str], wanted: str = "true") -> int:
        answers = [
            await case.http.get(f"/v1/cases{path}", params={"mine": wanted}, headers=who)
            for path in ("", "/worklist")
        ]
        (number,) = {len(answer.json()["items"]) for answer in answers}
        return number

    named = as_staff("county.handler", "360702", "county-clerk")
    assert (await mine(OFFICER), await mine(OFFICER, "false")) == (0, 1), "nobody answers for it yet"
    await case.moved(OFFICER, "classify", case_class="A")
    await case.moved(OFFICER, "assign", to={"unit_id": HERE, "handler": "county-clerk"})
    assert (await mine(OFFICER), await mine(OFFICER, "false")) == (1, 0), "my window's"
    assert (await mine(COUNTY), await mine(NEIGHBOUR)) == (0, 0), "below me, or out of sight"
    assert await mine(named) == 1, "I am its handler"
    await case.moved(OFFICER, "propose_transfer", to=to(THERE), reason="属殡仪馆")
    assert await mine(NEIGHBOUR) == 0, "I am only asked"
    await case.moved(NEIGHBOUR, "accept_transfer")
    assert (await mine(OFFICER), await mine(NEIGHBOUR)) == (0, 1)


async def test_an_illegal_move_is_answered_with_what_is_missing_and_the_open_moves_as_fields(
    case: Case,
) -> None:
    answer = await case.move(COUNTY, "close")
    body = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (409, "application/problem+json")
    assert body["open_moves"] == ["contact", "classify", "annul"]
    assert "close needs one of: confirmed" in body["missing"][0]
    assert body["type"] == "urn:pingyi:problem:conflict"


async def test_the_api_describes_what_stands_beside_a_problem_of_a_case(case: Case) -> None:
    document = (await case.http.get("/openapi.json")).json()
    responses = document["paths"]["/v1/cases/{case_id}/moves"]["post"]["responses"]
    problem, more = responses["409"]["content"]["application/problem+json"]["schema"]["allOf"]
    assert problem == {"$ref": "#/components/schemas/Problem"}
    assert more["properties"].keys() == {"missing", "open_moves", "case"}
    for schema in (problem, *more["properties"]["case"]["allOf"]):
        assert schema["$ref"].rsplit("/", 1)[1] in document["components"]["schemas"]
