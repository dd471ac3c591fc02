"""Backup, restore and rebuilding on real servers: nothing is lost, overwritten, or at another place."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError
from pymongo import MongoClient

from deploy.local.backup.access import Access, maintenance
from deploy.local.backup.making import make_backup
from deploy.local.backup.manifest import NAME, PARTS, BackupDamagedError
from deploy.local.backup.rebuilding import RebuildError, rebuild_stream
from deploy.local.backup.restoring import OccupiedError, restore_backup
from deploy.local.errors import LocalError, PlatformRunningError
from deploy.local.layout import SIGNING_KEY, Layout
from services.archive.adapters.schema import DATABASE, ENTRIES, bootstrap
from services.archive.bootstrap import Archive
from services.archive.domain.verification import Finding
from services.scoring.adapters.nats_ranking_store import read_all_lists
from shared.kernel.clock import SystemClock
from shared.kernel.errors import TransientError
from shared.kernel.grades import Level
from shared.kernel.units import load_units
from shared.messaging.lease import NatsLeaseStore
from shared.messaging.provisioner import provision
from shared.messaging.streams import FEEDBACK, SNAPSHOTS_BUCKET, VAULT
from tests.integration.archive.support import (
    FEEDBACK_SUBJECT,
    SIGNING,
    Setup,
    publish,
    publish_others,
    ratings,
    until_archived,
    until_signed,
    verified,
)
from tests.integration.scoring.conftest import ScoringProcess
from tests.integration.scoring.support import eventually
from tests.support.platform import free_port_base
from tests.unit.scoring.feedback import random_feedback

pytestmark = pytest.mark.integration
SAID: list[str] = []


@asynccontextmanager
async def opened(layout: Layout) -> AsyncIterator[Access]:
    """The platform's servers with everything provisioned."""
    async with maintenance(layout) as access:
        await asyncio.to_thread(bootstrap, access.bootstrap_url)
        await provision(access.client)
        yield access


def archive(layout: Layout, access: Access) -> Setup:
    return Setup(
        layout.nats_url,
        access.append_url,
        DATABASE,
        layout.secrets / SIGNING_KEY,
        {"nats_nkey_seed_file": layout.nkey_seed("provisioner"), "reconcile_interval_s": 0.3, **SIGNING},
    )


def entries_of(access: Access) -> list[dict[str, Any]]:
    with MongoClient[dict[str, Any]](access.append_url) as client:
        return list(client[DATABASE][ENTRIES].find({}, sort=[("_id", 1)]))


async def messages_of(client: Client, stream: str) -> dict[int, tuple[str, bytes]]:
    """Subject and body of every message, by sequence."""
    jetstream = client.jetstream()
    state = (await jetstream.stream_info(stream)).state
    found: dict[int, tuple[str, bytes]] = {}
    for sequence in range(max(state.first_seq, 1), state.last_seq + 1):
        try:
            message = await jetstream.get_msg(stream, sequence)
        except NotFoundError:
            continue
        found[sequence] = message.subject or "", message.data or b""
    return found


async def refused(work: Any, expected: type[LocalError], match: str) -> None:  # noqa: ANN401 - any coroutine
    with pytest.raises(expected, match=match):
        await work


async def test_a_backup_brings_back_what_was_there_and_yesterdays_database_catches_up(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "var", free_port_base())
    saved = tmp_path / "backup"
    async with opened(layout) as access:
        await publish(access.client, ratings(0, 120))
        await publish_others(access.client, 5)
        await access.client.jetstream().publish("vault.v1.key.all.all.1", b"a key")
        async with archive(layout, access).running() as api:
            await until_archived(api, {FEEDBACK: 120})
            await publish(access.client, ratings(120, 1))
            manifest = await make_backup(layout, saved, live=True, say=SAID.append)
            await refused(make_backup(layout, saved, live=True, say=SAID.append), LocalError, "not empty")
            await publish(access.client, ratings(121, 79))
            await until_archived(api, {FEEDBACK: 200})
            signed = await until_signed(api, 210)
            outcome = await verified(api)
        await refused(
            restore_backup(layout, saved, parts=PARTS, replace=True, say=SAID.append),
            PlatformRunningError,
            "in use",
        )
        today = entries_of(access)
        feedback = await messages_of(access.client, FEEDBACK)
    assert outcome["findings"] == []
    assert manifest.streams[FEEDBACK].state["last_seq"] == 121
    assert manifest.documents[ENTRIES] >= 130

    # Elsewhere: all of it, as it was when it was saved.
    other = Layout(tmp_path / "other", free_port_base())
    await restore_backup(other, saved, parts=PARTS, replace=False, say=SAID.append)
    async with maintenance(other) as access:
        count = manifest.documents[ENTRIES]
        assert entries_of(access) == today[:count]
        assert await messages_of(access.client, FEEDBACK) == {n: feedback[n] for n in range(1, 122)}
        assert [body for _, body in (await messages_of(access.client, VAULT)).values()] == [b"a key"]
        durable = await access.client.jetstream().consumer_info(FEEDBACK, "archive-feedback")
        assert durable.ack_floor is not None
        assert durable.ack_floor.stream_seq > 0
    for name in ("hmac.key", "vault.key", "nats/archive.seed"):
        assert (other.secrets / name).read_bytes() == (layout.secrets / name).read_bytes()
        assert (other.secrets / name).stat().st_mode & 0o077 == 0

    # Yesterday's database beside today's streams: the archive catches up, and nothing was deleted.
    only = ("mongodb",)
    await refused(
        restore_backup(layout, saved, parts=only, replace=False, say=SAID.append), OccupiedError, "--replace"
    )
    await restore_backup(layout, saved, parts=only, replace=True, say=SAID.append)
    assert [each.name for each in (layout.data / "replaced").glob("*/*")] == ["mongo"]
    async with maintenance(layout) as access:
        assert await findings_while_nobody_leads(access, archive(layout, access)), "the rollback is noticed"
        async with archive(layout, access).running() as api:
            await until_archived(api, {FEEDBACK: 200})
            again = await until_signed(api, signed["size"])
            assert (await verified(api))["findings"] == []
            consistency = await api.get(
                "/v1/log/consistency", params={"first": signed["size"], "second": again["size"]}
            )
        replayed = entries_of(access)
    assert [each["leaf_hash"] for each in replayed][: len(today)] == [each["leaf_hash"] for each in today]
    assert consistency.is_success, consistency.text
    assert consistency.json()["first_root"] == signed["root"]


