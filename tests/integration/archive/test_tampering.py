"""What somebody changes in the database, the verification finds, and names the place."""

import hashlib
from collections.abc import Callable
from typing import Any, Literal

import pytest
from bson import Binary
from nats.aio.client import Client
from pymongo import MongoClient
from pymongo.collection import Collection

from services.archive.adapters.documents import from_document
from services.archive.adapters.jetstream_source import JetStreamSource
from services.archive.adapters.mongo_store import MongoDatabase, MongoEntryLog, MongoTreeStore
from services.archive.adapters.schema import ENTRIES
from services.archive.application.verifying import Report, Verification
from services.archive.domain.leaves import leaf_hash
from services.archive.metrics import ArchiveMetrics
from shared.messaging.connection import make_broker
from shared.messaging.session import BrokerSession
from shared.messaging.streams import ALERTS, ARCHIVED, FEEDBACK, RANKING
from shared.observability.metrics import ServiceMetrics
from shared.testing.clock import FixedClock
from tests.integration.archive.support import (
    FEEDBACK_SUBJECT,
    Document,
    Setup,
    publish,
    publish_others,
    rating,
    ratings,
    until_archived,
)

AT = 17
LAST = 79

Tamper = Callable[[Collection[Document]], object]


def _set(**fields: Any) -> Tamper:  # noqa: ANN401 - fields of a document
    return lambda entries: entries.update_one({"_id": AT}, {"$set": fields})


def _edit_envelope(entries: Collection[Document]) -> None:
    raw = entries.find_one({"_id": AT}, {"envelope": 1})
    assert raw is not None
    changed = raw["envelope"].replace(b'"grade":5', b'"grade":1')
    assert changed != raw["envelope"]
    entries.update_one({"_id": AT}, {"$set": {"envelope": Binary(changed)}})


def _edit_envelope_and_hash(entries: Collection[Document]) -> None:
    _edit_envelope(entries)
    raw = entries.find_one({"_id": AT}, {"envelope": 1})
    assert raw is not None
    digest = hashlib.sha256(raw["envelope"]).digest()
    entries.update_one({"_id": AT}, {"$set": {"data_hash": Binary(digest)}})


def _swap(entries: Collection[Document]) -> None:
    one, other = entries.find_one({"_id": AT}), entries.find_one({"_id": AT + 5})
    assert one is not None
    assert other is not None
    entries.delete_many({"_id": {"$in": [AT, AT + 5]}})
    entries.insert_many([{**one, "_id": AT + 5}, {**other, "_id": AT}])


def _insert(entries: Collection[Document]) -> None:
    last = entries.find_one({"_id": LAST})
    assert last is not None
    entries.insert_one({**last, "_id": LAST + 1, "sequence": 9_999, "stream": "AUDIT"})


TAMPERS: dict[str, tuple[Tamper, str, str]] = {
    "a field of the index": (_set(unit_id="U000001"), f"index {AT}", "unit_id"),
    "the place": (_set(city="3601"), f"index {AT}", "city"),
    "the subject": (_set(subject="feedback.v1.submitted.3607.360799"), f"index {AT}", "county"),
    "the time": (_set(synthetic=True), f"index {AT}", "synthetic"),
    "an added field": (_set(note="checked"), f"index {AT}", "note"),
    "a removed field": (
        lambda entries: entries.update_one({"_id": AT}, {"$unset": {"time": 1}}),
        f"index {AT}",
        "unreadable",
    ),
    "the envelope": (_edit_envelope, f"index {AT}", "envelope with SHA-256"),
    "the envelope with its hash": (_edit_envelope_and_hash, f"index {AT}", "leaf hash"),
    "the leaf hash": (_set(leaf_hash=Binary(bytes(32))), f"index {AT}", "leaf hash"),
    "the kind": (_set(kind="unparseable"), f"index {AT}", "follow"),
    "one entry deleted": (lambda entries: entries.delete_one({"_id": AT}), f"index {AT}", "missing"),
    "some entries deleted": (
        lambda entries: entries.delete_many({"_id": {"$gte": AT, "$lte": AT + 3}}),
        f"index {AT} to {AT + 3}",
        "missing",
    ),
    "two entries swapped": (_swap, f"index {AT + 1}", "out of order"),
    "an entry of our own": (_insert, "stream AUDIT", "the stream ends at"),
    "the tail cut": (
        lambda entries: entries.delete_many({"_id": {"$gt": LAST - 30}}),
        f"stream {ALERTS}",
        "not archived",
    ),
}


