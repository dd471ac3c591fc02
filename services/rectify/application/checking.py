"""Signing the quarterly check 季度检查 of a division: its figures are recorded with who stands for them."""

from dataclasses import replace
from typing import ClassVar

import structlog

from services.rectify.application.ladder_ports import LadderBooks, LadderStore
from services.rectify.application.ladder_translation import check_event
from services.rectify.application.ports import RulePacks
from services.rectify.domain.checks import Quarter
from services.rectify.domain.signed_checks import RegionFigures, SignedCheck
from shared.events import Provenance
from shared.kernel.clock import Clock, business_day, whole_ms
from shared.kernel.errors import ConflictError, describe

log = structlog.get_logger(__name__)


class QuarterRunsError(ConflictError):
    """The quarter is not over: its figures still change (HTTP 409)."""

    title: ClassVar[str] = "The quarter is not over"


class CheckSignedError(ConflictError):
    """Somebody else has signed the same check meanwhile (HTTP 409)."""

    title: ClassVar[str] = "The check was signed by somebody else"


class SignCheck:
    """Records a check; the same figures by the same person once."""

    def __init__(self, store: LadderStore, books: LadderBooks, packs: RulePacks, clock: Clock) -> None:
        """Store in `store`; `books` know what was signed before."""
        self._store = store
        self._books = books
        self._packs = packs
        self._clock = clock

    async def __call__(
        self,
        quarter: Quarter,
        division: tuple[str, str],
        regions: tuple[RegionFigures, ...],
        *,
        by: str,
        provenance: Provenance,
    ) -> tuple[SignedCheck, bool]:
        """Record the check of a division, and say whether it was recorded before.

        Args:
            quarter: which one.
            division: tokens of its city and county.
            regions: what was found.
            by: role or credential that signs.
            provenance: of the request.

        Raises:
            QuarterRunsError: the quarter is not over.
            CheckSignedError: somebody was faster.
            TransientError: not known to be stored, or what was signed before is not read yet; ask again.
        """
        now = whole_ms(self._clock.now())
        if business_day(now) <= quarter.last:
            raise QuarterRunsError(
                describe(
                    str(quarter), f"a quarter that is over; its last day is {quarter.last}", "sign later"
                )
            )
        known = self._books.require_caught_up().checks.get((str(quarter), *division))
        if known is not None and (known.by, known.regions) == (by, regions):
            return known, True
        revision, replaces = (1, 0) if known is None else (known.revision + 1, known.sequence)
        check = SignedCheck(str(quarter), *division, by, now, revision, regions, "", 0)
        event = check_event(check, provenance, self._packs.on(business_day(now)).hash)
        (outcome,) = await self._store.store([(event, replaces)])
        if outcome.sequence == 0:
            raise CheckSignedError(
                describe(f"a newer one than revision {revision - 1}", "the newest", "look at it, then sign")
            )
        log.info("check_signed", quarter=str(quarter), city=division[0], county=division[1], by=by)
        return replace(check, event_id=event.id, sequence=outcome.sequence), outcome.repeated
