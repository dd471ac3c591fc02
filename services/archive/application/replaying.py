"""Brings a log that was set back to what had been announced: the same entries, in the same order.

An older copy of the database over today's streams lacks entries whose order is announced in AUDIT and whose
head may be signed. Archiving them in any other order would fork the log, so before anything is archived the
announced runs are fetched by sequence, and appended once their root is the announced one (ADR 0018).
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from services.archive.application.envelopes import read_attributes
from services.archive.application.ports import (
    Announced,
    Announcements,
    EntryLog,
    Leadership,
    StreamSource,
    TreeStore,
)
from services.archive.application.tree import edge_at
from services.archive.domain.entries import Arrival
from services.archive.domain.leaves import LEAF_BYTES, seal
from services.archive.domain.tiles import TreeEdge
from services.archive.metrics import ArchiveMetrics
from shared.events.audit import BatchSequenced, SequencedRun
from shared.events.envelope import InvalidEventError
from shared.events.registry import spec_for_data
from shared.kernel.errors import PermanentError, describe
from shared.messaging.stored import StoredMessage

log = structlog.get_logger(__name__)

CHUNK: Final = 500
CHUNK_BYTES: Final = 8 * 1024 * 1024
SEQUENCED_TYPE: Final = spec_for_data(BatchSequenced).event_type


class ReplayRefusedError(PermanentError):
    """What was announced can't be brought back as it was; nothing is archived until an operator decides."""


@dataclass(slots=True)
class Replay:
    """Replays what AUDIT announces beyond the end of the log; does nothing where the log has it all."""

    entry_log: EntryLog
    tree: TreeStore
    announcements: Announcements
    source: StreamSource
    leadership: Leadership
    metrics: ArchiveMetrics

    async def run(self) -> TreeEdge | None:
        """Complete the log.

        Returns:
            The right edge of the tree over the whole log; None if tiles and entries don't give one, which
            the notary refuses to sign and verification explains.

        Raises:
            ReplayRefusedError: something announced is missing from the streams, or is not what it was.
            HeadMovedError: another archive writes.
            TransientError: store or broker do not answer.
        """
        size = await self.entry_log.size()
        newest = await self._newest()
        edge = await self._edge(size)
        if newest is None or newest.event.size <= size:
            return edge
        if edge is None:
            raise ReplayRefusedError(
                describe(
                    f"tiles and entries that give no tree of {size} leaves",
                    f"a whole log up to there, to go on to {newest.event.size} announced entries",
                    "restore the database from another backup",
                )
            )
        log.warning("log_replayed", reason="the database was set back", size=size, to=newest.event.size)
        try:
            async for announced in self.announcements.since(await self._first_sequence(size)):
                if announced.event.size > edge.size:
                    await self._replay(announced.event, edge)
        except InvalidEventError as error:
            raise ReplayRefusedError(str(error)) from error
        if edge.size < newest.event.size:
            raise _refused(
                f"announcements up to {edge.size}",
                f"all up to {newest.event.size}, sequence {newest.sequence}",
            )
        return edge

    async def _newest(self) -> Announced | None:
        try:
            return await self.announcements.newest()
        except InvalidEventError as error:
            raise ReplayRefusedError(str(error)) from error

    async def _edge(self, size: int) -> TreeEdge | None:
        signed = await self.tree.newest_checkpoint(at_most=size)
        try:
            return await edge_at(self.tree, 0 if signed is None else signed.size, size)
        except PermanentError as error:
            log.error("no_tree", reason=str(error))  # noqa: TRY400 - the reason is the message
            return None

    async def _first_sequence(self, size: int) -> int:
        """Where in AUDIT to begin: behind the last announcement that the log itself holds."""
        archived = await self.entry_log.newest_of_type(SEQUENCED_TYPE, size)
        return 1 if archived is None else archived.leaf.sequence + 1

    async def _replay(self, event: BatchSequenced, edge: TreeEdge) -> None:
        if event.first_index > edge.size:
            raise _refused(
                f"an announcement from index {event.first_index} on", f"one that goes on from {edge.size}"
            )
        runs = list(_from_index(event.runs, edge.size - event.first_index))
        # Twice over the streams: an entry that is written can't be taken back, so the root is known first.
        layout = await self._layout(event, runs, edge)
        async for arrivals, known in self._arrivals(runs):
            entries = seal(edge.size, arrivals, known, layout)
            self.leadership.check()
            await self.entry_log.append(entries)
            edge.extend([entry.leaf_hash for entry in entries])
            self.metrics.replayed.inc(len(entries))

    async def _layout(self, event: BatchSequenced, runs: Sequence[SequencedRun], edge: TreeEdge) -> int:
        """The layout in which the runs give the announced root: the present one, else an older one."""
        found: list[str] = []
        for layout in sorted(LEAF_BYTES, reverse=True):
            trial = edge.copy()
            async for arrivals, known in self._arrivals(runs):
                trial.extend([entry.leaf_hash for entry in seal(trial.size, arrivals, known, layout)])
            if trial.size == event.size and trial.root().hex() == event.root:
                return layout
            found.append(f"{trial.size} entries that give root {trial.root().hex()}")
        raise _refused(" or ".join(found), f"{event.size} with root {event.root}, as announced")

    async def _arrivals(
        self, runs: Sequence[SequencedRun]
    ) -> AsyncIterator[tuple[list[Arrival], dict[str, int]]]:
        """The runs in parts, each with the event ids known before it; ids of one pass are remembered."""
        seen: dict[str, int] = {}
        part: list[Arrival] = []
        size = 0
        async for message in self._messages(runs):
            part.append(
                Arrival(
                    message.stream,
                    message.sequence,
                    message.subject,
                    message.data,
                    read_attributes(message.data),
                )
            )
            size += len(message.data)
            if len(part) >= CHUNK or size > CHUNK_BYTES:
                await self._look_up(part, seen)
                yield part, seen
                part, size = [], 0
        if part:
            await self._look_up(part, seen)
            yield part, seen

    async def _look_up(self, part: Sequence[Arrival], seen: dict[str, int]) -> None:
        ids = {each.attributes.event_id for each in part if each.attributes is not None} - seen.keys()
        if ids:
            seen |= await self.entry_log.indexes_of(ids)

    async def _messages(self, runs: Sequence[SequencedRun]) -> AsyncIterator[StoredMessage]:
        for run in runs:
            due = run.first
            while due <= run.last:
                found = await self.source.fetch(run.stream, due, run.last)
                if not found or found[0].sequence != due:
                    raise _refused(f"no message {due} in {run.stream}", "every message that was announced")
                for message in found:
                    if message.sequence != due:
                        break  # asked for again: what is missing is said then
                    yield message
                    due += 1


def _from_index(runs: Sequence[SequencedRun], skipped: int) -> Iterator[SequencedRun]:
    """The runs without their first ``skipped`` messages."""
    for run in runs:
        count = run.last - run.first + 1
        if skipped < count:
            yield SequencedRun(stream=run.stream, first=run.first + skipped, last=run.last)
        skipped = max(0, skipped - count)


def _refused(found: str, expected: str) -> ReplayRefusedError:
    return ReplayRefusedError(
        describe(found, expected, "see docs/operations.md, 'A restored log can't be completed'")
    )
