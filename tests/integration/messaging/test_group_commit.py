"""Group commit on a real nats-server that fsyncs every message."""

import asyncio
import time
from collections.abc import Sequence

import pytest
from msgspec.structs import replace
from nats.aio.client import Client

from deploy.local.embedded import NatsServer
from shared.kernel.errors import TransientError
from shared.messaging.group_commit import (
    GroupCommit,
    Outgoing,
    PublishConflictError,
    PublishOverloadedError,
    PublishRefusedError,
)
from shared.messaging.streams import FEEDBACK, MAX_MESSAGE_BYTES

SUBJECT = "feedback.v1.submitted.3601.360121"


def outgoing(*ids: int, size: int = 20) -> list[Outgoing]:
    """Messages with the ids ``id-<n>``."""
    return [Outgoing(SUBJECT, f"id-{number}", b"x" * size) for number in ids]


async def stored_count(client: Client) -> int:
    """Messages in FEEDBACK."""
    return (await client.jetstream().stream_info(FEEDBACK)).state.messages


async def started(client: Client) -> GroupCommit:
    """A running group commit on FEEDBACK."""
    commit = GroupCommit(client, stream=FEEDBACK)
    await commit.start()
    return commit


@pytest.mark.parametrize("count", [1, 5, 6, 50, 1000, 2500])
async def test_every_message_is_stored_once_and_its_sequence_is_given(client: Client, count: int) -> None:
    commit = await started(client)
    answers = await commit.publish(outgoing(*range(count)))
    await commit.stop()
    assert sorted(answer.sequence for answer in answers) == list(range(1, count + 1))
    for number in {0, count // 2, count - 1}:
        message = await client.jetstream().get_msg(FEEDBACK, answers[number].sequence)
        assert message.headers is not None
        assert message.headers["Nats-Msg-Id"] == f"id-{number}"


async def test_concurrent_callers_share_batches_and_each_gets_its_own_answers(client: Client) -> None:
    commit = await started(client)
    answers = await asyncio.gather(*(commit.publish(outgoing(number)) for number in range(500)))
    await commit.stop()
    assert sorted(answer.sequence for (answer,) in answers) == list(range(1, 501))
    assert await stored_count(client) == 500


async def test_a_repeat_within_one_batch_and_against_the_window_is_told_as_duplicate(client: Client) -> None:
    commit = await started(client)
    first = await commit.publish(outgoing(*range(100)))
    again = await commit.publish(outgoing(*range(90, 120)))
    assert [answer.duplicate for answer in again] == [True] * 10 + [False] * 20
    assert [answer.sequence for answer in again[:10]] == [answer.sequence for answer in first[90:]]
    both = await asyncio.gather(*(commit.publish(outgoing(*range(200, 230))) for _ in range(4)))
    await commit.stop()
    sequences = {tuple(answer.sequence for answer in answers) for answers in both}
    assert len(sequences) == 1, "all callers learn the same sequences"
    assert await stored_count(client) == 150


async def test_one_callers_oversized_message_fails_alone(client: Client) -> None:
    commit = await started(client)
    results: Sequence[object] = await asyncio.gather(
        commit.publish(outgoing(*range(10))),
        commit.publish(outgoing(10, size=MAX_MESSAGE_BYTES - 10)),
        commit.publish(outgoing(*range(20, 30))),
        return_exceptions=True,
    )
    await commit.stop()
    assert isinstance(results[1], PublishRefusedError)
    assert isinstance(results[0], list)
    assert isinstance(results[2], list)
    assert await stored_count(client) == 20


async def test_a_full_queue_refuses_at_once_and_sends_nothing(client: Client) -> None:
    commit = GroupCommit(client, stream=FEEDBACK, max_queued=10)
    with pytest.raises(PublishOverloadedError, match="at most 10"):
        await commit.publish(outgoing(*range(11)))
    assert await stored_count(client) == 0


async def test_with_the_broker_killed_callers_get_a_transient_error_and_acked_messages_survive(
    own_client: Client, own_nats_server: NatsServer
) -> None:
    commit = await started(own_client)
    acked: set[int] = set()
    refused = 0

    async def send(number: int) -> None:
        nonlocal refused
        try:
            await commit.publish(outgoing(number))
        except TransientError:
            refused += 1
        else:
            acked.add(number)

    for start in range(0, 3000, 300):
        if start == 1500:
            own_nats_server.kill()
        await asyncio.gather(*(send(number) for number in range(start, start + 300)))
    own_nats_server.start()
    for _ in range(600):
        if own_client.is_connected:
            break
        await asyncio.sleep(0.05)
    await send(9999)
    await commit.stop()
    assert refused >= 1500
    info = await own_client.jetstream().stream_info(FEEDBACK)
    stored = set()
    for sequence in range(1, info.state.last_seq + 1):
        message = await own_client.jetstream().get_msg(FEEDBACK, sequence, direct=True)
        assert message.headers is not None
        stored.add(int(message.headers["Nats-Msg-Id"].removeprefix("id-")))
    assert acked <= stored
    assert 9999 in acked
    assert info.state.messages == len(stored), "nothing is stored twice"


@pytest.mark.parametrize("count", [1, 2, 5, 50, 1000])
async def test_a_call_whose_first_message_replaces_something_else_stores_nothing(
    client: Client, count: int
) -> None:
    commit = await started(client)
    await commit.publish(outgoing(*range(7)))
    first, *rest = outgoing(*range(100, 100 + count))
    with pytest.raises(PublishConflictError, match="6 to be its last sequence"):
        await commit.publish([replace(first, replaces=6), *rest])
    assert await stored_count(client) == 7
    answers = await commit.publish([replace(first, replaces=7), *rest])
    await commit.stop()
    assert [answer.sequence for answer in answers] == list(range(8, 8 + count))


async def test_a_refused_call_leaves_those_beside_it_alone(client: Client) -> None:
    commit = await started(client)
    first, *rest = outgoing(*range(20))
    fenced = commit.publish([replace(first, replaces=99), *rest])
    others = [commit.publish(outgoing(*range(start, start + 10))) for start in range(100, 300, 10)]
    refused, *stored = await asyncio.gather(fenced, *others, return_exceptions=True)
    await commit.stop()
    assert isinstance(refused, PublishConflictError)
    assert not [each for each in stored if isinstance(each, BaseException)]
    assert await stored_count(client) == 200


async def test_a_repeated_fenced_call_is_told_as_duplicate_and_its_rest_is_stored(client: Client) -> None:
    commit = await started(client)
    first, *rest = outgoing(*range(10))
    stored = await commit.publish([replace(first, replaces=0), *rest[:5]])
    again = await commit.publish([replace(first, replaces=stored[-1].sequence), *rest])
    await commit.stop()
    assert [answer.duplicate for answer in again] == [True] * 6 + [False] * 4
    assert await stored_count(client) == 10


async def test_with_a_pace_messages_that_come_one_by_one_share_a_commit(client: Client) -> None:
    commits: list[int] = []
    commit = GroupCommit(client, stream=FEEDBACK, pace_s=0.5, on_batch=commits.append)
    await commit.start()
    began = time.monotonic()
    calls = []
    for number in range(20):
        calls.append(asyncio.create_task(commit.publish(outgoing(number))))
        await asyncio.sleep(0.002)
    answers = await asyncio.gather(*calls)
    paces = (time.monotonic() - began) / 0.5
    await commit.stop()
    assert sorted(answer.sequence for (answer,) in answers) == list(range(1, 21))
    assert sum(commits) == 20
    assert commits[0] == 1, "the first one waits for nobody"
    assert len(commits) <= 2 + paces, commits


async def test_a_stop_during_a_pace_finishes_what_is_queued(client: Client) -> None:
    commit = GroupCommit(client, stream=FEEDBACK, pace_s=0.2)
    await commit.start()
    await commit.publish(outgoing(1))
    call = asyncio.create_task(commit.publish(outgoing(2)))
    await asyncio.sleep(0)
    await commit.stop()
    assert len(await call) == 1, "what was queued is finished"
