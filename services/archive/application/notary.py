"""Announces the order of the log and signs its head, every 10 s or 1,000 leaves; once a second at most.

One step: read back what is durable, announce it in AUDIT and wait for the acknowledgement, store the full
tiles, sign, store the checkpoint, tell subscribers. A crash between any two leaves something that the next
start finishes: what is announced and not signed is signed, what is signed and not told is told (ADR 0018).

A head is signed only if the entries read back give the very tree that was sealed when they were written, and
that tree extends the one signed last. Otherwise nothing is signed any more until an operator has looked;
archiving goes on, so that nothing is lost meanwhile.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final, NamedTuple

import structlog

from services.archive.application.ports import (
    Announcements,
    EntryLog,
    Leadership,
    Row,
    SignedHead,
    Told,
    TreeStore,
)
from services.archive.application.tree import edge_at, inconsistent, nodes, read_rows
from services.archive.domain.leaves import leaf_hash
from services.archive.domain.merkle import consistency_path, consistency_places, verify_consistency
from services.archive.domain.notes import Checkpoint, SigningKey, VerifierKey, open_note, sign
from services.archive.domain.runs import runs_of
from services.archive.domain.tiles import WIDTH, TreeEdge, full_tiles
from services.archive.metrics import ArchiveMetrics
from shared.events.audit import BatchSequenced, CheckpointSigned, SequencedRun
from shared.events.envelope import parse_envelope
from shared.events.registry import spec_for_data
from shared.kernel.clock import Clock
from shared.kernel.errors import PermanentError, TransientError
from shared.messaging.streams import AUDIT

log = structlog.get_logger(__name__)

LEAVES: Final = 1_000
"""New leaves from which a checkpoint is due at once."""
INTERVAL_S: Final = 10.0
TICK_S: Final = 1.0
"""Least pause between two checkpoints: the syncs of each hold up those that ratings wait for."""
RETRY_S: Final = 2.0
REFUSED_RETRY_S: Final = 30.0
MOST_LEAVES: Final = 20_000
MOST_RUNS: Final = 4_000
"""Bounds of one announcement: memory, and half of the broker's largest message."""

SEQUENCED: Final = spec_for_data(BatchSequenced)
SIGNED: Final = spec_for_data(CheckpointSigned)
BOOKKEEPING: Final = frozenset({SEQUENCED.event_type, SIGNED.event_type})
"""The log's own events. They are leaves like all others, but alone they make no checkpoint due."""


class Sealed(NamedTuple):
    """What the sequencer has made durable.

    Attributes:
        tree: the tree over the whole log as it was written; grows while the sequencer goes on. None if what
            is stored gives no tree.
        since: size from which on this process wrote the entries itself.
    """

    tree: TreeEdge | None
    since: int


@dataclass(slots=True)
class Keys:
    """Who signs.

    Attributes:
        origin: name of the log.
        signing: the key in force.
        retired: verifier keys of the checkpoints before, after a rotation.
    """

    origin: str
    signing: SigningKey
    retired: Sequence[VerifierKey] = ()

    @property
    def verifiers(self) -> tuple[VerifierKey, ...]:
        """Every key that signed or signs, the present one first."""
        return self.signing.verifier, *self.retired


@dataclass(slots=True)
class _State:
    """Where announcing and signing stand; sequences are those in AUDIT, 0 for none."""

    edge: TreeEdge
    root: bytes
    announced: int
    told: int
    pending: BatchSequenced | None


