"""Spools of intake, seen and drained from outside of it: also of hosts that are gone."""

import asyncio
import os
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nats.aio.client import Client

from deploy.local.errors import LocalError
from services.intake.adapters.jetstream_log import JetStreamFeedbackLog, read_accepted
from services.intake.adapters.live_keys import load_pseudonyms, load_sealer
from services.intake.adapters.spool_file import FILE, SpoolFile, files_set_aside, spool_path
from services.intake.adapters.spool_lock import SpoolLock
from services.intake.adapters.spooled_messages import readers
from services.intake.adapters.sqlite_index import SqliteAcceptedIndex
from services.intake.adapters.sqlite_spool import SqliteSpool
from services.intake.adapters.stored_revisions import SUBJECTS, read_revision
from services.intake.adapters.vault import JetStreamVault
from services.intake.application.draining import Drainer
from services.intake.domain.circuit import Circuit
from services.intake.entrypoints.events import IndexFold
from shared.kernel.clock import SystemClock, rfc3339
from shared.kernel.errors import describe
from shared.kernel.tasks import end
from shared.kernel.units import load_units
from shared.messaging.publisher import BrokerUnavailableError

SHOWN_ASIDE: Final = 20
STALLED_S: Final = 30.0
"""After so long without a message of the stream, which is not read to its end, the broker is away."""
MAX_BYTES: Final = 1 << 62
"""A spool that is only drained has no bound of its own."""


@dataclass(frozen=True, slots=True)
class SpoolState:
    """What is in a spool, and who has it."""

    directory: Path
    owner: str | None
    messages: int
    size: int
    oldest: str | None
    kinds: dict[str, int]
    aside: list[dict[str, Any]]
    damaged: list[str]

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "directory": str(self.directory),
            "owner": self.owner,
            "messages": self.messages,
            "bytes": self.size,
            "oldest": self.oldest,
            "kinds": self.kinds,
            "set_aside": self.aside,
            "damaged_files": self.damaged,
        }


def find_spool(directory: Path) -> Path:
    """The spool in `directory`: that itself, or its folder ``spool``, as in a data directory of intake.

    Raises:
        LocalError: there is none.
    """
    for candidate in (directory, directory / "spool"):
        if (candidate / FILE).is_file():
            return candidate
    raise LocalError(describe(str(directory), f"a directory with {FILE}", "name intake's data directory"))


def look_into(directory: Path) -> SpoolState:
    """Read a spool beside whoever owns it; no content is shown, only what and how much.

    Raises:
        LocalError: it can't be read.
    """
    try:
        file = SpoolFile(spool_path(directory), readonly=True)
    except sqlite3.Error as error:
        raise _unreadable(directory, error) from error
    try:
        amount, oldest = file.amount(), file.oldest(1)
        aside = [
            {
                "message_id": kept.entry.message.message_id,
                "kind": kept.entry.kinship.kind.value,
                "reason": why,
            }
            for kept, why in file.aside(SHOWN_ASIDE)
        ]
        return SpoolState(
            directory,
            SpoolLock(directory).owner(),
            amount.messages,
            amount.size,
            rfc3339(oldest[0].spooled_at) if oldest else None,
            file.kinds(),
            aside,
            [path.name for path in files_set_aside(directory)],
        )
    except sqlite3.Error as error:
        raise _unreadable(directory, error) from error
    finally:
        file.close()


def _unreadable(directory: Path, error: sqlite3.Error) -> LocalError:
    return LocalError(
        describe(f"{spool_path(directory)}: {error}", "a spool that can be read", "keep it; see the runbook")
    )


class _Progress:
    """Plays `DrainTally` and the metrics of the index's fold: counts for whoever waits."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self.fates: dict[str, int] = {}

    def drained(self, fate: str, count: int) -> None:
        self.fates[fate] = self.fates.get(fate, 0) + count

    def index_lag(self, messages: int) -> None:
        self._say(f"reading the stream: {messages} messages to come")

    def index_skipped(self, messages: int) -> None:
        """Intake itself has reported them."""


async def drain(
    directory: Path,
    secrets: Path,
    client: Client,
    *,
    units: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, int]:
    """Bring what waits in `directory` to the stream, as intake would; messages by what became of them.

    Safe beside running replicas, and when it is repeated: the whole stream is read first, so a message that
    is in it already is recognised, beyond the broker's window for repeats, too. The spool's owner must be
    gone: the lock says so, and only on the owner's machine can it be held.

    Args:
        directory: of a spool.
        secrets: directory with intake's keys.
        client: connected as intake.
        units: table of units as intake reads it; None: the committed one.
        say: is told how it goes.

    Raises:
        LocalError: somebody owns the spool, or it can't be read.
        TransientError: the broker went away; what is drained stays so, repeat the command.
    """
    pseudonyms = load_pseudonyms(secrets)
    progress = _Progress(say)
    log = JetStreamFeedbackLog(pseudonyms, max_queued=10_000, observe=lambda _size: None)
    vault = JetStreamVault(
        load_sealer(secrets, os.urandom),
        max_queued=10_000,
        observe=lambda _size: None,
    )
    async with AsyncExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="pingyi-spool-"))
        spool = SqliteSpool(directory, pseudonyms, SystemClock(), max_bytes=MAX_BYTES, max_queued=10_000)
        await spool.start()
        stack.push_async_callback(spool.stop)
        if spool.trouble is not None:
            raise LocalError(
                describe(f"{directory}: {spool.trouble}", "a spool that nobody owns", "stop its intake first")
            )
        index = SqliteAcceptedIndex(Path(scratch), pseudonyms.references.key_id, horizon_days=400)
        stack.push_async_callback(index.close)
        await vault.connect(client)
        stack.push_async_callback(vault.stop)
        await log.connect(client)
        stack.push_async_callback(log.stop)

        async def connected() -> Client:
            return client

        fold = IndexFold(
            index,
            connected,
            lambda data, sequence: (
                read_accepted(data, sequence, pseudonyms) or read_revision(data, sequence, pseudonyms)
            ),
            SUBJECTS,
            progress,
        )
        folding = asyncio.create_task(fold.run())
        try:
            await _until_ready(index, folding)
            drainer = Drainer(
                spool=spool, log=log, vault=vault, index=index, units=load_units(units),
                readers=readers(pseudonyms), tally=progress, circuit=Circuit(),
            )  # fmt: skip
            while await drainer.step():
                say(f"{spool.depth} messages left")
        finally:
            await end(folding)
    return progress.fates


async def _until_ready(index: SqliteAcceptedIndex, folding: "asyncio.Task[None]") -> None:
    """Wait until the whole stream is in `index`, however long it is, as long as it comes.

    Raises:
        BrokerUnavailableError: it comes no longer.
    """
    ready = asyncio.create_task(index.wait_ready())
    try:
        while not ready.done():
            before = index.position
            await asyncio.wait({ready, folding}, timeout=STALLED_S, return_when=asyncio.FIRST_COMPLETED)
            if folding.done():
                await folding  # raises what ended it: nobody reads any longer
            if not ready.done() and index.position == before:
                raise BrokerUnavailableError(
                    describe(
                        f"{STALLED_S:.0f} s without a message at {before}",
                        "the stream up to its end",
                        "see `pingyi status`; repeat the command once the broker is back",
                    )
                )
    finally:
        await end(ready)