async def findings_while_nobody_leads(access: Access, setup: Setup) -> list[Finding]:
    """What a verification finds before anything is replayed: somebody else leads, and does nothing."""
    leases = NatsLeaseStore(access.client)
    found = await leases.read("archive")
    held = await leases.write("archive", "somebody else", 600, 0 if found is None else found.sequence)
    waiting = Archive(setup.settings(), SystemClock())
    waiting.verification.catch_up_s = 0
    async with waiting.running(), asyncio.timeout(60):
        while True:
            try:
                report = await waiting.verification.run()
                break
            except TransientError:  # it is still connecting
                await asyncio.sleep(0.1)
    await leases.write("archive", "", 1, held)
    return report.findings


async def test_a_damaged_or_unfinished_backup_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "var", free_port_base())
    saved = tmp_path / "backup"
    async with opened(layout) as access:
        await publish(access.client, ratings(0, 10))
        await make_backup(layout, saved, live=True, say=SAID.append)
    before = sorted(layout.data.rglob("*"))
    victim = saved / "streams" / f"{FEEDBACK}.snapshot"
    good = victim.read_bytes()
    victim.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))

    async def restore() -> object:
        return await restore_backup(layout, saved, parts=PARTS, replace=True, say=SAID.append)

    await refused(restore(), BackupDamagedError, r"streams/FEEDBACK.snapshot has other bytes")
    victim.unlink()
    await refused(restore(), BackupDamagedError, r"streams/FEEDBACK.snapshot is missing")
    text = json.loads((saved / NAME).read_text())
    (saved / NAME).write_text(json.dumps(text | {"format": 2}))
    await refused(restore(), BackupDamagedError, "a manifest of format 1")
    (saved / NAME).unlink()
    await refused(restore(), BackupDamagedError, "a finished backup")
    assert sorted(layout.data.rglob("*")) == before


async def test_a_stream_is_rebuilt_from_the_archive_with_the_same_sequences(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "var", free_port_base())
    async with opened(layout) as access:
        jetstream = access.client.jetstream()
        await publish(access.client, ratings(0, 40))
        await jetstream.publish(FEEDBACK_SUBJECT, b"no event")  # 41: the archive keeps its hash only
        await jetstream.publish(FEEDBACK_SUBJECT, ratings(0, 1)[0].payload)  # 42: a repeat
        await publish(access.client, ratings(40, 20))
        async with archive(layout, access).running() as api:
            await until_archived(api, {FEEDBACK: 62})
        before = await messages_of(access.client, FEEDBACK)
        # A block file is damaged: the stream is made anew and takes ratings that nobody archives.
        await jetstream.delete_stream(FEEDBACK)
        await provision(access.client)
        await publish(access.client, ratings(0, 5))
        await publish(access.client, ratings(500, 3))

    async def rebuild(*, replace_old: bool, leave_holes: bool) -> Any:  # noqa: ANN401 - see Rebuilt
        return await rebuild_stream(
            layout, FEEDBACK, replace_old=replace_old, leave_holes=leave_holes, say=SAID.append
        )

    await refused(
        rebuild(replace_old=True, leave_holes=False), RebuildError, r"1 sequences of FEEDBACK .*\(41\)"
    )
    await refused(rebuild(replace_old=False, leave_holes=True), OccupiedError, "8 messages, 1 to 8")
    done = await rebuild(replace_old=True, leave_holes=True)
    assert (done.first, done.last, done.holes, done.appended) == (1, 62, (41,), 3)
    del before[41]
    async with opened(layout) as access:
        after = await messages_of(access.client, FEEDBACK)
        config = (await access.client.jetstream().stream_info(FEEDBACK)).config
        async with archive(layout, access).running() as api:
            await until_archived(api, {FEEDBACK: 65})
            await asyncio.sleep(0.7)  # two rounds of reconciliation, which find nothing
            checks = (await api.get("/readyz")).json()["checks"]
            outcome = await verified(api)
    assert {sequence: after[sequence] for sequence in before} == before
    assert [after[sequence][1] for sequence in (63, 64, 65)] == [each.payload for each in ratings(500, 3)]
    assert (config.deny_delete, config.deny_purge) == (True, True)
    assert checks["reconciliation"]["status"] == "ok"
    assert outcome["books"]["archived"] == 63
    saved = list((layout.data / "replaced").glob("*/FEEDBACK.snapshot"))
    assert len(saved) == 1


