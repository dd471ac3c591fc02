"""A rating enters, the ranking moves, an alert goes out, the audit trail shows it: the path end to end."""

import json
import re
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.layout import SERVICES
from shared.kernel.clock import SystemClock, rfc3339
from shared.kernel.grades import Level
from tests.support.audit import bad_review_alert
from tests.support.load import registry
from tests.support.platform import Platform, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

VISIBLE_S = 60.0
"""Generous: the tests run beside others on two cores. The demonstration measures the real latency."""
DEPENDENCIES = {
    "intake": {"nats"},
    "scoring": {"nats"},
    "notify": {"nats"},
    "archive": {"nats", "mongodb"},
    "rectify": {"nats"},
}
FOREIGN_METRICS = re.compile(r"(process|python|python_gc)_")
UNIT_ID = re.compile(r"U\d{6}")


def test_ratings_enter_and_the_rankings_move(platform: Platform) -> None:
    rated, other = registry().by_level(Level.WINDOW, "rescue")[60:62]  # hardly any other test rates them
    batch = [body(rated.unit_id, 5, f"moves-{number}") for number in range(30)]
    batch += [body(other.unit_id, 2 if number % 2 else 4, f"moves-other-{number}") for number in range(30)]
    post_batch(platform, batch)

    before = until(lambda: ranked(platform, rated.unit_id), timeout_s=VISIBLE_S, what="thirty ratings rank")
    assert before["ratings"] >= 30
    assert before["good"] > 0.8
    assert before["rank"] < ranked(platform, other.unit_id)["rank"]
    assert before["interval_low"] <= before["score"] <= before["interval_high"]

    feedback = last_feedback(platform)
    for number in range(20):
        post(platform, body(rated.unit_id, 1, f"moves-bad-{number}"))
    after = until(
        lambda: (
            row if (row := ranked(platform, rated.unit_id))["ratings"] >= before["ratings"] + 20 else None
        ),
        timeout_s=VISIBLE_S,
        what="twenty bad ratings show",
    )
    assert after["score"] < before["score"]
    assert after["good"] == pytest.approx(0.6, abs=0.1)
    assert last_feedback(platform) >= feedback + 20
    score = platform.get("scoring", f"/v1/units/{rated.unit_id}/score", window=30)
    assert json.dumps(after["score"]) in json.dumps(score)


def test_bad_review_alerts_the_responsible_side_through_a_signed_webhook(platform: Platform) -> None:
    unit = registry().by_level(Level.WINDOW, "lottery")[3]
    text = "等了三个小时也没有人办理，电话13912345678"
    receipt = post(platform, body(unit.unit_id, 1, "one-bad-review", text=text)).json()
    alert_id = bad_review_alert(receipt["event_id"])

    inbox = platform.webhooks.inbox
    until(lambda: alert_id in inbox.ids, timeout_s=VISIBLE_S, what="the webhook arrives")
    assert inbox.forged == 0
    (sent,) = [alert for alert in inbox.alerts if alert["data"]["alert_id"] == alert_id]
    assert sent["data"]["unit_id"] == unit.unit_id
    assert unit.name in sent["data"]["title"]
    assert sent["data"]["evidence"] == [receipt["event_id"]]
    assert "三个小时" not in json.dumps(sent, ensure_ascii=False), "the citizen's words stay out of alerts"

    def delivered() -> dict[str, Any] | None:
        alert: dict[str, Any] = platform.get("notify", f"/v1/alerts/{alert_id}")
        outcomes = {each["channel"]: each["outcome"] for each in alert["deliveries"]}
        return alert if outcomes == {"console": "delivered", "webhook": "delivered"} else None

    alert = until(delivered, timeout_s=VISIBLE_S, what="both deliveries are noted")
    assert alert["state"] == "open"
    listed = platform.get("notify", "/v1/alerts", unit_id=unit.unit_id)["items"]
    assert [each["alert_id"] for each in listed if each["rule"] == "bad_review"] == [alert_id]

    taken = httpx.post(
        platform.url("notify", f"/v1/alerts/{alert_id}/ack"),
        json={"note": "值班负责人已联系"},
        trust_env=False,
        auth=platform.proofs,
    )
    assert taken.is_success, taken.text
    until(
        lambda: platform.get("notify", f"/v1/alerts/{alert_id}")["state"] == "acknowledged",
        timeout_s=VISIBLE_S,
        what="the acknowledgement shows",
    )


