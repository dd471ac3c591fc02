"""Pull loops on a real nats-server: order, recovery and positions."""

import asyncio
import time

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from deploy.local.embedded import NatsServer
from shared.kernel.errors import TransientError
from shared.messaging.group_commit import GroupCommit, Outgoing
from shared.messaging.reading import DurableReader, FoldReader, HistoryChangedError
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import FEEDBACK

SUBJECT = "feedback.v1.submitted.3601.360121"
OTHER = "feedback.v1.conflicted.3601.360121"
PACE_S = 60.0
"""So long that who waited for it would be seen on any machine: reading takes a second."""
paces = pytest.mark.parametrize("pace_s", [0.0, 0.05], ids=["", "paced"])
"""A fold reads the same with a pace and without."""


async def fill(client: Client, first: int, last: int, subject: str = SUBJECT) -> None:
    """Store messages whose bodies count from ``first`` to ``last``."""
    commit = GroupCommit(client, stream=FEEDBACK, max_queued=100_000)
    await commit.start()
    await commit.publish([Outgoing(subject, f"id-{n}", str(n).encode()) for n in range(first, last + 1)])
    await commit.stop()


async def read(reader: FoldReader | DurableReader, count: int, limit_s: float = 30) -> list[StoredMessage]:
    """At least ``count`` messages."""
    messages: list[StoredMessage] = []
    deadline = time.monotonic() + limit_s
    while len(messages) < count:
        assert time.monotonic() < deadline, f"only {len(messages)} of {count} messages came"
        messages += await reader.take(500, wait_s=0.2)
    return messages


@paces
async def test_a_fold_reads_everything_in_order_and_knows_when_it_caught_up(
    client: Client, pace_s: float
) -> None:
    await fill(client, 1, 5000)
    reader = FoldReader(client, FEEDBACK, pace_s=pace_s)
    messages = await read(reader, 5000)
    assert [message.sequence for message in messages] == list(range(1, 5001))
    assert [message.data for message in messages] == [str(n).encode() for n in range(1, 5001)]
    assert reader.caught_up
    assert reader.position == 5000
    await reader.close()


@paces
async def test_a_fold_that_finds_nothing_is_caught_up_at_once(client: Client, pace_s: float) -> None:
    await fill(client, 1, 3, OTHER)
    reader = FoldReader(client, FEEDBACK, filters=("feedback.v1.submitted.>",), pace_s=pace_s)
    async with asyncio.timeout(PACE_S / 2):
        assert await reader.take(wait_s=PACE_S) == []
    assert reader.caught_up
    await fill(client, 4, 4)
    assert [message.sequence for message in await read(reader, 1)] == [4]
    await reader.close()


@paces
async def test_a_fold_starts_after_its_position_and_sees_only_its_subjects(
    client: Client, pace_s: float
) -> None:
    await fill(client, 1, 10)
    await fill(client, 11, 12, OTHER)
    await fill(client, 13, 20)
    reader = FoldReader(client, FEEDBACK, filters=("feedback.v1.submitted.>",), after=5, pace_s=pace_s)
    messages = await read(reader, 13)
    assert [message.sequence for message in messages] == [*range(6, 11), *range(13, 21)]
    await reader.close()


@paces
async def test_a_fold_goes_on_where_it_was_when_the_broker_is_killed(
    own_client: Client, own_nats_server: NatsServer, pace_s: float
) -> None:
    await fill(own_client, 1, 3000)
    reader = FoldReader(own_client, FEEDBACK, pace_s=pace_s)
    before = await read(reader, 500)
    own_nats_server.kill()
    own_nats_server.start()
    after = await read(reader, 3000 - len(before), limit_s=60)
    sequences = [message.sequence for message in before + after]
    assert sequences == list(range(1, 3001))
    await reader.close()


@paces
async def test_a_fold_survives_the_deletion_of_its_consumer(client: Client, pace_s: float) -> None:
    await fill(client, 1, 100)
    reader = FoldReader(client, FEEDBACK, pace_s=pace_s)
    await read(reader, 100)
    for consumer in await client.jetstream().consumers_info(FEEDBACK):
        if consumer.name.startswith("fold-"):
            await client.jetstream().delete_consumer(FEEDBACK, consumer.name)
    await fill(client, 101, 150)
    messages = await read(reader, 50)
    assert [message.sequence for message in messages] == list(range(101, 151))
    await reader.close()


async def test_a_fold_refuses_a_stream_that_ends_before_its_position(client: Client) -> None:
    await fill(client, 1, 10)
    reader = FoldReader(client, FEEDBACK, after=11)
    with pytest.raises(HistoryChangedError, match="ends at 10"):
        await reader.take(wait_s=0.1)


async def test_acknowledging_the_last_message_acknowledges_all_before_it(client: Client) -> None:
    await fill(client, 1, 700)
    reader = DurableReader(client, FEEDBACK, "archive-feedback")
    first = await read(reader, 300)
    await reader.acknowledge(first[-1])
    await reader.close()
    await client.flush()
    async with asyncio.timeout(30):
        while await acknowledged(client) < first[-1].sequence:  # noqa: ASYNC110 - the broker tells nobody
            await asyncio.sleep(0.02)
    assert await acknowledged(client) == first[-1].sequence


async def acknowledged(client: Client) -> int:
    """The sequence up to which all is acknowledged."""
    info = await client.jetstream().consumer_info(FEEDBACK, "archive-feedback")
    assert info.ack_floor is not None
    return info.ack_floor.stream_seq or 0