async def test_scoring_folds_a_rebuilt_stream_anew_once_it_is_told_to_ignore_its_snapshots(
    tmp_path: Path,
) -> None:
    layout = Layout(tmp_path / "var", free_port_base())
    windows = load_units().by_level(Level.WINDOW)[:20]
    started: list[ScoringProcess] = []

    def scoring(**settings: str) -> ScoringProcess:
        seed = str(layout.nkey_seed("provisioner"))
        process = ScoringProcess(
            layout.nats_url, tmp_path / "scoring.log", NATS_NKEY_SEED_FILE=seed, **settings
        )
        started.append(process)
        process.start()
        return process

    try:
        async with opened(layout) as access:
            await publish(access.client, random_feedback(windows, 300, seed=5, now=SystemClock().now()))
            first = scoring()
            stored = (await access.client.jetstream().stream_info(FEEDBACK)).state.last_seq
            books = await first.reached(stored)
            await first.becomes("leader")
            assert first.terminate() == 0  # which leaves a snapshot
            before = {key: found.canonical() for key, found in (await read_all_lists(access.client)).items()}
            async with archive(layout, access).running() as api:
                await until_archived(api, {FEEDBACK: stored})
        done = await rebuild_stream(layout, FEEDBACK, replace_old=True, leave_holes=False, say=SAID.append)
        assert (done.first, done.last, done.appended) == (1, stored, 0)

        async with opened(layout) as access:
            careful = scoring()
            await careful.answer("/livez")

            async def waits() -> bool:
                report = (await careful.get("/readyz")).json()
                return "HistoryChangedError" in str(report["checks"]["fold"]["detail"])

            await eventually(waits)
            assert (await careful.get("/v1/books")).status_code == httpx.codes.SERVICE_UNAVAILABLE
            careful.kill()
            told = scoring(IGNORE_SNAPSHOTS="true")
            again = await told.reached(stored)
            assert await told.metric("events_folded_total") == stored
            await told.becomes("leader")  # who does not lead takes no snapshot
            assert {**again, "computed_at": ""} == {**books, "computed_at": ""}
            after = {key: found.canonical() for key, found in (await read_all_lists(access.client)).items()}
            assert after == before
            assert told.terminate() == 0  # it has taken a snapshot of the stream as it is now
            usual = scoring()
            await usual.reached(stored)
            assert await usual.metric("events_folded_total") == 0
            assert usual.terminate() == 0
    finally:
        for process in started:
            process.kill()


async def test_scoring_starts_on_restored_streams_although_it_had_kept_snapshots_of_the_old_ones(
    tmp_path: Path,
) -> None:
    layout = Layout(tmp_path / "var", free_port_base())
    saved = tmp_path / "backup"
    windows = load_units().by_level(Level.WINDOW)[:20]

    def scoring(of: Layout) -> ScoringProcess:
        seed = str(of.nkey_seed("provisioner"))
        process = ScoringProcess(of.nats_url, tmp_path / "scoring.log", NATS_NKEY_SEED_FILE=seed)
        process.start()
        return process

    async with opened(layout) as access:
        await publish(access.client, random_feedback(windows, 300, seed=5, now=SystemClock().now()))
        stored = (await access.client.jetstream().stream_info(FEEDBACK)).state.last_seq
        first = scoring(layout)
        try:
            books = await first.reached(stored)
            await first.becomes("leader")
            assert first.terminate() == 0  # which leaves a snapshot
        finally:
            first.kill()
        before = {key: found.canonical() for key, found in (await read_all_lists(access.client)).items()}
        manifest = await make_backup(layout, saved, live=True, say=SAID.append)
    assert manifest.streams[f"OBJ_{SNAPSHOTS_BUCKET}"].state["messages"] > 0

    other = Layout(tmp_path / "other", free_port_base())
    await restore_backup(other, saved, parts=PARTS, replace=False, say=SAID.append)
    async with opened(other) as access:
        restored = scoring(other)
        try:
            again = await restored.reached(stored)
            await restored.becomes("leader")
            after = {key: found.canonical() for key, found in (await read_all_lists(access.client)).items()}
        finally:
            restored.kill()
    assert {**again, "computed_at": ""} == {**books, "computed_at": ""}
    assert after == before
