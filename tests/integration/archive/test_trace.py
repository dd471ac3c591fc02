"""The story of a rating, across events that share no correlation id."""

import json
from typing import Any

import pytest
from nats.aio.client import Client

from shared.events import Envelope, EventData, Provenance, spec_for_data
from shared.kernel.ids import derived_id
from shared.messaging.streams import ALERTS, AUDIT, CASES, FEEDBACK, RANKING
from shared.testing.builders import (
    UNIT,
    alert_acknowledged,
    alert_delivered,
    alert_raised,
    feedback_excluded,
    feedback_submitted,
    ranking_revised,
    ranking_row,
    unit_score_changed,
)
from shared.testing.clock import NOON
from tests.integration.archive.support import Setup, outgoing, publish, until_archived
from tests.support.access import as_staff

RATING = derived_id("test-trace", "rating")
ALERT = derived_id("alert", "bad_review", RATING)


def _event(
    data: EventData,
    second: int,
    *,
    correlation: str,
    event_id: str | None = None,
    cause: str | None = None,
) -> Envelope[Any]:
    spec = spec_for_data(type(data))
    moment = NOON.replace(second=second)
    return spec.wrap(
        data,
        event_id=event_id or derived_id("test-trace", spec.fact, str(second)),
        source=spec.producers[0],
        subject="x",
        time=moment,
        received_at=moment,
        provenance=Provenance(correlation, cause),
    )


def _case(fact: str, second: int, cause: str | None) -> bytes:
    """An event of a contract that is newer than the archive."""
    body = {
        "specversion": "1.0", "id": derived_id("test-case", fact), "source": "/pingyi/rectify",
        "type": f"cn.pingyi.cases.{fact}.v1", "time": f"2026-03-02T04:00:{second:02d}Z",
        "receivedat": f"2026-03-02T04:00:{second:02d}Z", "correlationid": f"case-{fact}",
        "data": {"case_id": "C-2026-17", "unit_id": UNIT},
    }  # fmt: skip
    return json.dumps(body | ({"causationid": cause} if cause else {})).encode()


@pytest.fixture
async def archived(client: Client, setup: Setup) -> Setup:
    """One bad review (FEEDBACK 2) of an import, and everything that came of it."""
    moved = derived_id("test-trace", "moved")
    drop = derived_id("alert", "rank_drop", moved)
    other = _event(feedback_submitted(grade=4), 0, correlation="import-1")
    review = _event(feedback_submitted(grade=1), 1, event_id=RATING, correlation="import-1")
    exclusion = _event(
        feedback_excluded(target_id=RATING),
        30, event_id=derived_id("feedback-revision", RATING, "1"), correlation="review-9",
    )  # fmt: skip
    places = [ranking_revised(positions={FEEDBACK: at}, changed=(ranking_row(rank=at),)) for at in (1, 2, 3)]
    elsewhere = ranking_revised(positions={FEEDBACK: 2}, changed=(ranking_row(unit_id="U000001"),))
    rankings = [
        _event(places[0], 1, correlation="r1"),
        _event(elsewhere, 2, correlation="r2"),
        _event(places[1], 3, event_id=derived_id("test-trace", "counted"), correlation="r3"),
        _event(unit_score_changed(), 4, event_id=moved, correlation=moved),
        _event(places[2], 31, correlation="r4"),
    ]
    alerts = [
        _event(alert_raised(), 2, event_id=ALERT, correlation="import-1", cause=RATING),
        _event(alert_delivered(alert_id=ALERT), 3, correlation="import-1", cause=ALERT),
        _event(alert_raised(rule="rank_drop"), 5, event_id=drop, correlation=moved, cause=moved),
        _event(
            alert_acknowledged(alert_id=ALERT),
            9, event_id=derived_id("alert-acknowledged", ALERT), correlation="officer-4",
        ),
    ]  # fmt: skip
    async with setup.running() as api:
        await publish(client, [outgoing(each) for each in (other, review, exclusion)])
        subject = "ranking.v1.revised.all.all"
        await publish(client, [outgoing(each, subject) for each in rankings], RANKING)
        await publish(client, [outgoing(each, "alerts.v1.raised.all.all") for each in alerts], ALERTS)
        for body in (_case("opened", 20, RATING), _case("closed", 40, None)):
            await client.jetstream().publish("cases.v1.fact.3607.360702", body)
        await until_archived(api, {FEEDBACK: 3, RANKING: 5, ALERTS: 4, CASES: 2})
    return setup