def test_audit_trail_tells_the_whole_story_of_one_request(platform: Platform) -> None:
    unit = registry().by_level(Level.WINDOW, "charity")[5]
    correlation = "e2e-audit-trail-1"
    words = "态度非常恶劣"
    answer = post(
        platform,
        body(unit.unit_id, 2, "audit-trail", text=words, contact={"name": "王某", "phone": "13912345678"}),
        correlation_id=correlation,
    )
    assert answer.headers["x-correlation-id"] == correlation
    event_id = answer.json()["event_id"]
    alert_id = bad_review_alert(event_id)

    def story() -> list[dict[str, Any]] | None:
        items: list[dict[str, Any]] = platform.get("archive", "/v1/events", correlation_id=correlation)[
            "items"
        ]
        facts = [item["subject"].split(".")[2] for item in items]
        return items if facts.count("delivered") == 2 else None

    items = until(story, timeout_s=VISIBLE_S, what="the alert's deliveries are archived")
    events = {item["event"]["type"]: item["event"] for item in items}
    submitted = events["cn.pingyi.feedback.submitted.v1"]
    raised = events["cn.pingyi.alerts.raised.v1"]
    delivered = events["cn.pingyi.alerts.delivered.v1"]
    assert submitted["id"] == event_id
    assert (raised["id"], raised["causationid"]) == (alert_id, event_id)
    assert delivered["causationid"] == alert_id
    assert {event["traceparent"].split("-")[1] for event in events.values()} == {
        submitted["traceparent"].split("-")[1]
    }
    everything = json.dumps(items, ensure_ascii=False)
    for private in (words, "13912345678", "王某"):
        assert private not in everything
    assert submitted["data"]["text"]["ciphertext"]

    by_unit = platform.get("archive", "/v1/events", unit_id=unit.unit_id)["items"]
    assert event_id in {item["event"]["id"] for item in by_unit}
    found = platform.get("archive", f"/v1/events/{event_id}")
    assert (found["kind"], found["event"]["id"], found["duplicates"]) == ("event", event_id, [])
    receipt = platform.get("intake", f"/v1/receipts/{answer.json()['receipt_code']}")
    assert (receipt["event_id"], receipt["unit_id"], receipt["grade"]) == (event_id, unit.unit_id, 2)

    steps = platform.pingyi_json("trace", answer.json()["receipt_code"])["steps"]
    assert (steps[0]["stage"], steps[0]["event_id"]) == ("received", event_id)
    assert [step["stage"] for step in steps if step["stream"] == "ALERTS"] == [
        "alert",
        "delivered",
        "delivered",
    ]
    for name in (event_id, correlation):
        same = platform.pingyi_json("trace", name)["steps"]
        assert {step["event_id"] for step in same} >= {step["event_id"] for step in steps}

    report = platform.get("archive", "/v1/verify")
    assert report["ok"], report["findings"]
    assert report["entries"] >= len(items)


def test_repeat_gets_the_same_receipt_and_other_content_a_conflict(platform: Platform) -> None:
    unit = registry().by_level(Level.WINDOW, "welfare")[1]
    first = post(platform, body(unit.unit_id, 5, None), key="one-key").json()
    again = post(platform, body(unit.unit_id, 5, None), key="one-key").json()
    assert (again["event_id"], again["receipt_code"]) == (first["event_id"], first["receipt_code"])
    assert (first["duplicate"], again["duplicate"]) == (False, True)
    other = httpx.post(
        platform.url("intake", "/v1/feedback"),
        json=body(unit.unit_id, 1, None),
        headers={"Idempotency-Key": "one-key"},
        trust_env=False,
        auth=platform.proofs,
    )
    assert other.status_code == 409
    assert other.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("service", SERVICES)
