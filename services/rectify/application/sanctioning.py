"""What people decide: signing, rejecting, appealing, deciding an appeal, confirming a nomination.

Each happens once in the life of what it is about, so a repeat by the same person is answered with the state
as it is now, and needs no key.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

import structlog

from services.rectify.application.ladder_ports import LadderStore, StoredNomination, StoredSanction
from services.rectify.application.ladder_translation import confirmation_event, sanction_event
from services.rectify.application.ports import HolidayTable, RulePacks
from services.rectify.domain import sanctions as s
from services.rectify.domain.errors import ChangedSinceError
from services.rectify.domain.nominations import NominationNotFoundError, confirm
from services.rectify.domain.sanctions import Change, Sanction, SanctionNotFoundError, SanctionStatus
from services.rectify.domain.terms import Terms
from services.rectify.metrics import RectifyMetrics
from shared.events import Provenance
from shared.kernel.clock import Clock, business_day, whole_ms
from shared.kernel.errors import ConflictError
from shared.kernel.grades import Level

log = structlog.get_logger(__name__)


class SanctionChangedError(ChangedSinceError):
    """It is not what whoever asks has seen, or somebody was faster (HTTP 409); `stored` is what it is."""

    title: ClassVar[str] = "The sanction has changed"

    def __init__(self, stored: StoredSanction, expected: str) -> None:
        """`expected` says what was wanted."""
        super().__init__(stored.sanction.version, stored.sanction.status, expected)
        self.stored = stored


class NominationChangedError(ChangedSinceError):
    """Somebody else was faster (HTTP 409)."""

    title: ClassVar[str] = "The nomination has changed"


@dataclass(frozen=True, slots=True)
class Asked:
    """A person's move.

    Attributes:
        move: its name on the wire.
        make: what it makes of the state, given the time and until when a signed one can be appealed against.
        done: whether the state says that the same person has made the same move before.
        details: fields of the fact alone.
    """

    move: str
    make: Callable[[Sanction, datetime, datetime], Change]
    done: Callable[[Sanction], bool]
    details: Mapping[str, object] = field(default_factory=dict)


def signing(by: str) -> Asked:
    """Put a proposal in force."""
    return Asked(
        "sign",
        lambda sanction, now, until: s.sign(sanction, by, now, until),
        lambda sanction: sanction.signed_by == by,
    )


def rejecting(by: str, reason: str, evidence: tuple[str, ...]) -> Asked:
    """Refuse to sign."""
    return Asked(
        "reject",
        lambda sanction, now, _: s.reject(sanction, by, now),
        lambda sanction: sanction.rejected_by == by,
        {"reason": reason, "evidence": evidence},
    )


def appealing(by: str, reason: str, evidence: tuple[str, ...]) -> Asked:
    """Appeal, for the unit."""
    return Asked(
        "appeal",
        lambda sanction, now, _: s.appeal(sanction, by, now),
        lambda sanction: sanction.appealed_by == by,
        {"reason": reason, "evidence": evidence},
    )


def deciding(by: str, evidence: tuple[str, ...], *, granted: bool) -> Asked:
    """Decide an appeal."""
    decided = SanctionStatus.OVERTURNED if granted else SanctionStatus.UPHELD
    return Asked(
        "decide",
        lambda sanction, now, _: s.decide_appeal(sanction, by, now, granted=granted),
        lambda sanction: sanction.decided_by == by and sanction.status is decided,
        {"granted": granted, "evidence": evidence},
    )


class Sanctioning:
    """Where people's decisions on sanctions and nominations are carried out."""

    def __init__(
        self,
        store: LadderStore,
        packs: RulePacks,
        holidays: HolidayTable,
        clock: Clock,
        metrics: RectifyMetrics,
    ) -> None:
        """Store in `store`; working days are those of a bureau."""
        self._store = store
        self._packs = packs
        self._holidays = holidays
        self._clock = clock
        self._metrics = metrics

    def now(self) -> datetime:
        """The time that is decided by, as finely as events tell it."""
        return whole_ms(self._clock.now())

    async def sanction(self, sanction_id: str) -> StoredSanction:
        """The newest state.

        Raises:
            SanctionNotFoundError: no such sanction.
            TransientError: the broker is away.
        """
        found = await self._store.sanction(sanction_id)
        if found is None:
            raise no_sanction(sanction_id)
        return found

    async def nomination(self, nomination_id: str) -> StoredNomination:
        """The newest state.

        Raises:
            NominationNotFoundError: no such nomination.
            TransientError: the broker is away.
        """
        found = await self._store.nomination(nomination_id)
        if found is None:
            raise no_nomination(nomination_id)
        return found

    async def ask(
        self,
        sanction_id: str,
        asked: Asked,
        *,
        by: str,
        if_match: int | None = None,
        traceparent: str | None = None,
    ) -> StoredSanction:
        """Carry out a person's move, once.

        Args:
            sanction_id: of what.
            asked: the move.
            by: role or credential.
            if_match: sequence that the person has seen; None: whatever it is.
            traceparent: of the request.

        Raises:
            SanctionNotFoundError: no such sanction.
            IllegalSanctionMoveError: it does not allow that now.
            SanctionChangedError: it has changed since the person looked, or while we decided.
            TransientError: not known to be stored; send it again.
        """
        stored = await self.sanction(sanction_id)
        if asked.done(stored.sanction):
            self._count(asked.move, "repeated")
            return stored
        if if_match is not None and if_match != stored.sequence:
            self._count(asked.move, "lost")
            raise SanctionChangedError(stored, f'the version with the ETag "{if_match}"')
        now = self.now()
        pack = self._packs.on(business_day(now))
        calendar = Terms.of(pack.rectify, None, self._holidays.current()).calendar
        until = calendar.after(now, pack.ladders.appeal_wd * calendar.day_minutes)
        try:
            change = asked.make(stored.sanction, now, until)
        except ConflictError:
            self._count(asked.move, "refused")
            raise
        event = sanction_event(
            change,
            by=by,
            now=now,
            provenance=Provenance(stored.correlation_id, stored.event_id, traceparent),
            rules=pack.hash,
            details=asked.details,
        )
        (outcome,) = await self._store.store([(event, stored.sequence)])
        if outcome.sequence == 0 or outcome.repeated:
            newer = await self.sanction(sanction_id)
            if asked.done(newer.sanction):
                return newer
            self._count(asked.move, "lost")
            raise SanctionChangedError(newer, f"version {stored.sanction.version}")
        self._count(asked.move, "done")
        log.info(
            "sanction_moved", sanction_id=sanction_id, fact=change.fact, status=change.sanction.status.value,
            unit_id=change.sanction.unit_id, by=by, event_id=event.id,
        )  # fmt: skip
        return StoredSanction(change.sanction, outcome.sequence, stored.correlation_id, event.id)

    async def confirm(
        self, stored: StoredNomination, *, by: str, level: Level, traceparent: str | None = None
    ) -> StoredNomination:
        """Confirm a nomination for `level`, once.

        Raises:
            IllegalNominationError: it awaits nobody.
            NominationChangedError: somebody else was faster.
            TransientError: not known to be stored; send it again.
        """
        nomination = stored.nomination
        if any(each.at_level is level for each in nomination.confirmations):
            return stored
        now = self.now()
        after = confirm(nomination, by, now)
        event = confirmation_event(
            after,
            by=by,
            now=now,
            provenance=Provenance(stored.correlation_id, stored.event_id, traceparent),
            rules=self._packs.on(business_day(now)).hash,
        )
        (outcome,) = await self._store.store([(event, stored.sequence)])
        if outcome.sequence == 0 or outcome.repeated:
            newer = await self.nomination(nomination.nomination_id)
            if any(each.at_level is level for each in newer.nomination.confirmations):
                return newer
            raise NominationChangedError(
                newer.nomination.version, newer.nomination.status, f"version {nomination.version}"
            )
        self._count("confirm", "done")
        return StoredNomination(after, outcome.sequence, stored.correlation_id, event.id)

    def _count(self, move: str, outcome: str) -> None:
        self._metrics.sanction_moves.labels(move, outcome).inc()


def no_sanction(sanction_id: str) -> SanctionNotFoundError:
    """The error for a sanction that does not exist, or does not for whoever asks."""
    return SanctionNotFoundError(
        sanction_id, "the id of a sanction", "look it up in the list", field="sanction_id"
    )


def no_nomination(nomination_id: str) -> NominationNotFoundError:
    """The error for a nomination that does not exist, or does not for whoever asks."""
    return NominationNotFoundError(
        nomination_id, "the id of a nomination", "look it up in the list", field="nomination_id"
    )
