"""Restores a backup into an empty platform; what was there is moved aside, never deleted (ADR 0021)."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from deploy.local.backup import access as accesses
from deploy.local.backup.access import Access
from deploy.local.backup.documents import load_documents, occupied
from deploy.local.backup.manifest import PARTS, Manifest, check_files, read_manifest
from deploy.local.backup.spooled import describe_spool, spool_directory
from deploy.local.backup.stream_files import StreamRecord, load_stream, make_stream
from deploy.local.errors import LocalError
from deploy.local.layout import Layout
from deploy.local.platform_file import hold
from services.archive.adapters import schema
from shared.kernel.clock import SystemClock
from shared.kernel.errors import describe
from shared.messaging.streams import SNAPSHOTS_BUCKET

MONGODB, STREAMS, SECRETS = PARTS
REPLACED: Final = "replaced"
LEFT_OUT: Final = (f"KV_{SNAPSHOTS_BUCKET}", f"OBJ_{SNAPSHOTS_BUCKET}")
"""Made anew and empty: scoring's snapshots say when the streams were made that they are of (ADR 0014).

A broker that restores a stream makes it now, so scoring would refuse each of them as another stream's, and
wait for a person to decide. Without any it folds the restored streams from their beginning.
"""

Say = Callable[[str], None]


class OccupiedError(LocalError):
    """There is data where the backup would go."""


async def restore_backup(
    layout: Layout, directory: Path, *, parts: tuple[str, ...], replace: bool, say: Say
) -> Manifest:
    """Restore ``parts`` (of `PARTS`) of the backup in ``directory`` to a platform that is stopped.

    Every file is checked before anything is touched, every stream and collection afterwards.

    Args:
        layout: where the platform is.
        directory: what :func:`~deploy.local.backup.making.make_backup` wrote.
        parts: the others stay as they are.
        replace: move what is there aside, below ``replaced/`` in the data directory; otherwise it is refused.
            Intake's spool stays where it is: what waits there was promised, and is in no backup.
        say: called with each sentence on what happens.

    Raises:
        PlatformRunningError: the platform runs.
        BackupDamagedError: the backup is not complete or was changed.
        OccupiedError: there is data, and ``replace`` was not asked for, or it lies in external servers.
        LocalError: a server did not start or did not take it; what was moved aside is still there.
    """
    manifest = read_manifest(directory)
    await asyncio.to_thread(check_files, directory, manifest, parts)
    say(f"The backup of {manifest.made_at:%Y-%m-%d %H:%M:%S} UTC is complete and unchanged.")
    local = tuple(part for part in parts if part == SECRETS) if layout.external else parts
    if any((directory / SECRETS).iterdir()) or not layout.external:
        with hold(layout):
            _make_room(layout, local, replace=replace, say=say)
            if SECRETS in parts:
                shutil.copytree(directory / SECRETS, layout.secrets, dirs_exist_ok=True)
                layout.secrets.chmod(0o700)
    if MONGODB in parts or STREAMS in parts:
        async with accesses.maintenance(layout) as access:
            await _require_empty(access, manifest, parts)
            if STREAMS in parts:
                await _load_streams(access, directory / STREAMS, manifest, say)
            if MONGODB in parts:
                await _load_database(access, directory / MONGODB, manifest, say)
    return manifest


def _make_room(layout: Layout, parts: tuple[str, ...], *, replace: bool, say: Say) -> None:
    wanted = {
        MONGODB: (layout.mongo_data,),
        # Intake's index and the like are folded from the streams; beside others they would be of the future.
        STREAMS: (layout.nats_data, layout.service_data("intake")),
        SECRETS: (layout.secrets,),
    }
    spool = spool_directory(layout)
    found = {path: _contents(path, spool) for part in parts for path in wanted[part]}
    taken = [path for path, contents in found.items() if contents]
    if STREAMS in parts and (waiting := describe_spool(layout)) is not None:
        say(f"{waiting}: they stay, and intake brings them to the restored streams.")
    if not taken:
        return
    if not replace:
        raise OccupiedError(
            describe(
                f"data in {', '.join(path.name for path in taken)} of {layout.data}",
                "an empty platform",
                "restore to another --data, or add --replace, which moves what is there aside",
            )
        )
    directory = aside(layout)
    for path in taken:
        (directory / path.name).mkdir(mode=0o700)
        for each in found[path]:
            each.rename(directory / path.name / each.name)
    say(f"Moved {', '.join(path.name for path in taken)} to {directory}.")


def _contents(directory: Path, spool: Path) -> list[Path]:
    """What is in a directory, if it is there, but for the spool."""
    return [each for each in directory.iterdir() if each != spool] if directory.is_dir() else []


def aside(layout: Layout) -> Path:
    """A new directory for what is replaced, below the platform's data."""
    directory = layout.data / REPLACED / f"{SystemClock().now():%Y%m%dT%H%M%S.%fZ}"
    directory.mkdir(parents=True, mode=0o700)
    return directory


async def _require_empty(access: Access, manifest: Manifest, parts: tuple[str, ...]) -> None:
    """Make sure that nothing is there: external servers are emptied by whoever runs them, not by us."""
    found: list[str] = []
    if MONGODB in parts:
        found += await asyncio.to_thread(occupied, access.append_url, access.database)
    if STREAMS in parts:
        there = {info.config.name or "" for info in await access.client.jetstream(timeout=10).streams_info()}
        found += sorted(there & manifest.streams.keys())
    if found:
        raise OccupiedError(
            describe(
                ", ".join(found), "servers without these", "take them away by hand if they are not needed"
            )
        )


async def _load_streams(access: Access, directory: Path, manifest: Manifest, say: Say) -> None:
    for name, saved in manifest.streams.items():
        record = StreamRecord(saved.config, saved.state)
        if name in LEFT_OUT:
            await make_stream(access.client, record)
            continue
        first, last, messages = await load_stream(access.client, record, directory / f"{name}.snapshot")
        say(f"{name}: {messages} messages, {first} to {last}.")
    say("Scoring's snapshots are left out: it folds the restored streams anew at its first start.")


async def _load_database(access: Access, directory: Path, manifest: Manifest, say: Say) -> None:
    await asyncio.to_thread(schema.bootstrap, access.bootstrap_url, access.database)
    await asyncio.to_thread(load_documents, access.append_url, access.database, directory, manifest.documents)
    say(f"Database: {', '.join(f'{count} {name}' for name, count in manifest.documents.items())}.")
