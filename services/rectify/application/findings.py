"""Findings of supervision to cases: a spot check's or an incident's opens one, its refutation annuls it."""

from datetime import datetime, timedelta
from typing import Any

from services.rectify.application.desk import Desk
from services.rectify.application.ports import RecordedFindings
from services.rectify.domain import commands as c
from services.rectify.domain.case import AnnulmentReason
from services.rectify.domain.errors import CaseNotFoundError
from services.rectify.domain.opening import Finding, case_id_of_finding, case_of_finding, finding_opens
from services.rectify.metrics import RectifyMetrics
from shared.events import Envelope, Provenance
from shared.events.supervision import FindingVerified, IncidentRecorded, InspectionRecorded
from shared.kernel.ids import derived_id
from shared.kernel.units import BUREAU, UnitRegistry


class FollowFindings:
    """Takes each finding to its case. Idempotent; facts of one finding must come in order."""

    def __init__(
        self,
        desk: Desk,
        recorded: RecordedFindings,
        units: UnitRegistry,
        metrics: RectifyMetrics,
        *,
        max_age: timedelta,
    ) -> None:
        """`units` say what kind of window a unit is, `recorded` what a verification is about.

        What was received longer than `max_age` ago opens nothing.
        """
        self._desk = desk
        self._recorded = recorded
        self._units = units
        self._metrics = metrics
        self._max_age = max_age

    async def __call__(self, event: Envelope[Any]) -> None:
        """Open, annul or revive the case of the finding that the event is about, if there is to be one.

        Raises:
            TransientError: not known to be stored; handle the event again.
        """
        if event.synthetic:
            return
        data = event.data
        if isinstance(data, FindingVerified):
            await self._on_verified(event, data)
        elif isinstance(data, InspectionRecorded | IncidentRecorded):
            await self._open(self._finding(event, data.verification), event)

    async def _on_verified(self, event: Envelope[Any], data: FindingVerified) -> None:
        recorded = await self._recorded.find(data.finding, data.finding_id, data.city, data.county)
        if recorded is None or recorded.synthetic:
            return  # older than the stream; nothing can be said about it
        finding = self._finding(recorded, data.verification)
        case_id = case_id_of_finding(data.finding_id)
        policy = self._desk.terms(finding.kind, event.receivedat).policy
        command: c.Annul | c.Revive = (
            c.Revive(data.revision)
            if finding_opens(finding, policy)
            else c.Annul(AnnulmentReason.REFUTED, data.revision)
        )
        event_id = derived_id("case-finding-verified", case_id, str(data.revision))
        try:
            await self._desk.tell(case_id, command, event_id=event_id, causation_id=event.id)
        except CaseNotFoundError:
            await self._open(finding, event)

    def _finding(self, recorded: Envelope[Any], verification: str) -> Finding:
        data: InspectionRecorded | IncidentRecorded = recorded.data
        kind = self._units.get(data.unit_id).kind if data.unit_id in self._units else None
        return Finding(
            finding_id=recorded.id,
            unit_id=data.unit_id,
            kind=None if kind == BUREAU else kind,
            city=data.city,
            county=data.county,
            inspection=data.finding if isinstance(data, InspectionRecorded) else None,
            incident=data.kind if isinstance(data, IncidentRecorded) else None,
            verification=verification,
        )

    async def _open(self, finding: Finding, event: Envelope[Any]) -> None:
        now: datetime = event.receivedat
        terms = self._desk.terms(finding.kind, now)
        if not finding_opens(finding, terms.policy):
            return
        if self._desk.now() - now > self._max_age:
            self._metrics.opened.labels("stale").inc()
            return
        case = case_of_finding(finding, terms, now)
        await self._desk.open(case, by="system", provenance=Provenance.caused_by(event))
        self._metrics.opened.labels(case.origin.value).inc()
