"""Every sequence of every archived stream gets exactly one entry, whatever is delivered."""

import hashlib

import httpx
from nats.aio.client import Client

from services.archive.adapters import schema
from shared.messaging.streams import ALERTS, FEEDBACK, RANKING
from tests.integration.archive.support import (
    FEEDBACK_SUBJECT,
    Setup,
    all_pages,
    publish,
    publish_others,
    rating,
    ratings,
    until_archived,
    verified,
)


async def test_every_event_of_every_stream_is_archived_once_with_its_exact_bytes(
    client: Client, setup: Setup
) -> None:
    messages = ratings(0, 2500)
    await publish(client, messages)
    await publish_others(client, 300)
    async with setup.running() as api:
        state = await until_archived(api, {FEEDBACK: 2500, RANKING: 300, ALERTS: 300})
        outcome = await verified(api)
    assert state["index"] == 3099
    assert outcome["findings"] == []
    assert outcome["ok"] is True
    assert outcome["entries"] == 3100
    assert outcome["books"]["archived"] == 2500
    assert outcome["streams"][FEEDBACK]["compared"] == 2500
    async with setup.collection() as collection:
        stored = {one["event_id"]: one["envelope"] for one in collection.find({"stream": FEEDBACK})}
    assert stored == {message.message_id: message.payload for message in messages}


async def test_a_restart_goes_on_where_the_log_ended_and_adds_nothing(client: Client, setup: Setup) -> None:
    await publish(client, ratings(0, 700))
    async with setup.running() as api:
        await until_archived(api, {FEEDBACK: 700})
    await publish(client, ratings(700, 500))
    async with setup.running() as api:
        state = await until_archived(api, {FEEDBACK: 1200})
        outcome = await verified(api)
    assert state["entries"] == 1200
    assert outcome["ok"], outcome["findings"]


async def test_redelivery_of_everything_adds_nothing(client: Client, setup: Setup) -> None:
    await publish(client, ratings(0, 1500))
    async with setup.running() as api:
        await until_archived(api, {FEEDBACK: 1500})
    consumer = (await client.jetstream().consumer_info(FEEDBACK, "archive-feedback")).config
    await client.jetstream().delete_consumer(FEEDBACK, "archive-feedback")
    await client.jetstream().add_consumer(FEEDBACK, consumer)
    await publish(client, ratings(1500, 1))
    async with setup.running() as api:
        state = await until_archived(api, {FEEDBACK: 1501})
        outcome = await verified(api)
    assert state["entries"] == 1501
    assert outcome["ok"], outcome["findings"]


async def test_what_was_delivered_elsewhere_and_never_acknowledged_is_fetched_in_its_order(
    client: Client, setup: Setup
) -> None:
    await publish(client, ratings(0, 900))
    taken = await client.jetstream().pull_subscribe_bind("archive-feedback", stream=FEEDBACK)
    await taken.fetch(400, timeout=5)  # a reader that dies with these; the broker offers them in a minute
    async with setup.running() as api:
        state = await until_archived(api, {FEEDBACK: 900}, limit_s=40)
        items = await all_pages(api, stream=FEEDBACK, limit=500)
        outcome = await verified(api)
    assert state["entries"] == 900
    assert [item["sequence"] for item in items] == list(range(1, 901))
    assert outcome["ok"], outcome["findings"]


async def test_an_id_that_comes_again_behind_the_brokers_window_is_a_duplicate_of_the_first(
    client: Client, setup: Setup
) -> None:
    first = rating(1)
    jetstream = client.jetstream()
    for _ in range(3):  # without Nats-Msg-Id the broker remembers nothing, as after its window
        await jetstream.publish(FEEDBACK_SUBJECT, first.to_json())
    await publish(client, ratings(2, 1))
    async with setup.running() as api:
        await until_archived(api, {FEEDBACK: 4})
        outcome = await verified(api)  # first, since reading adds to the log
        items = await all_pages(api)
        event = (await api.get(f"/v1/events/{first.id}")).json()
    assert [(item["kind"], item.get("duplicate_of")) for item in items] == [
        ("event", None),
        ("duplicate_of", 0),
        ("duplicate_of", 0),
        ("event", None),
    ]
    assert event["index"] == 0
    assert [one["index"] for one in event["duplicates"]] == [1, 2]
    assert outcome["ok"], outcome["findings"]
    assert outcome["books"] == {
        "archived": 2,
        "synthetic": 0,
        "events": 2,
        "duplicates": 2,
        "unparseable": 0,
    }


