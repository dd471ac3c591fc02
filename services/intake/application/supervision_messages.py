"""Events of supervision and panels, back into the books."""

from datetime import date
from typing import Any

from services.intake.domain.panels import PanelBook, Seat
from services.intake.domain.supervision import (
    Campaign,
    CampaignBook,
    Finding,
    FindingBook,
    Phases,
    Target,
    Trust,
)
from shared.events import Envelope
from shared.events.supervision import (
    CampaignOpened,
    FindingVerified,
    IncidentRecorded,
    InspectionRecorded,
    VisitRecorded,
)
from shared.events.units import AssessorEnrolled


def apply_supervision(
    campaigns: CampaignBook, findings: FindingBook, panels: PanelBook, envelope: Envelope[Any]
) -> None:
    """Fold one event into the books; events of other kinds change nothing."""
    said = envelope.data
    if isinstance(said, CampaignOpened):
        campaigns.opened(_campaign(said))
    elif isinstance(said, VisitRecorded):
        campaigns.visited(said.campaign_id, said.county, said.household_hmac, said.team)
    elif isinstance(said, InspectionRecorded | IncidentRecorded):
        findings.recorded(_finding(envelope, said))
    elif isinstance(said, FindingVerified):
        findings.verified(said.finding_id, said.revision, Trust(said.verification), said.decided_by)
    elif isinstance(said, AssessorEnrolled):
        seat = Seat(said.assessor_hmac, said.panel, said.division, said.year, said.group)
        panels.enrolled(seat, enrolled=said.enrolled)


def _campaign(said: CampaignOpened) -> Campaign:
    days = (said.mobilise_from, said.run_from, said.consolidate_from, said.ends)
    return Campaign(
        said.campaign_id,
        said.title,
        said.teams,
        said.cadres,
        tuple(Target(each.county, each.city, each.households) for each in said.targets),
        Phases(*(date.fromisoformat(day) for day in days)),
        said.decided_by,
    )


def _finding(envelope: Envelope[Any], said: InspectionRecorded | IncidentRecorded) -> Finding:
    inspection = isinstance(said, InspectionRecorded)
    return Finding(
        finding_id=envelope.id,
        family="inspection" if inspection else "incident",
        unit_id=said.unit_id,
        what=said.finding if isinstance(said, InspectionRecorded) else said.kind,
        occurred_at=envelope.time,
        recorded_by=said.recorded_by,
        city=said.city,
        county=said.county,
        trust=Trust(said.verification),
        severity=None if isinstance(said, InspectionRecorded) else said.severity,
    )
