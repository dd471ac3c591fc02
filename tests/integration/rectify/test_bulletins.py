"""A bulletin is published on the real broker, once, by whoever may, and its files are known from then on."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from nats.aio.client import Client

from services.rectify.domain.opening import case_id_of
from shared.kernel.clock import business_day
from shared.messaging.streams import REGISTRY
from shared.testing.builders import CITY, COUNTY, UNIT
from shared.testing.clock import FixedClock
from tests.integration.rectify.conftest import rate
from tests.support.access import as_staff

pytestmark = pytest.mark.integration
NOW = datetime.now(UTC).replace(microsecond=0)
TODAY = business_day(NOW)
PERIOD = f"{TODAY:%Y-%m}"
BODY: dict[str, Any] = {
    "region": f"{CITY}00", "period": PERIOD, "title": "赣州市民主评议情况", "issue": "第10期",
    "issuer": "赣州市民政局", "pdf_sha256": "a" * 64, "html_sha256": "b" * 64, "figures_sha256": "c" * 64,
    "rules": "sha256:" + "1f" * 32, "positions": {"FEEDBACK": 7},
    "lists": [{"list": f"county.all.{PERIOD}", "list_hash": "sha256:" + "2f" * 32, "closed": False}],
}  # fmt: skip


async def test_a_bulletin_is_published_once_by_who_may_and_its_files_are_known_after_a_restart(
    client: Client, make_office: Callable[..., Any]
) -> None:
    clock = FixedClock(NOW)
    city = as_staff("city.supervisor", f"{CITY}00", "ganzhou-office")
    async with make_office(clock) as office:

        async def publish(headers: dict[str, str] = city, **fields: object) -> Any:  # noqa: ANN401 - a response
            return await office.http.post("/v1/bulletins", json=BODY | fields, headers=headers)

        refused = {
            "city.viewer": (f"{CITY}00", 403),
            "city.supervisor": ("360100", 404),
            "county.supervisor": (COUNTY, 404),
            "province.admin": ("360000", 403),
        }
        for role, (region, status) in refused.items():
            assert (await publish(as_staff(role, region))).status_code == status, role
        assert (await publish({"Authorization": ""})).status_code == 401
        assert (await publish(title="电话13812345678")).status_code == 422
        assert (await publish(by="somebody-else")).status_code == 403
        first, again = await publish(), await publish()
        assert (first.status_code, again.status_code) == (201, 200), first.text
        assert first.json() == again.json()
        second = await publish(as_staff("province.supervisor", "360000"), pdf_sha256="d" * 64)
        assert second.json()["revision"] == 2
        stored = await client.jetstream().get_last_msg(
            REGISTRY, f"bulletins.v1.published.{CITY}.all.{PERIOD}"
        )
        event = json.loads(stored.data or b"")
        assert (event["type"], event["rules"]) == ("cn.pingyi.bulletins.published.v1", BODY["rules"])
        case_id = case_id_of(await rate(client, clock), UNIT)
        await office.until("/v1/cases", lambda page: [each["case_id"] for each in page["items"]] == [case_id])
        asked = {"region": f"{CITY}00", "first": f"{PERIOD}-01", "last": TODAY.isoformat()}
        counted = (await office.http.get("/v1/bulletins/cases", params=asked, headers=city)).json()
        assert (counted["whole"]["opened"], counted["below"][0]["group"]) == (1, COUNTY)
        elsewhere = as_staff("county.viewer", COUNTY)
        hidden = await office.http.get("/v1/bulletins/cases", params=asked, headers=elsewhere)
        assert hidden.status_code == 404
    async with make_office(clock) as office:
        office.http.headers.pop("Authorization")
        path = "/v1/bulletins/files/"
        old = await office.until(f"{path}{'a' * 64}", lambda found: found["form"] == "pdf")
        assert (old["stands"], old["standing_revision"], old["title"]) == (False, 2, BODY["title"])
        new = (await office.http.get(f"{path}{'d' * 64}")).json()
        assert (new["stands"], new["event_id"]) == (True, event["id"])
        assert "published_by" not in new
        assert (await office.http.get(f"{path}{'e' * 64}")).status_code == 404
        listed = (await office.http.get("/v1/bulletins", params={"region": f"{CITY}00"})).json()["items"]
        assert [each["revision"] for each in listed] == [2, 1]