@dataclass(slots=True)
class Notary:
    """The loop beside the sequencer; only the leader's does anything.

    Attributes:
        sealed: says what is durable; None: this process does not sequence, or does not know yet.
        interval_s: longest time from an entry to its checkpoint.
        leaves: new entries from which a checkpoint is due at once.
    """

    entries: EntryLog
    store: TreeStore
    announcements: Announcements
    leadership: Leadership
    keys: Keys
    clock: Clock
    metrics: ArchiveMetrics
    sealed: Callable[[], Sealed | None]
    interval_s: float = INTERVAL_S
    leaves: int = LEAVES
    _state: _State | None = None
    _signed_at: float = 0.0
    _idle_at: int = -1
    _refusal: str | None = None
    _step: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def refusal(self) -> str | None:
        """Why nothing is signed; None while heads are consistent."""
        return self._refusal

    def forget(self) -> None:
        """Read everything again before the next step."""
        self._state = None

    async def drain(self) -> None:
        """Let the step under way finish and begin no other; for the shutdown."""
        await self._step.acquire()

    async def run(self) -> None:
        """Announce and sign until cancelled."""
        while True:
            delay = TICK_S
            try:
                async with self._step:
                    await self.step()
            except PermanentError as error:
                self._refuse(str(error))
                delay = REFUSED_RETRY_S
            except TransientError as error:
                log.warning("notary_retries", reason=str(error), delay_s=RETRY_S)
                self._state = None
                delay = RETRY_S
            await asyncio.sleep(delay)

    async def step(self) -> None:
        """Sign once if it is due.

        Raises:
            HeadInconsistentError: and other permanent errors: this head must not be signed.
            TransientError: store or broker do not answer, or another archive leads; the state is read again.
        """
        sealed = self.sealed()
        if sealed is None or not self.leadership.is_leader:
            self._state = None
            if not self.leadership.is_leader:
                self._accept()  # it is the leader's to say
            return
        if self._state is None:
            self._state = await self._take_up()
            self._signed_at = _now()
        state, tree = self._state, sealed.tree
        if tree is None:
            raise inconsistent(
                f"entries behind the {state.edge.size} signed that give no tree", "all of them"
            )
        self._accept()
        size = tree.size
        if state.pending is not None:
            await self._finish(state, state.pending)
        elif size > self._idle_at and self._is_due(size - state.edge.size):
            await self._announce(state, tree, sealed.since)

    def _is_due(self, new: int) -> bool:
        return new >= self.leaves or (new > 0 and _now() - self._signed_at >= self.interval_s)

    def _refuse(self, reason: str) -> None:
        self._state = None
        if self._refusal != reason:
            log.error("head_refused", reason=reason)
        self._refusal = reason
        self.metrics.inconsistent.set(1)

    def _accept(self) -> None:
        if self._refusal is not None:
            log.info("head_consistent_again")
            self._refusal = None
            self.metrics.inconsistent.set(0)

    # --- taking up what is there ---

    async def _take_up(self) -> _State:
        """Where the last life of an archive left off, checked."""
        signed = await self.store.newest_checkpoint()
        newest = await self.announcements.newest()
        told = await self.announcements.newest_told()
        edge = await self._signed_edge(signed)
        if told is not None and told.event.size > edge.size:
            edge = await self._restore_checkpoints(edge)
        root = edge.root()
        if newest is None:
            await self._check_expired(edge.size)
        elif newest.event.size < edge.size:
            raise inconsistent(
                f"announcements up to {newest.event.size}", f"one of {edge.size}, which are signed"
            )
        elif newest.event.size == edge.size and newest.event.root != root.hex():
            raise inconsistent(f"root {newest.event.root} announced", f"{root.hex()}, which is signed")
        sequence = await self._tell_missing(told)
        pending = newest.event if newest is not None and newest.event.size > edge.size else None
        self.metrics.checkpoint.set(edge.size)
        return _State(edge, root, 0 if newest is None else newest.sequence, sequence, pending)

    async def _signed_edge(self, signed: SignedHead | None) -> TreeEdge:
        if signed is None:
            return TreeEdge()
        self._open(signed)
        edge = await edge_at(self.store, signed.size)
        if edge.root() != signed.root:
            raise inconsistent(
                f"{signed.size} entries whose tiles give root {edge.root().hex()}",
                f"{signed.root.hex()}, which is signed",
            )
        return edge

    def _open(self, head: SignedHead) -> None:
        """Check that ``head`` is what one of our keys signed."""
        said = open_note(head.note, self.keys.verifiers, self.keys.origin).checkpoint
        if (said.size, said.root) != (head.size, head.root):
            raise inconsistent(
                f"checkpoint {head.size} with root {head.root.hex()}",
                f"size {said.size} and root {said.root.hex()}, as in its note",
            )

    async def _check_expired(self, size: int) -> None:
        """AUDIT holds no announcement: right for a new log, or for one that was idle until all expired."""
        if size == 0:
            return
        last = await self.entries.newest_of_type(SEQUENCED.event_type, await self.entries.size())
        if last is None:
            raise inconsistent(f"no announcement of {size} signed entries", "one in the log or in AUDIT")
        end = await self.announcements.last_sequence()
        if end < last.leaf.sequence:
            raise inconsistent(
                f"AUDIT up to sequence {end}", f"at least {last.leaf.sequence}, which is archived"
            )

    async def _restore_checkpoints(self, edge: TreeEdge) -> TreeEdge:
        """Store again the checkpoints that a database that was set back has lost; AUDIT has their notes."""
        async for told in self.announcements.told_since(await self._told_until(edge.size)):
            event = told.event
            if event.size > edge.size:
                edge = await self._grow(edge, event.size)
                head = SignedHead(event.size, edge.root(), event.note, self.clock.now())
                self._open(head)
                await self.store.put_checkpoint(head)
                log.warning("checkpoint_restored", size=event.size)
        return edge

    async def _told_until(self, size: int) -> int:
        """A sequence of AUDIT before which nothing tells of a larger checkpoint than ``size``."""
        below = await self.entries.size()
        while (entry := await self.entries.newest_of_type(SIGNED.event_type, below)) is not None:
            told = parse_envelope(SIGNED.envelope, entry.envelope or b"").data
            if told.size <= size:
                return entry.leaf.sequence
            below = entry.index
        return 1

    async def _tell_missing(self, told: Told | None) -> int:
        """Publish the checkpoints that a crash kept from being told; the sequence of the last one told."""
        newest = await self.store.newest_checkpoint()
        sequence, size = (0, 0) if told is None else (told.sequence, told.event.size)
        if newest is None or newest.size <= size:
            return sequence
        if told is None:  # the first one, or all of them have expired
            before = await self.store.newest_checkpoint(at_most=newest.size - 1)
            return await self._tell(newest, 0 if before is None else before.size, 0)
        for head in await self.store.checkpoints(size, LEAVES):
            sequence = await self._tell(head, size, sequence)
            size = head.size
        return sequence

    # --- announcing and signing ---

    async def _announce(self, state: _State, tree: TreeEdge, since: int) -> None:
        started = perf_counter()
        written, sealed_root = tree.size, tree.root()
        rows = await self._rows(state.edge, min(written, state.edge.size + MOST_LEAVES))
        if all(row.type in BOOKKEEPING and row.stream == AUDIT for row in rows):
            self._idle_at = written
            return
        runs, covered = runs_of(((row.stream, row.sequence) for row in rows), MOST_RUNS)
        edge = state.edge.copy()
        tiles = edge.extend([row.leaf_hash for row in rows[:covered]])
        root = edge.root()
        if edge.size == written and root != sealed_root:
            raise inconsistent(
                f"entries {state.edge.size} to {written - 1} that give root {root.hex()}",
                f"{sealed_root.hex()}, as they were written",
            )
        # What this process wrote itself is known by its root; the rest is looked at, entry by entry.
        until = min(edge.size, since) if edge.size == written else edge.size
        await self._check_contents(state.edge.size, until)
        event = BatchSequenced(
            origin=self.keys.origin,
            first_index=state.edge.size,
            size=edge.size,
            runs=tuple(SequencedRun(stream=run.stream, first=run.first, last=run.last) for run in runs),
            root=root.hex(),
        )
        self.leadership.check()
        state.announced = await self.announcements.announce(event, state.announced)
        await self.store.put_tiles(tiles)
        await self._sign(state, edge, root)
        self.metrics.signing.observe(perf_counter() - started)
        oldest = min((row.received_at for row in rows[:covered] if row.received_at), default=None)
        if oldest is not None:
            self.metrics.checkpoint_delay.observe((self.clock.now() - oldest).total_seconds())

    async def _finish(self, state: _State, pending: BatchSequenced) -> None:
        """Sign what a life before this one announced."""
        edge = await self._grow(state.edge, pending.size)
        root = edge.root()
        if root.hex() != pending.root:
            raise inconsistent(
                f"{pending.size} entries that give root {root.hex()}",
                f"{pending.root}, as announced",
            )
        await self._sign(state, edge, root)
        state.pending = None

    async def _sign(self, state: _State, edge: TreeEdge, root: bytes) -> None:
        """Sign the tree of ``edge``, whose entries and tiles are durable and whose order is announced."""
        await self._check_consistency(state, edge, root)
        self.leadership.check()
        now = self.clock.now()
        note = sign(Checkpoint(self.keys.origin, edge.size, root), self.keys.signing, now)
        head = SignedHead(edge.size, root, str(note), now)
        await self.store.put_checkpoint(head)
        state.told = await self._tell(head, state.edge.size, state.told)
        state.edge, state.root = edge, root
        self._signed_at = _now()
        self.metrics.signed(edge.size, now)
        log.info("checkpoint_signed", size=edge.size, root=root.hex())

    async def _tell(self, head: SignedHead, previous: int, replaces: int) -> int:
        event = CheckpointSigned(
            origin=self.keys.origin,
            size=head.size,
            root=head.root.hex(),
            note=head.note,
            previous_size=previous,
        )
        return await self.announcements.tell(event, replaces)

    # --- reading back ---

    async def _rows(self, edge: TreeEdge, end: int) -> list[Row]:
        """The entries behind ``edge`` up to, not with, ``end``; compares those of its partial tile."""
        first = full_tiles(edge.size, 0) * WIDTH
        rows = await read_rows(self.store, first, end)
        signed = edge.size - first
        for row, hashed in zip(rows[:signed], edge.level(0), strict=True):
            if row.leaf_hash != hashed:
                raise inconsistent(
                    f"index {row.index} with leaf hash {row.leaf_hash.hex()}", f"{hashed.hex()}, as signed"
                )
        return rows[signed:]

    async def _grow(self, edge: TreeEdge, size: int) -> TreeEdge:
        """The edge of the larger tree, whose full tiles are stored then."""
        edge = edge.copy()
        while edge.size < size:
            rows = await self._rows(edge, min(size, edge.size + MOST_LEAVES))
            await self.store.put_tiles(edge.extend([row.leaf_hash for row in rows]))
        return edge

    async def _check_contents(self, first: int, end: int) -> None:
        """Check that each entry from ``first`` up to ``end`` has the leaf hash that belongs to it."""
        if first >= end:
            return
        async for part in self.entries.scan(end - 1, first):
            for stored in part:
                entry = stored.entry
                if entry is None or stored.problem is not None or leaf_hash(entry.leaf) != entry.leaf_hash:
                    raise inconsistent(
                        f"a changed entry at index {stored.index}", "an entry as it was archived"
                    )

    async def _check_consistency(self, state: _State, edge: TreeEdge, root: bytes) -> None:
        """Check, with hashes as they are stored, that the new tree begins with the one signed last."""
        pieces = consistency_places(state.edge.size, edge.size)
        found = await nodes(self.store, edge, {place for piece in pieces for place in piece})
        path = consistency_path(state.edge.size, edge.size, lambda level, index: found[level, index])
        if not verify_consistency(state.edge.size, edge.size, state.root, root, path):
            raise inconsistent(
                f"a tree of {edge.size} leaves with root {root.hex()}",
                f"one that begins with the {state.edge.size} leaves signed last",
            )


def _now() -> float:
    return asyncio.get_running_loop().time()
