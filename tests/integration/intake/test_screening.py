"""Screening on a real broker: stuffed ratings are held within seconds, seen, and reviewed in one request."""

import asyncio
import json
from typing import Any

import httpx
from nats.aio.client import Client

from deploy.local.embedded import NatsServer
from tests.integration.intake.conftest import Intake, StartIntake, eventually, raw_messages

UNIT = "U000112"


def lines(count: int, *, first: int = 0, devices: int = 5, **fields: object) -> list[str]:
    """Stuffed ratings, dealt out to a few devices."""
    return [
        json.dumps(
            {
                "unit_id": UNIT,
                "grade": 5,
                "channel": "web",
                "client_ref": f"stuffed-{number}",
                "device_id": f"bot-{number % devices}",
            }
            | fields
        )
        for number in range(first, first + count)
    ]


async def page(http: httpx.AsyncClient, **params: str | int) -> dict[str, Any]:
    answer = await http.get("/v1/quarantine", params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def held(http: httpx.AsyncClient, count: int) -> None:
    async def so_many() -> bool:
        answer = await http.get("/v1/quarantine")
        return answer.status_code == 200 and answer.json()["total"] == count

    await eventually(so_many)


async def quarantined(broker: Client) -> list[dict[str, Any]]:
    found = await raw_messages(broker)
    return [json.loads(data) for subject, data in found if ".quarantined." in subject]


async def test_stuffed_ratings_are_held_within_seconds_and_reviewed_in_one_request(
    intake: Intake, broker: Client
) -> None:
    answer = await intake.submit_lines(*lines(2000, devices=80))  # within the quota of each device
    assert answer.json()["accepted"] == 2000
    honest = await intake.submit(
        {"unit_id": UNIT, "grade": 2, "channel": "web", "client_ref": "honest", "device_id": "phone"}
    )
    verified = await intake.submit(
        {"unit_id": UNIT, "grade": 4, "channel": "terminal", "device_id": "bot-1", "transaction_id": "T1"}
    )
    await held(intake.http, 2000)

    events = await quarantined(broker)
    assert len({event["data"]["target_id"] for event in events}) == len(events) == 2000
    assert {event["data"]["decided_by"] for event in events} == {"screening"}
    for rating in (honest, verified):
        state = await intake.http.get(f"/v1/feedback/{rating.json()['event_id']}/state")
        assert state.json()["state"] == "counted"

    first = await page(intake.http, limit=600, unit_id=UNIT)
    second = await page(intake.http, limit=600, unit_id=UNIT, cursor=first["next"])
    assert not {item["event_id"] for item in first["items"]} & {item["event_id"] for item in second["items"]}
    assert (await page(intake.http, county="360721"))["total"] == 0
    clusters = (await intake.http.get("/v1/quarantine/clusters")).json()["items"]
    assert sum(cluster["ratings"] for cluster in clusters) == 2000
    largest = clusters[0]

    asked = await ask_for_exclusion(intake.http, largest["cluster"])
    assert (asked["asked"], asked["done"], asked["next"]) == (largest["ratings"], 0, None)
    assert {each["outcome"] for each in asked["results"]} == {"asked"}
    again = await ask_for_exclusion(intake.http, largest["cluster"])
    assert again["approval_id"] == asked["approval_id"], "the same key is the same request"
    await asyncio.sleep(0.3)
    assert (await page(intake.http))["total"] == 2000, "one person excludes nothing"
    path = f"/v1/approvals/{asked['approval_id']}"
    shown = (await intake.http.get(path)).json()
    assert set(shown["targets"]) == {each["event_id"] for each in asked["results"]}
    own = await intake.http.post(f"{path}/approve", json={"decided_by": "city-reviewer", "level": "city"})
    assert own.status_code == 403, own.text
    other = {"decided_by": "province-reviewer", "level": "province"}
    assert (await intake.http.post(f"{path}/approve", json=other)).status_code == 202
    await held(intake.http, 2000 - largest["ratings"])
    assert (await ask_for_exclusion(intake.http, largest["cluster"], key="later"))["approval_id"] is None

    some = [item["event_id"] for item in (await page(intake.http, limit=3))["items"]]
    release = {"move": "release", "reason": "found_genuine", "event_ids": [*some, "not-an-id"]}
    for _ in range(2):  # the same request again changes nothing
        answer = await intake.http.post(
            "/v1/quarantine/decisions", json=release, headers={"Idempotency-Key": "release-1"}
        )
        decided = answer.json()
        assert (decided["done"], decided["not_found"]) == (3, 1)
        assert {each["revision"] for each in decided["results"][:3]} == {2}
    excluded = decided_ids(await raw_messages(broker), ".excluded.")
    assert len(excluded) == largest["ratings"]


async def ask_for_exclusion(http: httpx.AsyncClient, cluster: str, key: str = "exclude-1") -> dict[str, Any]:
    """Ask as a reviewer of a city that nothing of a cluster count."""
    answer = await http.post(
        "/v1/quarantine/decisions",
        json={"move": "exclude", "reason": "stuffed", "cluster": cluster, "decided_by": "city-reviewer"},
        headers={"Idempotency-Key": key},
        extensions={"subject": "city-reviewer"},
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def decided_ids(messages: list[tuple[str, bytes]], fact: str) -> set[str]:
    return {json.loads(data)["data"]["target_id"] for subject, data in messages if fact in subject}


async def test_nothing_is_held_twice_by_replicas_and_restarts_and_the_state_survives(
    broker: Client, nats_server: NatsServer, start_intake: StartIntake
) -> None:
    async with start_intake(nats_server, data="one") as one:
        await one.submit_lines(*lines(15, devices=1))
        await held(one.http, 12)  # beyond the first three
        async with start_intake(nats_server, data="two") as two:
            await two.submit_lines(*lines(15, first=15, devices=1))
            await held(one.http, 30)  # so many that none of them counts
            await held(two.http, 30)
    async with start_intake(nats_server, data="one") as again:
        await again.submit_lines(*lines(5, first=30, devices=1))
        await held(again.http, 35)
    async with start_intake(nats_server, data="three") as anew:  # nothing kept: the stream is read again
        await held(anew.http, 35)
        await anew.submit_lines(*lines(1, first=35, devices=1))
        await held(anew.http, 36)
        await asyncio.sleep(0.2)
    events = await quarantined(broker)
    assert len({event["id"] for event in events}) == len(events) == 36


async def test_what_is_wrong_with_a_decision_is_named(intake: Intake) -> None:
    async def refused(**body: object) -> dict[str, Any]:
        answer = await intake.http.post("/v1/quarantine/decisions", json=body)
        assert answer.status_code == 422, answer.text
        found: dict[str, Any] = answer.json()
        return found

    ids = ["0197a3c2-7b8e-7c5d-9d3e-1f2a3b4c5d6e"]
    assert "one of found_genuine" in str(await refused(move="release", reason="stuffed", event_ids=ids))
    assert "cluster" in str(await refused(move="release", reason="found_genuine"))
    assert "cursor" in (await intake.http.get("/v1/quarantine", params={"cursor": "x"})).text
    assert (await intake.http.get("/v1/quarantine", params={"reason": "x"})).status_code == 422
