"""From a complaint that was answered late to a sanction that is appealed against, on the real broker."""

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from nats.aio.client import Client

from services.rectify.domain.opening import case_id_of
from shared.kernel.clock import business_day
from shared.messaging.publisher import JetStreamPublisher
from shared.testing.builders import (
    CITY,
    COUNTY,
    UNIT,
    counted_fields,
    envelope_of,
    feedback_excluded,
    period_closed,
    ranking_row,
)
from shared.testing.clock import FixedClock
from tests.integration.rectify.conftest import Office, rate, receipt
from tests.integration.rectify.test_life import at_work
from tests.support.access import as_staff

pytestmark = pytest.mark.integration
NOW = datetime.now(UTC).replace(microsecond=0)
SIGNER = as_staff("county.supervisor", COUNTY, "signer")
COLLEAGUE = as_staff("county.supervisor", COUNTY, "colleague")
HEAD = as_staff("unit.handler", UNIT, "head")


async def decided(office: Office, path: str, who: dict[str, str], **body: object) -> httpx.Response:
    return await office.http.post(f"/v1/{path}", json=body, headers=who)


async def complaint_closed(
    client: Client, office: Office, clock: FixedClock, secrets_dir: Path, *, late: bool
) -> str:
    """A complaint's whole life; the rating's id."""
    rating = await rate(client, clock, channel="complaint_desk", verification="real_name")
    case_id = case_id_of(rating, UNIT)
    await office.until(f"/v1/cases/{case_id}", lambda case: case["status"] == "opened")
    await at_work(office, case_id, clock)
    if late:
        clock.advance(days=60)
    await office.moved(case_id, "answer", outcome="resolved", text="已整改")
    await office.http.post(f"/v1/receipts/{receipt(secrets_dir, rating)}/case/confirm")
    await office.moved(case_id, "close")
    return rating


async def test_strikes_become_proposals_that_people_sign_appeal_against_and_decide(
    client: Client, make_office: Callable[..., Any], secrets_dir: Path
) -> None:
    clock = FixedClock(NOW)
    async with make_office(clock) as office:
        first = await complaint_closed(client, office, clock, secrets_dir, late=True)
        listed = await office.until("/v1/sanctions", lambda page: len(page["items"]) == 2)
        assert {(each["ground"], each["step"], each["status"]) for each in listed["items"]} == {
            ("U", 1, "proposed"), ("C", 1, "proposed"),
        }  # fmt: skip
        await complaint_closed(client, office, clock, secrets_dir, late=False)
        listed = await office.until(
            "/v1/sanctions", lambda page: [each["step"] for each in page["items"]] == [2, 1], ground="C"
        )
        second, earlier = listed["items"]
        assert (second["measure"], second["open_moves"]) == ("通报批评", ["sign", "reject"])
        path = f"sanctions/{second['sanction_id']}"

        # One level down only, the unit itself may look; elsewhere there is no such thing.
        for who, status in (
            (as_staff("county.handler", COUNTY), 403),
            (as_staff("city.supervisor", "360700"), 403),
            (as_staff("province.admin", "360000"), 403),
            (as_staff("unit.supervisor", UNIT), 403),
            (as_staff("county.supervisor", "360721"), 404),
        ):
            assert (await decided(office, f"{path}/signature", who)).status_code == status
        assert (await office.http.get(f"/v1/{path}", headers=HEAD)).status_code == 200
        assert (await office.http.get("/v1/sanctions", headers=as_staff("unit.viewer", "U001000"))).json()[
            "items"
        ] == []

        signed = await decided(office, f"{path}/signature", SIGNER)
        assert (signed.status_code, signed.json()["status"], signed.json()["signed_by"]) == (
            200, "signed", "signer",
        )  # fmt: skip
        assert (await decided(office, f"{path}/signature", SIGNER)).json() == signed.json()
        late = await office.http.post(
            f"/v1/{path}/rejection", json={"reason": "facts_wrong"},
            headers=COLLEAGUE | {"If-Match": second["etag"]},
        )  # fmt: skip
        assert (late.status_code, late.json()["sanction"]["status"]) == (409, "signed")
        assert (await decided(office, f"{path}/appeal", SIGNER, reason="procedure")).status_code == 403
        appealed = await decided(office, f"{path}/appeal", HEAD, reason="procedure", evidence=["file:1"])
        assert appealed.json()["status"] == "appealed"
        own = await decided(office, f"{path}/decision", SIGNER, granted=False)
        assert (own.status_code, "another person" in own.json()["detail"]) == (409, True)
        refused = await decided(office, f"{path}/decision", COLLEAGUE, granted=False)
        assert (refused.json()["status"], refused.json()["in_force"]) == ("upheld", True)

        # Two at once: one of them decides, the other is told what has been decided.
        path = f"sanctions/{earlier['sanction_id']}"
        both = await asyncio.gather(
            decided(office, f"{path}/signature", SIGNER),
            decided(office, f"{path}/rejection", COLLEAGUE, reason="dealt_with"),
        )
        assert sorted(each.status_code for each in both) == [200, 409]

        # The first complaint was none: its strikes fall away, and the second becomes the first step.
        excluded = feedback_excluded(target=counted_fields(grade=1), target_id=first, target_revision=1)
        await JetStreamPublisher(client).publish(
            envelope_of(excluded, time=clock.now()), city=CITY, county=COUNTY
        )
        listed = await office.until(
            "/v1/sanctions",
            lambda page: [(each["ground"], each["step"]) for each in page["items"]] == [("C", 1)],
            status="proposed",
        )
        (anew,) = listed["items"]
        shown = (await office.http.get(f"/v1/sanctions/{anew['sanction_id']}")).json()
        assert [strike["basis"] for strike in shown["counted"]] == ["complaint"]
        today = business_day(clock.now())
        quarter = f"{today.year}Q{(today.month + 2) // 3}"
        check = (await office.http.get(f"/v1/checks/{quarter}")).json()["items"]
        assert [each["unsigned"] for each in check if each["county"] == COUNTY] == [[anew["sanction_id"]]]


