"""Reading the log over HTTP: conditions, paging, problems, and what MongoDB does for each query."""

import asyncio
from itertools import combinations
from typing import Any

import httpx
import pytest
from nats.aio.client import Client

from services.archive.adapters.queries import plan
from services.archive.application.ports import EventQuery, Position
from services.archive.domain.subjects import SubjectFilter
from shared.messaging.streams import ALERTS, FEEDBACK, RANKING
from shared.testing.builders import envelope_of, feedback_submitted
from shared.testing.clock import NOON
from tests.integration.archive.support import (
    FEEDBACK_SUBJECT,
    Setup,
    all_pages,
    outgoing,
    publish,
    publish_others,
    rating,
    ratings,
    until_archived,
)

PLACES = (("3601", "360121"), ("3607", "360702"), ("3607", "360721"))


@pytest.fixture
async def archived(client: Client, setup: Setup) -> Setup:
    """120 ratings of three units in three counties, one a minute from noon, and 10 events of others each."""
    messages = []
    for minute in range(120):
        city, county = PLACES[minute % 3]
        data = feedback_submitted(unit_id=f"U00000{minute % 3}", city=city, county=county)
        time = NOON.replace(hour=4 + minute // 60, minute=minute % 60)
        envelope = envelope_of(data, time=time, received_at=time)
        messages.append(outgoing(envelope, f"feedback.v1.submitted.{city}.{county}"))
    async with setup.running() as api:
        await publish(client, messages)
        await publish_others(client, 10)
        await until_archived(api, {FEEDBACK: 120, ALERTS: 10, RANKING: 10})
    return setup


@pytest.mark.parametrize(
    ("conditions", "count"),
    [
        ({}, 140),
        ({"unit_id": "U000001"}, 40),
        ({"stream": "FEEDBACK"}, 120),
        ({"stream": "CASES"}, 0),
        ({"type": "cn.pingyi.feedback.submitted.v1"}, 120),
        ({"city": "3601"}, 40),
        ({"county": "360721"}, 40),
        ({"city": "3601", "county": "360721"}, 0),
        ({"subject": "feedback.v1.submitted.3607.360721"}, 40),
        ({"subject": "feedback.v1.submitted.3607.*"}, 80),
        ({"subject": "feedback.>"}, 120),
        ({"subject": "*.v1.raised.>"}, 10),
        ({"subject": ">"}, 140),
        ({"subject": "feedback.v1"}, 0),
        ({"subject": "feedback.>", "stream": "ALERTS"}, 0),
        ({"from": "2026-03-02T12:00:00+08:00", "to": "2026-03-02T12:30:00+08:00", "stream": "FEEDBACK"}, 30),
        ({"from": "2026-03-02T05:00:00Z", "to": "2026-03-02T05:00:00Z"}, 0),
        ({"from": "2026-03-02T05:00:00Z", "unit_id": "U000002"}, 20),
        ({"unit_id": "nobody"}, 0),
    ],
)
async def test_conditions_select(archived: Setup, conditions: dict[str, str], count: int) -> None:
    async with archived.running() as api:
        for limit in (7, 500):
            items = await all_pages(api, limit=limit, **conditions)
            assert len(items) == count
            indexes = [item["index"] for item in items]
            assert indexes == sorted(set(indexes))
        backwards = await all_pages(api, limit=11, order="desc", **conditions)
    assert [item["index"] for item in backwards] == list(reversed(indexes))


async def test_an_item_has_the_envelope_as_it_was_published(archived: Setup) -> None:
    async with archived.running() as api:
        (item,) = (await api.get("/v1/events", params={"limit": 1, "stream": FEEDBACK})).json()["items"]
        same = (await api.get(f"/v1/events/{item['event']['id']}")).json()
    assert item["event"]["type"] == "cn.pingyi.feedback.submitted.v1"
    assert item["event"]["data"]["grade"] == 5
    assert same == {**item, "duplicates": []}
    assert {"index", "stream", "sequence", "kind", "leaf_hash"} <= item.keys()


async def test_paging_neither_skips_nor_repeats_while_events_arrive(client: Client, setup: Setup) -> None:
    async with setup.running() as api:
        await publish(client, ratings(0, 300))
        await until_archived(api, {FEEDBACK: 300})

        async def arrive() -> None:
            for first in range(300, 1500, 100):
                await publish(client, ratings(first, 100))

        arriving = asyncio.create_task(arrive())
        newest_first = await all_pages(api, limit=13, order="desc")
        seen: list[int] = []
        cursor = None
        while len(seen) < 1500:
            page = (
                await api.get("/v1/events", params={"limit": 17, **({"cursor": cursor} if cursor else {})})
            ).json()
            seen += [item["sequence"] for item in page["items"]]
            if page["next"] is None:
                await asyncio.sleep(0.05)
                seen = seen[: len(seen) - len(page["items"])]  # the end, for now: read this page again
                if arriving.done() and len(seen) + len(page["items"]) >= 1500:
                    seen += [item["sequence"] for item in page["items"]]
                continue
            cursor = page["next"]
        await arriving
    assert seen == list(range(1, 1501))
    newest = [item["index"] for item in newest_first]
    assert newest == list(range(newest[0], -1, -1))


async def test_big_events_make_a_page_shorter_and_lose_nothing(client: Client, setup: Setup) -> None:
    for number in range(12):
        body = rating(number).to_json()[:-1] + b',"pad":"' + b"x" * 900_000 + b'"}'
        await client.jetstream().publish(FEEDBACK_SUBJECT, body)
    async with setup.running() as api:
        await until_archived(api, {FEEDBACK: 12})
        first = (await api.get("/v1/events", params={"limit": 100})).json()
        items = await all_pages(api, limit=100)
    assert 0 < len(first["items"]) < 12
    assert [item["sequence"] for item in items] == list(range(1, 13))


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/events?limit=0", "limit"),
        ("/v1/events?limit=100000", "limit"),
        ("/v1/events?limit=many", "limit"),
        ("/v1/events?from=yesterday", "from"),
        ("/v1/events?from=2026-03-02T12:00:00", "from"),
        ("/v1/events?to=2026-03-02T12:00:00+08:00", "to"),
        ("/v1/events?from=2026-03-02T12:00:00Z&to=2026-03-02T11:59:59Z", "from"),
        ("/v1/events?from=2026-03-02T12:00:00%2B08:00&to=2026-03-02T03:59:59Z", "from"),
        ("/v1/events?unti_id=U000001", "unti_id"),
        ("/v1/events?start=2026-03-02T12:00:00Z", "start"),
        ("/v1/head?stream=FEEDBACK", "stream"),
        ("/v1/events?cursor=%20%20", "cursor"),
        ("/v1/events?cursor=WzEsMl0", "cursor"),
        ("/v1/events?cursor=WzEsMiwiYWJjIl0", "cursor"),
        ("/v1/events?order=sideways", "order"),
        ("/v1/events?city=36", "city"),
        ("/v1/events?stream=VAULT", "stream"),
        ("/v1/events?subject=feedback..x", "subject"),
        ("/v1/events?subject=feedback.%3E.x", "subject"),
        ("/v1/verify?against=rumours", "against"),
    ],
)
async def test_a_bad_parameter_is_named_with_the_remedy(setup: Setup, path: str, field: str) -> None:
    async with setup.running() as api:
        answer = await api.get(path)
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert answer.headers["content-type"] == "application/problem+json"
    (error,) = answer.json()["errors"]
    assert field in error["field"]
    assert error["expected"]
    assert error["remedy"]


