"""Group commit against a client that misbehaves: no caller waits for ever, and nothing piles up."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.messaging.group_commit import BESIDE, MIN_ATOMIC, GroupCommit, Outgoing
from shared.messaging.publisher import BrokerUnavailableError

WAIT_S = 20


class SilentClient:
    """Connected, takes everything, and answers only what `answer` is told to."""

    is_connected = True

    def __init__(self) -> None:
        self.on_reply: Callable[[Msg], Awaitable[None]] | None = None

    def new_inbox(self) -> str:
        return "_INBOX.test"

    async def subscribe(self, _subject: str, cb: Callable[[Msg], Awaitable[None]], **_limits: int) -> object:
        self.on_reply = cb
        return self

    async def unsubscribe(self) -> None:
        return

    async def _send_command(self, _lines: bytes) -> None:
        return

    async def _flush_pending(self) -> None:
        return


def items(count: int) -> list[Outgoing]:
    return [Outgoing("feedback.v1.x", f"id-{number}", b"{}") for number in range(count)]


def new_commit(on_batch: Callable[[int], None] | None = None) -> GroupCommit:
    client = cast("Client", SilentClient())
    return GroupCommit(client, stream="FEEDBACK", inflight=1, timeout_s=0.05, on_batch=on_batch)


async def turns() -> None:
    """As many turns of the loop as any chain of tasks needs."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_a_listener_that_raises_fails_its_callers_and_the_worker_goes_on() -> None:
    told: list[int] = []

    def stumble_once(count: int) -> None:
        told.append(count)
        if len(told) == 1:
            raise RuntimeError("no such label")

    commit = new_commit(stumble_once)
    await commit.start()
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(BrokerUnavailableError, match="no such label"):
            await commit.publish(items(1))
        with pytest.raises(BrokerUnavailableError, match="without an answer"):
            await commit.publish(items(2))
    await commit.stop()
    assert told == [1, 2]


@pytest.mark.parametrize("count", [1, 3, MIN_ATOMIC])
async def test_nothing_is_remembered_of_answers_that_never_came(count: int) -> None:
    commit = new_commit()
    await commit.start()
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(BrokerUnavailableError):
            await commit.publish(items(count))
    assert commit.awaited == 0
    await commit.stop()


async def test_only_a_large_batch_goes_out_beside_another() -> None:
    told: list[int] = []
    client = cast("Client", SilentClient())
    commit = GroupCommit(client, stream="FEEDBACK", timeout_s=WAIT_S, on_batch=told.append)
    await commit.start()
    callers = [asyncio.create_task(commit.publish(items(MIN_ATOMIC)))]
    await turns()
    callers += [asyncio.create_task(commit.publish(items(1))) for _ in range(BESIDE - 1)]
    await turns()
    assert told == [MIN_ATOMIC]
    callers.append(asyncio.create_task(commit.publish(items(1))))
    await turns()
    assert told == [MIN_ATOMIC, BESIDE]
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    commit.abandon()
    await commit.stop()


async def test_others_do_not_wait_for_ever_for_a_batch_whose_answer_was_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shared.messaging.group_commit.PATIENCE_S", 0.05)
    second = asyncio.Event()
    client = cast("Client", SilentClient())
    commit = GroupCommit(
        client,
        stream="FEEDBACK",
        timeout_s=WAIT_S,
        on_batch=lambda count: second.set() if count == 1 else None,
    )
    await commit.start()
    callers = [asyncio.create_task(commit.publish(items(MIN_ATOMIC)))]
    await turns()
    callers.append(asyncio.create_task(commit.publish(items(1))))
    async with asyncio.timeout(WAIT_S):
        await second.wait()
    assert not callers[0].done(), "the first batch is still under way"
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    commit.abandon()
    await commit.stop()