def test_service_says_how_it_is_and_what_it_offers(platform: Platform, service: str) -> None:
    with httpx.Client(base_url=platform.url(service), timeout=10, trust_env=False) as http:
        assert http.get("/livez").status_code == 200
        ready = http.get("/readyz")
        assert ready.status_code == 200
        assert ready.json()["checks"].keys() >= DEPENDENCIES[service], ready.json()
        page = http.get("/docs")
        assert page.status_code == 200
        assert "swagger" in page.text
        described = http.get("/openapi.json").json()
        assert described["info"]["title"]
        assert any(path.startswith("/v1/") for path in described["paths"])
        unknown = http.get("/v1/nothing-here")
        assert (unknown.status_code, unknown.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("service", SERVICES)
def test_metrics_follow_the_naming_rule_and_name_no_unit(platform: Platform, service: str) -> None:
    unit = registry().by_level(Level.WINDOW)[700]
    receipt = post(platform, body(unit.unit_id, 1, f"metrics-{service}")).json()
    until(
        lambda: bad_review_alert(receipt["event_id"]) in platform.webhooks.inbox.ids,
        timeout_s=VISIBLE_S,
        what="the rating went through every service",
    )
    httpx.get(platform.url(service, f"/v1/units/{unit.unit_id}"), trust_env=False)
    text = httpx.get(platform.url(service, "/metrics"), trust_env=False).text
    families = list(text_string_to_metric_families(text))
    names = {family.name for family in families}
    ours = {name for name in names if not FOREIGN_METRICS.match(name)}
    assert all(name.startswith(f"pingyi_{service}_") for name in ours), ours
    assert f"pingyi_{service}_http_requests" in ours
    samples = [sample for family in families for sample in family.samples]
    labels = {value for sample in samples for value in sample.labels.values()}
    assert not [value for value in labels if UNIT_ID.search(value)]
    assert not [value for value in labels if unit.city in value.split(".")]


def body(unit_id: str, grade: int, client_ref: str | None, **more: object) -> dict[str, object]:
    """A rating of now, as a window's terminal gives it."""
    rating: dict[str, object] = {"unit_id": unit_id, "grade": grade, "channel": "terminal", **more}
    if client_ref is not None:
        rating |= {"client_ref": client_ref, "transaction_id": client_ref}
        rating["occurred_at"] = rfc3339(SystemClock().now())
    return rating


def post(
    platform: Platform,
    rating: dict[str, object],
    *,
    correlation_id: str | None = None,
    key: str | None = None,
) -> httpx.Response:
    headers = {"X-Correlation-Id": correlation_id, "Idempotency-Key": key}
    answer = httpx.post(
        platform.url("intake", "/v1/feedback"),
        json=rating,
        headers={name: value for name, value in headers.items() if value is not None},
        trust_env=False,
        auth=platform.proofs,
    )
    assert answer.status_code == 202, answer.text
    return answer


def post_batch(platform: Platform, ratings: list[dict[str, object]]) -> None:
    answer = httpx.post(
        platform.url("intake", "/v1/feedback/batch"),
        content="\n".join(json.dumps(rating) for rating in ratings),
        headers={"content-type": "application/x-ndjson"},
        trust_env=False,
        auth=platform.proofs,
    )
    assert answer.is_success, answer.text
    assert answer.json()["accepted"] == len(ratings), answer.text


def ranked(platform: Platform, unit_id: str) -> Any:  # noqa: ANN401 - a row of whatever JSON the list has
    """The unit's row in the list of its kind; None until it has a rank."""
    kind = registry().get(unit_id).kind
    items = platform.get("scoring", "/v1/rankings", level="window", kind=kind, window=30, limit=1000)["items"]
    row = next((item for item in items if item["unit_id"] == unit_id), None)
    return row if row is not None and row["rank"] is not None else None


def last_feedback(platform: Platform) -> int:
    """Position in FEEDBACK that the county list includes."""
    answer = platform.get("scoring", "/v1/rankings", level="county", window=30, limit=1)
    return int(answer["positions"]["FEEDBACK"])
