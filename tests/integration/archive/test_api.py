"""Reading the log over HTTP: conditions, paging, problems, and what MongoDB does for each query."""

import asyncio
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from nats.aio.client import Client

from deploy.local.embedded import MongoServer, NatsServer
from services.archive.adapters.schema import bootstrap
from shared.messaging.group_commit import Outgoing
from shared.messaging.streams import ALERTS, AUDIT, FEEDBACK, RANKING
from shared.testing.builders import envelope_of, feedback_submitted
from shared.testing.clock import NOON
from tests.integration.archive.prepared import emptied, serving
from tests.integration.archive.support import (
    FEEDBACK_SUBJECT,
    Setup,
    all_pages,
    all_pages_of_one_log,
    connected,
    outgoing,
    publish,
    publish_others,
    rating,
    until_archived,
    write_signing_key,
)
from tests.support.access import proofs

PLACES = (("3601", "360121"), ("3607", "360702"), ("3607", "360721"))


DECIDED = {
    10: {"actor": "city-reviewer", "case_id": "C-1"},
    11: {"actor": "city-reviewer", "case_id": "C-2"},
    12: {"actor": "city-reviewer", "case_id": "C-2"},
    13: {"case_id": "C-1"},
}
"""What the data of some of these events names besides, by minute; one request led to all of them."""


