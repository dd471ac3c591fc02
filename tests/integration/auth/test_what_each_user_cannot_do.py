"""What a stolen key or an outsider cannot do, on a real nats-server."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import Error as JetStreamError

from shared.messaging.publisher import BrokerUnavailableError, JetStreamPublisher
from shared.messaging.streams import ALERTS, CASES, FEEDBACK, INTEGRITY, INTEGRITY_BUCKET, VAULT
from shared.testing.builders import (
    CITY,
    COUNTY,
    alert_raised,
    envelope_of,
    feedback_submitted,
    unit_flagged,
    unit_score_changed,
)
from tests.support.broker_users import BrokerUsers, provisioned, running_broker

FLAGS = f"KV_{INTEGRITY_BUCKET}"
SECRET = (FEEDBACK, CASES, ALERTS, VAULT, INTEGRITY, FLAGS)
SHORT_S = 0.3
"""A refused request gets no answer; nothing on a loopback interface takes that long."""
ANSWERED_S = 0.1
"""The same, once the broker has said that it refuses."""


async def fill(broker: BrokerUsers) -> None:
    """One rating, one alert, one score change, one key, one flag."""
    intake, notify, scoring = [await broker.connect(name) for name in ("intake", "notify", "scoring")]
    await JetStreamPublisher(intake).publish(envelope_of(feedback_submitted()), city=CITY, county=COUNTY)
    await intake.jetstream().publish("vault.v1.text.r1", b"key")
    await JetStreamPublisher(notify).publish(envelope_of(alert_raised()), city=CITY, county=COUNTY)
    await JetStreamPublisher(scoring).publish(envelope_of(unit_score_changed()), city=CITY, county=COUNTY)
    await JetStreamPublisher(scoring).publish(envelope_of(unit_flagged()), city=CITY, county=COUNTY)
    await scoring.jetstream().publish("$KV.integrity.flags", b"flags")


async def count(broker: BrokerUsers, stream: str) -> int:
    """Messages in a stream, as the provisioner sees it."""
    admin = await broker.connect("provisioner")
    return (await admin.jetstream().stream_info(stream)).state.messages


async def refused(broker: BrokerUsers, user: str, attempt: Awaitable[object]) -> None:
    """The attempt fails, and the broker says that permission is why."""
    errors, before = broker.errors[user], len(broker.errors[user])
    trying = asyncio.ensure_future(attempt)
    while not trying.done() and len(errors) == before:  # noqa: ASYNC110 - what the client is told sets no event
        await asyncio.sleep(0.005)
    # It was told why: an answer would come now, if there were one.
    await asyncio.wait([trying], timeout=ANSWERED_S)
    if not trying.cancel():
        with pytest.raises((NatsError, JetStreamError, BrokerUnavailableError, TimeoutError)):
            trying.result()
    await until_told(lambda: any("permissions violation" in each for each in errors[before:]))


async def unsubscribable(broker: BrokerUsers, user: str, client: Client, subject: str) -> None:
    """A subscription is answered with a permission error."""
    before = len(broker.errors[user])
    await client.subscribe(subject)
    await client.flush()
    await until_told(
        lambda: any(
            "subscription to" in each and "violation" in each for each in broker.errors[user][before:]
        )
    )


async def until_told(told: Callable[[], bool]) -> None:
    """Wait for what the broker says beside its answers."""
    async with asyncio.timeout(20):
        while not told():  # noqa: ASYNC110 - a list has no event
            await asyncio.sleep(0.005)


READS: dict[str, Callable[[Client, str], Awaitable[object]]] = {
    "stream info": lambda client, stream: client.jetstream(timeout=SHORT_S).stream_info(stream),
    "direct get": lambda client, stream: client.jetstream(timeout=SHORT_S).get_msg(stream, 1, direct=True),
    "stored message": lambda client, stream: client.jetstream(timeout=SHORT_S).get_msg(stream, 1),
    "last message": lambda client, stream: client.jetstream(timeout=SHORT_S).get_last_msg(
        stream, "*.v1.>", direct=True
    ),
    "own consumer": lambda client, stream: client.jetstream(timeout=SHORT_S).add_consumer(
        stream, ConsumerConfig(name="mine", ack_policy=AckPolicy.NONE)
    ),
    "push consumer": lambda client, stream: client.jetstream(timeout=SHORT_S).add_consumer(
        stream, ConsumerConfig(deliver_subject=client.new_inbox(), ack_policy=AckPolicy.NONE)
    ),
    "somebody's durable": lambda client, stream: client.request(
        f"$JS.API.CONSUMER.MSG.NEXT.{stream}.archive-{stream.lower()}", b"1", timeout=SHORT_S
    ),
    "purge": lambda client, stream: client.jetstream(timeout=SHORT_S).purge_stream(stream),
    "delete": lambda client, stream: client.jetstream(timeout=SHORT_S).delete_stream(stream),
}


@pytest.mark.parametrize("way", READS)
async def test_an_outsider_reads_nothing_of_the_streams_that_are_not_public(
    broker: BrokerUsers, way: str
) -> None:
    await fill(broker)
    reader = await broker.connect_anonymously()
    for stream in SECRET:
        await refused(broker, "reader", READS[way](reader, stream))


NOT_PUBLIC = [
    *(">", "*.v1.>", "feedback.>", "feedback.v1.submitted.3607.360702", "cases.>", "alerts.>", "audit.>"),
    *("integrity.>", "integrity.v1.unit-flagged.3607.360702", "$KV.integrity.>", "$KV.>"),
    *("deadletter.>", "vault.>", "$JS.>", "$JS.EVENT.>", "$SYS.>", "_R_.>", "_INBOX_intake.>"),
]


@pytest.mark.parametrize("subject", NOT_PUBLIC)
async def test_an_outsider_may_not_subscribe_to_what_is_not_public(broker: BrokerUsers, subject: str) -> None:
    await unsubscribable(broker, "reader", await broker.connect_anonymously(), subject)


async def test_an_outsider_receives_live_events_of_one_city_and_nothing_else(broker: BrokerUsers) -> None:
    reader = await broker.connect_anonymously()
    got: list[str] = []

    async def note(message: object) -> None:
        got.append(getattr(message, "subject", ""))

    for subject in ("ranking.v1.*.3607.>", "feedback.v1.>", "integrity.v1.>", "$KV.rankings.>"):
        await reader.subscribe(subject, cb=note)
    await reader.flush()
    await fill(broker)
    scoring = await broker.connect("scoring")
    await JetStreamPublisher(scoring).publish(envelope_of(unit_score_changed()), city="3601", county="360121")
    await (await scoring.jetstream().key_value("rankings")).put("window.marriage.30", b"{}")
    await until_told(lambda: len(got) >= 2)
    await asyncio.sleep(SHORT_S)
    assert got == ["ranking.v1.score-changed.3607.360702", "$KV.rankings.window.marriage.30"]


async def test_an_outsider_reads_stored_events_and_current_rankings_without_a_consumer(
    broker: BrokerUsers,
) -> None:
    await fill(broker)
    scoring = await broker.connect("scoring")
    await (await scoring.jetstream().key_value("rankings")).put("window.marriage.30", b"now")
    reader = await broker.connect_anonymously()
    jetstream = reader.jetstream(timeout=2)
    assert (
        await jetstream.get_msg("RANKING", 1, direct=True)
    ).subject == "ranking.v1.score-changed.3607.360702"
    key = "$KV.rankings.window.marriage.30"
    assert (await jetstream.get_last_msg("KV_rankings", key, direct=True)).data == b"now"
    inbox = reader.new_inbox()
    answers = await reader.subscribe(inbox)
    request = {"multi_last": ["$KV.rankings.>"], "batch": 100}
    await reader.publish("$JS.API.DIRECT.GET.KV_rankings", json.dumps(request).encode(), reply=inbox)
    assert (await answers.next_msg(2)).data == b"now"


@pytest.mark.parametrize("stream", ["RANKING", "KV_rankings"])
async def test_an_outsider_makes_no_consumer_even_on_public_streams(broker: BrokerUsers, stream: str) -> None:
    reader = await broker.connect_anonymously()
    for way in ("own consumer", "push consumer", "purge", "delete"):
        await refused(broker, "reader", READS[way](reader, stream))


@pytest.mark.parametrize("subject", ["feedback.v1.submitted.3607.360702", "ranking.v1.revised.all.all"])
async def test_an_outsider_publishes_nothing(broker: BrokerUsers, subject: str) -> None:
    reader = await broker.connect_anonymously()
    await refused(broker, "reader", reader.jetstream(timeout=SHORT_S).publish(subject, b"{}"))
    assert await count(broker, FEEDBACK) == await count(broker, "RANKING") == 0


async def test_an_outsider_cannot_make_the_broker_write_an_answer_into_a_stream(broker: BrokerUsers) -> None:
    await fill(broker)
    reader = await broker.connect_anonymously()
    for subject in ("feedback.v1.submitted.3607.360702", "cases.v1.opened.3607.360702"):
        await reader.publish("$JS.API.DIRECT.GET.RANKING", b'{"seq":1}', reply=subject)
    await reader.flush()
    await asyncio.sleep(SHORT_S)
    assert await count(broker, FEEDBACK) == 1, "the one rating"
    assert await count(broker, CASES) == 0


async def test_scoring_cannot_publish_feedback_or_alerts(broker: BrokerUsers) -> None:
    publisher = JetStreamPublisher(await broker.connect("scoring"), timeout_s=SHORT_S)
    await refused(broker, "scoring", publisher.publish(envelope_of(feedback_submitted())))
    await refused(broker, "scoring", publisher.publish(envelope_of(alert_raised())))
    assert await count(broker, FEEDBACK) == await count(broker, ALERTS) == 0


@pytest.mark.parametrize("way", READS)
async def test_intake_cannot_read_alerts(broker: BrokerUsers, way: str) -> None:
    await fill(broker)
    intake = await broker.connect("intake")
    await refused(broker, "intake", READS[way](intake, ALERTS))


@pytest.mark.parametrize("service", ["scoring", "notify", "archive", "cli"])
async def test_only_intake_reads_the_vault(broker: BrokerUsers, service: str) -> None:
    await fill(broker)
    client = await broker.connect(service)
    for way in ("direct get", "stored message", "own consumer", "purge"):
        await refused(broker, service, READS[way](client, VAULT))
    await unsubscribable(broker, service, client, "vault.>")


@pytest.mark.parametrize("service", ["intake", "notify", "archive", "cli"])
async def test_only_scoring_leads_scoring_and_moves_its_snapshots(broker: BrokerUsers, service: str) -> None:
    client = await broker.connect(service)
    jetstream = client.jetstream(timeout=SHORT_S)
    for subject in ("$KV.leases.scoring", "$KV.snapshots.scoring", "$O.snapshots.C.scoring-0-mine"):
        await refused(broker, service, jetstream.publish(subject, b"mine"))
    for stream in ("KV_leases", "KV_snapshots", "OBJ_snapshots"):
        await refused(broker, service, READS["purge"](client, stream))


@pytest.mark.parametrize("service", ["intake", "scoring", "notify", "cli"])
async def test_only_the_archive_says_what_the_log_is(broker: BrokerUsers, service: str) -> None:
    jetstream = (await broker.connect(service)).jetstream(timeout=SHORT_S)
    for subject in ("audit.v1.batch-sequenced.all.all", "audit.v1.checkpoint-signed.all.all"):
        await refused(broker, service, jetstream.publish(subject, b"{}"))
    await refused(broker, service, jetstream.publish("$KV.leases.archive", b"mine"))


@pytest.mark.parametrize("service", ["intake", "scoring", "archive", "rectify", "cli"])
async def test_only_notify_says_how_far_it_is(broker: BrokerUsers, service: str) -> None:
    jetstream = (await broker.connect(service)).jetstream(timeout=SHORT_S)
    await refused(broker, service, jetstream.publish("$KV.positions.notify-feedback", b"{}"))


async def test_scoring_neither_takes_other_leases_nor_listens_to_who_holds_them(broker: BrokerUsers) -> None:
    client = await broker.connect("scoring")
    jetstream = client.jetstream(timeout=SHORT_S)
    for bucket in ("leases", "snapshots"):
        await refused(broker, "scoring", jetstream.publish(f"$KV.{bucket}.archive", b"mine"))
        await refused(broker, "scoring", jetstream.publish(f"$KV.{bucket}.rectify", b"mine"))
        key = f"$KV.{bucket}.rectify"
        await refused(broker, "scoring", jetstream.get_last_msg(f"KV_{bucket}", key, direct=True))
        for way in ("stream info", "own consumer", "stored message", "purge", "delete"):
            await refused(broker, "scoring", READS[way](client, f"KV_{bucket}"))
    for way in ("own consumer", "delete"):
        await refused(broker, "scoring", READS[way](client, "OBJ_snapshots"))


@pytest.mark.parametrize("service", ["intake", "notify", "archive"])
@pytest.mark.parametrize("way", ["direct get", "stored message", "own consumer", "purge"])
async def test_no_service_but_scoring_reads_or_changes_what_is_flagged(
    broker: BrokerUsers, service: str, way: str
) -> None:
    await fill(broker)
    client = await broker.connect(service)
    await refused(broker, service, READS[way](client, FLAGS))
    await refused(broker, service, client.jetstream(timeout=SHORT_S).publish("$KV.integrity.flags", b""))
    assert await count(broker, FLAGS) == 1


@pytest.mark.parametrize("service", ["intake", "scoring", "notify", "archive"])
async def test_a_service_hears_its_own_answers_only(broker: BrokerUsers, service: str) -> None:
    client = await broker.connect(service)
    for subject in ("feedback.>", "_INBOX.>", "_INBOX_provisioner.>", ">"):
        await unsubscribable(broker, service, client, subject)


@pytest.mark.parametrize("service", ["intake", "scoring", "cli"])
async def test_a_fold_neither_changes_nor_steals_from_somebodys_durable(
    broker: BrokerUsers, service: str
) -> None:
    await fill(broker)
    client = await broker.connect(service)
    jetstream = client.jetstream(timeout=SHORT_S)
    durable = ConsumerConfig(durable_name="archive-feedback", ack_policy=AckPolicy.ALL)
    filtered = ConsumerConfig(
        durable_name="archive-feedback", ack_policy=AckPolicy.ALL, filter_subject="feedback.v1.x"
    )
    await refused(broker, service, jetstream.add_consumer(FEEDBACK, durable))
    await refused(broker, service, jetstream.add_consumer(FEEDBACK, filtered))
    await refused(broker, service, jetstream.delete_consumer(FEEDBACK, "archive-feedback"))
    await refused(broker, service, READS["somebody's durable"](client, FEEDBACK))


@pytest.mark.parametrize("service", ["intake", "scoring", "notify", "archive", "cli"])
async def test_nobody_but_the_provisioner_changes_streams(broker: BrokerUsers, service: str) -> None:
    client = await broker.connect(service)
    for way in ("purge", "delete"):
        await refused(broker, service, READS[way](client, FEEDBACK))
    await refused(broker, service, client.jetstream(timeout=SHORT_S).add_stream(name="X", subjects=["x"]))


async def test_the_command_line_publishes_no_event(broker: BrokerUsers) -> None:
    publisher = JetStreamPublisher(await broker.connect("cli"), timeout_s=SHORT_S)
    for event in (feedback_submitted(), unit_score_changed(), alert_raised()):
        await refused(broker, "cli", publisher.publish(envelope_of(event)))


async def test_readers_leave_room_for_services(tmp_path: Path) -> None:
    with running_broker(tmp_path, most_readers=3) as started:
        async with provisioned(*started) as broker:
            for _ in range(3):
                await broker.connect_anonymously()
            # The library would leave its socket open.
            answers, requests = await asyncio.open_connection("127.0.0.1", broker.server.port)
            requests.write(b"CONNECT {}\r\nPING\r\n")
            assert b"maximum account active connections" in await answers.read()
            requests.close()
            await requests.wait_closed()
            intake = await broker.connect("intake")
            assert intake.is_connected
