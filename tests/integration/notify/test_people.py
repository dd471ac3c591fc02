"""People on the real broker: who is told, follow-ups, surges, and that a kill loses and doubles nothing."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from nats.aio.client import Client

from deploy.local.history.alerts import Asked, replay_rule
from deploy.local.layout import Layout
from services.notify.domain.alert import alert_id
from shared.events import (
    AlertRaised,
    Envelope,
    FeedbackSubmitted,
    MessageDeadLettered,
    Provenance,
    UnitFlagged,
    spec_for_data,
)
from shared.kernel.ids import derived_id
from shared.kernel.units import load_units
from shared.rules import load_pack
from tests.integration.notify.support import (
    UNIT,
    Setup,
    WebhookReceiver,
    bad_review,
    eventually,
    publish,
    publish_many,
    running,
    stored,
)

pytestmark = pytest.mark.integration

PEOPLE = """
operators = ["duty"]
[[recipients]]
id = "duty"
label = "平台值班"
channels = ["webhook"]
[[recipients]]
id = "officer"
label = "责任人"
channels = ["webhook"]
quota = 20
[[recipients]]
id = "deputy"
label = "分管领导"
channels = ["webhook"]
quota = 100000
[[recipients]]
id = "chief"
label = "上级"
channels = ["webhook"]
[[chains]]
unit = "U000112"
officer = "officer"
deputy = "deputy"
[[supervisors]]
region = "360102"
recipients = ["chief"]
"""


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A file of recipients for the window of the tests."""
    path = tmp_path / "recipients.toml"
    path.write_text(PEOPLE, encoding="utf-8")
    return path


def older(number: int, days: float) -> Envelope[FeedbackSubmitted]:
    """A bad review that was given some days ago and is received now."""
    event = bad_review(number)
    return event.model_copy(update={"time": event.time - timedelta(days=days)})


async def told(client: Client) -> dict[str, list[str]]:
    """Recipients of each alert in the stream, by rule."""
    found: dict[str, list[str]] = {}
    for event in await stored(client, AlertRaised):
        found.setdefault(event.data.rule, []).extend(each.recipient for each in event.data.tellings)
    return found


def flagged() -> Envelope[UnitFlagged]:
    """Scoring's word that the window's ratings look made up."""
    now = datetime.now(UTC)
    data = UnitFlagged.model_validate(
        {
            "unit_id": UNIT, "name": "东湖区婚姻登记处", "signal": "burst", "raised": True, "window_days": 1,
            "as_of": now.date().isoformat(), "statistic": 60.0, "threshold": 1e-6, "probability": 1e-9,
            "figures": {},
        }
    )  # fmt: skip
    return spec_for_data(UnitFlagged).wrap(
        data, event_id=derived_id("test-flag", "1"), source="scoring", subject=UNIT, time=now,
        received_at=now, provenance=Provenance("p"),
    )  # fmt: skip


def given_up() -> Envelope[MessageDeadLettered]:
    """A consumer's word that it gave up."""
    now = datetime.now(UTC)
    data = MessageDeadLettered(
        service="scoring", consumer="scoring-fold", stream="FEEDBACK", sequence=7, message_subject="s",
        error="InvalidEventError", reason="r", attempts=1, payload_sha256="0" * 64, payload_size=1,
    )  # fmt: skip
    return spec_for_data(MessageDeadLettered).wrap(
        data, event_id=derived_id("test-letter", "1"), source="scoring", subject="scoring", time=now,
        received_at=now, provenance=Provenance("p"),
    )  # fmt: skip


async def test_each_rule_tells_its_own_people_and_explains_itself(
    client: Client, setup: Setup, receiver: WebhookReceiver, people: Path
) -> None:
    usual = [older(1000 + day, day) for day in range(2, 30)]
    burst = [bad_review(number) for number in range(14)]
    app = setup.app(webhook_url=receiver.url, recipients_path=people)
    async with running(app) as http:
        await publish_many(client, [*usual, *burst])
        await publish(client, flagged(), given_up())

        async def all_raised() -> bool:
            return {"bad_review", "surge", "too_good", "dead_letters"} <= (await told(client)).keys()

        await eventually(all_raised, "every rule has fired")
        by_rule = await told(client)
        assert set(by_rule["bad_review"]) == {"officer"}
        assert by_rule["surge"] == by_rule["too_good"] == ["chief"], "not the unit itself"
        assert by_rule["dead_letters"] == ["duty"]
        (surge,) = (await http.get("/v1/alerts", params={"rule": "surge"})).json()["items"]
        found = (await http.get(f"/v1/alerts/{surge['alert_id']}/explain")).json()
        assert found["label"] == "群体性事件预警"
        assert int(found["numbers"]["count"]) >= 5
        assert float(found["numbers"]["probability"]) <= 1e-6
        assert set(found["events"]) <= {each.id for each in burst}
        assert found["told"][0]["label"] == "上级"
        assert "负二项" in found["condition"]
        assert found["rules"].startswith("sha256:")
        mine = (await http.get("/v1/alerts", params={"recipient": "chief"})).json()["items"]
        assert {each["rule"] for each in mine} == {"surge", "too_good"}
        assert "webhook" in (await http.get("/v1/recipients")).json()["items"][0]["channels"]
        metrics = (await http.get("/metrics")).text
    assert "pingyi_notify_waiting_alerts" in metrics


async def test_a_snooze_is_durable_and_an_acknowledged_alert_is_refused_one(
    client: Client, setup: Setup, receiver: WebhookReceiver, people: Path
) -> None:
    async with running(setup.app(webhook_url=receiver.url, recipients_path=people)) as http:
        await publish(client, bad_review(1))
        path = f"/v1/alerts/{alert_id('bad_review', bad_review(1).id)}"

        async def known() -> bool:
            return (await http.get(path)).status_code == 200

        await eventually(known, "the alert is there")
        until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        snoozed = await http.post(f"{path}/snooze", json={"until": until})
        assert snoozed.status_code == 200
        assert snoozed.json()["snoozed_until"] is not None
        far = (datetime.now(UTC) + timedelta(days=90)).isoformat()
        assert (await http.post(f"{path}/snooze", json={"until": far})).status_code == 422
    async with running(setup.app(webhook_url=receiver.url, recipients_path=people)) as http:
        assert (await http.get(path)).json()["snoozed_until"] is not None
        assert (await http.post(f"{path}/ack", json={})).status_code == 200
        refused = await http.post(f"{path}/snooze", json={"until": until})
        assert refused.status_code == 409


async def test_history_shows_what_a_rule_would_have_raised_and_sends_nothing(
    client: Client, setup: Setup
) -> None:
    usual = [older(1000 + day, day) for day in range(2, 30)]
    await publish_many(client, [*usual, *map(bad_review, range(14))])
    layout = Layout.from_environment(setup.secrets_dir, 18000, {"NATS_URL": setup.nats_url})
    now = datetime.now(UTC)
    pack = load_pack(None, now.date())
    day = timedelta(days=1)
    reviews, looked = await replay_rule(layout, Asked("bad_review", now - day, now + day, pack), load_units())
    assert looked == 42
    assert len(reviews) == 42, "all were received today"
    (surge,), _ = await replay_rule(layout, Asked("surge", now - day, now + day, pack), load_units())
    assert surge.figures["kind"] == "marriage"
    assert await stored(client, AlertRaised) == []
