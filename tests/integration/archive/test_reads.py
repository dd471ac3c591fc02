"""Exports, and reads that the audit trail keeps."""

import asyncio
import csv
import gc
import io
import json
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from typing import Any, TypeVar

import httpx
import pytest
from nats.aio.client import Client
from pymongo import MongoClient

from services.archive.adapters.mongo_store import MongoDatabase, MongoEntryLog
from services.archive.adapters.read_journal import JetStreamReadJournal
from services.archive.adapters.schema import ENTRIES
from services.archive.application.ports import EventQuery
from services.archive.application.reading import Reads
from services.archive.bootstrap import create_app
from services.archive.domain.reads import Reader, Request
from services.archive.entrypoints.exports import COLUMNS, export_response
from shared.kernel.clock import SystemClock
from shared.kernel.spreadsheets import BOM
from shared.messaging.connection import make_broker
from shared.messaging.session import BrokerSession
from shared.messaging.streams import ALERTS, AUDIT, FEEDBACK, RANKING
from shared.testing.builders import alert_acknowledged, envelope_of
from tests.integration.archive.support import (
    SUBJECTS,
    Setup,
    all_pages,
    outgoing,
    publish,
    publish_others,
    ratings,
    until_archived,
)
from tests.support.access import as_staff, proofs
from tests.support.entries import SUBMITTED, synthetic_documents

T = TypeVar("T")

TYPE = "cn.pingyi.audit.records-read.v1"


def auditor() -> dict[str, str]:
    """Made anew: a token runs out."""
    return as_staff("province.auditor", "360000", "city-auditor")


@pytest.fixture
async def api(client: Client, setup: Setup) -> AsyncIterator[httpx.AsyncClient]:
    """An archive with 30 ratings, and 4 score changes and alerts."""
    async with setup.running() as api:
        await publish(client, ratings(0, 30))
        await publish_others(client, 4)
        await until_archived(api, {FEEDBACK: 30, RANKING: 4, ALERTS: 4})
        yield api


async def _words(api: httpx.AsyncClient, count: int) -> list[dict[str, Any]]:
    await until_archived(api, {AUDIT: count})
    items = await all_pages(api, stream=AUDIT)
    return [item["event"]["data"] for item in items if item["event"]["type"] == TYPE]


async def test_who_reads_citizens_records_is_archived_with_what_was_asked_for(api: httpx.AsyncClient) -> None:
    query = {"type": SUBMITTED, "limit": "7", "from": "2026-01-01T00:00:00+08:00", "region": "3607"}
    page = (await api.get("/v1/events", params=query, headers=auditor())).json()
    event_id = page["items"][0]["event"]["id"]
    await api.get(f"/v1/events/{event_id}")
    first, second = await _words(api, 2)
    assert first == {
        "read": first["read"], "actor": "city-auditor", "verified": True, "what": "page", "format": "json",
        "conditions": {"type": SUBMITTED, "from": "2025-12-31T16:00:00.000Z", "region": "3607"},
        "size": 38, "stage": "answered", "rows": 7,
    }  # fmt: skip
    assert second["what"] == "event"
    assert second["conditions"] == {"event_id": event_id}
    assert second["actor"] == "pingyi-cli"


async def test_a_number_of_a_person_in_a_condition_is_not_kept(api: httpx.AsyncClient) -> None:
    await api.get("/v1/events", params={"actor": "13912345678", "format": "csv"})
    for word in await _words(api, 2):
        assert word["conditions"] == {"actor": "(11 characters)"}


async def test_reading_what_is_about_nobody_is_not_kept(api: httpx.AsyncClient) -> None:
    for query in ({"stream": RANKING}, {"stream": ALERTS}, {"stream": AUDIT}, {"unit_id": "U999999"}):
        assert (await api.get("/v1/events", params=query)).status_code == httpx.codes.OK
    assert (await api.get("/v1/head")).json()["streams"][AUDIT] == 0


@pytest.mark.parametrize(
    ("parameters", "accept"), [({"format": "ndjson"}, "*/*"), ({}, "application/x-ndjson")]
)
async def test_an_ndjson_export_has_the_same_items_as_the_pages(
    api: httpx.AsyncClient, parameters: dict[str, str], accept: str
) -> None:
    answer = await api.get("/v1/events", params=parameters, headers={"accept": accept, **auditor()})
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert answer.headers["x-log-size"] == "38"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    begun, ended = await _words(api, 2)
    items = [item for item in await all_pages(api) if item["index"] < 38]
    assert lines == items
    assert (begun["stage"], begun.get("rows"), ended["stage"], ended["rows"]) == ("begun", None, "ended", 38)
    assert begun["read"] == ended["read"]
    assert begun["actor"] == "city-auditor"