async def test_poison_gets_an_entry_with_its_hash_and_without_its_bytes(client: Client, setup: Setup) -> None:
    poison = b'{"name": "\xe5\xbc\xa0\xe4\xb8\x89", "phone": "13800138000"'
    await client.jetstream().publish(FEEDBACK_SUBJECT, poison)
    await publish(client, ratings(0, 1))
    async with setup.running() as api:
        await until_archived(api, {FEEDBACK: 2})
        items = await all_pages(api)
        outcome = await verified(api)
    assert items[0]["kind"] == "unparseable"
    assert items[0]["event"] is None
    assert items[0]["data_hash"] == hashlib.sha256(poison).hexdigest()
    assert outcome["ok"], outcome["findings"]
    assert outcome["books"]["unparseable"] == 1
    async with setup.collection() as collection:
        assert "13800138000" not in str(list(collection.find()))


async def test_sequences_that_expired_before_the_archive_looked_are_no_finding(
    client: Client, setup: Setup
) -> None:
    await publish_others(client, 200)
    await client.jetstream().purge_stream(ALERTS, seq=151)
    async with setup.running() as api:
        await until_archived(api, {ALERTS: 200, RANKING: 200})
        outcome = await verified(api)
    assert outcome["ok"], outcome["findings"]
    assert outcome["streams"][ALERTS] | {"in_broker": None} == {
        "entries": 50,
        "first": 151,
        "last": 200,
        "missing": 0,
        "compared": 50,
        "in_broker": None,
    }


async def test_sequences_that_vanish_from_the_middle_are_passed_over_and_found(
    client: Client, setup: Setup
) -> None:
    await publish_others(client, 20)
    jetstream = client.jetstream()
    for sequence in (8, 9, 15):
        await jetstream.delete_msg(ALERTS, sequence)
    async with setup.running() as api:
        await until_archived(api, {ALERTS: 20, RANKING: 20})
        outcome = await verified(api)
        metrics = (await api.get("/metrics")).text
    assert [finding["what"].split(" before")[0] for finding in outcome["findings"]] == [
        "sequences 8 to 9 missing",
        "sequences 15 to 15 missing",
    ]
    assert 'pingyi_archive_sequences_lost_total{stream="ALERTS"} 3.0' in metrics


async def test_a_stream_that_was_made_anew_is_refused_and_the_others_go_on(
    client: Client, setup: Setup
) -> None:
    await publish(client, ratings(0, 50))
    await publish_others(client, 50)
    async with setup.running() as api:
        await until_archived(api, {FEEDBACK: 50, ALERTS: 50, RANKING: 50})
    jetstream = client.jetstream()
    stream = (await jetstream.stream_info(ALERTS)).config
    consumer = (await jetstream.consumer_info(ALERTS, "archive-alerts")).config
    await jetstream.delete_stream(ALERTS)
    await jetstream.add_stream(stream)
    await jetstream.add_consumer(ALERTS, consumer)
    await publish_others(client, 80)
    async with setup.running() as api:
        state = await until_archived(api, {RANKING: 130})
        ready = await api.get("/readyz")
        outcome = await verified(api)
    assert state["streams"][ALERTS] == 50
    assert ready.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert "refused: ALERTS" in ready.json()["checks"]["history"]["detail"]
    assert outcome["ok"] is False
    assert {finding["where"] for finding in outcome["findings"]} >= {"stream ALERTS"}
    pending = await jetstream.consumer_info(ALERTS, "archive-alerts")
    assert pending.ack_floor is not None
    assert pending.ack_floor.stream_seq == 0, "nothing of it was acknowledged"


async def test_bootstrap_twice_changes_nothing(setup: Setup) -> None:
    schema.bootstrap(setup.mongodb_url, setup.database)
    async with setup.collection() as collection:
        names = set(collection.index_information())
    assert names == {"_id_", *schema.INDEXES}
