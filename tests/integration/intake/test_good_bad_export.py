"""What became of ratings, handed on in the fields of the province's interface, on a real broker."""

import json
from typing import Any
from uuid import uuid4

import pytest
from nats.aio.client import Client

from tests.integration.intake.conftest import RATING, Intake, raw_messages, submitted
from tests.integration.intake.test_revisions import EXCLUSION, QUARANTINE, by_two, exclude, move, rate

pytestmark = pytest.mark.integration
PATH = "/v1/adapters/good-bad-review"
STATES = ["submitted", "corrected", "held", "released", "excluded", "reinstated", "withdrawn"]
SAME = ("projNo", "evaluationId", "evaluateChannel", "transactionTime")
SECRETS = {
    "transaction_id": "360721-BJ-0001",
    "text": "等太久",
    "contact": {"name": "王小明", "phone": "13912345678"},
}


async def page(intake: Intake, after: int = 0, limit: int = 1_000) -> tuple[list[dict[str, str]], int]:
    """Records after a position, and the one to go on from."""
    answer = await intake.http.get(PATH, params={"after": after, "limit": limit})
    assert answer.status_code == 200, answer.text
    said = answer.json()
    return said["records"], said["next"]


async def a_whole_life(intake: Intake, **fields: object) -> tuple[str, int]:
    """A rating that everything becomes of; its id and the position behind its submission."""
    http = intake.http
    rating = await rate(http, **fields)
    target = rating["event_id"]
    _, position = await page(intake)
    await by_two(http, target, "corrections", {"reason": "mistyped", "grade": 2, "unit_id": "U000112"})
    assert (await move(http, target, "quarantine", QUARANTINE)).status_code == 202
    assert (await move(http, target, "release", {"reason": "found_genuine"})).status_code == 202
    await exclude(http, target)
    again = {"reason": "new_evidence", "decided_by": "province-reviewer"}
    assert (await move(http, target, "reinstatement", again)).status_code == 202
    withdrawn = await http.post(f"/v1/receipts/{rating['receipt_code']}/withdrawal")
    assert withdrawn.status_code == 202
    return target, position


async def test_what_becomes_of_a_rating_is_handed_on_in_order_and_by_positions(
    intake: Intake, broker: Client
) -> None:
    target, position = await a_whole_life(intake, **SECRETS)
    records, end = await page(intake)
    assert [each["evaluationState"] for each in records] == STATES
    assert [each["revision"] for each in records] == [str(number) for number in range(7)]
    assert {each["evaluationId"] for each in records} == {target}
    for name in SAME:
        assert len({each[name] for each in records}) == 1, name
    assert [each["satisfaction"] for each in records] == ["5", *["2"] * 6]
    assert [each["serviceDepartmentCode"] for each in records] == ["U000200", *["U000112"] * 6]
    assert [each["regionCode"] for each in records] == ["360123000000", *["360102000000"] * 6]
    assert all(isinstance(value, str) for each in records for value in each.values())
    assert (await page(intake, end)) == ([], end), "the end of what there is"
    assert (await page(intake, position)) == (records[1:], end), "from behind the rating on"
    singly, at = [], 0
    for _ in records:
        (record,), at = await page(intake, at, 1)
        singly.append(record)
    assert (singly, at) == (records, end), "a page may end between a rating and its revision"
    told = json.dumps(records, ensure_ascii=False)
    stored = json.loads((await raw_messages(broker))[0][1])["data"]
    hidden = [
        value for name, value in stored.items() if name.endswith("_hmac") and name != "transaction_hmac"
    ]
    for secret in (*hidden, "BJ-0001", "王小明", "13912345678", "等太久", "county-360721-clerk", "burst"):
        assert secret not in told


async def test_a_reader_that_stands_behind_older_ratings_is_told_what_becomes_of_them_from_then_on(
    intake: Intake,
) -> None:
    ids = [(await rate(intake.http, client_ref=f"r{number}"))["event_id"] for number in range(3)]
    assert (await intake.submit(RATING | {"client_ref": "r0", "grade": 1})).status_code == 409
    old, position = await page(intake)
    assert [each["evaluationId"] for each in old] == ids, "the conflict is in the stream, and no record"
    await exclude(intake.http, ids[1])
    (told,), end = await page(intake, position)
    assert (told["evaluationId"], told["evaluationState"], told["revision"]) == (ids[1], "excluded", "1")
    assert told["projNo"] == old[1]["projNo"] == ids[1], "it came without a transaction"
    assert (await page(intake, end)) == ([], end)


async def test_revisions_of_ratings_that_are_not_handed_on_are_not_either(intake: Intake) -> None:
    visited = await rate(intake.http, channel="visit", source="public")
    probe = await rate_as_probe(intake)
    for target in (visited["event_id"], probe):
        await exclude(intake.http, target)
    records, end = await page(intake)
    assert records == []
    assert end > 0


async def rate_as_probe(intake: Intake) -> str:
    answer = await intake.submit(RATING | {"client_ref": "probe"}, **{"X-Synthetic": "true"})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["event_id"])


async def test_what_became_of_a_rating_is_not_taken_in_as_another_and_the_rest_of_the_batch_is(
    intake: Intake, broker: Client
) -> None:
    await a_whole_life(intake)
    given, _ = await page(intake)
    for name in ("evaluationId", None):
        # As another platform has it: neither its ids nor its pseudonyms are known here.
        change: dict[str, Any] = {} if name is None else {name: str(uuid4())}
        foreign = [each | change | {"projNo": f"{number}{name}"} for number, each in enumerate(given)]
        before = len(await submitted(broker))
        plain = {
            key: value for key, value in foreign[0].items() if key not in {"evaluationState", "revision"}
        }
        rest = [
            plain | {"projNo": f"plain-{name}", "evaluationId": ""},
            plain | {"projNo": f"null-{name}", "evaluationId": None, "evaluationState": None},
        ]
        batch = {"records": [*foreign, *rest]}
        answer = await intake.http.post(f"{PATH}/batch", json=batch)
        assert answer.status_code == 200, answer.text
        said = answer.json()
        first = 1 if name is None else 0  # where it came from its id is known
        assert [each["code"] for each in said["results"]] == [first, *[3] * 6, 0, 0]
        assert (said["code"], said["message"]) == (3, "数据有误")
        for refused in said["results"][1:7]:
            assert (refused["field"], refused["message"]) == ("evaluationState", "数据有误：evaluationState")
            assert refused["expected"].startswith("submitted, or nothing")
            assert "decided on each platform" in refused["remedy"]
            assert "evaluationId" not in refused
        assert len(await submitted(broker)) == before + 3 - first
    alone = (await intake.http.post(PATH, json=given[-1] | {"evaluationId": ""})).json()
    assert (alone["code"], alone["results"][0]["field"]) == (3, "evaluationState")
    unheard_of = {"evaluationId": str(uuid4()), "evaluationState": "x" * 5_000}
    alone = (await intake.http.post(PATH, json=given[0] | unheard_of)).json()
    assert (alone["code"], alone["results"][0]["field"]) == (3, "evaluationState")
    assert "xxx" not in json.dumps(alone)
    loud = given[0] | {"evaluationId": str(uuid4()), "projNo": "loud", "evaluationState": " Submitted "}
    assert (await intake.http.post(PATH, json=loud)).json()["code"] == 0
    assert EXCLUSION["reason"] not in json.dumps(given)
