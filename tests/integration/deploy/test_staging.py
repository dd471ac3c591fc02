"""Batches of the embedded broker are collected in memory: on a real nats-server, also when it is killed."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from nats.aio.client import Client

from deploy.local.embedded import NatsServer
from deploy.local.embedded.ports import free_ports
from deploy.local.embedded.staging import MEMORY, MemoryStaging
from shared.kernel.errors import TransientError
from shared.messaging.connection import BrokerSettings, connect
from shared.messaging.group_commit import GroupCommit, Outgoing
from shared.messaging.provisioner import provision
from shared.messaging.reading import FoldReader
from shared.messaging.streams import FEEDBACK

SUBJECT = "feedback.v1.submitted.3601.360121"
STREAM = f"jetstream/$G/streams/{FEEDBACK}"

pytestmark = pytest.mark.skipif(not MEMORY.is_dir(), reason=f"there is no {MEMORY} here")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    port, monitor_port = free_ports(2)
    server = NatsServer(
        tmp_path / "nats", port=port, monitor_port=monitor_port, log=tmp_path / "nats.log", staged=True
    )
    server.start()
    yield server
    server.stop()


@asynccontextmanager
async def streams_of(server: NatsServer) -> AsyncIterator[Client]:
    """A connection to the broker with all streams, after which the server is told to settle."""
    client = await connect(BrokerSettings(nats_url=server.url), "test")
    await provision(client)
    server.settle()
    yield client
    await client.close()


def batches(server: NatsServer) -> Path:
    return server.data / "jetstream" / STREAM / "batches"


def in_memory(server: NatsServer) -> Path:
    return MemoryStaging(server.data / "jetstream").directory


async def begin_batch(client: Client, name: str) -> None:
    """Send the first message of an atomic batch, and no commit."""
    headers = {"Nats-Batch-Id": name, "Nats-Batch-Sequence": "1", "Nats-Msg-Id": name}
    await client.request(SUBJECT, b"1", headers=headers, timeout=5)


async def test_a_batch_is_collected_in_memory_until_it_is_committed(server: NatsServer) -> None:
    async with streams_of(server) as client:
        assert batches(server).is_symlink()
        await begin_batch(client, "one")
        staged = [each for each in in_memory(server).rglob("*") if each.is_file()]
        assert staged, "the server's store of the batch"
        assert in_memory(server).stat().st_mode & 0o077 == 0
    server.stop()
    assert not in_memory(server).exists()


async def test_nothing_acknowledged_is_lost_or_doubled_when_the_broker_is_killed(server: NatsServer) -> None:
    async with streams_of(server) as client:
        commit = GroupCommit(client, stream=FEEDBACK, timeout_s=2.0)
        await commit.start()
        acknowledged: list[str] = []

        async def send(number: int) -> None:
            items = [Outgoing(SUBJECT, f"{number}-{each}", f"{number}-{each}".encode()) for each in range(40)]
            while True:
                with suppress(TransientError):
                    await commit.publish(items)
                    acknowledged.extend(item.message_id for item in items)
                    return
                await asyncio.sleep(0.05)

        sending = [asyncio.create_task(send(number)) for number in range(30)]
        for _ in range(2):
            await asyncio.sleep(0.1)
            server.kill()
            server.start()
            server.settle()
            sending += [asyncio.create_task(send(len(sending) + number)) for number in range(30)]
        async with asyncio.timeout(60):
            await asyncio.gather(*sending)
        await commit.stop()
        assert batches(server).is_symlink()
        stored = await everything(client)
    assert len(stored) == len(set(stored)) == 90 * 40
    assert set(stored) == set(acknowledged)


async def everything(client: Client) -> list[str]:
    """The bodies of all messages."""
    reader = FoldReader(client, FEEDBACK)
    found: list[str] = []
    while not reader.caught_up:
        found += [message.data.decode() for message in await reader.take(wait_s=0.5)]
    await reader.close()
    return found


async def test_a_directory_that_holds_a_batch_is_left_to_the_server(tmp_path: Path) -> None:
    store, memory = tmp_path / "store", tmp_path / "memory"
    used = store / STREAM / "batches"
    (used / "under-way").mkdir(parents=True)
    memory.mkdir()
    staging = MemoryStaging(store, memory=memory)
    assert staging.link(patience_s=0.05) == ()
    assert not used.is_symlink()
    (used / "under-way").rmdir()
    assert staging.link() == (FEEDBACK,)
    assert used.is_symlink()
    assert staging.link() == (FEEDBACK,), "and again, as after provisioning"
    staging.clear()
    assert list(memory.iterdir()) == []


async def test_what_is_left_of_a_crash_is_no_batch_of_the_next_start(tmp_path: Path) -> None:
    store, memory = tmp_path / "store", tmp_path / "memory"
    (store / STREAM).mkdir(parents=True)
    memory.mkdir()
    staging = MemoryStaging(store, memory=memory)
    staging.link()
    (store / STREAM / "batches" / "old").mkdir()
    (store / STREAM / "batches").unlink()  # as the server does when it starts
    assert staging.link() == (FEEDBACK,)
    assert list((store / STREAM / "batches").iterdir()) == []


@pytest.mark.parametrize("why", ["open to others", "a link", "no memory", "full"])
async def test_without_a_place_of_its_own_in_memory_batches_go_to_the_disk(
    tmp_path: Path, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, memory = tmp_path / "store", tmp_path / "memory"
    (store / STREAM).mkdir(parents=True)
    memory.mkdir()
    staging = MemoryStaging(store, memory=memory)
    if why == "open to others":
        staging.directory.mkdir(mode=0o755)
    elif why == "a link":
        (tmp_path / "elsewhere").mkdir()
        staging.directory.symlink_to(tmp_path / "elsewhere")
    elif why == "no memory":
        memory.rmdir()
    else:
        monkeypatch.setattr("deploy.local.embedded.staging.LEAST_FREE_BYTES", 1 << 62)
    assert staging.link() == ()
    assert not (store / STREAM / "batches").exists()
    staging.clear()
    assert (tmp_path / "elsewhere").exists() == (why == "a link"), "nothing of somebody else's is removed"


async def test_a_link_that_leads_nowhere_does_not_keep_the_broker_from_starting(server: NatsServer) -> None:
    async with streams_of(server):
        pass
    server.kill()
    MemoryStaging(server.data / "jetstream").clear()  # a machine that was started anew has an empty memory
    assert batches(server).is_symlink()
    assert not batches(server).exists()
    server.start()
    async with streams_of(server) as client:
        assert batches(server).exists()
        await begin_batch(client, "after")
