"""What MongoDB does for the API's queries: an index leads each, and a page looks at a bounded part of it."""

from collections.abc import Iterator
from contextlib import closing
from itertools import combinations, product
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from deploy.local.embedded import MongoServer
from services.archive.adapters import queries, schema
from services.archive.adapters.mongo_store import MongoDatabase, MongoEntryLog
from services.archive.adapters.queries import Plan, Segment, plan
from services.archive.application.ports import EventQuery, Order, Position, Snapshot
from services.archive.domain.subjects import SubjectFilter
from shared.messaging.streams import ALERTS, FEEDBACK
from shared.testing.clock import NOON
from tests.support.entries import synthetic_documents

Document = dict[str, Any]
COUNT = 1_500
LIMIT = 10
MOST = 200
ORDERS: tuple[Order, ...] = ("asc", "desc")
CONDITIONS: dict[str, Document] = {
    "unit": {"unit_id": "U000001"},
    "subject": {"subject": SubjectFilter.parse("feedback.v1.submitted.3607.*")},
    "type": {"type": "cn.pingyi.alerts.raised.v1"},
    "stream": {"stream": ALERTS},
    "correlation": {"correlation_id": "request-8"},
    "case": {"case_id": "case-1"},
    "actor": {"actor": "city-reviewer"},
    "city": {"city": "3607"},
    "county": {"city": "3607", "county": "360702"},
    "time": {"start": NOON, "end": NOON.replace(hour=6)},
    "since": {"since": 1_000},
}
OTHERS: list[Document] = [
    {"type": schema.COMMONEST_TYPE},
    {"stream": FEEDBACK},
    {"subject": SubjectFilter.parse("feedback.>")},
    {"subject": SubjectFilter.parse("*.v1.raised.>")},
    {"subject": SubjectFilter.parse("feedback.v1.submitted.*.360702")},
    {"start": NOON},
    {"end": NOON},
    {"unit_id": "U000001", "start": NOON},
]
HELD_BY_ONE_INDEX = [
    {"unit"}, {"unit", "time"}, {"city"}, {"county"}, {"city", "time"}, {"county", "time"}, {"type"},
    {"type", "time"}, {"actor"}, {"actor", "time"}, {"time"}, {"stream"}, {"correlation"}, {"case"},
    {"correlation", "since"}, {"case", "since"}, {"since"}, set(),
]  # fmt: skip


@pytest.fixture(scope="module")
def filled(shared_mongo_server: MongoServer) -> Iterator[tuple[Collection[Document], str]]:
    """A collection as the bootstrap makes it, with entries of all kinds."""
    name = "test_query_plans"
    schema.bootstrap(shared_mongo_server.url, name)
    with MongoClient[Document](shared_mongo_server.url, tz_aware=True) as client:
        entries = client[name][schema.ENTRIES]
        entries.insert_many(synthetic_documents(COUNT))
        yield entries, shared_mongo_server.url
        client.drop_database(name)


def _queries() -> Iterator[tuple[set[str], Document]]:
    for size in (0, 1, 2, 3, len(CONDITIONS) - 1):  # what more conditions lead to, three have shown
        for names in combinations(CONDITIONS, size):
            if {"city", "county"} <= set(names):
                continue
            yield set(names), {key: value for name in names for key, value in CONDITIONS[name].items()}
    for conditions in OTHERS:
        yield {"otherwise"}, conditions


def _stages(node: Any) -> Iterator[str]:  # noqa: ANN401 - a tree of MongoDB's
    if isinstance(node, dict):
        if isinstance(node.get("stage"), str):
            yield node["stage"]
        for child in node.values():
            yield from _stages(child)
    elif isinstance(node, list):
        for child in node:
            yield from _stages(child)


