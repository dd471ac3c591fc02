"""Use cases about snapshots: begin from the newest that may be used, and make new ones in time.

A snapshot saves time and nothing else: whatever is wrong with one, an older one or the stream itself gives
the same rankings. The exception is a stream whose past has changed, which only a person can judge.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

import structlog

from services.scoring.application.cases import CASES
from services.scoring.application.fold import Fold, Message, OtherFormatError, registry_hash
from services.scoring.application.ports import (
    SnapshotObserver,
    SnapshotStore,
    StreamHistory,
)
from services.scoring.application.published import STREAM
from services.scoring.domain.snapshots import (
    FORMAT,
    RUNBOOK,
    Cause,
    Ground,
    Refusal,
    Snapshot,
    refuse,
    refuse_cases,
)
from shared.kernel.clock import Clock, business_day
from shared.kernel.errors import PermanentError, TransientError, describe
from shared.kernel.units import UnitRegistry
from shared.rules import RulePack

log = structlog.get_logger(__name__)

MIN_INTERVAL_S: Final = 30.0
"""Under heavy traffic ``every_events`` would be reached every few seconds; a blob may have 200 MB."""

LoadFold = Callable[[bytes, UnitRegistry, RulePack], Fold]


class PastRewrittenError(PermanentError):
    """The stream has another message where ours was folded."""


def message_hash(subject: str, data: bytes) -> str:
    """What identifies one message's content: SHA-256 of its subject, a line feed and its body."""
    return hashlib.sha256(b"%b\n%b" % (subject.encode(), data)).hexdigest()


class Restored(NamedTuple):
    """How a start goes on.

    Attributes:
        fold: the fold to go on with; None: fold the stream from its beginning.
        snapshot: what it was made from.
        changed: the stream's past has changed; None if it has not.
    """

    fold: Fold | None
    snapshot: Snapshot | None
    changed: Refusal | None


class RestoreFold:
    """Begins from the newest usable snapshot."""

    def __init__(
        self,
        store: SnapshotStore,
        history: StreamHistory,
        registry: UnitRegistry,
        clock: Clock,
        observer: SnapshotObserver,
        load: LoadFold,
        cases: StreamHistory | None = None,
    ) -> None:
        """``load`` makes a fold of a blob, or raises a `PermanentError` that says why not.

        ``cases`` looks at the stream of cases; None: snapshots rest on nothing of it.
        """
        self._cases = cases
        self._store = store
        self._history = history
        self._registry = registry
        self._registry_hash = registry_hash(registry)
        self._clock = clock
        self._observer = observer
        self._load = load
        self._reported: set[tuple[str, Cause]] = set()

    async def restore(self, rules: RulePack, *, accept_new_history: bool) -> Restored:
        """Try the snapshots, newest first; each one that is refused is reported once, with the reason.

        Args:
            rules: today's rule pack.
            accept_new_history: go on although the stream's past has changed. Otherwise the first sign of that
                ends the search, and the result has neither fold nor permission to fold from the beginning.

        Raises:
            TransientError: the store or the stream is away; call again.
        """
        ground = Ground(STREAM, self._registry_hash, rules.hash, business_day(self._clock.now()))
        changed: Refusal | None = None
        for snapshot in await self._store.catalogue():
            fold, refusal = await self._try(snapshot, ground, rules)
            if refusal is None:
                self._observer.snapshot_restored(snapshot)
                self._observer.history_changed(changed=False)
                log.info("snapshot_restored", position=snapshot.position, blob=snapshot.blob)
                return Restored(fold, snapshot, changed)
            self._report(snapshot, refusal)
            if refusal.history_changed:
                changed = changed or refusal
                if not accept_new_history:
                    break
        self._observer.history_changed(changed=changed is not None and not accept_new_history)
        return Restored(None, None, changed)

    async def _try(
        self, snapshot: Snapshot, ground: Ground, rules: RulePack
    ) -> tuple[Fold | None, Refusal | None]:
        refusal = refuse(snapshot, ground, await self._history.look(snapshot.position))
        if refusal is None and self._cases is not None:
            refusal = refuse_cases(snapshot, CASES, await self._cases.look(snapshot.cases_position))
        if refusal is not None:
            return None, refusal
        try:
            blob = await self._store.read(snapshot)
            fold = await asyncio.to_thread(self._load, blob, self._registry, rules)
        except OtherFormatError as error:
            return None, Refusal(Cause.FORMAT, str(error))
        except PermanentError as error:
            return None, Refusal(Cause.CORRUPT, str(error))
        stated = (snapshot.position, snapshot.cases_position, snapshot.as_of)
        if (fold.position, fold.cases.position, fold.as_of) != stated:
            found = f"a blob of positions {fold.position} and {fold.cases.position}, day {fold.as_of}"
            expected = f"{snapshot.position} and {snapshot.cases_position}, {snapshot.as_of}"
            return None, Refusal(Cause.CORRUPT, describe(found, expected, "an older snapshot is tried"))
        return fold, None

    def _report(self, snapshot: Snapshot, refusal: Refusal) -> None:
        if (snapshot.blob, refusal.cause) in self._reported:
            return
        self._reported.add((snapshot.blob, refusal.cause))
        self._observer.snapshot_refused(refusal)
        tell = log.error if refusal.history_changed else log.warning
        tell("snapshot_refused", cause=refusal.cause, reason=refusal.reason, blob=snapshot.blob)


