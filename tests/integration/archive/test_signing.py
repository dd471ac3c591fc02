"""The log is announced, signed and told; a crash between any two steps loses and doubles nothing."""

import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest
from nats.aio.client import Client
from pymongo import MongoClient

from services.archive.adapters.schema import ENTRIES, TILES, bootstrap
from services.archive.application.ports import AnnouncedElsewhereError, HeadInconsistentError
from services.archive.application.proofs import Proofs
from services.archive.application.replaying import ReplayRefusedError
from services.archive.domain.merkle import verify_consistency
from services.archive.domain.notes import open_note
from shared.events import BatchSequenced
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.streams import ALERTS, FEEDBACK
from tests.integration.archive.life import (
    LOG_SEAMS,
    NOTARY_SEAMS,
    CrashError,
    Life,
    audit_size,
    copy_older,
)
from tests.integration.archive.support import (
    FEEDBACK_SUBJECT,
    SIGNING,
    Document,
    Setup,
    publish,
    publish_others,
    rating,
    ratings,
    until_archived,
    until_failing,
    until_signed,
)


async def fill(client: Client, first: int, count: int) -> None:
    """Ratings from number ``first`` among other events: their order in the log is a matter of chance."""
    await publish(client, ratings(first, count // 2))
    await publish_others(client, 9)
    await publish(client, ratings(first + count // 2, count - count // 2))


@pytest.fixture
def restored(setup: Setup) -> Iterator[Setup]:
    """Another, empty database for the same streams."""
    other = replace(setup, database=f"test_{uuid.uuid4().hex}")
    bootstrap(other.mongodb_url, other.database)
    yield other
    with MongoClient[Document](other.mongodb_url) as client:
        client.drop_database(other.database)


@pytest.mark.parametrize("seam", LOG_SEAMS)
async def test_a_crash_around_the_insert_loses_and_doubles_nothing(
    client: Client, setup: Setup, seam: str
) -> None:
    await fill(client, 0, 120)
    async with Life(setup).running() as life:
        await life.sign(client)
    await fill(client, 120, 120)
    async with Life(setup, seam).running() as life:
        await life.crash()
    async with Life(setup).running() as life:
        await life.sign(client)
        report = await life.check()
    assert report.books.archived == 240


@pytest.mark.parametrize("seam", NOTARY_SEAMS)
async def test_a_crash_between_two_steps_of_signing_is_finished_by_the_next_life(
    client: Client, setup: Setup, seam: str
) -> None:
    await fill(client, 0, 150)
    async with Life(setup, batch_entries=200).running() as life:
        first = await life.sign(client)
    await fill(client, 150, 450)
    async with Life(setup, seam, 200).running() as life:
        await life.until_archived(client)
        with pytest.raises(CrashError):
            await life.notary.step()
    async with Life(setup, batch_entries=200).running() as life:
        last = await life.sign(client)
        report = await life.check()
        assert len(await life.announced()) == 2
    assert report.checkpoints == 2
    assert last > first + 450


async def test_an_acknowledgement_that_is_lost_makes_no_second_announcement(
    client: Client, setup: Setup
) -> None:
    await fill(client, 0, 60)
    async with Life(setup).running() as life:
        await life.until_archived(client)
        announce = life.audit.announce

        async def lose(event: BatchSequenced, replaces: int) -> int:
            life.audit.announce = announce  # type: ignore[method-assign]  # a probe
            await announce(event, replaces)
            raise BrokerUnavailableError("no acknowledgement")

        life.audit.announce = lose  # type: ignore[method-assign]  # a probe
        with pytest.raises(BrokerUnavailableError):
            await life.notary.step()
        life.notary.forget()
        await life.sign(client)
        await life.check()
        assert len(await life.announced()) == 1


async def test_the_logs_own_events_alone_make_no_checkpoint(client: Client, setup: Setup) -> None:
    await fill(client, 0, 30)
    async with Life(setup).running() as life:
        signed = await life.sign(client)
        for _ in range(5):
            assert await life.until_archived(client) == signed + 2
            await life.notary.step()
        assert await audit_size(client) == 2
        await publish(client, ratings(30, 1))
        assert await life.sign(client) == signed + 3
        assert await audit_size(client) == 4


async def test_a_repeat_does_not_count_as_having_waited_since_the_first_one(
    client: Client, setup: Setup
) -> None:
    def late(life: Life) -> float:
        """Checkpoints that are said to have waited for more than ten minutes, as these ratings would have."""
        (family,) = life.metrics.checkpoint_delay.collect()
        within = {each.labels["le"]: each.value for each in family.samples if each.name.endswith("_bucket")}
        return within["+Inf"] - within["600.0"]

    await publish(client, ratings(0, 20))
    async with Life(setup).running() as life:
        signed = await life.sign(client)
        assert late(life) == 1
        await client.jetstream().publish(FEEDBACK_SUBJECT, rating(0).to_json())  # behind the broker's window
        assert await life.sign(client) == signed + 3
        assert late(life) == 1


async def test_two_sequencers_at_once_write_and_sign_one_log(client: Client, setup: Setup) -> None:
    overtaken = 0
    async with Life(setup, batch_entries=7).running() as one, Life(setup, batch_entries=5).running() as other:
        for start in range(0, 240, 80):
            await fill(client, start, 80)
            for life in (one, other):
                await life.until_archived(client)
                try:
                    await life.notary.step()
                except AnnouncedElsewhereError:
                    overtaken += 1
                    life.notary.forget()
        await other.sign(client)
        report = await other.check()
    assert overtaken > 0
    assert report.books.archived == 240


async def test_an_older_copy_of_the_database_grows_the_same_way_again(
    client: Client, setup: Setup, restored: Setup
) -> None:
    sizes = []
    async with Life(setup).running() as life:
        for start in range(0, 720, 180):
            await fill(client, start, 180)
            sizes.append(await life.sign(client))
        heads = await life.tree.checkpoints(0, 100)
        log = [entry.leaf_hash for entry in await life.tree.rows(0, sizes[-1])]
    copy_older(setup, restored.database, sizes[1] + 37)
    async with Life(restored).running() as life:
        await fill(client, 720, 60)
        last = await life.sign(client)
        again = await life.tree.checkpoints(0, 100)
        assert [(head.size, head.root, head.note) for head in again[: len(heads)]] == [
            (head.size, head.root, head.note) for head in heads
        ]
        assert [entry.leaf_hash for entry in await life.tree.rows(0, sizes[-1])] == log
        saved = heads[2]
        open_note(saved.note, restored.keys.verifiers)
        proof = await Proofs(life.log, life.tree, restored.keys).consistency(saved.size)
        assert verify_consistency(saved.size, last, saved.root, proof.second_root, proof.path)
        report = await life.check()
    assert report.books.archived == 780


async def test_a_crash_during_a_replay_is_taken_up_by_the_next_one(
    client: Client, setup: Setup, restored: Setup
) -> None:
    async with Life(setup).running() as life:
        for start in (0, 240):
            await fill(client, start, 240)
            size = await life.sign(client)
        root = await life.tree.newest_checkpoint()
    copy_older(setup, restored.database, 100)
    async with Life(restored, "in the entries").running() as life:
        await life.crash()
        assert 100 < await life.log.size() < size
    async with Life(restored).running() as life:
        await life.until_archived(client)
        await life.notary.step()
        head = await life.tree.checkpoint(size)
        assert root is not None
        assert head is not None
        assert (head.root, head.note) == (root.root, root.note)
        await life.check()


async def test_a_log_that_cannot_be_completed_archives_nothing_and_says_what_is_missing(
    client: Client, setup: Setup, restored: Setup
) -> None:
    async with Life(setup).running() as life:
        await fill(client, 0, 120)
        await life.sign(client)
    copy_older(setup, restored.database, 0)
    await client.jetstream().delete_msg(ALERTS, 3)
    async with Life(restored).running() as life:
        with pytest.raises(ReplayRefusedError, match="no message 3 in ALERTS"):
            await life.replay.run()
        assert life.sequencer.sealed() is None
        assert await life.log.size() == 0


def change(setup: Setup, collection: str, index: object, name: str) -> None:
    """Flip a bit of a binary field in the database."""
    with MongoClient[Document](setup.mongodb_url) as mongo:
        found = mongo[setup.database][collection].find_one({"_id": index})
        assert found is not None
        changed = bytes([found[name][0] ^ 1]) + found[name][1:]
        mongo[setup.database][collection].update_one({"_id": index}, {"$set": {name: changed}})


@pytest.mark.parametrize("place", ["behind the signed head", "in its last tile"])
async def test_a_head_over_a_changed_entry_is_never_signed_and_archiving_goes_on(
    client: Client, setup: Setup, place: str
) -> None:
    async with Life(setup).running() as life:
        await fill(client, 0, 120)
        signed = await life.sign(client)
        await fill(client, 120, 60)
        size = await life.until_archived(client)
        index = signed + 9 if place == "behind the signed head" else signed - 2
        change(setup, ENTRIES, index, "leaf_hash")
        before = await audit_size(client)
        with pytest.raises(HeadInconsistentError, match=f"{index}|as they were written"):
            await life.notary.step()
        life.notary.forget()
        with pytest.raises(HeadInconsistentError):
            await life.notary.step()
        await fill(client, 180, 60)
        assert await life.until_archived(client) > size
        assert await audit_size(client) == before
    async with Life(setup).running() as life:
        await life.until_archived(client)
        with pytest.raises(HeadInconsistentError):
            await life.notary.step()
        newest = await life.tree.newest_checkpoint()
    assert newest is not None
    assert newest.size == signed


async def test_an_entry_changed_under_a_full_tile_changes_no_head_and_is_found(
    client: Client, setup: Setup
) -> None:
    async with Life(setup, batch_entries=500).running() as life:
        await fill(client, 0, 300)
        await life.sign(client)
        change(setup, ENTRIES, 3, "leaf_hash")
        await fill(client, 300, 1)
        await life.sign(client)  # over the hashes that were signed before, which the tile keeps
        report = await life.verification.run()
    assert {finding.where for finding in report.findings} >= {"index 3", "tile 0/0"}


async def test_a_head_over_a_changed_tile_is_never_signed_after_a_restart(
    client: Client, setup: Setup
) -> None:
    async with Life(setup, batch_entries=500).running() as life:
        await fill(client, 0, 600)
        await life.sign(client)
    with MongoClient[Document](setup.mongodb_url) as mongo:
        tiles = mongo[setup.database][TILES]
        tile = tiles.find_one({"_id": "0/1"})
        assert tile is not None
        change(setup, TILES, "0/1", "hashes")
        await fill(client, 600, 60)
        async with Life(setup).running() as life:
            await life.until_archived(client)
            with pytest.raises(HeadInconsistentError, match="which is signed"):
                await life.notary.step()
            tiles.delete_one({"_id": "0/1"})
            life.notary.forget()
            with pytest.raises(HeadInconsistentError, match="no tile 0/1"):
                await life.notary.step()
        async with Life(setup).running() as life:
            await fill(client, 660, 20)
            await life.until_archived(client)  # without a tree it archives on
            with pytest.raises(HeadInconsistentError, match="no tile 0/1"):
                await life.notary.step()
        tiles.insert_one(tile)
        async with Life(setup).running() as life:
            await life.sign(client)
            await life.check()


async def test_a_tail_that_was_cut_under_a_signed_head_is_brought_back_from_the_streams(
    client: Client, setup: Setup
) -> None:
    async with Life(setup).running() as life:
        await fill(client, 0, 120)
        signed = await life.sign(client)
    with MongoClient[Document](setup.mongodb_url) as mongo:
        mongo[setup.database][ENTRIES].delete_many({"_id": {"$gte": signed - 40}})
    await fill(client, 120, 20)
    async with Life(setup).running() as life:
        assert await life.sign(client) > signed
        await life.check()


async def test_a_refused_head_makes_the_archive_unready_while_it_archives_on(
    client: Client, setup: Setup
) -> None:
    setup.options |= SIGNING
    async with setup.running() as api:
        await publish(client, ratings(0, 120))
        signed = (await until_signed(api, 120))["size"]
        change(setup, ENTRIES, signed - 1, "leaf_hash")
        await publish(client, ratings(120, 30))
        assert f"index {signed - 1} with leaf hash" in await until_failing(api, "signing")
        assert "pingyi_archive_head_inconsistent 1.0" in (await api.get("/metrics")).text
        await publish(client, ratings(150, 30))
        await until_archived(api, {FEEDBACK: 180})
        assert (await until_signed(api, 1))["size"] == signed


async def test_a_log_of_another_layout_is_refused_and_left_as_it_is(client: Client, setup: Setup) -> None:
    with MongoClient[Document](setup.mongodb_url) as mongo:
        database = mongo[setup.database]
        database.command("collMod", ENTRIES, validator={})
        database[ENTRIES].insert_one({"_id": 0, "v": 1, "stream": FEEDBACK, "sequence": 1})
        await publish(client, ratings(0, 5))
        async with setup.running() as api:
            assert "an entry of layout 2" in await until_failing(api, "history")
        assert database[ENTRIES].count_documents({}) == 1
