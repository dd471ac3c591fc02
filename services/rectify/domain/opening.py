"""What of the feedback, and of supervision's findings, opens a case."""

from dataclasses import dataclass
from datetime import datetime

from services.rectify.domain.case import Case, Origin
from services.rectify.domain.effects import opened
from services.rectify.domain.terms import Terms
from shared.kernel.grades import Channel, Grade, Verification
from shared.kernel.ids import derived_id
from shared.rules.rectify import Rectify

VERIFIED = frozenset({Verification.TRANSACTION, Verification.REAL_NAME})
"""Of a rating: whoever complains is known."""


@dataclass(frozen=True, slots=True)
class Rating:
    """What of a rating decides about a case."""

    rating_id: str
    unit_id: str
    kind: str | None
    city: str
    county: str
    grade: Grade
    channel: Channel
    verification: Verification
    has_text: bool
    has_contact: bool
    synthetic: bool


def case_id_of(rating_id: str, unit_id: str) -> str:
    """The id of the case that a rating of a unit may open: always the same, so it opens nothing twice."""
    return derived_id("case", "rating", rating_id, unit_id)


def origin_of(rating: Rating, policy: Rectify) -> Origin | None:
    """Why `rating` opens a case; None: it does not. Probes and drills never do."""
    if rating.synthetic or not rating.grade.is_bad:
        return None
    if rating.channel in policy.complaint_channels and rating.verification in VERIFIED:
        return Origin.COMPLAINT
    return Origin.RATING if rating.has_text or rating.has_contact else None


def case_of_rating(rating: Rating, origin: Origin, terms: Terms, now: datetime) -> Case:
    """The case that `rating` opens at `now`."""
    return opened(
        Case(
            case_id=case_id_of(rating.rating_id, rating.unit_id),
            origin=origin,
            ref=rating.rating_id,
            unit_id=rating.unit_id,
            kind=rating.kind,
            city=rating.city,
            county=rating.county,
            opened_at=now,
            has_text=rating.has_text,
            has_contact=rating.has_contact,
        ),
        terms,
    )


@dataclass(frozen=True, slots=True)
class Finding:
    """What of a spot check or an incident decides about a case.

    Attributes:
        inspection: what a spot check found, in the event's words; None for an incident.
        incident: which point of the veto list, in the event's words; None for a spot check.
        verification: reported, verified or refuted; what is in force.
    """

    finding_id: str
    unit_id: str
    kind: str | None
    city: str
    county: str
    inspection: str | None
    incident: str | None
    verification: str

    @property
    def origin(self) -> Origin:
        """Why its case is opened."""
        return Origin.INCIDENT if self.inspection is None else Origin.INSPECTION


def case_id_of_finding(finding_id: str) -> str:
    """The id of the case that a finding may open: always the same, so it opens nothing twice."""
    return derived_id("case", "finding", finding_id)


def finding_opens(finding: Finding, policy: Rectify) -> bool:
    """Whether `finding` opens a case, or keeps it open.

    A spot check's does at once, unless it is refuted: the team has seen it. An incident is reported by
    anybody, so it does when it is verified, as a complaint does.
    """
    if finding.inspection is not None:
        return finding.inspection in policy.finding_opens and finding.verification != "refuted"
    return finding.incident in policy.incident_opens and finding.verification == "verified"


def case_of_finding(finding: Finding, terms: Terms, now: datetime) -> Case:
    """The case that `finding` opens at `now`."""
    return opened(
        Case(
            case_id=case_id_of_finding(finding.finding_id),
            origin=finding.origin,
            ref=finding.finding_id,
            unit_id=finding.unit_id,
            kind=finding.kind,
            city=finding.city,
            county=finding.county,
            opened_at=now,
            has_text=False,
            has_contact=False,
        ),
        terms,
    )
