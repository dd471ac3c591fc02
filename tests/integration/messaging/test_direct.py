"""Batched direct reads on a real nats-server."""

import asyncio

import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError

from deploy.local.embedded import NatsServer
from shared.messaging import direct
from shared.messaging.direct import Read, ReadRefusedError, direct_reads, read_after
from shared.messaging.group_commit import GroupCommit, Outgoing
from shared.messaging.streams import FEEDBACK

ONE = "feedback.v1.submitted.3601.360121"
OTHER = "feedback.v1.conflicted.3601.360121"
LIMIT_S = 10.0


async def fill(client: Client, count: int) -> list[Read]:
    """Store ``count`` messages, on two subjects in turn; what a read of all of them gives."""
    commit = GroupCommit(client, stream=FEEDBACK)
    await commit.start()
    reads = [Read(OTHER if n % 2 else ONE, n + 1, b"body %d\r\n" % n) for n in range(count)]
    await commit.publish([Outgoing(each.subject, f"id-{each.sequence}", each.data) for each in reads])
    await commit.stop()
    return reads


async def test_everything_behind_a_sequence_comes_in_order(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "READS_AT_ONCE", 7)
    stored = await fill(client, 40)
    assert await read_after(client, FEEDBACK, ">", 0) == stored
    assert await read_after(client, FEEDBACK, ">", 33) == stored[33:]
    assert await read_after(client, FEEDBACK, OTHER, 20) == stored[21::2]
    assert await read_after(client, FEEDBACK, ">", 40) == []
    assert await read_after(client, FEEDBACK, "feedback.v1.withdrawn.>", 0) == []


async def test_a_batch_ends_where_it_was_told_to(client: Client) -> None:
    stored = await fill(client, 30)
    async with direct_reads(client) as reads:
        assert await reads.batch(FEEDBACK, 5, 10, timeout_s=LIMIT_S) == stored[4:14]
        assert await reads.batch(FEEDBACK, 28, 10, timeout_s=LIMIT_S) == stored[27:]
        few = await reads.batch(FEEDBACK, 1, 30, max_bytes=1_000, timeout_s=LIMIT_S)
        assert 0 < len(few) < 30
        assert few == stored[: len(few)]
        assert await reads.batch(FEEDBACK, 31, 10, timeout_s=LIMIT_S) == []


async def test_holes_are_passed_over(client: Client) -> None:
    jetstream = client.jetstream()
    await jetstream.add_stream(name="SCRATCH", subjects=["scratch.*"], allow_direct=True)
    for _ in range(10):
        await jetstream.publish("scratch.pad", b"")
    for sequence in (1, 4, 5):
        await jetstream.delete_msg("SCRATCH", sequence)
    assert [each.sequence for each in await read_after(client, "SCRATCH", ">", 0)] == [2, 3, 6, 7, 8, 9, 10]
    await jetstream.delete_stream("SCRATCH")


async def test_what_a_publisher_writes_into_its_headers_is_not_believed(client: Client) -> None:
    headers = {"Nats-Sequence": "7", "Nats-Subject": "feedback.v1.submitted.3611.361121", "Status": "204"}
    await client.jetstream().publish(ONE, b"forged", headers=headers)
    assert await read_after(client, FEEDBACK, ">", 0) == [Read(ONE, 1, b"forged")]


async def test_a_stream_that_there_is_not_is_an_error_at_once(client: Client) -> None:
    with pytest.raises(ReadRefusedError, match=r"NOTHING from 1: 503"):
        await read_after(client, "NOTHING", ">", 0)


async def test_without_a_broker_it_ends_with_an_error(
    own_client: Client, own_nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "TIMEOUT_S", 0.5)
    await fill(own_client, 3)
    own_nats_server.stop()
    with pytest.raises((NatsError, TimeoutError)):
        await read_after(own_client, FEEDBACK, ">", 0)
    own_nats_server.start()
    async with asyncio.timeout(LIMIT_S * 3):
        while True:
            try:
                found = await read_after(own_client, FEEDBACK, ">", 0)
            except (NatsError, TimeoutError):
                await asyncio.sleep(0.1)
            else:
                break
    assert [each.sequence for each in found] == [1, 2, 3]
