"""Every service can do all that its code needs, as its own user of a real nats-server."""

import asyncio
import json

import pytest
from faststream import AckPolicy
from faststream.nats import JStream, PullSub
from nats.aio.client import Client

from services.archive.adapters.audit_stream import AuditStream
from services.archive.application.ports import Announced, AnnouncedElsewhereError, Told
from services.scoring.adapters.nats_flag_store import NatsFlagStore
from services.scoring.adapters.nats_ranking_store import NatsRankingStore
from services.scoring.adapters.snapshot_store import JetStreamHistory, JetStreamSnapshotStore
from services.scoring.application.published import StoredRankings
from services.scoring.domain.flags import Flags
from shared.events import Envelope, MessageDeadLettered
from shared.messaging.connection import BrokerSettings, make_broker
from shared.messaging.failure import DeadLetters, FailureHandling, failure_policy
from shared.messaging.group_commit import GroupCommit, Outgoing
from shared.messaging.lease import Lease, NatsLeaseStore, SessionLeaseStore
from shared.messaging.positions import KeptPosition, Mark
from shared.messaging.provisioner import provision
from shared.messaging.publisher import JetStreamPublisher
from shared.messaging.reading import DurableReader, FoldReader
from shared.messaging.session import BrokerSession
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import (
    ALERTS,
    ARCHIVED,
    DEADLETTER,
    FEEDBACK,
    INTEGRITY,
    NOTIFY_RATINGS,
    RETIRED,
    VAULT,
)
from shared.testing.builders import (
    CITY,
    COUNTY,
    alert_raised,
    batch_sequenced,
    checkpoint_signed,
    envelope_of,
    feedback_submitted,
    message_dead_lettered,
    ranking_revised,
    unit_flagged,
    unit_score_changed,
)
from shared.testing.clock import FixedClock
from tests.support.broker_users import BrokerUsers
from tests.unit.scoring.snapshot_fakes import snapshot_of

SUBJECT = f"feedback.v1.submitted.{CITY}.{COUNTY}"


async def commit(client: Client, stream: str, outgoing: list[Outgoing]) -> list[int]:
    """Make messages durable as intake does; their sequences."""
    group = GroupCommit(client, stream=stream)
    await group.start()
    stored = await group.publish(outgoing)
    await group.stop()
    return [each.sequence for each in stored]


def ratings(count: int) -> list[Outgoing]:
    """That many ratings."""
    events = [envelope_of(feedback_submitted()) for _ in range(count)]
    return [Outgoing(SUBJECT, event.id, event.to_json()) for event in events]


async def submit(broker: BrokerUsers, count: int) -> None:
    """Store ratings as intake."""
    await commit(await broker.connect("intake"), FEEDBACK, ratings(count))


async def read(reader: FoldReader | DurableReader, count: int) -> list[StoredMessage]:
    """``count`` messages, which may come in several portions, and whatever came with them."""
    messages = await reader.take(wait_s=0.1)
    async with asyncio.timeout(60):
        while len(messages) < count:
            messages += await reader.take(wait_s=1)
    return messages


async def test_the_provisioner_can_provision_again(broker: BrokerUsers) -> None:
    outcome = await provision(await broker.connect("provisioner"))
    assert outcome.created == outcome.updated == ()


@pytest.mark.parametrize("count", [1, 5, 50, 1500])
async def test_intake_commits_ratings_singly_and_in_batches(broker: BrokerUsers, count: int) -> None:
    client = await broker.connect("intake")
    assert await commit(client, FEEDBACK, ratings(count)) == list(range(1, count + 1))
    message = await client.jetstream().get_msg(FEEDBACK, count, direct=True)
    assert message.subject == SUBJECT
    assert broker.errors["intake"] == []


async def test_intake_keeps_reads_and_erases_keys_in_the_vault(broker: BrokerUsers) -> None:
    client = await broker.connect("intake")
    jetstream = client.jetstream()
    await commit(client, VAULT, [Outgoing(f"vault.v1.text.r{n}", f"r{n}", b"key") for n in range(10)])
    found = await jetstream.get_last_msg(VAULT, "vault.v1.text.r3", direct=True)
    assert found.data == b"key"
    assert await jetstream.delete_msg(VAULT, found.seq or 0)
    await jetstream.purge_stream(VAULT, subject="vault.v1.text.r4")
    assert (await jetstream.stream_info(VAULT)).state.messages == 8
    assert broker.errors["intake"] == []


