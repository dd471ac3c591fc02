"""The pull loop of handlers on a real nats-server: what it passes by, gives back and gets again."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo

from deploy.local.embedded import NatsServer
from shared.kernel.clock import SystemClock
from shared.messaging.connection import BrokerSettings, connect
from shared.messaging.consuming import DRAIN_S, DurableConsumer, Handler, Screen
from shared.messaging.failure import DeadLetters, FailureHandling, current_attempt
from shared.messaging.group_commit import GroupCommit, Outgoing
from shared.messaging.publisher import JetStreamPublisher
from shared.messaging.reading import DurableReader
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import DEADLETTER, FEEDBACK

pytestmark = pytest.mark.integration

DURABLE = "loop-under-test"
SUBJECT = "feedback.v1.submitted.3601.360121"
ACK_WAIT_S = 90.0


async def fill(client: Client, count: int, first: int = 1) -> None:
    """Store messages whose bodies are numbers from ``first`` on."""
    commit = GroupCommit(client, stream=FEEDBACK)
    await commit.start()
    numbers = range(first, first + count)
    await commit.publish([Outgoing(SUBJECT, f"id-{n}", str(n).encode()) for n in numbers])
    await commit.stop()


async def provide(client: Client, ack_wait_s: float = ACK_WAIT_S) -> None:
    """Make the durable under test."""
    config = ConsumerConfig(durable_name=DURABLE, ack_policy=AckPolicy.EXPLICIT, ack_wait=ack_wait_s)
    await client.jetstream(timeout=5).add_consumer(FEEDBACK, config)


async def info(client: Client) -> ConsumerInfo:
    found: ConsumerInfo = await client.jetstream(timeout=5).consumer_info(FEEDBACK, DURABLE)
    return found


async def until(condition: Callable[[], Any], limit_s: float = 60) -> None:
    """Return once ``condition``, awaited if need be, holds."""
    deadline = time.monotonic() + limit_s
    while True:
        holds = condition()
        if await holds if asyncio.iscoroutine(holds) else holds:
            return
        assert time.monotonic() < deadline, "the condition never came true"
        await asyncio.sleep(0.02)


async def all_acknowledged(client: Client) -> bool:
    state = await info(client)
    return (state.num_pending, state.num_ack_pending) == (0, 0)


@asynccontextmanager
async def running(
    client: Client, handle: Handler, screen: Screen | None = None
) -> AsyncIterator[DurableConsumer]:
    """Run a loop until the block ends, without a drain."""
    letters = DeadLetters(JetStreamPublisher(client, timeout_s=2), SystemClock(), "test")
    reader = DurableReader(client, FEEDBACK, DURABLE)
    consumer = DurableConsumer(reader, handle, FailureHandling(letters, (0.1, 0.1)), screen=screen)
    task = asyncio.create_task(consumer.run())
    try:
        yield consumer
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_what_the_screen_lets_pass_is_acknowledged_and_never_handled(client: Client) -> None:
    handled: list[int] = []

    async def handle(message: StoredMessage) -> None:
        handled.append(int(message.data))

    await provide(client)
    await fill(client, 2500)
    async with running(client, handle, screen=lambda message: int(message.data) % 100 != 0):
        await until(lambda: all_acknowledged(client))
    assert sorted(handled) == list(range(100, 2501, 100))
    assert (await info(client)).num_redelivered == 0


async def test_what_the_screen_lets_pass_does_not_wait_for_what_is_handled(client: Client) -> None:
    release = asyncio.Event()

    async def hang(_message: StoredMessage) -> None:
        await release.wait()

    async def one_left() -> bool:
        state = await info(client)
        return (state.num_pending, state.num_ack_pending) == (0, 1)

    await provide(client)
    await fill(client, 50)
    async with running(client, hang, screen=lambda message: message.data != b"7"):
        await until(one_left)
        release.set()
        await until(lambda: all_acknowledged(client))


async def test_messages_of_a_batch_are_handled_side_by_side_and_each_knows_its_attempt(
    client: Client,
) -> None:
    together = asyncio.Barrier(20)
    attempts: dict[bytes, list[int]] = {}

    async def handle(message: StoredMessage) -> None:
        attempts.setdefault(message.data, []).append(current_attempt())
        if len(attempts[message.data]) == 1:
            async with asyncio.timeout(10):
                await together.wait()
            if message.data == b"3":
                raise ConnectionError("away")

    await provide(client)
    await fill(client, 20)
    async with running(client, handle):
        await until(lambda: all_acknowledged(client))
    assert attempts.pop(b"3") == [1, 2]
    assert set(map(tuple, attempts.values())) == {(1,)}


async def test_a_drain_finishes_what_is_under_way_and_gives_the_rest_back_at_once(
    client: Client, nats_server: NatsServer
) -> None:
    started = asyncio.Event()
    first: list[int] = []
    second: list[int] = []

    async def slow(message: StoredMessage) -> None:
        started.set()
        await asyncio.sleep(0.5)
        first.append(message.sequence)

    async def quick(message: StoredMessage) -> None:
        second.append(message.sequence)

    await provide(client)
    await fill(client, 900)
    other = await connect(BrokerSettings(nats_url=nats_server.url), "other")
    async with running(client, slow) as consumer:
        await started.wait()
        await consumer.drain()
        assert 0 < len(first) <= 500, "the batch under way is finished, no other begun"
        async with running(other, quick):
            await until(lambda: all_acknowledged(client), limit_s=ACK_WAIT_S / 3)
    await other.close()
    assert sorted(first + second) == list(range(1, 901)), "each once: nothing lost, nothing repeated"


async def test_a_drain_of_an_idle_loop_is_quick_and_of_one_that_never_ran_immediate(client: Client) -> None:
    async def handle(_message: StoredMessage) -> None:
        return None

    await provide(client)
    async with running(client, handle) as consumer:
        await asyncio.sleep(0.1)
        began = time.monotonic()
        await consumer.drain()
        assert time.monotonic() - began < DRAIN_S - 1, "it ended, and was not given up"
    letters = DeadLetters(JetStreamPublisher(client), SystemClock(), "test")
    idle = DurableConsumer(DurableReader(client, FEEDBACK, DURABLE), handle, FailureHandling(letters))
    draining = asyncio.create_task(idle.drain())
    await asyncio.sleep(0)
    assert draining.done()


async def test_what_a_dying_loop_had_not_acknowledged_comes_again(client: Client) -> None:
    seen: list[int] = []

    async def hang(_message: StoredMessage) -> None:
        seen.append(0)
        await asyncio.Event().wait()

    async def handle(message: StoredMessage) -> None:
        seen.append(message.delivered)

    await provide(client, ack_wait_s=1)
    await fill(client, 1)
    async with running(client, hang):
        await until(lambda: seen == [0])
    async with running(client, handle):
        await until(lambda: all_acknowledged(client))
    assert seen == [0, 2]


async def test_a_killed_broker_costs_repeats_and_no_message(
    own_client: Client, own_nats_server: NatsServer
) -> None:
    handled: set[int] = set()

    async def handle(message: StoredMessage) -> None:
        handled.add(int(message.data))

    await provide(own_client, ack_wait_s=2)
    await fill(own_client, 500)
    async with running(own_client, handle):
        await until(lambda: bool(handled))
        own_nats_server.kill()
        await until(lambda: not own_client.is_connected)
        own_nats_server.start()
        await until(lambda: own_client.is_connected)
        await fill(own_client, 500, first=501)
        await until(lambda: len(handled) == 1000)
        await until(lambda: all_acknowledged(own_client))
    letters = await own_client.jetstream(timeout=5).stream_info(DEADLETTER)
    assert letters.state.messages == 0