def _explained(entries: Collection[Document], wanted: Plan, segment: Segment, limit: int) -> Document:
    found = entries.find({**segment.bounds, **wanted.others}, sort=wanted.sort, limit=limit, hint=wanted.hint)
    explanation: Document = found.explain()
    stages = set(_stages(explanation["queryPlanner"]["winningPlan"]))
    assert stages <= {"LIMIT", "FETCH", "IXSCAN", "CLUSTERED_IXSCAN", "EOF"}, (wanted, stages)
    statistics: Document = explanation["executionStats"]
    return statistics


async def test_no_query_of_the_api_scans_the_collection_or_sorts_it(
    filled: tuple[Collection[Document], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    entries, url = filled
    monkeypatch.setattr("services.archive.adapters.mongo_store.LOOKED_AT", MOST)
    after = Position(700, 500, NOON.replace(hour=5))
    with closing(MongoDatabase(url, entries.database.name)) as database:
        entry_log = MongoEntryLog(database)
        for number, (names, conditions) in enumerate(_queries()):
            await _check(
                entries,
                entry_log,
                names,
                EventQuery(**conditions, order=ORDERS[number % 2]),
                None if number % 3 == 0 else after,
            )


async def _check(
    entries: Collection[Document],
    entry_log: MongoEntryLog,
    names: set[str],
    query: EventQuery,
    after: Position | None,
) -> None:
    snapshot = Snapshot(COUNT - 20, await entry_log.last(query, COUNT - 20))
    wanted = plan(query, snapshot, after)
    for whole in wanted.segments:
        segment, _ = await entry_log._cut(wanted, whole)  # noqa: SLF001 - what a page sends, explained
        figures = _explained(entries, wanted, segment, LIMIT)
        looked_at, returned = figures["totalDocsExamined"], figures["nReturned"]
        assert looked_at <= MOST + 1, (query, figures)
        if names in HELD_BY_ONE_INDEX:
            assert looked_at == returned <= LIMIT, (query, figures)
            assert figures["totalKeysExamined"] <= 20 * LIMIT, (query, figures)


async def test_links_of_a_trace_and_other_lookups_are_led_by_an_index(
    filled: tuple[Collection[Document], str],
) -> None:
    entries, _ = filled
    for link, index in schema.LINKS.items():
        found = entries.find({link: {"$in": ["a", "b", "request-8"]}}, sort=[("_id", 1)], hint=index, limit=9)
        stages = set(_stages(found.explain()["queryPlanner"]["winningPlan"]))
        assert "IXSCAN" in stages
        assert not {"COLLSCAN", "SORT"} & stages, link


async def test_rare_matches_among_many_come_in_short_pages_and_all_of_them_come(
    filled: tuple[Collection[Document], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    entries, url = filled
    monkeypatch.setattr("services.archive.adapters.mongo_store.LOOKED_AT", 50)
    rare: tuple[Document, ...] = (
        {"start": NOON.replace(year=2000), "stream": ALERTS},
        {"stream": FEEDBACK, "subject": SubjectFilter.parse("*.v1.excluded.>")},
        {"city": "3607", "type": "cn.pingyi.alerts.raised.v1"},
        {"since": 10, "unit_id": "U000003"},
    )
    with closing(MongoDatabase(url, entries.database.name)) as database:
        entry_log = MongoEntryLog(database)
        for conditions, order in product(rare, ORDERS):
            query = EventQuery(**conditions, order=order)
            snapshot = Snapshot(COUNT, await entry_log.last(query, COUNT))
            found, sizes, after = [], [], None
            while True:
                page, after = await entry_log.page(query, snapshot, after, 15)
                found += [entry.index for entry in page]
                sizes.append(len(page))
                if after is None:
                    break
            wanted = plan(query, snapshot, None)
            (segment,) = wanted.segments
            expected = entries.find({**segment.bounds, **wanted.others}, sort=wanted.sort)
            assert found == [document["_id"] for document in expected]
            assert found
            assert min(sizes[:-1], default=15) < 15


def test_a_page_looks_at_a_few_thousand_entries_at_most() -> None:
    assert 500 <= queries.LOOKED_AT <= 5_000
