"""The object store on a real broker does what every store of snapshots does; and what goes wrong with one."""

import json
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig

from services.scoring.adapters import snapshot_store as module
from services.scoring.adapters.snapshot_store import (
    CHUNK_BYTES,
    CHUNKS,
    OBJECTS,
    POINTER,
    POINTERS,
    JetStreamHistory,
    JetStreamSnapshotStore,
    SnapshotStoreUnavailableError,
)
from services.scoring.application.ports import SnapshotDamagedError, SnapshotStore
from services.scoring.application.snapshots import message_hash
from shared.messaging.streams import FEEDBACK, SNAPSHOTS_BUCKET
from tests.unit.scoring.snapshot_fakes import snapshot_of
from tests.unit.scoring.snapshot_suite import MakeStore, SnapshotStoreSuite

pytestmark = pytest.mark.integration
BLOB = bytes(range(256)) * (3 * CHUNK_BYTES // 256) + b"the end"


class TestJetStreamSnapshotStore(SnapshotStoreSuite):
    @pytest.fixture
    def make_snapshots(self, client: Client) -> MakeStore:
        def make() -> SnapshotStore:
            return JetStreamSnapshotStore(client)

        return make


async def blobs(client: Client) -> dict[str, int]:
    """Every subject of the object store with its number of messages."""
    info = await client.jetstream().stream_info(OBJECTS, subjects_filter=">")
    return info.state.subjects or {}


async def saved(client: Client, blob: bytes = BLOB) -> tuple[JetStreamSnapshotStore, Any]:
    store = JetStreamSnapshotStore(client)
    await store.catalogue()
    return store, await store.save(snapshot_of(blob), blob)


async def replace_chunk(client: Client, blob: str, number: int, changed: bytes | None) -> None:
    """Store the chunks again with one of them changed or left out, as a broken disk might leave them."""
    jetstream = client.jetstream()
    chunks = [BLOB[start : start + CHUNK_BYTES] for start in range(0, len(BLOB), CHUNK_BYTES)]
    await jetstream.purge_stream(OBJECTS, subject=CHUNKS + blob)
    for place, chunk in enumerate(chunks):
        body = changed if place == number else chunk
        if body is not None:
            await jetstream.publish(CHUNKS + blob, body)


async def test_any_client_of_the_object_store_reads_a_snapshot(client: Client) -> None:
    _, snapshot = await saved(client)
    bucket = await client.jetstream().object_store(SNAPSHOTS_BUCKET)
    found = await bucket.get(snapshot.blob)
    assert found.data == BLOB
    assert [info.name for info in await bucket.list()] == [snapshot.blob]


async def test_a_flipped_bit_is_noticed(client: Client) -> None:
    store, snapshot = await saved(client)
    chunk = bytearray(BLOB[CHUNK_BYTES : 2 * CHUNK_BYTES])
    chunk[1000] ^= 1
    await replace_chunk(client, snapshot.blob, 1, bytes(chunk))
    with pytest.raises(SnapshotDamagedError, match="SHA-256"):
        await store.read(snapshot)


@pytest.mark.parametrize("number", [0, 1, 3])
async def test_a_missing_chunk_is_noticed(client: Client, number: int) -> None:
    store, snapshot = await saved(client)
    await replace_chunk(client, snapshot.blob, number, None)
    with pytest.raises(SnapshotDamagedError, match=f"{len(BLOB)} bytes"):
        await store.read(snapshot)


async def test_a_blob_that_grew_is_not_read_to_its_end(client: Client) -> None:
    store, snapshot = await saved(client)
    for _ in range(40):
        await client.jetstream().publish(CHUNKS + snapshot.blob, b"x" * CHUNK_BYTES)
    with pytest.raises(SnapshotDamagedError, match="bytes"):
        await store.read(snapshot)


async def test_a_crash_between_blob_and_pointer_leaves_what_counted_and_the_next_save_cleans_up(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, before = await saved(client)

    class CrashError(BaseException):
        """Nothing of the store's own handling runs after this."""

    async def crash(*_: object) -> None:
        raise CrashError

    monkeypatch.setattr(store, "_point", crash)
    with pytest.raises(CrashError):
        await store.save(snapshot_of(BLOB, 20), BLOB)
    left = set(await blobs(client))
    again = JetStreamSnapshotStore(client)
    assert list(await again.catalogue()) == [before]
    assert await again.read(before) == BLOB
    newest = await again.save(snapshot_of(b"small", 30), b"small")
    assert [each.position for each in await again.catalogue()] == [30, 10]
    garbage = left & set(await blobs(client))
    assert {subject for subject in garbage if subject.startswith(CHUNKS)} == {CHUNKS + before.blob}
    assert await again.read(newest) == b"small"


async def test_half_a_blob_of_a_crashed_upload_is_cleaned_up_too(client: Client) -> None:
    store, _ = await saved(client)
    await client.jetstream().publish(f"{CHUNKS}scoring-0-halfway", b"x" * 1000)
    await store.save(snapshot_of(b"small", 30), b"small")
    assert f"{CHUNKS}scoring-0-halfway" not in await blobs(client)


async def test_a_blob_that_may_still_come_to_count_is_left_alone(client: Client) -> None:
    store, _ = await saved(client)
    found = await client.jetstream().get_last_msg(POINTERS, POINTER)
    under_way = f"{CHUNKS}scoring-{int(found.seq or 0) + 1}-of-another-writer"
    await client.jetstream().publish(under_way, b"x")
    await client.jetstream().publish(f"{CHUNKS}somebody-elses", b"x")
    await store.save(snapshot_of(b"small", 30), b"small")
    assert {under_way, f"{CHUNKS}somebody-elses"} <= set(await blobs(client))


async def test_a_bucket_without_room_refuses_and_keeps_what_counts(client: Client) -> None:
    store, before = await saved(client)
    jetstream = client.jetstream()
    config: StreamConfig = (await jetstream.stream_info(OBJECTS)).config
    await jetstream.update_stream(config.evolve(max_bytes=4 * 1024 * 1024))
    with pytest.raises(SnapshotStoreUnavailableError, match="maximum bytes"):
        await store.save(snapshot_of(BLOB * 4, 20), BLOB * 4)
    assert list(await store.catalogue()) == [before]
    assert await store.read(before) == BLOB
    assert {name for name in await blobs(client) if name.startswith(CHUNKS)} == {CHUNKS + before.blob}


async def test_a_pointer_that_nobody_can_read_is_written_anew(client: Client) -> None:
    await client.jetstream().publish(POINTER, b"not ours")
    store = JetStreamSnapshotStore(client)
    assert list(await store.catalogue()) == []
    await store.save(snapshot_of(b"small"), b"small")
    assert [each.position for each in await store.catalogue()] == [10]


async def test_an_entry_of_another_version_is_left_out(client: Client) -> None:
    store, snapshot = await saved(client)
    raw = await client.jetstream().get_last_msg(POINTERS, POINTER)
    document = json.loads(raw.data or b"")
    document["snapshots"].insert(0, {"format": 2, "something": "else"})
    await client.jetstream().publish(POINTER, json.dumps(document).encode())
    assert list(await store.catalogue()) == [snapshot]


async def test_without_a_broker_every_call_says_so(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 0.2)
    store, snapshot = await saved(client)
    history = JetStreamHistory(client, FEEDBACK)
    await client.close()
    for call in (
        store.catalogue(),
        store.read(snapshot),
        store.save(snapshot, BLOB),
        history.look(1),
    ):
        with pytest.raises(SnapshotStoreUnavailableError):
            await call


async def test_history_shows_the_stream_and_the_message_at_a_position(client: Client) -> None:
    history = JetStreamHistory(client, FEEDBACK)
    empty = await history.look(0)
    assert (empty.last, empty.message_hash) == (0, None)
    subject = "feedback.v1.submitted.3601.360102"
    for number in range(3):
        await client.jetstream().publish(subject, b"%d" % number)
    state = await history.look(2)
    assert (state.first, state.last, state.created) == (1, 3, empty.created)
    assert state.message_hash == message_hash(subject, b"1")
    assert (await history.look(4)).message_hash is None