async def test_an_unknown_event_is_not_found(setup: Setup) -> None:
    async with setup.running() as api:
        answer = await api.get("/v1/events/01890000-0000-7000-8000-000000000000")
    assert answer.status_code == httpx.codes.NOT_FOUND
    assert answer.json()["errors"][0]["field"] == "event_id"


async def test_a_cursor_of_another_query_is_refused(archived: Setup) -> None:
    async with archived.running() as api:
        page = (await api.get("/v1/events", params={"limit": 5, "city": "3607"})).json()
        answer = await api.get("/v1/events", params={"limit": 5, "city": "3601", "cursor": page["next"]})
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert answer.json()["errors"][0]["field"] == "cursor"


async def test_one_verification_runs_at_a_time(archived: Setup) -> None:
    async with archived.running() as api:
        answers = await asyncio.gather(*(api.get("/v1/verify") for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 429, 429]
    busy = next(answer for answer in answers if answer.status_code == httpx.codes.TOO_MANY_REQUESTS)
    assert int(busy.headers["retry-after"]) > 0


def _stages(node: Any) -> set[str]:  # noqa: ANN401 - a tree of MongoDB's
    if isinstance(node, dict):
        own = {node["stage"]} if isinstance(node.get("stage"), str) else set()
        return own.union(*(_stages(child) for child in node.values()))
    if isinstance(node, list):
        return set().union(*(_stages(child) for child in node))
    return set()


CONDITIONS: dict[str, Any] = {
    "unit_id": "U000001",
    "subject": SubjectFilter.parse("feedback.v1.submitted.3607.*"),
    "type": "cn.pingyi.feedback.submitted.v1",
    "stream": FEEDBACK,
    "correlation_id": "request-1",
    "city": "3607",
    "county": "360702",
    "start": NOON,
    "end": NOON.replace(hour=6),
}


async def test_no_query_of_the_api_scans_the_collection_or_sorts_it(archived: Setup) -> None:
    async with archived.collection() as entries:
        for size in range(len(CONDITIONS) + 1):
            for names in combinations(CONDITIONS, size):
                for order in ("asc", "desc"):
                    query = EventQuery(**{name: CONDITIONS[name] for name in names}, order=order)
                    for after in (None, Position(20, 21)):
                        wanted = plan(query, after)
                        cursor = entries.find(wanted.filter, sort=wanted.sort, limit=10)
                        if wanted.hint is not None:
                            cursor = cursor.hint(wanted.hint)
                        winner = cursor.explain()["queryPlanner"]["winningPlan"]
                        stages = _stages(winner)
                        assert "COLLSCAN" not in stages, names
                        if wanted.hint is not None:
                            assert "SORT" not in stages, names


async def test_everything_is_documented_and_measured(archived: Setup) -> None:
    async with archived.running() as api:
        await api.get("/v1/verify")
        paths = (await api.get("/openapi.json")).json()["paths"]
        metrics = (await api.get("/metrics")).text
        assert (await api.get("/docs")).status_code == httpx.codes.OK
    assert {"/v1/events", "/v1/events/{event_id}", "/v1/head", "/v1/verify"} <= paths.keys()
    for name in ("lag_messages", "verify_findings_items", "verify_seconds", "verify_last_timestamp_seconds"):
        assert f"pingyi_archive_{name}" in metrics