async def test_the_first_of_a_closed_list_are_confirmed_level_by_level(
    client: Client, make_office: Callable[..., Any]
) -> None:
    clock = FixedClock(NOW)
    rows = [ranking_row(rank=1, score=97.0, interval_high=99.0)]
    closed = period_closed(
        list="window.marriage.2026Q3", period="2026Q3", first=date(2026, 7, 1), last=date(2026, 9, 30),
        closed_on=date(2026, 10, 30), items=rows,
    )  # fmt: skip
    await JetStreamPublisher(client).publish(envelope_of(closed, time=clock.now()))
    async with make_office(clock) as office:
        found = await office.until("/v1/nominations", lambda page: len(page["items"]) == 1)
        (nomination,) = found["items"]
        assert (nomination["unit_id"], nomination["rank"], nomination["awaits"]) == (UNIT, 1, "county")
        path = f"nominations/{nomination['nomination_id']}/confirmation"
        city = as_staff("city.supervisor", "360700", "city-one")
        assert (await decided(office, path, city)).status_code == 403
        assert (await decided(office, path, SIGNER)).json()["awaits"] == "city"
        assert (await decided(office, path, SIGNER)).json()["awaits"] == "city"
        assert (await decided(office, path, as_staff("city.supervisor", "360100"))).status_code == 404
        assert (await decided(office, path, city)).json()["awaits"] == "province"
        province = as_staff("province.supervisor", "360000", "province-one")
        done = (await decided(office, path, province)).json()
        assert (done["status"], len(done["confirmed_by"])) == ("confirmed", 3)


async def test_a_signed_check_is_there_after_a_restart_and_signed_once(
    client: Client, make_office: Callable[..., Any]
) -> None:
    del client
    async with make_office(FixedClock(NOW)) as office:
        signed = await decided(office, "checks/2025Q4", SIGNER)
        assert signed.status_code == 201, signed.text
    async with make_office(FixedClock(NOW)) as office:
        found = (await office.http.get("/v1/checks", headers=SIGNER)).json()["items"]
        assert found == [signed.json()]
        again = await decided(office, "checks/2025Q4", SIGNER)
        assert (again.status_code, again.json()["revision"]) == (200, 1)
        other = await decided(office, "checks/2025Q4", COLLEAGUE)
        assert (other.status_code, other.json()["revision"]) == (201, 2)
