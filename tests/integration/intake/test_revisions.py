"""What becomes of a rating, over HTTP and on a real broker."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from nats.aio.client import Client

from deploy.local.embedded import NatsServer
from services.intake.domain.revisions import revision_id
from shared.events import Envelope, FeedbackRevision, parse_envelope, spec_for_type
from shared.kernel.ids import derived_id
from shared.messaging.group_commit import GroupCommit, Outgoing, Stored
from shared.messaging.publisher import BrokerUnavailableError
from tests.integration.intake.conftest import RATING, Intake, StartIntake, eventually, raw_messages
from tests.integration.intake.test_failures import shorten_window
from tests.integration.intake.test_process import process

pytestmark = pytest.mark.integration
EXCLUSION = {"reason": "no_service", "decided_by": "county-360721-clerk"}
REINSTATEMENT = {"reason": "new_evidence", "decided_by": "province-reviewer"}
QUARANTINE = {"reason": "burst", "decided_by": "city-3607-reviewer"}
TWO_PEOPLE = {"exclusion", "corrections"}
STAFF_REQUESTS: dict[str, dict[str, Any]] = {
    "corrections": {"reason": "mistyped", "grade": 1},
    "exclusion": EXCLUSION,
    "reinstatement": REINSTATEMENT,
    "quarantine": QUARANTINE,
    "release": {"reason": "found_genuine"},
}


async def rate(http: httpx.AsyncClient, **fields: object) -> dict[str, Any]:
    """Submit one rating; the answer."""
    answer = await http.post("/v1/feedback", json=RATING | fields)
    assert answer.status_code == 202, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def move(
    http: httpx.AsyncClient, event_id: str, name: str, body: dict[str, Any], key: str | None = None
) -> httpx.Response:
    """Ask for one revision."""
    headers = {"Idempotency-Key": key} if key else {}
    # In the name of whoever decides: the platform believes no other.
    named = body.get("decided_by")
    subject = named if isinstance(named, str) and named.isascii() else "somebody"
    return await http.post(
        f"/v1/feedback/{event_id}/{name}",
        json=body,
        headers=headers,
        extensions={"subject": subject},
    )


async def exclude(http: httpx.AsyncClient, event_id: str) -> None:
    """Have a rating excluded by two people."""
    await by_two(http, event_id, "exclusion", EXCLUSION)


async def by_two(
    http: httpx.AsyncClient, event_id: str, name: str, body: dict[str, Any], key: str | None = None
) -> dict[str, Any]:
    """Have something done that takes two people; what was answered to the first."""
    asked = await move(http, event_id, name, body | {"decided_by": "county-360721-clerk"}, key)
    assert asked.status_code == 202, asked.text
    path = f"/v1/approvals/{asked.json()['approval_id']}"
    agreed = await http.post(f"{path}/approve", json={"decided_by": "city-3607-reviewer", "level": "city"})
    assert agreed.status_code == 202, agreed.text

    async def done() -> bool:
        return bool((await http.get(path)).json()["stage"] == "carried_out")

    await eventually(done)
    answer: dict[str, Any] = asked.json()
    return answer


async def state(http: httpx.AsyncClient, event_id: str) -> dict[str, Any]:
    """What intake says became of a rating."""
    answer = await http.get(f"/v1/feedback/{event_id}/state")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def status(http: httpx.AsyncClient, code: str) -> tuple[str, int]:
    """Status and grade on the receipt."""
    receipt = (await http.get(f"/v1/receipts/{code}")).json()
    return receipt["status"], receipt["grade"]


async def revisions(broker: Client) -> list[Envelope[Any]]:
    """Every revision in FEEDBACK, in order."""
    envelopes = [
        parse_envelope(spec_for_type(json.loads(data)["type"]).envelope, data)
        for _, data in await raw_messages(broker)
    ]
    return [envelope for envelope in envelopes if isinstance(envelope.data, FeedbackRevision)]


async def test_a_rating_goes_through_all_its_states(intake: Intake, broker: Client) -> None:
    http = intake.http
    rating = await rate(http, text="好")
    target, code = rating["event_id"], rating["receipt_code"]
    assert await state(http, target) == {
        "event_id": target,
        "state": "counted",
        "revision": 0,
        "revised_at": None,
        "moves": ["correct", "withdraw", "exclude", "quarantine"],
    }
    correction = {"reason": "mistyped", "grade": 2, "dimensions": {"service": 1}, "unit_id": "U000201"}
    life: list[tuple[str, dict[str, Any], str, tuple[str, int]]] = [
        ("corrections", correction, "counted", ("corrected", 2)),
        ("quarantine", {"reason": "burst"}, "quarantined", ("quarantined", 2)),
        ("release", {"reason": "found_genuine"}, "counted", ("corrected", 2)),
        ("exclusion", EXCLUSION, "excluded", ("excluded", 2)),
        ("reinstatement", REINSTATEMENT, "counted", ("corrected", 2)),
    ]
    for number, (name, body, after, shown) in enumerate(life, 1):
        if name in TWO_PEOPLE:
            await by_two(http, target, name, body)
            assert await status(http, code) == shown
            continue
        answer = await move(http, target, name, body)
        assert answer.status_code == 202, answer.text
        assert answer.json() == {
            "event_id": revision_id(target, number),
            "target_id": target,
            "target_revision": number,
            "state": after,
        }
        assert (await state(http, target))["state"] == after
        assert await status(http, code) == shown
    taken_back = await http.post(f"/v1/receipts/{code}/withdrawal")
    assert (taken_back.status_code, taken_back.json()["state"]) == (202, "withdrawn")
    assert await status(http, code) == ("withdrawn", 2)
    final = await state(http, target)
    assert (final["state"], final["revision"], final["moves"]) == ("withdrawn", 6, [])
    events = await revisions(broker)
    assert [event.data.target_revision for event in events] == [1, 2, 3, 4, 5, 6]
    subjects = [subject for subject, _ in await raw_messages(broker)]
    assert [subject.split(".")[2] for subject in subjects] == [
        "submitted", "corrected", "quarantined", "released", "excluded", "reinstated", "withdrawn",
    ]  # fmt: skip
    assert len({tuple(subject.split(".")[3:]) for subject in subjects}) == 1
    assert [event.data.target.unit_id for event in events] == ["U000200", *["U000201"] * 5]
    metrics = (await http.get("/metrics")).text
    assert 'pingyi_intake_revised_ratings_total{move="exclude"} 1.0' in metrics


async def test_a_move_that_is_not_open_is_answered_with_the_state_and_the_open_moves(intake: Intake) -> None:
    target = (await rate(intake.http))["event_id"]
    await exclude(intake.http, target)
    answer = await move(intake.http, target, "release", {"reason": "found_genuine"})
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == "urn:pingyi:problem:conflict"
    (error,) = problem["errors"]
    assert error["field"] == "state"
    assert error["value"] == "release for a rating that is excluded"
    assert error["expected"] == "one of the open moves: reinstate, withdraw"
    assert f"GET /v1/feedback/{target}/state" in error["remedy"]


@pytest.mark.parametrize(
    ("name", "body", "status", "field", "words"),
    [
        ("exclusion", {}, 422, "reason", "required"),
        ("exclusion", {"reason": "because"}, 422, "reason", "no_service"),
        ("exclusion", {"reason": "mistyped"}, 422, "reason", "no_service"),
        ("exclusion", EXCLUSION | {"decided_by": "王小明"}, 422, "decided_by", "pattern"),
        ("exclusion", EXCLUSION | {"text": "恶意"}, 422, "text", "no such field"),
        ("corrections", {"reason": "mistyped"}, 422, "body", "at least one field that changes"),
        ("corrections", {"reason": "mistyped", "grade": 5}, 422, "body", "at least one field that changes"),
        ("corrections", {"reason": "mistyped", "grade": 6}, 422, "grade", "5"),
        ("corrections", {"reason": "mistyped", "grade": "2"}, 422, "grade", "integer"),
        ("corrections", {"reason": "wrong_unit", "unit_id": "U9"}, 422, "unit_id", "U9"),
        ("corrections", {"reason": "mistyped", "dimensions": {"speed": 1}}, 422, "dimensions.speed", "no"),
    ],
)
async def test_what_is_wrong_with_a_request_is_named(
    intake: Intake, name: str, body: dict[str, Any], status: int, field: str, words: str
) -> None:
    target = (await rate(intake.http))["event_id"]
    answer = await move(intake.http, target, name, body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    (error,) = [error for error in answer.json()["errors"] if error["field"] == field]
    assert set(error) == {"field", "value", "expected", "remedy"}
    assert words in json.dumps(error, ensure_ascii=False)
    assert "王小明" not in answer.text
    assert (await state(intake.http, target))["revision"] == 0


async def test_bodies_are_read_as_strictly_as_ratings(intake: Intake) -> None:
    target = (await rate(intake.http))["event_id"]
    path = f"/v1/feedback/{target}/exclusion"
    json_type = {"Content-Type": "application/json"}
    for content, headers, expected in (
        (b"{", json_type, 400),
        (b"", json_type, 400),
        (b'{"reason":"no_service"}', {"Content-Type": "text/plain"}, 415),
        (b'{"reason":"no_service","reason":"untrue"}', json_type, 422),
        (b'{"reason":"' + b"x" * 70_000 + b'"}', json_type, 413),
        (b'{"reason":"no_service"}', json_type | {"Idempotency-Key": "k" * 256}, 422),
    ):
        answer = await intake.http.post(path, content=content, headers=headers)
        assert answer.status_code == expected, content[:40]
        assert answer.json()["errors"]
    assert (await intake.http.post(f"{path}?force=true", json=EXCLUSION)).status_code == 422


async def test_a_correction_is_nothing_until_another_person_has_approved_it(
    intake: Intake, broker: Client
) -> None:
    http = intake.http
    rating = await rate(http)
    target = rating["event_id"]
    correction = {"reason": "mistyped", "grade": 2, "decided_by": "county-360721-clerk"}
    asked = await move(http, target, "corrections", correction)
    assert asked.status_code == 202, asked.text
    said = asked.json()
    assert (said["kind"], said["stage"], said["correction"]) == ("correction", "pending", {"grade": 2})
    assert await status(http, rating["receipt_code"]) == ("accepted", 5)
    path = f"/v1/approvals/{said['approval_id']}"
    alone = await http.post(f"{path}/approve", json={"decided_by": "county-360721-clerk"})
    assert (alone.status_code, "two-person rule" in alone.text) == (403, True)
    assert await revisions(broker) == []
    refused = {"decided_by": "city-3607-reviewer", "level": "city", "reason": "insufficient_evidence"}
    assert (await http.post(f"{path}/reject", json=refused)).status_code == 202
    assert await revisions(broker) == []
    await by_two(http, target, "corrections", {"reason": "mistyped", "grade": 3})
    assert await status(http, rating["receipt_code"]) == ("corrected", 3)
    (event,) = await revisions(broker)
    assert (event.data.requested_by, event.data.decided_by) == ("county-360721-clerk", "city-3607-reviewer")
    assert event.data.approval_id is not None


async def test_unknown_ratings_are_not_found(intake: Intake) -> None:
    unknown = derived_id("unknown")
    for name, body in STAFF_REQUESTS.items():
        assert (await move(intake.http, unknown, name, body)).status_code == 404
        assert (await move(intake.http, "17", name, body)).status_code == 422
    assert (await intake.http.get(f"/v1/feedback/{unknown}/state")).status_code == 404
    assert (await intake.http.get("/v1/feedback/17/state")).status_code == 422
    assert (await intake.http.post("/v1/receipts/0000-0000-0000-0000/withdrawal")).status_code == 404
    assert (await intake.http.post("/v1/receipts/short/withdrawal")).status_code == 422


async def test_the_same_key_gives_the_same_answer_and_other_content_is_refused(
    intake: Intake, broker: Client
) -> None:
    rating = await rate(intake.http)
    target = rating["event_id"]
    first = await move(intake.http, target, "quarantine", QUARANTINE, "k1")
    await move(intake.http, target, "release", {"reason": "found_genuine"}, "k2")
    again = await move(intake.http, target, "quarantine", QUARANTINE, "k1")
    assert (again.status_code, again.json()) == (202, first.json())
    other = await move(intake.http, target, "quarantine", QUARANTINE | {"reason": "shared_text"}, "k1")
    assert (other.status_code, other.json()["errors"][0]["field"]) == (409, "Idempotency-Key")
    withdrawal = f"/v1/receipts/{rating['receipt_code']}/withdrawal"
    answers = [await intake.http.post(withdrawal) for _ in range(2)]
    answers.append(await intake.http.post(withdrawal, json={"reason": "unstated"}))
    assert [(each.status_code, each.json()) for each in answers] == [(202, answers[0].json())] * 3
    assert len(await revisions(broker)) == 3


@pytest.mark.parametrize("damage", ["none", "lost"])
async def test_revisions_survive_a_restart_with_or_without_the_file(
    broker: Client, nats_server: NatsServer, start_intake: StartIntake, tmp_path: Path, damage: str
) -> None:
    async with start_intake(nats_server) as intake:
        rating = await rate(intake.http)
        target = rating["event_id"]
        correction = {"reason": "mistyped", "grade": 1}
        first = await by_two(intake.http, target, "corrections", correction, "k1")
        await exclude(intake.http, target)
        before = await state(intake.http, target)
    await shorten_window(broker)
    if damage == "lost":
        (tmp_path / "intake" / "index.sqlite").unlink()
    async with start_intake(nats_server) as intake:
        assert await state(intake.http, target) == before
        assert await status(intake.http, rating["receipt_code"]) == ("excluded", 1)
        named = correction | {"decided_by": "county-360721-clerk"}
        again = await move(intake.http, target, "corrections", named, "k1")
        assert (again.status_code, again.json()["approval_id"]) == (202, first["approval_id"])
        assert (await move(intake.http, target, "exclusion", EXCLUSION)).status_code == 409
        last = await move(intake.http, target, "reinstatement", REINSTATEMENT)
        assert last.json()["target_revision"] == 3
    assert [event.data.target.grade for event in await revisions(broker)] == [5, 1, 1]


async def test_of_two_replicas_that_revise_at_once_one_wins_and_the_other_is_told(
    broker: Client, nats_server: NatsServer, start_intake: StartIntake
) -> None:
    async with start_intake(nats_server, data="a") as one, start_intake(nats_server, data="b") as other:
        rated = [await rate(one.http, client_ref=f"race-{n}") for n in range(20)]
        codes = {each["event_id"]: each["receipt_code"] for each in rated}
        targets = list(codes)
        for target in targets:
            await eventually(known_to(other, target))

        async def race(target: str) -> tuple[httpx.Response, httpx.Response]:
            return await asyncio.gather(
                one.http.post(f"/v1/receipts/{codes[target]}/withdrawal"),
                move(other.http, target, "quarantine", {"reason": "burst"}, "other"),
            )

        pairs = await asyncio.gather(*(race(target) for target in targets))
        for target, answers in zip(targets, pairs, strict=True):
            assert sorted(answer.status_code for answer in answers) == [202, 409]
            (won,) = [answer.json() for answer in answers if answer.status_code == 202]
            (lost,) = [answer.json() for answer in answers if answer.status_code == 409]
            assert won["state"] in lost["errors"][0]["value"]
            for replica in (one, other):
                await eventually(in_state(replica, target, won["state"]))
        events = await revisions(broker)
        assert len(events) == 20
        assert {event.data.target_revision for event in events} == {1}


def known_to(intake: Intake, event_id: str) -> Callable[[], Awaitable[bool]]:
    async def known() -> bool:
        return (await intake.http.get(f"/v1/feedback/{event_id}/state")).status_code == 200

    return known


def in_state(intake: Intake, event_id: str, expected: str) -> Callable[[], Awaitable[bool]]:
    async def reached() -> bool:
        return bool((await state(intake.http, event_id))["state"] == expected)

    return reached


async def test_a_retry_at_another_replica_gets_the_answer_of_the_first(
    broker: Client, nats_server: NatsServer, start_intake: StartIntake
) -> None:
    async with start_intake(nats_server, data="a") as one, start_intake(nats_server, data="b") as other:
        target = (await rate(one.http))["event_id"]
        await eventually(known_to(other, target))
        answers = await asyncio.gather(
            *(move(each.http, target, "quarantine", QUARANTINE, "key") for each in (one, other) * 5)
        )
        assert {(answer.status_code, answer.text) for answer in answers} == {(202, answers[0].text)}
        assert len(await revisions(broker)) == 1


async def test_with_the_broker_away_nothing_is_revised_and_afterwards_everything_works(
    own_broker: Client, own_nats_server: NatsServer, start_intake: StartIntake
) -> None:
    async with start_intake(own_nats_server) as intake:
        target = (await rate(intake.http))["event_id"]
        own_nats_server.kill()
        answer = await move(intake.http, target, "quarantine", QUARANTINE, "key")
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert 15 <= int(answer.headers["Retry-After"]) <= 31
        assert "with the same Idempotency-Key" in answer.json()["detail"]
        own_nats_server.start()
        await intake.wait_ready(after_outage=True)
        assert (await move(intake.http, target, "quarantine", QUARANTINE, "key")).status_code == 202
        assert len(await revisions(own_broker)) == 1


async def test_a_revision_whose_acknowledgement_was_lost_is_answered_by_the_retry(
    intake: Intake, broker: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = (await rate(intake.http))["event_id"]
    publish = GroupCommit.publish

    async def silent(commit: GroupCommit, items: list[Outgoing]) -> list[Stored]:
        await publish(commit, items)
        raise BrokerUnavailableError("Got 5.0 s without an answer.")

    monkeypatch.setattr(GroupCommit, "publish", silent)
    answer = await move(intake.http, target, "quarantine", QUARANTINE, "key")
    assert answer.status_code == 503
    assert "may or may not" in answer.json()["detail"]
    monkeypatch.undo()
    retried = await move(intake.http, target, "quarantine", QUARANTINE, "key")
    async with asyncio.timeout(60):
        while retried.status_code == 503:  # the failure may have opened the broker's circuit for a moment
            await asyncio.sleep(0.05)
            retried = await move(intake.http, target, "quarantine", QUARANTINE, "key")
    assert (retried.status_code, retried.json()["target_revision"]) == (202, 1)
    assert len(await revisions(broker)) == 1


async def test_after_sigkill_a_retry_with_the_same_key_gets_the_same_answer(
    broker: Client, nats_server: NatsServer, tmp_path: Path
) -> None:
    body = {"reason": "burst"}
    async with process(nats_server, tmp_path) as (child, http):
        targets = [(await rate(http, client_ref=f"s{n}"))["event_id"] for n in range(60)]
        told: dict[str, Any] = {}

        async def hold(target: str) -> None:
            told[target] = (await move(http, target, "quarantine", body, "key")).json()

        asked = [asyncio.create_task(hold(target)) for target in targets]
        # Killed with requests under way: some are stored and nobody was told so.
        await eventually(lambda: some(told))
        child.kill()
        await child.wait()
        await asyncio.gather(*asked, return_exceptions=True)
    stored = {event.data.target_id: event.id for event in await revisions(broker)}
    assert told
    assert set(told) <= set(stored)
    async with process(nats_server, tmp_path) as (_, http):
        for target in targets:
            answer = await move(http, target, "quarantine", body, "key")
            assert answer.status_code == 202, answer.text
            assert answer.json()["target_revision"] == 1
            assert answer.json() == told.get(target, answer.json())
            assert answer.json()["event_id"] == stored.get(target, answer.json()["event_id"])
    assert len(await revisions(broker)) == 60


async def some(told: dict[str, Any]) -> bool:
    return bool(told)
