"""Carrying commands out: read the newest state, let the machine decide, store only what still follows it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

import structlog

from services.rectify.application.ports import CaseStore, HolidayTable, RulePacks, StoredCase
from services.rectify.application.translation import case_event
from services.rectify.domain import commands as c
from services.rectify.domain.case import MARKS_KEPT, Case, CommandMark, Sealed
from services.rectify.domain.effects import reschedule
from services.rectify.domain.errors import CaseNotFoundError, ChangedSinceError, IllegalMoveError
from services.rectify.domain.machine import decide, move_of
from services.rectify.domain.terms import Terms
from services.rectify.metrics import RectifyMetrics
from shared.events import Provenance
from shared.kernel.clock import Clock, business_day, whole_ms
from shared.kernel.errors import ConflictError, TransientError, describe
from shared.kernel.ids import derived_id

log = structlog.get_logger(__name__)
ATTEMPTS: Final = 8
"""How often the platform itself decides anew when somebody else was faster."""
_MOVED: Final = timedelta(seconds=1)


class CaseChangedError(TransientError):
    """Somebody else's event came first; nothing was stored."""


class LostRaceError(ChangedSinceError):
    """The case is not what the command was made for (HTTP 409); `stored` is what it is now."""

    title: ClassVar[str] = "The case has changed"

    def __init__(self, stored: StoredCase, expected: str) -> None:
        """`expected` says what was wanted."""
        super().__init__(stored.case.version, stored.case.status, expected)
        self.stored = stored


class KeyReusedError(ConflictError):
    """The Idempotency-Key was used for another command on this case (HTTP 409)."""

    title: ClassVar[str] = "The key was used for something else"