@pytest.fixture
async def archived(client: Client, setup: Setup) -> Setup:
    """An archive with 80 entries: 50 ratings, then 30 other events; nothing runs."""
    async with setup.running() as api:
        await publish(client, ratings(0, 50))
        await until_archived(api, {FEEDBACK: 50})
        await publish_others(client, 15)
        await until_archived(api, {ALERTS: 15, RANKING: 15})
    return setup


async def verify(setup: Setup, against: Literal["sample", "stream"] = "stream") -> Report:
    """Verify without a sequencer that would go on writing."""
    session = BrokerSession(make_broker(setup.settings(), "archive"))
    database = MongoDatabase(setup.mongodb_url, setup.database)
    await session.start()
    await session.wait_ready()
    metrics = ArchiveMetrics(ServiceMetrics("archive"))
    verification = Verification(
        MongoEntryLog(database),
        MongoTreeStore(database),
        setup.keys,
        JetStreamSource(session),
        metrics,
        FixedClock(),
        ARCHIVED,
        timeout_s=30,
        catch_up_s=0,
    )
    try:
        return await verification.run(against)
    finally:
        await session.stop()
        database.close()


async def test_an_untouched_log_has_no_finding(archived: Setup) -> None:
    report = await verify(archived)
    assert report.findings == []
    assert report.ok


@pytest.mark.parametrize("name", TAMPERS)
async def test_a_change_in_the_database_is_found_at_its_place(archived: Setup, name: str) -> None:
    tamper, place, what = TAMPERS[name]
    with MongoClient[Document](archived.mongodb_url, tz_aware=True) as client:
        database = client[archived.database]
        database.command("collMod", ENTRIES, validator={})  # who tampers is not kept from it by a validator
        tamper(database[ENTRIES])
    report = await verify(archived)
    found = [(finding.where, finding.what) for finding in report.findings]
    assert any(where == place and what in text for where, text in found), found
    assert not report.ok
    assert report.findings_total <= 8, f"one change is not reported all over the log: {found}"


async def test_a_log_forged_throughout_is_told_by_the_streams(archived: Setup) -> None:
    with MongoClient[Document](archived.mongodb_url, tz_aware=True) as client:
        entries = client[archived.database][ENTRIES]
        _edit_envelope_and_hash(entries)
        for document in entries.find(sort=[("_id", 1)]):
            entry = from_document(document)
            entries.update_one({"_id": entry.index}, {"$set": {"leaf_hash": leaf_hash(entry.leaf)}})
    report = await verify(archived)
    assert [finding.where for finding in report.findings] == [f"stream {FEEDBACK}, sequence {AT + 1}"]


async def test_a_duplicate_that_claims_another_original_is_found(client: Client, setup: Setup) -> None:
    await client.jetstream().publish(FEEDBACK_SUBJECT, rating(1).to_json())
    await client.jetstream().publish(FEEDBACK_SUBJECT, rating(2).to_json())
    await client.jetstream().publish(FEEDBACK_SUBJECT, rating(2).to_json())
    async with setup.running() as api:
        await until_archived(api, {FEEDBACK: 3})
    with MongoClient[Document](setup.mongodb_url, tz_aware=True) as mongo:
        mongo[setup.database][ENTRIES].update_one({"_id": 2}, {"$set": {"duplicate_of": 0}})
    report = await verify(setup)
    assert ("index 2", "duplicate of 0", "duplicate of 1") in [
        (finding.where, finding.what, finding.expected) for finding in report.findings
    ]
