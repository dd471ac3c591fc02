"""The watch over integrity: examine the fold, keep what is flagged, tell what changed.

What changed is written down first, together with the events to publish, and cleared away once they are out.
So a restart publishes again what a crash may have kept back, with the very same ids; and of two instances
only the one whose write was taken says anything.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.scoring.application.fold import Fold
from services.scoring.application.handlers import RETRY_AFTER_S, NotCaughtUpError
from services.scoring.application.ports import FlagEvents, FlagStore, WatchObserver
from services.scoring.domain.flags import Flags, Moment, Notice, revise
from services.scoring.domain.integrity import Examination, examine
from shared.events.integrity import Signal
from shared.kernel.clock import Clock
from shared.kernel.errors import describe
from shared.kernel.grades import Level
from shared.kernel.units import Unit, UnitRegistry


class IntegrityWatch:
    """Keeps what is flagged in step with the fold. One call at a time."""

    def __init__(
        self,
        store: FlagStore,
        events: FlagEvents,
        clock: Clock,
        observer: WatchObserver,
        still: asyncio.Lock | None = None,
    ) -> None:
        """Nothing is read or written before the first :meth:`look`.

        ``still`` is held while the fold is copied, so that nobody else touches it.
        """
        self._still = still or asyncio.Lock()
        self._store = store
        self._events = events
        self._clock = clock
        self._observer = observer
        self._stored: Flags | None = None
        self._shown: Flags | None = None
        self._seen: tuple[Fold, int] | None = None
        self._examination: Examination | None = None

    @property
    def flags(self) -> Flags | None:
        """What was flagged when it was last known; None before the first look."""
        return self._shown

    async def look(self, fold: Fold) -> bool:
        """Examine the fold as it is now; whether anything was raised or taken down.

        A fold that is behind what the present flags rest on (a second instance that lags) changes nothing.

        Raises:
            TransientError: the broker or the store is away, or somebody else wrote; call again.
        """
        flags = self._stored if self._stored is not None else await self._store.load()
        self._stored = None  # what stands there is unknown until this has gone well
        flags = await self._tell(flags)
        if fold.position < flags.position:
            self._stored = self._shown = flags
            return False
        moment = Moment(
            int(self._clock.now().timestamp() * 1000), fold.as_of.isoformat(), fold.rules.hash, fold.position
        )
        hold_ms = fold.rules.integrity.hold_s * 1000
        started = time.perf_counter()
        found = await self._examined(fold)
        seconds = time.perf_counter() - started
        revised = revise(flags, found, moment, hold_ms)
        changed = revised is not flags
        if changed:
            await self._store.commit(revised)
            revised = await self._tell(revised)
        self._stored = self._shown = revised
        self._observer.examined(seconds, revised)
        return changed

    async def follow(self) -> None:
        """Show what another replica has flagged.

        Raises:
            TransientError: the store is away.
        """
        self._shown, self._stored = await self._store.load(), None

    async def _tell(self, flags: Flags) -> Flags:
        """Publish the outbox, if there is anything in it."""
        if not flags.outbox:
            return flags
        await self._events.publish(flags.outbox)
        told = flags.told()
        await self._store.commit(told)
        return told

    async def _examined(self, fold: Fold) -> Examination:
        seen = (fold, fold.revision)
        if self._examination is None or self._seen != seen:
            async with self._still:
                evidence = fold.evidence()
            self._examination = await asyncio.to_thread(examine, evidence)
            self._seen = seen
        return self._examination


@dataclass(frozen=True, slots=True)
class Flagged:
    """One flag that stands, with its unit."""

    unit: Unit
    notice: Notice


class ReadFlags:
    """Answers what is flagged at present."""

    def __init__(
        self, registry: UnitRegistry, flags: Callable[[], Flags | None], progress: Callable[[], str | None]
    ) -> None:
        """``flags`` gives what stands; ``progress`` says why it can't be shown yet."""
        self._registry = registry
        self._flags = flags
        self._progress = progress

    def standing(self, signal: Signal | None, level: Level | None) -> Sequence[Flagged]:
        """All flags of a signal and a level, least likely first.

        Raises:
            NotCaughtUpError: nothing has been examined yet.
        """
        why, flags = self._progress(), self._flags()
        if why is not None or flags is None:
            raise NotCaughtUpError(
                describe(why or "nothing examined yet", "an examination of all ratings so far", "ask again"),
                RETRY_AFTER_S,
            )
        found = [
            Flagged(self._registry.get(notice.finding.unit_id), notice)
            for notice in flags.standing.values()
            if (signal is None or notice.finding.signal == signal)
            and notice.finding.unit_id in self._registry
        ]
        found = [each for each in found if level is None or each.unit.level is level]
        return sorted(found, key=lambda each: (each.notice.finding.probability, *each.notice.finding.key))
