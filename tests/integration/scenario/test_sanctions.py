"""Three neglected matters in a year, on real servers: strikes, a sanction that is signed and appealed."""

from typing import Any

import pytest

from shared.testing.builders import CITY, COUNTY, UNIT
from tests.integration.scenario.stage import HANDLER, County, a_bad_review
from tests.support.access import as_staff

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
SUPERVISOR = as_staff("county.supervisor", COUNTY, "county-supervisor")
ANOTHER = as_staff("county.supervisor", COUNTY, "another-supervisor")
CITY_SUPERVISOR = as_staff("city.supervisor", f"{CITY}00", "city-supervisor")
OFFICER = as_staff("unit.handler", UNIT, "window-officer")


async def neglected(here: County, number: int) -> str:
    """A bad review that the county classifies and assigns, and that nobody looks at for twenty days."""
    rating, _, case_id = await a_bad_review(here, number)
    await here.rectify.moved(case_id, "contact")
    await here.rectify.moved(case_id, "classify", case_class="A")
    await here.rectify.moved(case_id, "assign", to=HANDLER)
    await here.time.passes(case_id, days=20)
    return rating


async def proposed(here: County, number: int) -> Any:  # noqa: ANN401 - JSON
    """The sanction that the last strike leads to."""
    page = await here.rectify.until("/v1/sanctions", lambda page: len(page["items"]) == number, unit_id=UNIT)
    return page["items"][0]


async def test_three_neglected_matters_lead_up_the_ladder_to_a_sanction_that_is_signed_and_appealed(
    here: County,
) -> None:
    measures = []
    for number in (1, 2, 3):
        rating = await neglected(here, number)
        sanction = await proposed(here, number)
        measures.append((sanction["step"], sanction["measure"], sanction["status"]))
        await here.told("strike", "officer", number)
        await here.told("sanction_to_decide", "county-supervisor", number)
    assert measures == [
        (1, "诫勉谈话", "proposed"), (2, "通报批评", "proposed"), (3, "组织处理建议", "proposed"),
    ]  # fmt: skip
    path = f"/v1/sanctions/{sanction['sanction_id']}"
    for nobody in (OFFICER, CITY_SUPERVISOR):  # one level down only
        assert (await here.rectify.http.post(f"{path}/signature", json={}, headers=nobody)).status_code == 403
    signed = await here.rectify.http.post(f"{path}/signature", json={}, headers=SUPERVISOR)
    assert (signed.status_code, signed.json()["status"]) == (200, "signed"), signed.text
    (in_force,) = await here.told("sanction_step", "officer")
    assert "申诉" in in_force.data.body
    reason = {"reason": "disproportionate"}
    appealed = await here.rectify.http.post(f"{path}/appeal", json=reason, headers=OFFICER)
    assert (appealed.status_code, appealed.json()["status"]) == (200, "appealed"), appealed.text
    await here.told("sanction_to_decide", "county-supervisor", 4)
    own = await here.rectify.http.post(f"{path}/decision", json={"granted": False}, headers=SUPERVISOR)
    assert own.status_code in {403, 409}, "who signed does not decide"
    decided = await here.rectify.http.post(f"{path}/decision", json={"granted": False}, headers=ANOTHER)
    assert (decided.status_code, decided.json()["status"]) == (200, "upheld"), decided.text
    await here.told("sanction_step", "officer", 2)

    steps = await here.story(rating)
    facts = [step["type"].split(".")[3] for step in steps if step["type"].startswith("cn.pingyi.sanctions.")]
    assert facts == ["strike-counted", "proposed", "signed", "appealed", "appeal-decided"]
    moments = [step["received_at"] for step in steps]
    assert moments == sorted(moments)