class Cadence(NamedTuple):
    """When the next snapshot is due: after so many messages or seconds, if anything was folded."""

    every_events: int
    every_s: float


class Taken(NamedTuple):
    """A snapshot that is not stored yet; ``began`` in monotonic seconds."""

    snapshot: Snapshot
    blob: bytes
    began: float


class KeepSnapshots:
    """Makes snapshots of one fold."""

    def __init__(  # noqa: PLR0913 - two streams, and what is measured
        self,
        store: SnapshotStore,
        history: StreamHistory,
        clock: Clock,
        observer: SnapshotObserver,
        cadence: Cadence,
        still: asyncio.Lock,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        cases: StreamHistory | None = None,
    ) -> None:
        """Nothing is due before something was folded; ``still`` is held while the fold is copied.

        ``cases`` looks at the stream of cases; None: nothing of it is folded.
        """
        self._cases = cases
        self._store = store
        self._history = history
        self._clock = clock
        self._observer = observer
        self._cadence = cadence
        self._still = still
        self._monotonic = monotonic
        self._position = 0
        self._last = monotonic()
        self._at_once = False
        self._stale = True

    def began_from(self, position: int, *, at_once: bool = False) -> None:
        """The fold begins at ``position``; ``at_once``: the next snapshot is due whatever was folded."""
        self._position, self._at_once = position, at_once

    def begin_term(self) -> None:
        """We lead anew: somebody else may have saved meanwhile."""
        self._stale = True

    def due(self, position: int) -> bool:
        """Whether a snapshot of a fold at ``position`` should be taken now."""
        if self._at_once:
            return True
        elapsed, events = self._monotonic() - self._last, position - self._position
        if events == 0:
            return False
        enough = events < 0 or events >= self._cadence.every_events
        return elapsed >= self._cadence.every_s or (enough and elapsed >= MIN_INTERVAL_S)

    def changed(self, position: int) -> bool:
        """Whether a fold at ``position`` is another than the last snapshot's."""
        return self._at_once or position != self._position

    async def take(self, fold: Fold, anchor: str) -> Taken:
        """Copy the fold into a blob, in a thread; whoever folds or publishes waits meanwhile, nobody else.

        Args:
            fold: what to keep.
            anchor: `message_hash` of the last message that it folded.

        Raises:
            PastRewrittenError: the stream has another message there now.
            TransientError: the broker is away.
        """
        began, position = self._monotonic(), fold.position
        # Counts as an attempt: a broker that has no room must not be asked ten times a second.
        self._position, self._last, self._at_once = position, began, False
        state = await self._history.look(position)
        if state.message_hash is not None and state.message_hash != anchor:
            raise PastRewrittenError(
                describe(f"another message at {position}", "the one that was folded", f"see {RUNBOOK}")
            )
        async with self._still:
            blob, digest, registry = await asyncio.to_thread(_dump, fold)
            of_cases = (fold.cases.position, fold.cases.anchor)
        created = await self._cases_created(*of_cases)
        snapshot = Snapshot(
            format=FORMAT,
            rules=fold.rules.hash,
            registry=registry,
            stream=STREAM,
            stream_created=state.created,
            position=position,
            message_hash=anchor,
            as_of=fold.as_of,
            size=len(blob),
            sha256=digest,
            made_at=self._clock.now(),
            cases_created=created,
            cases_position=of_cases[0],
            cases_hash=of_cases[1],
        )
        return Taken(snapshot, blob, began)

    async def _cases_created(self, position: int, anchor: str) -> str:
        """When the broker made the stream of cases, which must still say what was folded of it."""
        if self._cases is None or position == 0:
            return ""
        state = await self._cases.look(position)
        if state.message_hash is not None and state.message_hash != anchor:
            raise PastRewrittenError(
                describe(f"another case at {position}", "the one that was folded", f"see {RUNBOOK}")
            )
        return state.created

    async def store(self, taken: Taken) -> bool:
        """Store what was taken; whether it counts now. A failure is told and counted: the next one comes."""
        try:
            if self._stale:
                await self._store.catalogue()
            self._stale = True
            saved = await self._store.save(taken.snapshot, taken.blob)
        except TransientError as error:
            self._observer.snapshot_failed()
            log.warning("snapshot_failed", position=taken.snapshot.position, reason=str(error))
            return False
        self._stale = False
        seconds = self._monotonic() - taken.began
        self._observer.snapshot_saved(saved, seconds)
        log.info("snapshot_saved", position=saved.position, bytes=saved.size, seconds=round(seconds, 3))
        return True


def _dump(fold: Fold) -> tuple[bytes, str, str]:
    """The blob, its hash, the registry's."""
    blob = fold.dump()
    return blob, hashlib.sha256(blob).hexdigest(), registry_hash(fold.registry)


def anchor_of(message: Message) -> str:
    """`message_hash` of a folded message."""
    return message_hash(message.subject, message.data)


def with_blob(snapshot: Snapshot, blob: str) -> Snapshot:
    """``snapshot`` as stored under the name ``blob``."""
    return replace(snapshot, blob=blob)
