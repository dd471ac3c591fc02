"""Positions on a real broker: never backwards, never of another stream, and after an upgrade where it was."""

from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.js.api import StreamInfo
from nats.js.errors import NotFoundError

from deploy.local.backup.stream_files import load_stream, save_stream
from shared.messaging import positions
from shared.messaging.positions import (
    KeptPosition,
    Mark,
    Position,
    PositionConflictError,
    read_position,
    write_position,
)
from shared.messaging.provisioner import consumer_config, provision
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.reading import ACK, DurableReader, FoldReader
from shared.messaging.streams import FEEDBACK, NOTIFY_RATINGS, POSITIONS_BUCKET, RETIRED, ConsumerSpec

SUBJECT = "feedback.v1.submitted.3607.360721"
KEY = NOTIFY_RATINGS
OLD = ConsumerSpec(FEEDBACK, NOTIFY_RATINGS, "notify", ("feedback.v1.submitted.>",), "Of an earlier version.")


async def submit(client: Client, count: int) -> None:
    for number in range(count):
        await client.jetstream().publish(SUBJECT, b"%d" % number)


async def mark_of(client: Client, sequence: int) -> Mark:
    reader = FoldReader(client, FEEDBACK, after=sequence - 1)
    message = (await reader.take(1))[0]
    await reader.close()
    return Mark(message.sequence, message.published_ns)


def kept(client: Client) -> KeptPosition:
    return KeptPosition(client, FEEDBACK, KEY, before=RETIRED[0])


async def feedback(client: Client) -> StreamInfo:
    return await client.jetstream().stream_info(FEEDBACK)


async def test_without_a_position_everything_is_to_be_judged(client: Client) -> None:
    await submit(client, 2)
    assert await kept(client).find() == 0
    assert await read_position(client, KEY) == (None, 0)


async def test_the_next_life_goes_on_where_the_last_one_was(client: Client) -> None:
    await submit(client, 3)
    first = kept(client)
    await first.find()
    assert await first.save(await mark_of(client, 2))
    assert await kept(client).find() == 2


async def test_replicas_share_the_farthest_position(client: Client) -> None:
    await submit(client, 5)
    one, other = kept(client), kept(client)
    for each in (one, other):
        await each.find()
    for sequence, replica, stands in ((3, one, 3), (2, other, 3), (4, other, 4), (3, one, 4), (5, one, 5)):
        assert await replica.save(await mark_of(client, sequence))
        position, _ = await read_position(client, KEY)
        assert position is not None
        assert position.sequence == stands


async def test_a_position_that_another_replica_writes_while_it_is_looked_for_is_one_of_this_stream(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await submit(client, 2)
    other = kept(client)
    await other.find()

    async def read_late(connection: Client, key: str) -> tuple[Position | None, int]:
        monkeypatch.undo()
        await submit(connection, 1)
        assert await other.save(await mark_of(connection, 3))
        return await read_position(connection, key)

    monkeypatch.setattr(positions, "read_position", read_late)
    assert await kept(client).find() == 3


async def test_nothing_is_written_where_nothing_moved(client: Client) -> None:
    await submit(client, 2)
    one, other = kept(client), kept(client)
    for each in (one, other):
        await each.find()
        for _ in range(3):
            await each.save(await mark_of(client, 2))
    assert (await client.jetstream().stream_info(f"KV_{POSITIONS_BUCKET}")).state.last_seq == 1


async def test_a_write_that_another_one_overtook_is_refused(client: Client) -> None:
    position = Position(1, 0, "now")
    await write_position(client, KEY, position, 0)
    with pytest.raises(PositionConflictError):
        await write_position(client, KEY, position, 0)
    _, revision = await read_position(client, KEY)
    await write_position(client, KEY, position, revision)


async def test_a_position_that_nobody_can_read_is_none_and_is_replaced(client: Client) -> None:
    await submit(client, 1)
    await client.jetstream().publish(f"$KV.{POSITIONS_BUCKET}.{KEY}", b"seven")
    position = kept(client)
    assert await position.find() == 0
    assert await position.save(await mark_of(client, 1))
    assert await kept(client).find() == 1


async def test_without_its_bucket_nobody_claims_to_know(client: Client) -> None:
    await submit(client, 1)
    await client.jetstream().delete_stream(f"KV_{POSITIONS_BUCKET}")
    with pytest.raises(BrokerUnavailableError):
        await kept(client).find()


@pytest.mark.parametrize("ratings", [1, 4], ids=["shorter", "as long"])
async def test_a_stream_that_was_made_anew_is_read_from_its_beginning(client: Client, ratings: int) -> None:
    await submit(client, 3)
    before = kept(client)
    await before.find()
    await before.save(await mark_of(client, 2))
    await client.jetstream().delete_stream(FEEDBACK)
    await provision(client)
    await submit(client, ratings)
    after = kept(client)
    assert await after.find() == 0
    await after.save(await mark_of(client, 1))
    assert await kept(client).find() == 1, "the old position is replaced, though it was farther"


async def test_a_position_beyond_the_end_is_of_no_use_and_is_replaced(client: Client) -> None:
    await submit(client, 2)
    await write_position(client, KEY, Position(9, 0, str((await feedback(client)).created)), 0)
    position = kept(client)
    assert await position.find() == 0
    assert await position.save(await mark_of(client, 2))
    assert await kept(client).find() == 2


async def test_a_restored_backup_goes_on_and_an_older_one_does_not_skip_what_came_since(
    client: Client, tmp_path: Path
) -> None:
    await submit(client, 3)
    record = await save_stream(client, FEEDBACK, tmp_path / "saved")
    position = kept(client)
    await position.find()
    await position.save(await mark_of(client, 3))
    made = (await feedback(client)).created
    await client.jetstream().delete_stream(FEEDBACK)
    await load_stream(client, record, tmp_path / "saved")
    assert (await feedback(client)).created != made
    assert await kept(client).find() == 3, "the same messages, though the stream was made again"

    await submit(client, 1)
    later = kept(client)
    await later.find()
    await later.save(await mark_of(client, 4))
    await client.jetstream().delete_stream(FEEDBACK)
    await load_stream(client, record, tmp_path / "saved")
    await submit(client, 3)
    assert await kept(client).find() == 0, "4 is another message now"


async def test_an_upgrade_goes_on_at_the_floor_of_the_durable_which_goes_once_that_is_written(
    client: Client,
) -> None:
    await submit(client, 4)
    jetstream = client.jetstream()
    await jetstream.add_consumer(FEEDBACK, consumer_config(OLD, 1))
    reader = DurableReader(client, FEEDBACK, OLD.durable)
    messages = await reader.take(4)
    while len(messages) < 4:
        messages += await reader.take(4 - len(messages))
    await reader.answer([(messages[place], ACK) for place in (0, 1, 3)])
    await client.flush()
    await reader.close()

    assert (await provision(client)).removed == (), "nobody has taken its place yet"
    assert await kept(client).find() == 2, "3 was never acknowledged"
    assert await kept(client).find() == 2
    assert (await provision(client)).removed == (OLD.durable,)
    with pytest.raises(NotFoundError):
        await jetstream.consumer_info(FEEDBACK, OLD.durable)
    assert await kept(client).find() == 2
    assert (await provision(client)).removed == ()