async def test_a_csv_export_opens_in_a_spreadsheet_and_runs_nothing_there(
    client: Client, api: httpx.AsyncClient
) -> None:
    evil = ['=HYPERLINK("http://x")', "＝1+1", "@x", "+1-1", "\tx", "-1"]
    for number, name in enumerate(evil):
        body = envelope_of(alert_acknowledged(by=name), event_id=f"evil-{number}")
        await publish(client, [outgoing(body, SUBJECTS[ALERTS])], ALERTS)
    await client.jetstream().publish(SUBJECTS[ALERTS], b"no event")
    await until_archived(api, {ALERTS: 11})
    answer = await api.get("/v1/events", params={"stream": ALERTS, "format": "csv"})
    assert answer.headers["content-disposition"] == 'attachment; filename="events-45.csv"'
    assert answer.text.startswith(BOM)
    rows = list(csv.DictReader(io.StringIO(answer.text.removeprefix(BOM), newline="")))
    assert tuple(rows[0]) == COLUMNS
    assert [row["actor"] for row in rows[4:10]] == [*(f"'{name}" for name in evil[:-1]), "-1"]
    assert rows[10]["kind"] == "unparseable"
    assert rows[10]["event_id"] == rows[10]["data"] == ""
    assert len(rows[10]["leaf_hash"]) == 64
    assert json.loads(rows[4]["data"])["by"] == evil[0]
    assert rows[0]["region"] == "360702"


async def test_records_that_nobody_can_be_told_about_are_not_sent(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MongoClient[dict[str, Any]](setup.mongodb_url) as mongo:
        mongo[setup.database][ENTRIES].insert_many(synthetic_documents(20))
    monkeypatch.setattr(setup, "nats_url", "nats://127.0.0.1:9")
    app = create_app(setup.settings())
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://archive", auth=proofs()) as api,
    ):
        for path in ("events", "events?format=csv", f"trace/{3:032x}", f"events/{3:032x}"):
            answer = await api.get(f"/v1/{path}")
            assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, path
        alerts = await api.get("/v1/events", params={"stream": ALERTS})
    assert len(alerts.json()["items"]) == 2


async def _peak_of_export(reads: Reads) -> tuple[int, int]:
    """Greatest memory while an export is sent to a client that keeps nothing of it; bytes sent."""
    sent = 0
    gc.collect()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    request = Request(Reader(None, verified=False), "export", "csv", {})
    async for chunk in export_response(await reads.export(request, EventQuery()), "csv").body_iterator:
        sent += len(chunk)
    return tracemalloc.get_traced_memory()[1] - before, sent


async def test_an_export_takes_no_more_memory_for_more_rows(setup: Setup) -> None:
    documents = list(synthetic_documents(6_000))
    session = BrokerSession(make_broker(setup.settings(), "archive"))
    await session.start()
    await session.wait_ready()
    with (
        MongoClient[dict[str, Any]](setup.mongodb_url) as mongo,
        closing(MongoDatabase(setup.mongodb_url, setup.database)) as database,
    ):
        entries = mongo[setup.database][ENTRIES]
        entries.insert_many(documents[:1_500])
        reads = Reads(MongoEntryLog(database), JetStreamReadJournal(session, SystemClock()))
        tracemalloc.start()
        try:
            await _peak_of_export(reads)
            few, few_sent = await _peak_of_export(reads)
            entries.insert_many(documents[1_500:])
            await _peak_of_export(reads)
            many, many_sent = await _peak_of_export(reads)
        finally:
            tracemalloc.stop()
    await session.stop()
    assert many_sent > 3.5 * few_sent > 1_000_000
    assert many < 1.3 * few


async def _until(ask: Callable[[], Awaitable[T]], met: Callable[[T], bool]) -> T:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answer = await ask()
        if met(answer):
            return answer
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within 60 s; last seen {answer}")


async def test_who_takes_signed_entries_away_is_archived_with_which_ones(
    client: Client, setup: Setup
) -> None:
    setup.options = {"checkpoint_every_s": 0.2, "checkpoint_every_entries": 10}
    async with setup.running() as api:
        await publish(client, ratings(0, 20))
        await _until(lambda: api.get("/v1/log/checkpoint"), lambda answer: answer.is_success)
        answer = await api.get("/v1/log/entries", params={"first": 2, "end": 9}, headers=auditor())
        assert [json.loads(line)["index"] for line in answer.text.splitlines()] == list(range(2, 9))
        words = await _until(lambda: _words(api, 1), lambda words: len(words) == 2)
    assert [(word["stage"], word.get("rows")) for word in words] == [("begun", None), ("ended", 7)]
    assert words[0]["conditions"] == {"first": "2", "end": "9"}
    assert (words[0]["actor"], words[0]["what"]) == ("city-auditor", "export")