async def test_scoring_tells_what_is_flagged_and_keeps_it_for_itself(broker: BrokerUsers) -> None:
    client = await broker.connect("scoring")
    store = NatsFlagStore(client)
    for number in (1, 2):
        assert await store.load() == (Flags({}) if number == 1 else Flags({}, serial=1))
        await store.commit(Flags({}, serial=number))
    await JetStreamPublisher(client).publish(envelope_of(unit_flagged()), city=CITY, county=COUNTY)
    stored = await (await broker.connect("archive")).jetstream().get_msg(INTEGRITY, 1)
    assert stored.subject == f"integrity.v1.unit-flagged.{CITY}.{COUNTY}"
    assert broker.errors["scoring"] == broker.errors["archive"] == []


@pytest.mark.parametrize("service", ["intake", "scoring"])
async def test_a_fold_of_feedback_reads_on_after_its_consumer_is_gone(
    broker: BrokerUsers, service: str
) -> None:
    await submit(broker, 20)
    client = await broker.connect(service)
    reader = FoldReader(client, FEEDBACK, filters=("feedback.v1.submitted.>",))
    assert len(await read(reader, 20)) == 20
    await reader.close()
    await submit(broker, 3)
    assert [message.sequence for message in await read(reader, 3)] == [21, 22, 23]
    await reader.close()
    assert broker.errors[service] == []
    admin = await broker.connect("provisioner")
    consumers = await admin.jetstream().consumers_info(FEEDBACK)
    assert [each.name for each in consumers if each.name.startswith("fold-")] == [], "closing deletes it"


async def test_scoring_publishes_rankings_and_keeps_the_current_ones(broker: BrokerUsers) -> None:
    client = await broker.connect("scoring")
    publisher = JetStreamPublisher(client)
    assert await publisher.publish(envelope_of(ranking_revised())) == 1
    assert await publisher.publish(envelope_of(unit_score_changed()), city=CITY, county=COUNTY) == 2
    await commit(
        client, "KV_rankings", [Outgoing(f"$KV.rankings.window.k{n}.30", f"k{n}", b"{}") for n in range(20)]
    )
    bucket = await client.jetstream().key_value("rankings")
    await bucket.put("window.marriage.30", b'{"rows":[]}')
    assert (await bucket.get("window.marriage.30")).value == b'{"rows":[]}'
    assert len(await bucket.keys()) == 21
    await bucket.delete("window.k1.30")
    assert broker.errors["scoring"] == []


async def test_scoring_leads_and_keeps_snapshots(broker: BrokerUsers) -> None:
    client = await broker.connect("scoring")
    lease = Lease(NatsLeaseStore(client), "scoring", "this one")
    await lease.step()
    await lease.step()
    assert lease.is_leader
    await lease.release()
    store = JetStreamSnapshotStore(client)
    await store.catalogue()
    for position in range(1, 6):
        blob = b"%d" % position * 600_000
        await store.save(snapshot_of(blob, position), blob)
    found = await store.catalogue()
    assert [each.position for each in found] == [5, 4, 3]
    assert await store.read(found[2]) == b"3" * 600_000
    objects = await (await broker.connect("provisioner")).jetstream().stream_info("OBJ_snapshots")
    assert objects.state.messages == 9, "two chunks and a description for each of three"
    assert (await JetStreamHistory(client, FEEDBACK).look(0)).last == 0
    assert await NatsRankingStore(client).refresh(StoredRankings({}, None, {})) is not None
    assert broker.errors["scoring"] == []


async def test_notify_folds_feedback_and_keeps_its_position(broker: BrokerUsers) -> None:
    await submit(broker, 3)
    client = await broker.connect("notify")
    ratings = FoldReader(client, FEEDBACK)
    assert len(await read(ratings, 3)) == 3
    await ratings.close()
    for settled in (1, 3):
        position = KeptPosition(client, FEEDBACK, NOTIFY_RATINGS, before=RETIRED[0])
        assert await position.find() in {0, 1}
        assert await position.save(Mark(settled))
    assert broker.errors["notify"] == []


