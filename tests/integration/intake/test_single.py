"""Single ratings: accepting, refusing, repeating."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from nats.aio.client import Client

from shared.events import Envelope, FeedbackConflicted, parse_envelope
from shared.kernel.errors import NotFoundError
from shared.messaging.streams import VAULT
from tests.integration.intake.conftest import RATING, Intake, raw_messages, submitted

pytestmark = pytest.mark.integration


async def test_an_accepted_rating_is_in_the_stream_and_its_receipt_is_found(
    intake: Intake, broker: Client
) -> None:
    answer = await intake.submit(RATING, **{"X-Correlation-Id": "corr-1"})
    assert answer.status_code == 202
    body = answer.json()
    assert body["duplicate"] is False
    assert re.fullmatch(r"(\w{4}-){3}\w{4}", body["receipt_code"])
    (event,) = await submitted(broker)
    assert event.id == body["event_id"]
    assert event.correlationid == "corr-1"
    assert event.rules is not None
    assert event.data.grade == 5
    assert event.data.verification == "onsite"
    assert not event.synthetic
    for code in (body["receipt_code"], body["receipt_code"].lower().replace("-", "")):
        receipt = (await intake.http.get(f"/v1/receipts/{code}")).json()
        assert receipt["event_id"] == body["event_id"]
        assert receipt["received_at"] == body["received_at"]
        assert (receipt["unit_id"], receipt["grade"], receipt["status"]) == ("U000200", 5, "accepted")
    assert (await intake.http.get("/v1/receipts/0000-0000-0000-0000")).status_code == 404
    assert (await intake.http.get("/v1/receipts/short")).status_code == 422


FUTURE = (datetime.now(UTC) + timedelta(days=1)).isoformat()


@pytest.mark.parametrize(
    ("change", "status", "field", "words"),
    [
        ({"unit_id": "U000299x"}, 422, "unit_id", "did you mean U000299"),
        ({"grade": 9}, 422, "grade", "5"),
        ({"grade": "5"}, 422, "grade", "integer"),
        ({"grade": True}, 422, "grade", "integer"),
        ({"occurred_at": FUTURE}, 422, "occurred_at", "up to now"),
        ({"occurred_at": "2001-01-01T00:00:00Z"}, 422, "occurred_at", "exists"),
        ({"occurred_at": "2026-01-01T00:00:00"}, 422, "occurred_at", "offset"),
        ({"occurred_at": 5}, 422, "occurred_at", "RFC 3339"),
        ({"occurred_at": "0001-01-01T00:00:00+14:00"}, 422, "occurred_at", "date"),
        ({"text": "好" * 2001}, 422, "text", "2001 characters"),
        ({"text": "好" * 333_000}, 413, "body", "2000 characters"),
        ({"surprise": 1}, 422, "surprise", "no such field"),
        ({"channel": "pigeon"}, 422, "channel", "terminal"),
        ({"dimensions": {"speed": 5}}, 422, "dimensions.speed", "no such field"),
        ({"contact": {"phone": 13800138000}}, 422, "contact.phone", "string"),
    ],
)
async def test_what_is_wrong_is_named_with_value_expectation_and_remedy(
    intake: Intake, change: dict[str, Any], status: int, field: str, words: str
) -> None:
    answer = await intake.submit(RATING | change)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    (error,) = [error for error in problem["errors"] if error["field"] == field]
    assert set(error) == {"field", "value", "expected", "remedy"}
    assert words in json.dumps(error, ensure_ascii=False)
    assert len(answer.content) < 4000


async def test_broken_json_wrong_type_and_bad_headers_are_refused(intake: Intake, broker: Client) -> None:
    kinds = {"Content-Type": "application/json"}
    for content in (b'{"unit_id', b"\xff\xfe", b"", b"\xef\xbb\xbf{}"):
        answer = await intake.http.post("/v1/feedback", content=content, headers=kinds)
        assert answer.status_code == 400, content
        (error,) = answer.json()["errors"]
        assert (error["field"], error["value"]) == ("body", f"{len(content)} bytes")
        assert "valid JSON" in error["expected"]
    assert (await intake.http.post("/v1/feedback", content=b"[]", headers=kinds)).status_code == 422
    wrong = await intake.http.post("/v1/feedback", content=b"{}", headers={"Content-Type": "text/plain"})
    assert wrong.status_code == 415
    for header, value, words in (
        ("Content-Encoding", "gzip", "without compression"),
        ("Content-Type", "application/json; charset=gbk", "UTF-8"),
        ("Content-Type", 'application/json; version=1; Charset="utf-16"', "UTF-8"),
    ):
        other = await intake.submit(RATING, **{header: value})
        assert other.status_code == 415, value
        assert other.headers["content-type"] == "application/problem+json"
        (error,) = other.json()["errors"]
        assert error["field"] == header
        assert words in error["remedy"]
    assert (await intake.submit(RATING, **{"Idempotency-Key": "x" * 256})).status_code == 422
    assert (await intake.submit(RATING, **{"X-Synthetic": "maybe"})).status_code == 422
    twice = await intake.http.post(
        "/v1/feedback", content=b'{"unit_id":"U000200","grade":5,"grade":1}', headers=kinds
    )
    assert twice.status_code == 422
    assert twice.json()["errors"][0]["field"] == "grade"
    assert await raw_messages(broker) == []


async def test_the_same_key_and_body_give_the_same_receipt_and_other_content_conflicts(
    intake: Intake, broker: Client
) -> None:
    bare = {name: value for name, value in RATING.items() if name != "client_ref"}
    first = await intake.submit(bare, **{"Idempotency-Key": "k"})
    again = await intake.submit(dict(reversed(bare.items())), **{"Idempotency-Key": "k"})
    assert again.status_code == 202
    assert again.json() == first.json() | {"duplicate": True}
    for _ in range(2):
        conflict = await intake.submit(bare | {"grade": 1}, **{"Idempotency-Key": "k"})
        assert conflict.status_code == 409
        (error,) = conflict.json()["errors"]
        assert error["field"] == "Idempotency-Key"
        assert first.json()["event_id"] in error["expected"]
        assert "new key" in error["remedy"]
        assert first.json()["receipt_code"] not in conflict.text
    await intake.submit(RATING)
    by_reference = await intake.submit(RATING | {"grade": 1})
    assert by_reference.status_code == 409
    assert [error["field"] for error in by_reference.json()["errors"]] == ["client_ref"]
    other_channel = await intake.submit(bare | {"channel": "app"}, **{"Idempotency-Key": "k"})
    assert other_channel.json()["duplicate"] is False
    messages = await raw_messages(broker)
    assert [subject.split(".")[2] for subject, _ in messages] == [
        "submitted",
        "conflicted",
        "submitted",
        "conflicted",
        "submitted",
    ]
    report = parse_envelope(Envelope[FeedbackConflicted], messages[1][1]).data
    assert report.first_event_id == first.json()["event_id"]
    assert report.first_digest != report.other_digest


async def test_without_any_key_each_request_is_a_rating(intake: Intake, broker: Client) -> None:
    body = {"unit_id": "U000200", "grade": 4}
    answers = [await intake.submit(body) for _ in range(3)]
    assert len({answer.json()["event_id"] for answer in answers}) == 3
    assert len(await submitted(broker)) == 3


async def test_a_hundred_identical_requests_at_once_make_one_event(intake: Intake, broker: Client) -> None:
    answers = await asyncio.gather(*(intake.submit(RATING | {"text": "很好"}) for _ in range(100)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["receipt_code"] for answer in answers}) == 1
    assert sorted(answer.json()["duplicate"] for answer in answers) == [False] + [True] * 99
    assert len(await submitted(broker)) == 1
    assert (await broker.jetstream().stream_info(VAULT)).state.messages == 1


async def test_different_content_at_once_under_one_key_lets_one_stand(intake: Intake, broker: Client) -> None:
    answers = await asyncio.gather(*(intake.submit(RATING | {"grade": 1 + n % 2}) for n in range(20)))
    assert sorted(answer.status_code for answer in answers) == [202] * 10 + [409] * 10
    assert len(await submitted(broker)) == 1
    assert len(await raw_messages(broker)) == 2


async def test_a_probe_is_marked_as_synthetic(intake: Intake, broker: Client) -> None:
    await intake.submit(RATING, **{"X-Synthetic": "true"})
    (event,) = await submitted(broker)
    assert event.synthetic


async def test_a_text_opens_with_its_vault_record_and_never_again_after_it_was_erased(
    intake: Intake, broker: Client
) -> None:
    contact = {"name": "王五", "phone": "13800138000"}
    await intake.submit(RATING | {"text": "打 13912345678 没人接", "contact": contact})
    (event,) = await submitted(broker)
    assert event.data.text is not None
    assert event.data.contact_record is not None
    assert event.data.verification == "real_name"
    assert await intake.vault.open_text(event.id, event.data.text) == "打 [手机号] 没人接"
    opened = await intake.vault.open_contact(event.id, event.data.contact_record)
    assert opened is not None
    assert opened.given() == contact
    assert await intake.vault.erase(event.data.text.record)
    assert not await intake.vault.erase(event.data.text.record)
    with pytest.raises(NotFoundError, match="erased"):
        await intake.vault.open_text(event.id, event.data.text)
    with pytest.raises(NotFoundError, match="erased"):
        await intake.vault.open_contact(event.id, event.data.contact_record)


async def test_no_identity_reaches_stream_vault_or_logs(
    intake: Intake, broker: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    canaries = {
        "name": "canaryname",
        "phone": "13800990011",
        "id_number": "11010519491231002X",
        "email": "canary@example.org",
        "account": "canaryaccount",
    }
    body = RATING | {
        "contact": canaries,
        "text": "canarytext 13800990011",
        "transaction_id": "canarytransaction",
        "device_id": "canarydevice",
        "client_ref": "canaryref",
    }
    spellings = [*canaries.values(), "canary", "203.0.113.77"]
    headers = {"X-Forwarded-For": "203.0.113.77"}
    assert (await intake.submit(body, **headers)).status_code == 202
    assert (await intake.submit(body | {"grade": 1}, **headers)).status_code == 409
    misplaced: list[dict[str, Any]] = [
        {"13800990011": 1},
        {"contact": {"phone13800990011": "x"}},
        {"unit_id": "U13800990011"},
        {"unit_id": "138 0099 0011"},
        {"channel": "13800990011"},
        {"occurred_at": "13800990011"},
        {"occurred_at": 13800990011},
        {"grade": 13800990011},
    ]
    answers = [
        await intake.submit(body | {"grade": 9, "contact": canaries | {"age": "canaryage"}}),
        await intake.submit(body | {"text": "canary" * 400, "contact": canaries | {"name": "canary" * 50}}),
        await intake.submit(body | {"phone": "13800990011"}),
        *[await intake.submit(body | change) for change in misplaced],
        await intake.submit(
            body | {"transaction_id": ["canary"], "device_id": 1, "client_ref": "canary" * 40}
        ),
    ]
    lines = [
        json.dumps(body | {"client_ref": "canaryline", "text": 5}),
        '{"text":"canary"}',
        '{"text":"canary',
        *[json.dumps(body | change) for change in misplaced],
    ]
    answers.append(await intake.submit_lines(*lines))
    (event,) = await submitted(broker)
    assert event.data.citizen_hmac is not None
    assert event.data.device_hmac is not None
    assert event.data.address_hmac is not None
    assert event.data.transaction_hmac is not None
    assert event.data.text_hmac is not None
    everything = [data for _, data in [*await raw_messages(broker), *await raw_messages(broker, VAULT)]]
    everything += [answer.content for answer in answers]
    captured = capsys.readouterr()
    everything.append((captured.out + captured.err).encode())
    everything.append((await intake.http.get("/metrics")).content)
    for spelling in [*spellings, "138 0099 0011", "0099001"]:
        assert [data for data in everything if spelling.encode() in data] == [], spelling