class Desk:
    """Where all commands on cases are carried out, those of people and the platform's own."""

    def __init__(
        self,
        store: CaseStore,
        packs: RulePacks,
        holidays: HolidayTable,
        clock: Clock,
        metrics: RectifyMetrics,
        new_id: Callable[[datetime], str],
    ) -> None:
        """`new_id` names events that have no natural key."""
        self._store = store
        self._packs = packs
        self._holidays = holidays
        self._clock = clock
        self._metrics = metrics
        self._new_id = new_id

    def terms(self, kind: str | None, now: datetime) -> Terms:
        """Policy and calendar at `now` for a window of `kind`."""
        return Terms.of(self._packs.on(business_day(now)).rectify, kind, self._holidays.current())

    def now(self) -> datetime:
        """The time that is decided by, as finely as events tell it."""
        return whole_ms(self._clock.now())

    def moved_by_calendar(self, case: Case) -> bool:
        """Whether the calendar in force gives other moments than those that `case` holds.

        It moves minutes: the last digits of what an older version had reckoned are not a reason.
        """
        now = self.now()
        after = reschedule(case, c.Reschedule(), self.terms(case.kind, now), now)
        return any(
            abs(new.at - old.at) >= _MOVED
            for before, later in zip(case.clocks, after.clocks, strict=True)
            for old, new in zip(before.marks, later.marks, strict=False)
        )

    async def load(self, case_id: str) -> StoredCase:
        """The newest state.

        Raises:
            CaseNotFoundError: no such case.
            TransientError: the broker is away.
        """
        stored = await self._store.load(case_id)
        if stored is None:
            raise CaseNotFoundError(case_id, "the id of a case", "look it up in the list", field="case_id")
        return stored

    async def open(
        self, case: Case, *, by: str, provenance: Provenance, note: Sealed | None = None
    ) -> StoredCase:
        """Open `case` unless it is open already; whoever comes second gets the first one's.

        Raises:
            TransientError: not known to be stored; open it again.
        """
        known = await self._store.load(case.case_id)
        if known is not None:
            return known
        now = self.now()
        event = case_event(
            "opened",
            case,
            event_id=derived_id("case-opened", case.case_id),
            by=by,
            now=now,
            provenance=provenance,
            rules=self._packs.on(business_day(now)).hash,
            note=note,
        )
        try:
            sequence, _ = await self._store.store(event, case, replaces=0)
        except CaseChangedError:
            return await self.load(case.case_id)
        self._metrics.moves.labels("open", "done").inc()
        log.info("case_moved", case_id=case.case_id, fact="opened", unit_id=case.unit_id, by=by)
        return StoredCase(case, sequence, provenance.correlation_id)

    async def ask(
        self,
        case_id: str,
        command: c.Command,
        *,
        by: str,
        note: Sealed | None = None,
        mark: CommandMark | None = None,
        if_match: int | None = None,
        traceparent: str | None = None,
    ) -> StoredCase:
        """Carry out a person's command, once.

        Args:
            case_id: which case.
            command: what is asked.
            by: role or credential.
            note: text that came with it.
            mark: the command's key and content; a repeat is answered with the state as it is now.
            if_match: sequence that the person has seen; None: whatever it is.
            traceparent: of the request.

        Raises:
            CaseNotFoundError: no such case.
            IllegalMoveError: see `decide`.
            KeyReusedError: the key belongs to another command.
            LostRaceError: the case has changed since the person looked, or while we decided.
            TransientError: not known to be stored; send it again with the same key.
        """
        stored = await self.load(case_id)
        if mark is not None and self._carried_out(stored.case, mark):
            self._metrics.moves.labels(move_of(command), "repeated").inc()
            return stored
        if if_match is not None and if_match != stored.sequence:
            self._metrics.moves.labels(move_of(command), "lost").inc()
            raise LostRaceError(stored, f'the version with the ETag "{if_match}"')
        try:
            return await self._carry_out(
                stored, command, by=by, note=note, mark=mark, traceparent=traceparent
            )
        except CaseChangedError as error:
            newer = await self.load(case_id)
            if mark is not None and self._carried_out(newer.case, mark):
                return newer  # our own repeat was faster
            self._metrics.moves.labels(move_of(command), "lost").inc()
            raise LostRaceError(newer, f"version {stored.case.version}") from error
        except IllegalMoveError:
            self._metrics.moves.labels(move_of(command), "refused").inc()
            raise

    async def tell(
        self,
        case_id: str,
        command: c.Command,
        *,
        event_id: str | None = None,
        causation_id: str | None = None,
    ) -> StoredCase | None:
        """Carry out a command of the platform itself, deciding anew as often as somebody is faster.

        Returns:
            The state after it; None if the case does not allow it any more, which is no error here.

        Raises:
            CaseNotFoundError: no such case.
            TransientError: not known to be stored; tell it again.
        """
        for _ in range(ATTEMPTS):
            stored = await self.load(case_id)
            try:
                return await self._carry_out(
                    stored, command, by="system", event_id=event_id, causation_id=causation_id
                )
            except IllegalMoveError:
                self._metrics.moves.labels(move_of(command), "moot").inc()
                return None
            except CaseChangedError:
                continue
        raise TransientError(describe(case_id, f"to hold still for {ATTEMPTS} attempts", "it is tried again"))

    async def _carry_out(  # noqa: PLR0913 - who asked what, and where the event comes from
        self,
        stored: StoredCase,
        command: c.Command,
        *,
        by: str,
        note: Sealed | None = None,
        mark: CommandMark | None = None,
        event_id: str | None = None,
        causation_id: str | None = None,
        traceparent: str | None = None,
    ) -> StoredCase:
        now = self.now()
        decision = decide(stored.case, command, self.terms(stored.case.kind, now), now)
        case = _marked(decision.case, mark)
        if event_id is None:
            event_id = (
                derived_id("case-command", case.case_id, mark.key, mark.digest) if mark else self._new_id(now)
            )
        event = case_event(
            decision.fact,
            case,
            event_id=event_id,
            by=by,
            now=now,
            provenance=Provenance(stored.correlation_id, causation_id, traceparent),
            rules=self._packs.on(business_day(now)).hash,
            note=note,
            **_more(command),
        )
        sequence, duplicate = await self._store.store(event, case, replaces=stored.sequence)
        if duplicate:
            # Stored in an earlier life of ours: what we have just decided is not what stands there.
            return await self.load(case.case_id)
        self._metrics.moves.labels(move_of(command), "done").inc()
        log.info(
            "case_moved", case_id=case.case_id, fact=decision.fact, status=case.status.value, by=by,
            unit_id=case.unit_id, event_id=event_id,
        )  # fmt: skip
        return StoredCase(case, sequence, stored.correlation_id)

    @staticmethod
    def _carried_out(case: Case, mark: CommandMark) -> bool:
        known = next((each for each in case.commands if each.key == mark.key), None)
        if known is not None and known.digest != mark.digest:
            raise KeyReusedError(
                describe("an Idempotency-Key of another command", "a key of its own", "send a new key")
            )
        return known is not None


def _marked(case: Case, mark: CommandMark | None) -> Case:
    if mark is None:
        return case
    return replace(case, commands=(*case.commands, mark)[-MARKS_KEPT:])


def _more(command: c.Command) -> dict[str, Any]:
    """Fields of a fact beyond the state after it."""
    match command:
        case c.ReachMark():
            return {"clock": command.clock.value, "percent": command.percent, "due_at": command.at}
        case c.SpotCheck():
            return {"passed": command.passed}
        case c.Extend():
            return {"working_days": command.working_days}
        case c.Annul():
            return {"reason": command.reason.value}
        case _:
            return {}
