"""Feedback to cases: bad reviews open them, and what becomes of a rating annuls or revives its case."""

from datetime import datetime, timedelta

from services.rectify.application.desk import Desk
from services.rectify.domain import commands as c
from services.rectify.domain.case import AnnulmentReason
from services.rectify.domain.errors import CaseNotFoundError
from services.rectify.domain.opening import Rating, case_id_of, case_of_rating, origin_of
from services.rectify.metrics import RectifyMetrics
from shared.events import (
    Envelope,
    FeedbackCorrected,
    FeedbackExcluded,
    FeedbackReinstated,
    FeedbackRevision,
    FeedbackSubmitted,
    FeedbackWithdrawn,
    Provenance,
)
from shared.kernel.grades import Grade
from shared.kernel.ids import derived_id
from shared.kernel.units import UnitRegistry


class FollowFeedback:
    """Takes each fact about a rating to its case. Idempotent; facts of one rating must come in order."""

    def __init__(
        self, desk: Desk, units: UnitRegistry, metrics: RectifyMetrics, *, max_age: timedelta
    ) -> None:
        """`units` says what kind of window a corrected rating belongs to.

        Ratings received longer than `max_age` ago open nothing: who starts with a year of history does not
        want a year of cases that were overdue before they began.
        """
        self._desk = desk
        self._max_age = max_age
        self._units = units
        self._metrics = metrics

    async def on_submitted(self, event: Envelope[FeedbackSubmitted]) -> None:
        """Open a case if the rating calls for one.

        Raises:
            TransientError: not known to be stored; handle the event again.
        """
        data = event.data
        rating = Rating(
            rating_id=event.id,
            unit_id=data.unit_id,
            kind=data.kind,
            city=data.city,
            county=data.county,
            grade=Grade(data.grade),
            channel=data.channel,
            verification=data.verification,
            has_text=data.text is not None,
            has_contact=data.has_contact,
            synthetic=event.synthetic,
        )
        await self._open(rating, event.receivedat, Provenance.caused_by(event))

    async def on_revised(self, event: Envelope[FeedbackRevision]) -> None:
        """Annul, revive or open the case of the rating that was revised.

        Raises:
            TransientError: not known to be stored; handle the event again.
        """
        data = event.data
        if event.synthetic or data.target.synthetic:
            return
        case_id = case_id_of(data.target_id, data.target.unit_id)
        match data:
            case FeedbackWithdrawn():
                await self._tell(case_id, c.Annul(AnnulmentReason.WITHDRAWN, data.target_revision), event)
            case FeedbackExcluded():
                await self._tell(case_id, c.Annul(AnnulmentReason.EXCLUDED, data.target_revision), event)
            case FeedbackReinstated():
                await self._tell(case_id, c.Revive(data.target_revision), event)
            case FeedbackCorrected():
                await self._on_corrected(case_id, data, event)
            case _:
                return

    async def _on_corrected(
        self, case_id: str, data: FeedbackCorrected, event: Envelope[FeedbackRevision]
    ) -> None:
        moved = data.corrected.unit_id != data.target.unit_id
        bad = Grade(data.corrected.grade).is_bad
        if moved or not bad:
            # A case's unit is fixed for its life: the other unit gets a case of its own.
            await self._tell(case_id, c.Annul(AnnulmentReason.CORRECTED, data.target_revision), event)
        if not bad:
            return
        theirs = case_id_of(data.target_id, data.corrected.unit_id)
        if not await self._tell(theirs, c.Revive(data.target_revision), event):
            await self._open_corrected(event, data)

    async def _tell(
        self, case_id: str, command: c.Annul | c.Revive, event: Envelope[FeedbackRevision]
    ) -> bool:
        """Carry `command` out; whether there is such a case."""
        event_id = derived_id("case-rating-revised", case_id, str(command.rating_revision))
        try:
            await self._desk.tell(case_id, command, event_id=event_id, causation_id=event.id)
        except CaseNotFoundError:
            return False
        return True

    async def _open_corrected(self, event: Envelope[FeedbackRevision], data: FeedbackCorrected) -> None:
        """Open a case for a rating that a correction has made bad, or another unit's."""
        fields = data.corrected
        unit = self._units.get(fields.unit_id)
        rating = Rating(
            rating_id=data.target_id,
            unit_id=fields.unit_id,
            kind=unit.kind,
            city=unit.city,
            county=unit.county,
            grade=Grade(fields.grade),
            channel=fields.channel,
            verification=fields.verification,
            has_text=fields.text_hmac is not None,
            has_contact=fields.citizen_hmac is not None,
            synthetic=False,
        )
        await self._open(rating, event.receivedat, Provenance.caused_by(event))

    async def _open(self, rating: Rating, now: datetime, provenance: Provenance) -> None:
        if self._desk.now() - now > self._max_age:
            self._metrics.opened.labels("stale").inc()
            return
        terms = self._desk.terms(rating.kind, now)
        origin = origin_of(rating, terms.policy)
        if origin is None:
            return
        case = case_of_rating(rating, origin, terms, now)
        await self._desk.open(case, by="system", provenance=provenance)
        self._metrics.opened.labels(origin.value).inc()