async def fill(client: Client, setup: Setup) -> None:
    """120 ratings of three units in three counties, one a minute from noon, and 10 events of others each."""
    messages = []
    for minute in range(120):
        city, county = PLACES[minute % 3]
        data = feedback_submitted(unit_id=f"U00000{minute % 3}", city=city, county=county)
        time = NOON.replace(hour=4 + minute // 60, minute=minute % 60)
        request = "request-decided" if minute in DECIDED else "test-request"
        event = envelope_of(data, time=time, received_at=time, correlation_id=request)
        document = json.loads(event.to_json())
        document["data"] |= DECIDED.get(minute, {})
        subject = f"feedback.v1.submitted.{city}.{county}"
        messages.append(Outgoing(subject, event.id, json.dumps(document).encode()))
    async with setup.running() as api:
        await publish(client, messages)
        await publish_others(client, 10)
        await until_archived(api, {FEEDBACK: 120, ALERTS: 10, RANKING: 10})


@pytest.fixture
async def archived(client: Client, setup: Setup) -> Setup:
    """An archive of what :func:`fill` says."""
    await fill(client, setup)
    return setup


@pytest.fixture(scope="module")
def answering(
    shared_nats_server: NatsServer, shared_mongo_server: MongoServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The same archived once, behind an API that adds nothing to it; its address."""
    directory = tmp_path_factory.mktemp("answering")
    setup = Setup(
        shared_nats_server.url,
        shared_mongo_server.url,
        f"test_{uuid.uuid4().hex}",
        write_signing_key(directory),
    )
    bootstrap(setup.mongodb_url, setup.database)

    async def archive() -> None:
        async with emptied(shared_nats_server) as client:
            await fill(client, setup)

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(archive())
    with serving(setup, directory / "witness.keys") as url:
        yield url


def _archived(items: list[dict[str, Any]]) -> list[int]:
    """Indexes, without what the reads of the test itself add to the log."""
    return [item["index"] for item in items if item["stream"] != AUDIT]


@pytest.mark.parametrize(
    ("conditions", "count"),
    [
        ({}, 140),
        ({"unit_id": "U000001"}, 40),
        ({"stream": "FEEDBACK"}, 120),
        ({"stream": "CASES"}, 0),
        ({"type": "cn.pingyi.feedback.submitted.v1"}, 120),
        ({"region": "360100"}, 40),
        ({"region": "3607"}, 80 + 20),
        ({"region": "360721"}, 40),
        ({"region": "360722"}, 0),
        ({"region": "360000"}, 140),
        ({"region": "360700", "type": "cn.pingyi.feedback.submitted.v1"}, 80),
        ({"region": "360700", "type": "cn.pingyi.alerts.raised.v1"}, 10),
        ({"unit_id": "U000001", "region": "360121"}, 0),
        ({"actor": "city-reviewer"}, 3),
        ({"actor": "city-reviewer", "case_id": "C-1"}, 1),
        ({"actor": "nobody"}, 0),
        ({"case_id": "C-1"}, 2),
        ({"case_id": "C-1", "region": "3601"}, 0),
        ({"case_id": "C-3"}, 0),
        ({"correlation_id": "request-decided"}, 4),
        ({"correlation_id": "request-decided", "case_id": "C-2"}, 2),
        ({"correlation_id": "request-nobody"}, 0),
        ({"since": "130"}, 10),
        ({"since": "100", "unit_id": "U999999"}, 0),
        ({"subject": "feedback.v1.submitted.3607.360721"}, 40),
        ({"subject": "feedback.v1.submitted.3607.*"}, 80),
        ({"subject": "feedback.>"}, 120),
        ({"subject": "*.v1.raised.>"}, 10),
        ({"subject": ">"}, 140),
        ({"subject": "feedback.v1.submitted"}, 0),
        ({"subject": "feedback.>", "stream": "ALERTS"}, 0),
        ({"from": "2026-03-02T12:00:00+08:00", "to": "2026-03-02T12:30:00+08:00", "stream": "FEEDBACK"}, 30),
        ({"from": "2026-03-02T05:00:00Z", "to": "2026-03-02T05:00:00Z"}, 0),
        ({"from": "2026-03-02T05:00:00Z", "unit_id": "U000002"}, 20),
        ({"unit_id": "U999999"}, 0),
        ({"type": "cn.pingyi.cases.opened.v1"}, 0),
    ],
)
async def test_conditions_select(answering: str, conditions: dict[str, str], count: int) -> None:
    async with httpx.AsyncClient(base_url=answering, timeout=60, auth=proofs(answering)) as api:
        for limit in (7, 500):
            indexes = _archived(await all_pages(api, limit=limit, **conditions))
            assert len(indexes) == len(set(indexes)) == count
        backwards = _archived(await all_pages(api, limit=11, order="desc", **conditions))
    assert backwards == indexes[::-1]


async def test_an_item_has_the_envelope_as_it_was_published(archived: Setup) -> None:
    async with archived.running() as api:
        await connected(api)  # what is handed out of citizens' records is an event first
        (item,) = (await api.get("/v1/events", params={"limit": 1, "stream": FEEDBACK})).json()["items"]
        same = (await api.get(f"/v1/events/{item['event']['id']}")).json()
    assert item["event"]["type"] == "cn.pingyi.feedback.submitted.v1"
    assert item["event"]["data"]["grade"] == 5
    assert same == {**item, "duplicates": []}
    assert {"index", "stream", "sequence", "kind", "leaf_hash"} <= item.keys()


@pytest.mark.parametrize("conditions", [{}, {"unit_id": "U000532"}, {"stream": FEEDBACK}])
@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_paging_neither_skips_nor_repeats_while_events_arrive(
    client: Client, setup: Setup, conditions: dict[str, str], order: str
) -> None:
    """Events of all times arrive, also of times that are on pages which were read already."""

    def some(first: int) -> list[Outgoing]:
        moments = {number: NOON.replace(minute=(number * 7) % 60) for number in range(first, first + 60)}
        return [outgoing(rating(number, time=moment)) for number, moment in moments.items()]

    async with setup.running() as api:
        await publish(client, some(0))
        await until_archived(api, {FEEDBACK: 60})

        async def arrive() -> None:
            for first in range(60, 600, 60):
                await publish(client, some(first))

        arriving = asyncio.create_task(arrive())
        seen: list[int] = []
        size = 0
        while len(seen) < 600:
            last = arriving.done()
            query = {**conditions, "order": order, "since": size, "limit": 13}
            items, size = await all_pages_of_one_log(api, **query)
            assert all(item["index"] < size for item in items)
            seen += [item["sequence"] for item in items if item["stream"] == FEEDBACK]
            if last:
                await until_archived(api, {FEEDBACK: 600})
    assert sorted(seen) == list(range(1, 601))


async def test_pages_by_unit_are_in_order_of_time_and_then_of_the_log(client: Client, setup: Setup) -> None:
    minutes = [5, 3, 3, 9, 3, 0]
    messages = [
        outgoing(rating(number, time=NOON.replace(minute=minute))) for number, minute in enumerate(minutes)
    ]
    async with setup.running() as api:
        await publish(client, messages)
        await until_archived(api, {FEEDBACK: 6})
        for limit in (1, 2, 6):
            items = await all_pages(api, unit_id="U000532", limit=limit)
            assert [item["sequence"] for item in items] == [6, 2, 3, 5, 1, 4]
            items = await all_pages(api, unit_id="U000532", limit=limit, order="desc")
            assert [item["sequence"] for item in items] == [4, 1, 5, 3, 2, 6]
        late = await all_pages(api, unit_id="U000532", since=2, limit=2)
    assert [item["sequence"] for item in late] == [3, 4, 5, 6]


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
        ("/v1/events?region=36", "region"),
        ("/v1/events?region=110000", "region"),
        ("/v1/events?since=-1", "since"),
        ("/v1/events?format=xml", "format"),
        ("/v1/events?format=csv&limit=5", "limit"),
        ("/v1/events?stream=VAULT", "stream"),
        ("/v1/events?subject=feedback..x", "subject"),
        ("/v1/events?subject=feedback.%3E.x", "subject"),
        ("/v1/events?subject=feedback.v1", "subject"),
        ("/v1/events?subject=feedbacks.%3E", "subject"),
        ("/v1/verify?against=rumours", "against"),
    ],
)
async def test_a_bad_parameter_is_named_with_the_remedy(signing_key: Path, path: str, field: str) -> None:
    nobody = Setup("nats://127.0.0.1:1", "mongodb://127.0.0.1:1", "none", signing_key)
    async with nobody.answering() as api:
        answer = await api.get(path)
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert answer.headers["content-type"] == "application/problem+json"
    (error,) = answer.json()["errors"]
    assert field in error["field"]
    assert error["expected"]
    assert error["remedy"]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("type", "cn.pingyi.feedback.submited.v1", "such as cn.pingyi.feedback.submitted.v1"),
        ("unit_id", "nobody", "the id of a unit: U and six digits"),
    ],
)
async def test_what_no_event_can_be_of_is_refused_in_every_form(
    answering: str, field: str, value: str, expected: str
) -> None:
    async with httpx.AsyncClient(base_url=answering, timeout=60, auth=proofs(answering)) as api:
        for form in ("json", "csv"):
            answer = await api.get("/v1/events", params={field: value, "since": 100, "format": form})
            assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
            (error,) = answer.json()["errors"]
            assert (error["field"], error["value"]) == (field, f"'{value}'")
            assert expected in error["expected"]


async def test_an_unknown_event_is_not_found(setup: Setup) -> None:
    async with setup.running() as api:
        answer = await api.get("/v1/events/01890000-0000-7000-8000-000000000000")
    assert answer.status_code == httpx.codes.NOT_FOUND
    assert answer.json()["errors"][0]["field"] == "event_id"


async def test_a_cursor_of_another_query_is_refused(archived: Setup) -> None:
    async with archived.running() as api:
        page = (await api.get("/v1/events", params={"limit": 5, "region": "3607"})).json()
        answer = await api.get("/v1/events", params={"limit": 5, "region": "3601", "cursor": page["next"]})
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert answer.json()["errors"][0]["field"] == "cursor"


async def test_one_verification_runs_at_a_time(archived: Setup) -> None:
    async with archived.running() as api:
        await connected(api)  # whoever has no broker to compare with is done at once
        answers = await asyncio.gather(*(api.get("/v1/verify") for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 429, 429]
    busy = next(answer for answer in answers if answer.status_code == httpx.codes.TOO_MANY_REQUESTS)
    assert int(busy.headers["retry-after"]) > 0


async def test_everything_is_documented_and_measured(archived: Setup) -> None:
    async with archived.running() as api:
        await api.get("/v1/verify")
        paths = (await api.get("/openapi.json")).json()["paths"]
        metrics = (await api.get("/metrics")).text
        assert (await api.get("/docs")).status_code == httpx.codes.OK
    assert {"/v1/events", "/v1/events/{event_id}", "/v1/head", "/v1/verify"} <= paths.keys()
    for name in ("lag_messages", "verify_findings_items", "verify_seconds", "verify_last_timestamp_seconds"):
        assert f"pingyi_archive_{name}" in metrics