async def test_notify_handles_dead_letters_from_its_durable_and_folds_its_own_alerts(
    broker: BrokerUsers,
) -> None:
    settings = BrokerSettings(nats_url=broker.server.url, nats_nkey_seed_file=broker.seeds["notify"])
    faststream = make_broker(settings, "notify")
    handled: asyncio.Queue[str] = asyncio.Queue()

    @faststream.subscriber(
        "deadletter.v1.rejected.>",
        stream=JStream(DEADLETTER, declare=False),
        durable="notify-deadletter",
        pull_sub=PullSub(batch_size=10, timeout=1.0),
        ack_policy=AckPolicy.MANUAL,
        inbox_prefix=b"_INBOX_notify.",
    )
    async def handle(event: Envelope[MessageDeadLettered]) -> None:
        await handled.put(event.id)

    client = await broker.connect("notify")
    publisher = JetStreamPublisher(client)
    faststream.add_middleware(failure_policy(FailureHandling(DeadLetters(publisher, FixedClock(), "notify"))))
    for _ in range(3):
        await publisher.publish(envelope_of(message_dead_lettered()))
    await faststream.start()
    try:
        ids = {await asyncio.wait_for(handled.get(), 60) for _ in range(3)}
    finally:
        await faststream.stop()
    assert len(ids) == 3
    info = await client.jetstream().consumer_info(DEADLETTER, "notify-deadletter")
    assert info.num_pending == 0
    assert info.num_ack_pending == 0
    assert await publisher.publish(envelope_of(alert_raised()), city=CITY, county=COUNTY) == 1
    fold = FoldReader(client, ALERTS)
    assert len(await read(fold, 1)) == 1
    await fold.close()
    delivery = DurableReader(client, ALERTS, "notify-deliver-webhook")
    (message,) = await read(delivery, 1)
    await delivery.acknowledge(message)
    await delivery.close()
    assert broker.errors["notify"] == []


async def test_the_archive_reads_acknowledges_and_rereads_every_archived_stream(broker: BrokerUsers) -> None:
    await submit(broker, 30)
    client = await broker.connect("archive")
    jetstream = client.jetstream()
    for stream in ARCHIVED:
        reader = DurableReader(client, stream, f"archive-{stream.lower()}")
        messages = await read(reader, 30 if stream == FEEDBACK else 0)
        if messages:
            await reader.acknowledge(messages[-1])
            await client.flush()
        await reader.close()
        assert (await jetstream.stream_info(stream)).state.last_seq == len(messages)
    info = await jetstream.consumer_info(FEEDBACK, "archive-feedback")
    assert info.ack_floor is not None
    assert info.ack_floor.stream_seq == 30
    assert (await jetstream.get_msg(FEEDBACK, 7)).subject == SUBJECT
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox)
    request = {"seq": 1, "batch": 5, "next_by_subj": ">"}
    await client.publish(f"$JS.API.DIRECT.GET.{FEEDBACK}", json.dumps(request).encode(), reply=inbox)
    assert (await subscription.next_msg(2)).headers["Nats-Sequence"] == "1"  # type: ignore[index]  # has headers
    assert broker.errors["archive"] == []


async def test_the_archive_leads_announces_signs_and_reads_what_it_said(broker: BrokerUsers) -> None:
    settings = BrokerSettings(nats_url=broker.server.url, nats_nkey_seed_file=broker.seeds["archive"])
    session = BrokerSession(make_broker(settings, "archive"))
    await session.start()
    await session.wait_ready()
    try:
        lease = Lease(SessionLeaseStore(session), "archive", "this one")
        await lease.step()
        await lease.step()
        assert lease.is_leader
        await lease.release()
        audit, announced, told = AuditStream(session, FixedClock()), batch_sequenced(), checkpoint_signed()
        assert await audit.newest() is None
        assert await audit.announce(announced, 0) == 1
        with pytest.raises(AnnouncedElsewhereError):
            await audit.announce(batch_sequenced(size=8), 0)
        assert await audit.tell(told, 0) == 2
        assert await audit.newest() == Announced(1, announced)
        assert [each async for each in audit.told_since(1)] == [Told(2, told)]
    finally:
        await session.stop()


@pytest.mark.parametrize("service", ["intake", "scoring", "notify", "archive"])
async def test_every_service_can_write_dead_letters(broker: BrokerUsers, service: str) -> None:
    publisher = JetStreamPublisher(await broker.connect(service))
    assert await publisher.publish(envelope_of(message_dead_lettered(service=service))) == 1


async def test_the_command_line_tails_recomputes_and_looks_at_everything(broker: BrokerUsers) -> None:
    client = await broker.connect("cli")
    seen = await client.subscribe("feedback.v1.>")
    await client.flush()
    await submit(broker, 8)
    assert (await seen.next_msg(2)).subject == SUBJECT
    fold = FoldReader(client, FEEDBACK, filters=("feedback.v1.submitted.>",))
    assert len(await read(fold, 8)) == 8
    await fold.close()
    jetstream = client.jetstream()
    for stream in (*ARCHIVED, "KV_rankings"):
        assert (await jetstream.stream_info(stream)).config.name == stream
        await jetstream.consumers_info(stream)
    scoring = await broker.connect("scoring")
    await (await scoring.jetstream().key_value("rankings")).put("window.marriage.30", b"{}")
    bucket = await jetstream.key_value("rankings")
    assert await bucket.keys() == ["window.marriage.30"]
    assert broker.errors["cli"] == []