STORY = [
    ("received", "asked"),
    ("alert", "causation"),
    ("counted", "position"),
    ("delivered", "causation"),
    ("rank_moved", "unit"),
    ("alert", "causation"),
    ("acknowledged", "derived"),
    ("case", "causation"),
    ("excluded", "derived"),
    ("ranked", "position"),
    ("case", "case"),
]


async def test_the_story_of_a_rating_is_found_whatever_its_events_share(archived: Setup) -> None:
    async with archived.running() as api:
        story = (await api.get(f"/v1/trace/{RATING}")).json()
        steps = story["steps"]
        assert sorted((step["stage"], step["tie"]) for step in steps) == sorted(STORY)
        moments = [step["received_at"] for step in steps]
        assert moments == sorted(moments)
        by_stage = {step["stage"]: step for step in steps}
        assert [note for note in story["notes"] if "import-1 brought other ratings" in note]
        assert by_stage["counted"]["summary"] == f"window.marriage.30: {UNIT} rank 2"
        assert by_stage["acknowledged"]["of"] == ALERT
        from_its_end = (await api.get(f"/v1/trace/{by_stage['acknowledged']['event_id']}")).json()
        assert {step["event_id"] for step in from_its_end["steps"]} == {step["event_id"] for step in steps}
        by_request = (await api.get("/v1/trace/review-9")).json()
        assert {"excluded", "received"} <= {step["stage"] for step in by_request["steps"]}
        whole_import = (await api.get("/v1/trace/import-1")).json()
        assert [step["stage"] for step in whole_import["steps"]].count("received") == 2


async def test_a_story_is_told_in_words_and_the_telling_is_archived(archived: Setup) -> None:
    async with archived.running() as api:
        header = {"accept": "text/plain", **as_staff("province.auditor", "360000", "city-auditor")}
        answer = await api.get(f"/v1/trace/{RATING}", headers=header)
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        lines = answer.text.splitlines()
        assert len(lines) == 1 + len(STORY) + 1
        assert "grade 1" in lines[1]
        assert "+8.00 s  acknowledged" in answer.text
        assert "by duty-officer" in answer.text
        assert "hmac" not in answer.text
        same = await api.get(f"/v1/trace/{RATING}", params={"format": "text"})
        assert same.text.splitlines()[2:] == lines[2:]
        await until_archived(api, {AUDIT: 2})
        told = (await api.get("/v1/events", params={"actor": "city-auditor"})).json()["items"]
    (word,) = [item["event"] for item in told]
    assert word["type"] == "cn.pingyi.audit.records-read.v1"
    assert word["data"] == {
        "read": word["data"]["read"], "actor": "city-auditor", "verified": True, "what": "trace",
        "format": "text", "conditions": {"id": RATING}, "size": 14, "stage": "answered", "rows": len(STORY),
    }  # fmt: skip


async def test_a_rating_that_no_ranking_includes_yet_says_so(client: Client, setup: Setup) -> None:
    async with setup.running() as api:
        rating = _event(feedback_submitted(), 1, correlation="request-1")
        await publish(client, [outgoing(rating)])
        await until_archived(api, {FEEDBACK: 1})
        story = (await api.get("/v1/trace/request-1")).json()
    assert [step["stage"] for step in story["steps"]] == ["received"]
    assert story["notes"] == ["no ranking includes FEEDBACK 1 yet: one is published only when a row changes"]


async def test_what_is_not_in_the_log_has_no_story(setup: Setup) -> None:
    async with setup.running() as api:
        answer = await api.get("/v1/trace/nothing-of-this-name")
    assert answer.status_code == 404
    assert answer.json()["errors"][0]["field"] == "id"
