"""A case from the bad review to its close, on the real broker, with time under the test's control."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from services.rectify.domain.opening import case_id_of
from shared.messaging.publisher import JetStreamPublisher
from shared.messaging.streams import CASES
from shared.testing.builders import (
    CITY,
    COUNTY,
    UNIT,
    counted_fields,
    envelope_of,
    feedback_corrected,
    feedback_excluded,
    feedback_reinstated,
)
from shared.testing.clock import FixedClock
from tests.integration.rectify.conftest import Office, rate, receipt
from tests.support.access import as_staff

pytestmark = pytest.mark.integration
TO = {"unit_id": UNIT, "handler": "窗口负责人"}
NOW = datetime.now(UTC).replace(microsecond=0)


def plan(clock: FixedClock) -> dict[str, object]:
    return {
        "goal": "一次办结", "measures": "补齐材料清单，电话13812345678", "responsible_unit": UNIT,
        "deadline": (clock.now() + timedelta(days=2)).isoformat(),
        "responsible_leader": "分管副局长", "responsible_person": "窗口负责人",
    }  # fmt: skip


async def at_work(office: Office, case_id: str, clock: FixedClock) -> None:
    await office.moved(case_id, "contact")
    await office.moved(case_id, "classify", case_class="A")
    await office.moved(case_id, "assign", to=TO)
    await office.moved(case_id, "plan", **plan(clock))
    await office.moved(case_id, "report", text="已约谈窗口人员")


async def test_a_bad_review_becomes_a_case_that_the_citizen_refuses_and_then_confirms(
    client: Client, make_office: Callable[..., Any], secrets_dir: Path
) -> None:
    clock = FixedClock(NOW)
    async with make_office(clock) as office:
        rating = await rate(client, clock)
        case_id = case_id_of(rating, UNIT)
        await office.until(f"/v1/cases/{case_id}", lambda case: case["status"] == "opened")
        missing = await office.move(case_id, "plan", **plan(clock))
        assert missing.status_code == 409
        assert "classify" in missing.json()["detail"]
        await at_work(office, case_id, clock)
        await office.moved(case_id, "answer", outcome="resolved", text="已整改")
        code = receipt(secrets_dir, rating)
        own = (await office.http.get(f"/v1/receipts/{code}/case")).json()
        assert (own["status"], own["answer"]) == ("answered", "已整改")
        refused = await office.http.post(f"/v1/receipts/{code}/case/refuse", json={"reason": "没有改"})
        assert refused.json()["status"] == "in_progress"
        await office.moved(case_id, "answer", outcome="resolved", text="已当面道歉并整改")
        for _ in range(2):
            confirmed = await office.http.post(f"/v1/receipts/{code}/case/confirm")
            assert (confirmed.status_code, confirmed.json()["confirmed_by"]) == (200, "citizen")
        closed = await office.moved(case_id, "close")
        assert (closed["status"], closed["reopened"], closed["open_moves"]) == (
            "closed",
            1,
            ["spot_check", "annul"],
        )
        case = await office.case(case_id)
        assert [step["fact"] for step in case["history"]] == [
            "opened", "contacted", "classified", "assigned", "planned", "progress-reported", "answered",
            "answer-refused", "answered", "confirmed", "closed",
        ]  # fmt: skip
        assert case["history"][7]["note"] == "没有改"
        assert case["plan"]["measures"] == "补齐材料清单，电话[手机号]"
        stored = await client.jetstream().get_last_msg(CASES, f"cases.v1.changed.{CITY}.{COUNTY}.{case_id}")
        assert "道歉".encode() not in (stored.data or b"")
        figures = await office.until("/v1/cases/figures", lambda found: found["closed"] == 1, unit_id=UNIT)
        assert (figures["on_time_share"], figures["confirmed_share"], figures["reopened_share"]) == (1, 1, 1)
        forbidden = await office.http.delete(f"/v1/cases/{case_id}/texts")
        assert forbidden.status_code == 403
        await office.http.delete(f"/v1/cases/{case_id}/texts", headers=as_staff("province.admin", "360000"))
        erased = await office.case(case_id)
        assert (erased["answer"], erased["plan"]["goal"], erased["history"][7]["note"]) == (None, None, None)


async def test_of_two_commands_at_once_one_wins_and_the_other_gets_the_newer_state(
    client: Client, make_office: Callable[..., Any]
) -> None:
    clock = FixedClock(NOW)
    async with make_office(clock) as office:
        case_id = case_id_of(await rate(client, clock), UNIT)
        seen = await office.until(f"/v1/cases/{case_id}", lambda case: case["status"] == "opened")
        won = await office.move(case_id, "classify", etag=seen["etag"], key="k1", case_class="A")
        lost = await office.move(case_id, "classify", etag=seen["etag"], key="k2", case_class="B")
        assert (won.status_code, lost.status_code) == (200, 409)
        assert lost.json()["case"]["case_class"] == "A"
        assert lost.headers["etag"] == won.headers["etag"]
        again = await office.move(case_id, "classify", etag=seen["etag"], key="k1", case_class="A")
        assert (again.status_code, again.headers["etag"]) == (200, won.headers["etag"])
        other = await office.move(case_id, "classify", key="k1", case_class="C")
        assert (other.status_code, "key" in other.json()["detail"]) == (409, True)


async def test_redeliveries_and_drills_open_nothing_and_revisions_annul_and_revive(
    client: Client, make_office: Callable[..., Any]
) -> None:
    clock = FixedClock(NOW)
    publisher = JetStreamPublisher(client)
    async with make_office(clock) as office:
        await rate(client, clock, grade=5)
        await rate(client, clock, has_contact=False, contact_record=None, text=None)
        rating = await rate(client, clock)
        case_id = case_id_of(rating, UNIT)
        await office.until(f"/v1/cases/{case_id}", lambda case: case["status"] == "opened")
        bad, good = counted_fields(grade=1), counted_fields(grade=5)
        for number, (make, more, status) in enumerate(
            [
                (feedback_excluded, {}, "annulled"),
                (feedback_reinstated, {}, "opened"),
                (feedback_corrected, {"corrected": good}, "annulled"),
                (feedback_corrected, {"target": good, "corrected": bad}, "opened"),
            ],
            1,
        ):
            fields: dict[str, object] = {"target": bad, "target_id": rating, "target_revision": number}
            data = make(**{**fields, **more})
            await publisher.publish(envelope_of(data, time=clock.now()), city=CITY, county=COUNTY)
            await office.until(f"/v1/cases/{case_id}", lambda case, status=status: case["status"] == status)
        listed = (await office.http.get("/v1/cases")).json()["items"]
        assert [case["case_id"] for case in listed] == [case_id]


async def test_a_case_is_of_its_own_subtree_and_nobody_judges_their_own(
    client: Client, make_office: Callable[..., Any]
) -> None:
    clock = FixedClock(NOW)
    async with make_office(clock) as office:
        case_id = case_id_of(await rate(client, clock), UNIT)
        await office.until(f"/v1/cases/{case_id}", lambda case: case["status"] == "opened")
        path = f"/v1/cases/{case_id}"
        nothing = await office.http.get(path, headers={"Authorization": ""})
        elsewhere = as_staff("county.handler", "360721")
        assert (nothing.status_code, (await office.http.get(path, headers=elsewhere)).status_code) == (
            401,
            404,
        )
        assert (await office.http.get("/v1/cases", headers=elsewhere)).json()["items"] == []
        body = {"move": "annul", "reason": "mistaken"}
        viewer, city = as_staff("county.viewer", COUNTY), as_staff("city.supervisor", "360700")
        for who in (viewer, city):  # may look; the city manages counties, not their windows
            assert (await office.http.get(path, headers=who)).status_code == 200
            assert (await office.http.post(f"{path}/moves", json=body, headers=who)).status_code == 403
        named = await office.http.post(f"{path}/moves", json={"move": "contact", "by": "somebody-else"})
        assert named.status_code == 403
        annulled = await office.http.post(f"{path}/moves", json=body)
        assert (annulled.status_code, annulled.json()["status"]) == (200, "annulled")