async def test_a_missing_durable_is_reported_and_read_again_once_provisioned(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    reader = DurableReader(client, FEEDBACK, "no-such-durable")
    assert await reader.take(wait_s=0.1) == []
    assert "consumer_missing" in capsys.readouterr().out


async def test_a_paced_reader_hands_out_a_trickle_and_a_backlog_without_a_pause(client: Client) -> None:
    await fill(client, 1, 4000)
    reader = DurableReader(client, FEEDBACK, "archive-feedback", pace_s=PACE_S)
    async with asyncio.timeout(PACE_S / 2):
        backlog = await read(reader, 4000)
        await fill(client, 4001, 4003)
        trickle = await read(reader, 3)
    assert [message.sequence for message in backlog + trickle] == list(range(1, 4004))
    await reader.close()


async def test_a_paced_reader_fetches_what_keeps_coming_in_few_deliveries(client: Client) -> None:
    asked = 0

    async def count(_message: object) -> None:
        nonlocal asked
        asked += 1

    requests = await client.subscribe("$JS.API.CONSUMER.MSG.NEXT.FEEDBACK.archive-feedback", cb=count)
    reader = DurableReader(client, FEEDBACK, "archive-feedback", pace_s=0.5)
    began = time.monotonic()
    deadline = began + 2.0
    number, arrivals = 0, []
    while time.monotonic() < deadline:
        await fill(client, number + 1, number + 20)
        number += 20
        await asyncio.sleep(0.03)  # fewer than a backlog in a pace, on a machine of any speed
        if messages := await reader.take(500, wait_s=0.01):
            arrivals += messages
    arrivals += await read(reader, number - len(arrivals))
    assert [message.sequence for message in arrivals] == list(range(1, number + 1))
    paces = (time.monotonic() - began) / 0.5
    assert 1 < asked <= 2 * paces + 4, "in each a small request and one for what had gathered"
    await requests.unsubscribe()
    await reader.close()


async def test_a_hastened_reader_fetches_without_waiting_for_its_pace(client: Client) -> None:
    reader = DurableReader(client, FEEDBACK, "archive-feedback", pace_s=PACE_S)
    reader.hasten()  # before anything is read there is nothing to hasten
    await fill(client, 1, 100)
    assert len(await read(reader, 32)) == 32
    assert await reader.take(500, wait_s=0.3) == []
    taking = asyncio.create_task(reader.take(500, wait_s=PACE_S))
    await asyncio.sleep(0.1)
    reader.hasten()
    async with asyncio.timeout(PACE_S / 2):
        messages = await taking
        messages += await read(reader, 68 - len(messages))
    assert [message.sequence for message in messages] == list(range(33, 101))
    await reader.close()


async def test_a_paced_reader_notices_that_its_broker_was_away(
    own_client: Client, own_nats_server: NatsServer
) -> None:
    reader = DurableReader(own_client, FEEDBACK, "archive-feedback", pace_s=0.5)
    await fill(own_client, 1, 40)
    await read(reader, 40)
    own_nats_server.kill()
    own_nats_server.start()
    async with asyncio.timeout(60):
        while True:
            try:
                await fill(own_client, 41, 50)
                break
            except TransientError:  # sent over the connection that was just ending
                await asyncio.sleep(0.1)
    wanted, seen = set(range(41, 51)), set[int]()
    async with asyncio.timeout(60):  # what was not acknowledged may come again in between
        while not wanted <= seen:
            seen |= {message.sequence for message in await reader.take(500, wait_s=0.5)}
    await reader.close()


async def test_a_paced_fold_hands_out_a_lone_message_and_a_backlog_without_a_pause(client: Client) -> None:
    reader = FoldReader(client, FEEDBACK, pace_s=PACE_S)
    assert await reader.take(wait_s=0.1) == []
    async with asyncio.timeout(PACE_S / 2):
        await fill(client, 1, 1)
        lone = await read(reader, 1)
        assert reader.caught_up
        await reader.close()
        await fill(client, 2, 4000)
        backlog = await read(reader, 3999)
    assert [message.sequence for message in lone + backlog] == list(range(1, 4001))
    assert reader.caught_up
    await reader.close()


async def test_a_paced_fold_is_at_the_end_of_what_keeps_coming_and_asks_once_in_its_pace(
    client: Client,
) -> None:
    reader = FoldReader(client, FEEDBACK, pace_s=0.25)
    assert await reader.take(wait_s=0.1) == []
    requests: list[bytes] = []

    async def note(message: Msg) -> None:
        requests.append(message.data)

    listening = await client.subscribe("$JS.API.CONSUMER.MSG.NEXT.FEEDBACK.*", cb=note)
    began = time.monotonic()
    number, arrived, at_the_end = 0, [], 0
    while time.monotonic() < began + 2.0:
        await fill(client, number + 1, number + 7)
        number += 7
        if messages := await reader.take(wait_s=0.01):
            arrived += messages
            at_the_end += reader.caught_up
    asked, paces = len(requests), (time.monotonic() - began) / 0.25
    arrived += await read(reader, number - len(arrived))
    assert [message.sequence for message in arrived] == list(range(1, number + 1))
    assert 1 < asked <= paces + 2
    assert at_the_end > 1, "whoever acts at the end of the stream must get there under a steady flow, too"
    await listening.unsubscribe()
    await reader.close()
