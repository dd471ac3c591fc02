"""Approvals, supervision and panels over HTTP and on a real broker, by two replicas and over restarts."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from nats.aio.client import Client

from deploy.local.embedded import NatsServer
from deploy.registry.materialise import write_table
from shared.events import Envelope, FeedbackExcluded, FeedbackReinstated, parse_envelope
from shared.events.supervision import VisitRecorded
from shared.kernel.clock import business_day
from shared.kernel.registry_book import units_hash
from shared.kernel.units import load_units
from shared.messaging.registry import read_registry
from shared.messaging.streams import REGISTRY
from tests.integration.intake.conftest import RATING, Intake, StartIntake, eventually, raw_messages

pytestmark = pytest.mark.integration
CLERK = {"decided_by": "county-360721-clerk"}
REVIEWER = {"decided_by": "city-3607-reviewer", "level": "city"}
PROVINCE = {"decided_by": "province-reviewer", "level": "province"}
YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).isoformat(timespec="seconds")


async def rated(intake: Intake, count: int) -> list[dict[str, Any]]:
    lines = [f'{{"unit_id": "U000200", "grade": 1, "client_ref": "r{n}"}}' for n in range(count)]
    results: list[dict[str, Any]] = (await intake.submit_lines(*lines)).json()["results"]
    return results


async def post(intake: Intake, path: str, body: object, status: int, **headers: str) -> dict[str, Any]:
    answer = await intake.http.post(path, json=body, headers=headers)
    assert answer.status_code == status, answer.text
    said: dict[str, Any] = answer.json()
    return said


async def carried_out(intake: Intake, approval: str) -> dict[str, Any]:
    async def done() -> bool:
        return bool((await intake.http.get(f"/v1/approvals/{approval}")).json().get("stage") == "carried_out")

    await eventually(done)
    said: dict[str, Any] = (await intake.http.get(f"/v1/approvals/{approval}")).json()
    return said


async def test_a_batch_is_asked_for_at_one_replica_agreed_to_at_another_and_appealed_against(
    broker: Client, nats_server: NatsServer, start_intake: StartIntake
) -> None:
    async with start_intake(nats_server, data="a") as one:
        async with start_intake(nats_server, data="b") as other:
            results = await rated(one, 300)
            targets = [each["event_id"] for each in results]
            body = {"targets": [*targets[:299], results[299]["receipt_code"]], "reason": "stuffed", **CLERK}
            asked = await post(one, "/v1/approvals/exclusions", body, 202, **{"Idempotency-Key": "k"})
            again = await post(one, "/v1/approvals/exclusions", body, 202, **{"Idempotency-Key": "k"})
            assert (again["approval_id"], asked["size"]) == (asked["approval_id"], 300)
            path = f"/v1/approvals/{asked['approval_id']}"
            refused = await post(one, f"{path}/approve", CLERK, 403)
            assert refused["errors"][0]["field"] == "decided_by"

            async def known() -> bool:
                return (await other.http.get(path)).status_code == 200

            await eventually(known)
            verdicts = await asyncio.gather(
                other.http.post(f"{path}/approve", json=REVIEWER),
                one.http.post(f"{path}/reject", json=PROVINCE | {"reason": "unfounded"}),
            )
            assert sorted(each.status_code for each in verdicts) == [202, 409]
            if verdicts[1].status_code == 202:  # the rejection was first: ask and agree anew
                asked = await post(one, "/v1/approvals/exclusions", body, 202, **{"Idempotency-Key": "k2"})
                path = f"/v1/approvals/{asked['approval_id']}"
                await eventually(known)
                await post(other, f"{path}/approve", REVIEWER, 202)
            settled = await carried_out(one, asked["approval_id"])
            assert (settled["done"], settled["left"]) == (300, [])
            assert (settled["requested_by"], settled["decided_by"]) == (
                CLERK["decided_by"], REVIEWER["decided_by"],
            )  # fmt: skip

        async def excluded_here() -> bool:
            found = await one.http.get(f"/v1/feedback/{targets[0]}/state")
            return bool(found.json()["state"] == "excluded")

        await eventually(excluded_here)  # what another replica has done is read within a second
        code = results[0]["receipt_code"]
        appeal = await post(one, f"/v1/receipts/{code}/appeal", {}, 202)
        by_staff = await post(one, f"/v1/feedback/{targets[0]}/appeal", CLERK, 202)
        assert by_staff["approval_id"] == appeal["approval_id"]
        await post(one, f"/v1/approvals/{appeal['approval_id']}/approve", REVIEWER, 403)

    async with start_intake(nats_server, data="c") as fresh:  # knows all of it from the streams alone
        await post(fresh, f"/v1/approvals/{appeal['approval_id']}/approve", PROVINCE, 202)
        assert (await carried_out(fresh, appeal["approval_id"]))["done"] == 1
        listed = (await fresh.http.get("/v1/approvals", params={"stage": "carried_out"})).json()["items"]
        assert [each["kind"] for each in listed] == ["reinstatement", "exclusion"]
        metrics = (await fresh.http.get("/metrics")).text
        assert "pingyi_intake_pending_approvals_requests 0.0" in metrics
    events = await raw_messages(broker)
    excluded = [
        parse_envelope(Envelope[FeedbackExcluded], data)
        for subject, data in events
        if ".excluded." in subject
    ]
    assert {event.data.target_id for event in excluded} == set(targets)
    assert len(excluded) == 300
    assert {(event.data.requested_by, event.data.decided_by) for event in excluded} == {
        (CLERK["decided_by"], REVIEWER["decided_by"])
    }
    (reinstated,) = [
        parse_envelope(Envelope[FeedbackReinstated], data)
        for subject, data in events
        if ".reinstated." in subject
    ]
    assert (reinstated.data.target_id, reinstated.data.decided_by) == (targets[0], PROVINCE["decided_by"])


async def test_a_campaign_covers_each_household_once_and_findings_are_verified_by_somebody_else(
    intake: Intake, broker: Client
) -> None:
    today = business_day(datetime.now(UTC))
    days = {
        name: (today + timedelta(days=shift)).isoformat()
        for name, shift in {"mobilise_from": -9, "run_from": -5, "consolidate_from": 5, "ends": 9}.items()
    }
    campaign = {
        "campaign_id": "hundred-thousand", "title": "百千万走访", "teams": 100, "cadres": 1000,
        **CLERK, **days,
        "targets": [{"county": "360721", "households": 4}, {"county": "360722", "households": 6}],
    }  # fmt: skip
    wrong = campaign | {"targets": [{"county": "360700", "households": 1}], "ends": days["run_from"]}
    refused = await post(intake, "/v1/campaigns", wrong, 422)
    assert {error["field"] for error in refused["errors"]} == {"run_from", "targets[0].county"}
    for _ in range(2):
        opened = await post(intake, "/v1/campaigns", campaign, 201)
    assert (opened["phase"], opened["whole"]["target"]) == ("run", 10)
    await post(intake, "/v1/campaigns", campaign | {"teams": 99}, 409)
    path = "/v1/campaigns/hundred-thousand"

    def visit(whom: str, county: str = "360721", team: str = "7") -> dict[str, str]:
        return {"county": county, "team": team, "whom": whom, "visited_at": YESTERDAY}

    bad = {"visits": [visit("A"), visit("B", "360102")], **CLERK}
    assert (await post(intake, f"{path}/visits", bad, 422))["errors"][0]["field"] == "visits[1].county"
    rated = (await intake.submit(RATING)).json()["event_id"]
    other = f"{rated[:-1]}{'0' if rated[-1] != '0' else '1'}"
    unrated = {"visits": [visit("A") | {"feedback_id": rated}, visit("B") | {"feedback_id": other}], **CLERK}
    (wrong,) = (await post(intake, f"{path}/visits", unrated, 422))["errors"]
    assert (wrong["field"], wrong["value"]) == ("visits[1].feedback_id", other)
    assert wrong["expected"] == "the event id of an accepted rating"
    assert (await intake.http.get(path)).json()["whole"]["visits"] == 0
    visits = {
        "visits": [
            visit("王家 3 号") | {"feedback_id": rated},
            visit("B"),
            visit("B", team="8"),
            visit("C", "360722"),
        ],
        **CLERK,
    }
    first = await post(intake, f"{path}/visits", visits, 202)
    assert await post(intake, f"{path}/visits", visits, 202) == first
    found = (await intake.http.get(path)).json()
    assert found["counties"] == [
        {"county": "360721", "target": 4, "done": 2, "visits": 3, "share": 0.5},
        {"county": "360722", "target": 6, "done": 1, "visits": 1, "share": 0.166667},
    ]
    assert (found["whole"]["share"], found["teams_out"]) == (0.3, 2)
    assert "pingyi_intake_campaign_coverage_ratio 0.3" in (await intake.http.get("/metrics")).text

    incident = {
        "unit_id": "U000200", "occurred_at": YESTERDAY, "kind": "group_petition", "severity": "major",
        "evidence": ["file:2026/17"], **CLERK,
    }  # fmt: skip
    recorded = await post(intake, "/v1/incidents", incident, 201)
    assert await post(intake, "/v1/incidents", incident, 201) == recorded
    assert (recorded["verification"], recorded["family"]) == ("reported", "incident")
    inspection = {"unit_id": "U000200", "occurred_at": YESTERDAY, "finding": "criticised", **CLERK}
    await post(intake, "/v1/inspections", inspection, 201)
    await post(intake, "/v1/inspections", inspection | {"unit_id": "U9"}, 404)
    await post(intake, "/v1/incidents", incident | {"evidence": []}, 422)
    verification = f"/v1/findings/{recorded['finding_id']}/verification"
    await post(intake, verification, CLERK | {"verification": "verified"}, 403)
    verified = await post(intake, verification, REVIEWER | {"verification": "verified"}, 202)
    assert (verified["verification"], verified["revision"]) == ("verified", 1)
    query = {"verification": "reported"}
    left = (await intake.http.get("/v1/findings", params=query)).json()["items"]
    assert [each["what"] for each in left] == ["criticised"]

    stored = await raw_messages(broker, REGISTRY)
    assert "王家" not in "".join(data.decode() for _, data in stored)
    facts = [subject.split(".", 1)[1] for subject, _ in stored]
    assert facts.count("v1.visit-recorded.3607.360721") == 3
    visited = [
        parse_envelope(Envelope[VisitRecorded], data) for subject, data in stored if "visit-" in subject
    ]
    assert {event.data.recorded_by for event in visited} == {CLERK["decided_by"]}
    assert [event.data.feedback_id for event in visited].count(rated) == 1


async def test_only_an_enrolled_assessors_ballot_within_scope_and_year_is_accepted(intake: Intake) -> None:
    year = business_day(datetime.now(UTC)).year
    unit = (await intake.http.get("/v1/units/U000200")).json()
    seat = {
        "numbers": ["评-001", "评-002"], "panel": "county", "division": unit["county"], "year": year,
        "group": "deputy", **REVIEWER,
    }  # fmt: skip
    ballot = RATING | {"channel": "assessor", "source": "social", "contact": {"account": "评-001"}}

    async def cast(ref: str, **changes: object) -> httpx.Response:
        return await intake.submit(ballot | {"client_ref": ref} | changes)

    refused = await cast("a")
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "contact.account"
    assert "评-001" not in refused.text
    assert (await post(intake, "/v1/assessors", seat, 202)) == {"assessors": 2, "changed": 2}
    assert (await post(intake, "/v1/assessors", seat, 202)) == {"assessors": 2, "changed": 0}
    assert (await cast("b")).status_code == 202
    away = next(
        each
        for each in (await intake.http.get("/v1/units", params={"level": "county"})).json()["items"]
        if each["county"] != unit["county"]
    )
    outside = await cast("c", unit_id=away["unit_id"])
    assert (outside.status_code, outside.json()["errors"][0]["field"]) == (422, "unit_id")
    early = await cast("d", occurred_at=f"{year - 1}-06-01T09:00:00+08:00")
    assert f"enrolled for {year - 1}" in early.text
    assert (await cast("e", contact={"phone": "13800138000"})).status_code == 422
    gone = seat | {"numbers": ["评-001", "评-404"], "enrolled": False}
    assert (await post(intake, "/v1/assessors", gone, 202)) == {"assessors": 2, "changed": 1}
    assert (await cast("f")).status_code == 422
    assert (await post(intake, "/v1/assessors", seat, 202))["changed"] == 1
    assert (await cast("g")).status_code == 202, "within the second in which it was taken and given again"
    await post(intake, "/v1/assessors", gone, 202)
    panels = (await intake.http.get("/v1/assessors/panels")).json()["items"]
    assert [(each["division"], each["assessors"]) for each in panels] == [(unit["county"], 1)]
    await post(intake, "/v1/assessors", seat | {"division": "360700"}, 422)


async def test_the_provinces_interface_is_answered_in_its_own_style_and_handed_ratings_without_identity(
    intake: Intake, broker: Client
) -> None:
    record = {
        "projNo": "360721-BJ-0001", "satisfaction": "1", "evaluateChannel": "4",
        "transactionTime": "2026-03-01 09:30:00", "serviceDepartmentCode": "U000200",
        "applicantName": "王小明", "applicantPhone": "13912345678", "writingEvaluation": "等太久",
        "projName": "婚姻登记", "handleStateCode": "3",
    }  # fmt: skip
    path = "/v1/adapters/good-bad-review"
    first = await post(intake, path, record, 200)
    assert (first["code"], first["message"], first["results"][0]["code"]) == (0, "成功", 0)
    others = [
        record, record | {"satisfaction": "5"}, record | {"projNo": "2", "satisfaction": "9"},
        record | {"projNo": "3", "serviceDepartmentCode": "U9"}, record | {"projNo": "4"},
    ]  # fmt: skip
    batch = await post(intake, f"{path}/batch", {"records": others}, 200)
    assert [each["code"] for each in batch["results"]] == [1, 2, 3, 3, 0]
    assert batch["results"][0]["evaluationId"] == first["results"][0]["evaluationId"]
    assert [each.get("field") for each in batch["results"][2:4]] == ["satisfaction", "serviceDepartmentCode"]
    bare = await post(intake, path, {"satisfaction": "5"}, 200)
    assert (bare["code"], bare["results"][0]["field"]) == (3, "projNo")
    assert bare["message"].startswith("数据有误")
    out = (await intake.http.get(path)).json()
    assert [each["satisfaction"] for each in out["records"]] == ["1", "1"]
    one = out["records"][0]
    assert (one["evaluateChannel"], one["transactionTime"]) == ("4", "2026-03-01 09:30:00")
    assert one["evaluationId"] == first["results"][0]["evaluationId"]
    assert "BJ-0001" not in one["projNo"]
    assert (await intake.http.get(path, params={"after": out["next"]})).json()["records"] == []
    unknown = record | {"projNo": "5", "evaluateChannel": "12", "regionCode": "360103000000"}
    for field, expected in (("regionCode", "360123"), ("evaluateChannel", "3 二维码")):
        answer = await post(intake, path, unknown, 200)
        assert (answer["results"][0]["field"], answer["code"]) == (field, 3)
        assert expected in answer["results"][0]["expected"]
        unknown["regionCode"] = "360123000000"
    await intake.submit(RATING | {"channel": "qr", "client_ref": "without a transaction"})
    given = (await intake.http.get(path)).json()["records"]
    taken = await post(intake, f"{path}/batch", {"records": given}, 200)
    assert [each["code"] for each in taken["results"]] == [1, 1, 1], "what was handed on from here is in here"
    assert [each["evaluationId"] for each in taken["results"]] == [each["evaluationId"] for each in given]
    assert not any("receiptCode" in each for each in taken["results"]), "it would allow to take them back"
    assert (await intake.http.get(path)).json()["records"] == given, "nothing is doubled"
    elsewhere = [each | {"evaluationId": str(uuid4()), "applicantName": None} for each in given]
    taken = await post(intake, f"{path}/batch", {"records": elsewhere}, 200)
    assert [each["code"] for each in taken["results"]] == [0, 0, 0], "what is handed on can be taken in"
    late = record | {"projNo": "9", "transactionTime": "2999-01-01 00:00:00"}
    assert (await post(intake, path, late, 200))["results"][0]["field"] == "transactionTime"
    again = (await intake.http.get(path)).json()["records"][len(given) :]
    same = ("serviceDepartmentCode", "regionCode", "satisfaction", "evaluateChannel", "transactionTime")
    assert [[each[name] for name in same] for each in again] == [
        [each[name] for name in same] for each in given
    ]
    told = json.dumps([first, batch, out], ensure_ascii=False)
    stored = "".join(data.decode() for _, data in await raw_messages(broker))
    for secret in ("王小明", "13912345678", "BJ-0001"):
        assert secret not in told + stored


async def test_a_county_that_was_loaded_has_a_panel_campaigns_and_records_of_the_provinces_interface(
    intake: Intake,
) -> None:
    today = business_day(datetime.now(UTC)).isoformat()
    seat = {
        "numbers": ["评-1"], "panel": "county", "division": "360799", "year": int(today[:4]),
        "group": "deputy", **PROVINCE,
    }  # fmt: skip
    campaign = {
        "campaign_id": "new", "title": "百千万走访", "teams": 1, "cadres": 1, "mobilise_from": today,
        "run_from": today, "consolidate_from": "2999-01-01", "ends": "2999-01-02", **PROVINCE,
        "targets": [{"county": "360799", "households": 2}],
    }  # fmt: skip
    unknown = await post(intake, "/v1/assessors", seat, 422)
    assert unknown["errors"][0]["expected"] == "a GB/T 2260 code"
    divisions = "code,name,level,parent,valid_from,valid_to\n360799,蓉江区,county,360700,2026-01-01,\n"
    await post(intake, "/v1/registry/loads", {"divisions": divisions, **PROVINCE}, 202)
    for path, body in (("/v1/assessors", seat), ("/v1/campaigns", campaign)):
        without = await post(intake, path, body, 422)
        assert "units of 蓉江区 are registered under" in without["errors"][0]["expected"]
    table = (await intake.http.get("/v1/registry/units.csv")).text
    table += "U009001,赣州市蓉江区民政局,county,bureau,360799,3607,360799,U000008,2026-01-01,\n"
    table += "U009002,赣州市蓉江区婚姻登记处,window,marriage,360799,3607,360799,U009001,2026-01-01,\n"
    await post(intake, "/v1/registry/loads", {"units": table, **PROVINCE}, 202)
    await post(intake, "/v1/assessors", seat, 202)
    ballot = {"unit_id": "U009002", "channel": "assessor", "source": "social", "contact": {"account": "评-1"}}
    assert (await intake.submit(RATING | ballot)).status_code == 202
    await post(intake, "/v1/campaigns", campaign, 201)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    visits = [
        {"county": "360799", "team": "7", "whom": whom, "visited_at": now}
        for whom in ("王家 ３ 号", " 王家 3  号 ")
    ]
    await post(intake, "/v1/campaigns/new/visits", {"visits": visits, **PROVINCE}, 202)
    covered = (await intake.http.get("/v1/campaigns/new")).json()["whole"]
    assert covered["done"] == 1, "one household, however it was typed"
    record = {
        "projNo": "1", "satisfaction": "5", "evaluateChannel": "1", "serviceDepartmentCode": "U009002",
        "transactionTime": f"{today} 00:00:00", "regionCode": "360799000000",
    }  # fmt: skip
    path = "/v1/adapters/good-bad-review"
    assert (await post(intake, path, record, 200))["code"] == 0
    handed_on = (await intake.http.get(path)).json()["records"]
    assert {each["regionCode"] for each in handed_on if "evaluateChannel" in each} == {"360799000000"}
    recoded = campaign | {"campaign_id": "recoded", "targets": [{"county": "360112", "households": 2}]}
    refused = await post(intake, "/v1/campaigns", recoded, 422)
    assert "新建区" in refused["errors"][0]["expected"], "its units are registered under 360122"


async def test_a_load_of_the_registry_is_in_force_as_a_whole_and_comes_out_of_the_stream_the_same_anywhere(
    broker: Client, nats_server: NatsServer, start_intake: StartIntake, tmp_path: Path
) -> None:
    today = business_day(datetime.now(UTC)).isoformat()
    async with start_intake(nats_server) as intake:
        table = (await intake.http.get("/v1/registry/units.csv")).text
        new = "U009001,赣州市蓉江区婚姻登记处,window,marriage,360799,3607,360799,U000048,2020-01-01,\n"
        without = await post(intake, "/v1/registry/differences", {"units": table + new}, 422)
        assert [each["field"].split(":")[2] for each in without["errors"]] == ["division"]
        columns = "code,name,level,parent,valid_from,valid_to"
        tables = {
            "divisions": f"{columns}\n360799,蓉江区,county,360700,2020-01-01,\n",
            "units": table.replace("赣州市章贡区殡仪馆", "章贡区殡仪服务中心") + new,
            "merges": f"unit_id,into,on\nU000532,U009001,{today}\n",
            "responsibilities": f"unit_id,role,person,valid_from\nU000533,head,person-0042,{today}\n",
        }
        wrong = {
            "units": tables["units"].replace(",U000048,", ",U000999,"),
            "merges": "unit_id,into,on\nU9,U1,x\n",
        }
        refused = await post(intake, "/v1/registry/differences", wrong, 422)
        fields = {each["field"] for each in refused["errors"]}
        assert "merges:2:on" in fields
        assert any(field.startswith("units:") and field.endswith(":parent_id") for field in fields)
        plan = await post(intake, "/v1/registry/differences", tables, 200)
        assert [(each["what"], each["unit_id"]) for each in plan["items"]] == [
            ("division", "360799"), ("changed", "U000533"), ("registered", "U009001"),
            ("merged", "U000532"), ("assigned", "U000533"),
        ]  # fmt: skip
        loads = await asyncio.gather(
            *(intake.http.post("/v1/registry/loads", json={**tables, **PROVINCE}) for _ in range(2))
        )
        assert {each.status_code for each in loads} <= {202, 409}
        assert next(each.json()["number"] for each in loads if each.status_code == 202) == 1
        again = await post(intake, "/v1/registry/loads", {**tables, **PROVINCE}, 202)
        assert again["number"] == 1
        found = (await intake.http.get("/v1/registry")).json()
        assert found["number"] == 1
        roles = (await intake.http.get("/v1/units/U000533/responsible")).json()["roles"]
        assert roles == {"head": "person-0042"}
        told = (await intake.http.get("/v1/units/U009001")).json()
        assert (told["name"], told["predecessors"]) == ("赣州市蓉江区婚姻登记处", ["U000532"]), "at once"
        assert (await intake.http.get("/v1/units/U000533")).json()["name"] == "章贡区殡仪服务中心"
        merged = await intake.submit(RATING | {"unit_id": "U000532", "client_ref": "merged"})
        assert (merged.status_code, merged.json()["errors"][0]["field"]) == (422, "unit_id")
        assert "rate U009001" in merged.json()["errors"][0]["remedy"]
        assert (await intake.http.get("/v1/units/U000532")).json()["successor"] == "U009001"
        now = datetime.now(UTC).isoformat(timespec="seconds")
        check = {"unit_id": "U000532", "occurred_at": now, "finding": "minor", **CLERK}
        told = await post(intake, "/v1/inspections", check, 422)
        assert "such as its successor U009001" in told["errors"][0]["expected"]
    book = await read_registry(broker)
    write_table(book, tmp_path / "units.csv")
    assert units_hash(book.units) == found["units_hash"]
    units = load_units(tmp_path / "units.csv")
    assert str(units.get("U000532").valid_to) == today
    assert units.get("U000533").name == "章贡区殡仪服务中心"
    async with start_intake(nats_server, data="b", units_path=tmp_path / "units.csv") as intake:
        rating = RATING | {"unit_id": "U009001", "client_ref": "new"}
        assert (await intake.submit(rating)).status_code == 202
        history = RATING | {"unit_id": "U000532", "client_ref": "old", "occurred_at": YESTERDAY}
        assert (await intake.submit(history)).status_code == 202
