"""Makes a backup: effects before causes, so that nothing lacks what it rests on (ADR 0021)."""

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from deploy.local.backup import access as accesses
from deploy.local.backup.access import Access
from deploy.local.backup.documents import save_documents
from deploy.local.backup.manifest import FORMAT, NAME, Manifest, SavedStream, describe_files
from deploy.local.backup.spooled import describe_spool
from deploy.local.backup.stream_files import save_stream
from deploy.local.errors import LocalError
from deploy.local.layout import Layout
from shared.kernel.clock import SystemClock
from shared.kernel.errors import describe
from shared.messaging.streams import (
    ALERTS,
    AUDIT,
    CASEKEYS,
    CASES,
    DEADLETTER,
    FEEDBACK,
    INTEGRITY,
    INTEGRITY_BUCKET,
    POSITIONS_BUCKET,
    RANKING,
    RANKINGS_BUCKET,
    REGISTRY,
    SNAPSHOTS_BUCKET,
    VAULT,
)

COPY_ORDER: Final = (
    AUDIT,
    f"KV_{POSITIONS_BUCKET}",
    DEADLETTER,
    ALERTS,
    f"KV_{SNAPSHOTS_BUCKET}",
    f"OBJ_{SNAPSHOTS_BUCKET}",
    f"KV_{RANKINGS_BUCKET}",
    RANKING,
    f"KV_{INTEGRITY_BUCKET}",
    INTEGRITY,
    CASES,
    CASEKEYS,
    FEEDBACK,
    REGISTRY,
    VAULT,
)
"""After the database: what the log announced, then what was derived, last what everything is derived from.

What two people decided comes after what it led to. Keys of sealed texts come after what they open, since they
are written before it. Positions come before what was done up to them: a later one would pass over alerts that
the copy lacks. Leases are left out: they expire within seconds. So are timers: rectify makes them
again from the cases.
"""

Say = Callable[[str], None]


async def make_backup(layout: Layout, directory: Path, *, live: bool, say: Say) -> Manifest:
    """Copy database, streams and secrets of a platform into ``directory``, which must be empty.

    Args:
        live: the platform runs and goes on running; otherwise its servers are started for the moment.
        layout: where the platform is.
        directory: readable by its owner only afterwards.
        say: called with each sentence on what happens.

    Raises:
        LocalError: the directory is not empty, or something could not be copied; then there is no manifest.
    """
    _prepare(directory)
    opened = accesses.running(layout) if live else accesses.maintenance(layout)
    async with opened as access:
        documents = await _save_database(access, directory / "mongodb")
        say(f"Database: {sum(documents.values())} documents, {documents['entries']} entries of the log.")
        streams = await _save_streams(access, directory / "streams")
        ends = (f"{name} to {saved.state['last_seq']}" for name, saved in streams.items())
        say(f"Streams: {', '.join(ends)}.")
        spooled = await asyncio.to_thread(describe_spool, layout)
        if spooled is not None:
            say(f"NOT in this backup: {spooled}, and no stream has it yet. Back up again when it is drained.")
        secrets = _copy_secrets(layout, directory / "secrets")
        say(f"Secrets: {secrets} files.")
        manifest = Manifest(
            format=FORMAT,
            version=version("pingyi"),
            made_at=SystemClock().now(),
            nats=str(access.client.connected_server_version),
            mongodb=await asyncio.to_thread(_mongodb_version, access.append_url),
            database=access.database,
            documents=documents,
            streams=streams,
            files=await asyncio.to_thread(describe_files, directory),
        )
    _write(directory / NAME, manifest.model_dump_json(indent=1))
    return manifest


def _prepare(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if any(directory.iterdir()):
        raise LocalError(
            describe(f"{directory}, which is not empty", "a new directory", "a backup never replaces another")
        )
    directory.chmod(0o700)
    for part in ("mongodb", "streams", "secrets"):
        (directory / part).mkdir(mode=0o700)


async def _save_database(access: Access, directory: Path) -> dict[str, int]:
    return await asyncio.to_thread(save_documents, access.append_url, access.database, directory)


async def _save_streams(access: Access, directory: Path) -> dict[str, SavedStream]:
    saved: dict[str, SavedStream] = {}
    for name in COPY_ORDER:
        record = await save_stream(access.client, name, directory / f"{name}.snapshot")
        saved[name] = SavedStream(config=record.config, state=record.state)
    return saved


def _copy_secrets(layout: Layout, directory: Path) -> int:
    """Copy the keys in the data directory; those of services elsewhere are for who runs them."""
    if not layout.secrets.is_dir():
        return 0
    shutil.copytree(layout.secrets, directory, dirs_exist_ok=True)
    return sum(path.is_file() for path in directory.rglob("*"))


def _mongodb_version(url: str) -> str:
    with suppress(PyMongoError), MongoClient[dict[str, Any]](url) as client:
        return str(client.server_info()["version"])
    return "unknown"


def _write(path: Path, text: str) -> None:
    """Complete or not at all, also after a power cut."""
    json.loads(text)
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
