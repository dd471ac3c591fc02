"""The catalogue: one :class:`EventSpec` for each event, in one explicit tuple.

Adding an event means: its data model, one entry here, ``make docs``, and an example. Everything else
(subjects, schemas, AsyncAPI, docs/events.md, broker permissions) is derived from this tuple.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import msgspec

from shared.events import approvals, endpoints, sanctions, supervision, units
from shared.events.alerts import (
    AlertAcknowledged,
    AlertDelivered,
    AlertDeliveryFailed,
    AlertRaised,
    AlertSnoozed,
)
from shared.events.audit import BatchSequenced, CheckpointSigned, StreamDiverged, StreamHistoryAccepted
from shared.events.base import EventData
from shared.events.bulletins import BulletinPublished
from shared.events.cases import (
    CaseAnnulled,
    CaseAnswered,
    CaseAnswerRefused,
    CaseAssigned,
    CaseClassified,
    CaseClockReached,
    CaseClosed,
    CaseConfirmed,
    CaseContacted,
    CaseExtended,
    CaseInquired,
    CaseInquiryAnswered,
    CaseOpened,
    CasePaused,
    CasePlanned,
    CaseProgressReported,
    CaseRescheduled,
    CaseResumed,
    CaseReviewed,
    CaseRevived,
    CaseSpotChecked,
    CaseTransferAccepted,
    CaseTransferProposed,
    CaseTransferRefused,
)
from shared.events.deadletter import MessageDeadLettered
from shared.events.envelope import Envelope, InvalidEventError, Provenance, parse_envelope
from shared.events.feedback import (
    FeedbackConflicted,
    FeedbackCorrected,
    FeedbackExcluded,
    FeedbackQuarantined,
    FeedbackReinstated,
    FeedbackReleased,
    FeedbackSubmitted,
    FeedbackWithdrawn,
)
from shared.events.integrity import UnitFlagged
from shared.events.people import IdentityErased, IdentityUnmasked, UnmaskingDecided, UnmaskingRequested
from shared.events.ranking import PeriodClosed, PeriodRestated, RankingRevised, UnitScoreChanged
from shared.events.reads import RecordsRead
from shared.events.unreadable import UNREADABLE
from shared.kernel.errors import describe

EVERYWHERE = "all"
ANY_SERVICE = "any"


@dataclass(frozen=True)
class EventSpec:
    """What the platform promises about one event.

    Attributes:
        context: first token of the subject (``feedback``).
        fact: third token, past tense, kebab-case (``submitted``).
        data: pydantic model of the ``data`` part.
        stream: JetStream stream that stores it.
        producers: services that publish it.
        consumers: services that act on it (the archive stores all).
        retention: how long the stream keeps it, in words.
        public: whether readers outside the platform may subscribe.
        major: version of the contract; a breaking change is a new spec with the next number.
        topic: third token of the subject where facts share one subject; None: the fact.
        key: what the sixth token of the subject is (``case_id``), where there is one.
    """

    context: str
    fact: str
    data: type[EventData]
    stream: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    retention: str
    public: bool = False
    major: int = 1
    topic: str | None = None
    key: str | None = None

    @property
    def name(self) -> str:
        """Class name of the data model, the event's name in prose."""
        return self.data.__name__

    @cached_property
    def event_type(self) -> str:
        """CloudEvents type."""
        return f"cn.pingyi.{self.context}.{self.fact}.v{self.major}"

    @cached_property
    def dataschema(self) -> str:
        """URN of the JSON Schema of the data."""
        return f"urn:pingyi:schema:{self.context}.{self.fact}.v{self.major}"

    @cached_property
    def envelope(self) -> type[Envelope[Any]]:
        """The envelope model with this event's data."""
        return Envelope[self.data]  # type: ignore[name-defined]  # a runtime parametrisation

    @property
    def pattern(self) -> str:
        """Subject filter that matches every place: ``feedback.v1.submitted.*.*``."""
        return self.subject_for("*", "*")

    def subject_for(self, city: str = EVERYWHERE, county: str = EVERYWHERE, key: str = "*") -> str:
        """NATS subject for a place; ``all`` stands for 'whole city' or 'whole province'.

        ``key`` is the sixth token, where the event has one.
        """
        subject = f"{self.context}.v{self.major}.{self.topic or self.fact}.{city}.{county}"
        return subject if self.key is None else f"{subject}.{key}"

    def wrap(  # noqa: PLR0913 - the attributes of a CloudEvent, keyword-only
        self,
        data: EventData,
        *,
        event_id: str,
        source: str,
        subject: str,
        time: datetime,
        received_at: datetime,
        provenance: Provenance,
        rules: str | None = None,
        import_id: str | None = None,
        synthetic: bool = False,
    ) -> Envelope[Any]:
        """Put ``data`` into its envelope. ``source`` is the bare service name."""
        return self.envelope(
            specversion="1.0",
            id=event_id,
            source=f"/pingyi/{source}",
            type=self.event_type,
            subject=subject,
            time=time,
            dataschema=self.dataschema,
            correlationid=provenance.correlation_id,
            causationid=provenance.causation_id,
            traceparent=provenance.traceparent,
            rules=rules,
            receivedat=received_at,
            importid=import_id,
            synthetic=synthetic,
            data=data,
        )


_AT_LEAST_400_DAYS = "at least 400 days in the stream, for good in the archive"
_CASE_FACTS: tuple[tuple[str, type[EventData]], ...] = (
    ("opened", CaseOpened),
    ("classified", CaseClassified),
    ("assigned", CaseAssigned),
    ("transfer-proposed", CaseTransferProposed),
    ("transfer-accepted", CaseTransferAccepted),
    ("transfer-refused", CaseTransferRefused),
    ("contacted", CaseContacted),
    ("planned", CasePlanned),
    ("progress-reported", CaseProgressReported),
    ("extended", CaseExtended),
    ("paused", CasePaused),
    ("resumed", CaseResumed),
    ("answered", CaseAnswered),
    ("confirmed", CaseConfirmed),
    ("answer-refused", CaseAnswerRefused),
    ("closed", CaseClosed),
    ("reviewed", CaseReviewed),
    ("spot-checked", CaseSpotChecked),
    ("inquired", CaseInquired),
    ("inquiry-answered", CaseInquiryAnswered),
    ("annulled", CaseAnnulled),
    ("revived", CaseRevived),
    ("clock-reached", CaseClockReached),
    ("rescheduled", CaseRescheduled),
)
_DERIVED = "90 days in the stream (derived, can be made again), for good in the archive"
_LONGEST = "800 days in the stream, for good in the archive"

_FOR_GOOD = "for good in the stream and in the archive"

_ALSO_READ_BY = {"registry": ("notify",), "supervision": ("rectify",)}

_REGISTRY: tuple[EventSpec, ...] = tuple(
    EventSpec(
        context, fact, data, "REGISTRY", producers=("intake",),
        consumers=("intake", *_ALSO_READ_BY.get(context, ())), retention=_FOR_GOOD,
    )
    for context, fact, data in (
        ("approvals", "requested", approvals.ApprovalRequested),
        ("approvals", "granted", approvals.ApprovalGranted),
        ("approvals", "rejected", approvals.ApprovalRejected),
        ("approvals", "completed", approvals.ApprovalCompleted),
        ("supervision", "campaign-opened", supervision.CampaignOpened),
        ("supervision", "visit-recorded", supervision.VisitRecorded),
        ("supervision", "inspection-recorded", supervision.InspectionRecorded),
        ("supervision", "incident-recorded", supervision.IncidentRecorded),
        ("supervision", "finding-verified", supervision.FindingVerified),
        ("registry", "unit-registered", units.UnitRegistered),
        ("registry", "unit-changed", units.UnitChanged),
        ("registry", "unit-merged", units.UnitMerged),
        ("registry", "division-changed", units.DivisionChanged),
        ("registry", "responsibility-assigned", units.ResponsibilityAssigned),
        ("registry", "assessor-enrolled", units.AssessorEnrolled),
        ("registry", "loaded", units.RegistryLoaded),
    )
)  # fmt: skip

_SANCTIONS: tuple[EventSpec, ...] = tuple(
    EventSpec(
        "sanctions", fact, data, "REGISTRY", producers=("rectify",), consumers=consumers,
        retention=_FOR_GOOD, topic=topic, key="quarter" if topic == "check" else f"{topic}_id",
    )
    for topic, facts, consumers in (
        ("strike", sanctions.STRIKE_FACTS, ("rectify", "notify")),
        ("sanction", sanctions.SANCTION_FACTS, ("rectify", "notify")),
        ("sanction", sanctions.VETO_FACTS, ("rectify", "notify", "scoring")),
        ("nomination", sanctions.NOMINATION_FACTS, ("rectify", "notify")),
        ("candidate", sanctions.CANDIDATE_FACTS, ("rectify", "notify")),
        ("check", sanctions.CHECK_FACTS, ("rectify",)),
    )
    for fact, data in facts
)  # fmt: skip

EVENTS: tuple[EventSpec, ...] = (
    EventSpec(
        "feedback", "submitted", FeedbackSubmitted, "FEEDBACK",
        producers=("intake",), consumers=("intake", "scoring", "notify", "rectify"),
        retention=_AT_LEAST_400_DAYS,
    ),
    EventSpec(
        "feedback", "conflicted", FeedbackConflicted, "FEEDBACK",
        producers=("intake",), consumers=(), retention=_AT_LEAST_400_DAYS,
    ),
    EventSpec(
        "feedback", "corrected", FeedbackCorrected, "FEEDBACK",
        producers=("intake",), consumers=("intake", "scoring", "notify", "rectify"),
        retention=_AT_LEAST_400_DAYS,
    ),
    EventSpec(
        "feedback", "withdrawn", FeedbackWithdrawn, "FEEDBACK",
        producers=("intake",), consumers=("intake", "scoring", "notify", "rectify"),
        retention=_AT_LEAST_400_DAYS,
    ),
    EventSpec(
        "feedback", "excluded", FeedbackExcluded, "FEEDBACK",
        producers=("intake",), consumers=("intake", "scoring", "notify", "rectify"),
        retention=_AT_LEAST_400_DAYS,
    ),
    EventSpec(
        "feedback", "reinstated", FeedbackReinstated, "FEEDBACK",
        producers=("intake",), consumers=("intake", "scoring", "notify", "rectify"),
        retention=_AT_LEAST_400_DAYS,
    ),
    EventSpec(
        "feedback", "quarantined", FeedbackQuarantined, "FEEDBACK",
        producers=("intake",), consumers=("intake", "scoring", "notify"), retention=_AT_LEAST_400_DAYS,
    ),
    EventSpec(
        "feedback", "released", FeedbackReleased, "FEEDBACK",
        producers=("intake",), consumers=("intake", "scoring", "notify"), retention=_AT_LEAST_400_DAYS,
    ),
    EventSpec(
        "audit", "stream-diverged", StreamDiverged, "AUDIT",
        producers=("archive",), consumers=("notify",), retention=_AT_LEAST_400_DAYS,
    ),
    EventSpec(
        "audit", "history-accepted", StreamHistoryAccepted, "AUDIT",
        producers=("archive",), consumers=(), retention=_AT_LEAST_400_DAYS,
    ),
    EventSpec(
        "ranking", "revised", RankingRevised, "RANKING",
        producers=("scoring",), consumers=("notify",), retention=_DERIVED, public=True,
    ),
    EventSpec(
        "ranking", "score-changed", UnitScoreChanged, "RANKING",
        producers=("scoring",), consumers=("notify",), retention=_DERIVED, public=True,
    ),
    EventSpec(
        "ranking", "period-closed", PeriodClosed, "RANKING",
        producers=("scoring",), consumers=("rectify", "notify"), retention=_DERIVED, public=True,
    ),
    EventSpec(
        "ranking", "period-restated", PeriodRestated, "RANKING",
        producers=("scoring",), consumers=(), retention=_DERIVED, public=True,
    ),
    EventSpec(
        "integrity", "unit-flagged", UnitFlagged, "INTEGRITY",
        producers=("scoring",), consumers=("notify",), retention=_DERIVED,
    ),
    EventSpec(
        "alerts", "raised", AlertRaised, "ALERTS",
        producers=("notify",), consumers=("notify",), retention=_DERIVED,
    ),
    EventSpec(
        "alerts", "delivered", AlertDelivered, "ALERTS",
        producers=("notify",), consumers=("notify",), retention=_DERIVED,
    ),
    EventSpec(
        "alerts", "delivery-failed", AlertDeliveryFailed, "ALERTS",
        producers=("notify",), consumers=("notify",), retention=_DERIVED,
    ),
    EventSpec(
        "alerts", "acknowledged", AlertAcknowledged, "ALERTS",
        producers=("notify",), consumers=("notify",), retention=_DERIVED,
    ),
    EventSpec(
        "alerts", "snoozed", AlertSnoozed, "ALERTS",
        producers=("notify",), consumers=("notify",), retention=_DERIVED,
    ),
    EventSpec(
        "alerts", "endpoint-disabled", endpoints.EndpointDisabled, "ALERTS",
        producers=("notify",), consumers=("notify",), retention=_DERIVED,
    ),
    EventSpec(
        "alerts", "endpoint-enabled", endpoints.EndpointEnabled, "ALERTS",
        producers=("notify",), consumers=("notify",), retention=_DERIVED,
    ),
    EventSpec(
        "audit", "records-read", RecordsRead, "AUDIT",
        producers=("archive",), consumers=(), retention=_AT_LEAST_400_DAYS,
    ),
    EventSpec(
        "audit", "batch-sequenced", BatchSequenced, "AUDIT",
        producers=("archive",), consumers=(), retention=_AT_LEAST_400_DAYS,
    ),
    EventSpec(
        "audit", "checkpoint-signed", CheckpointSigned, "AUDIT",
        producers=("archive",), consumers=(), retention=_AT_LEAST_400_DAYS,
    ),
    *(
        EventSpec(
            "audit", fact, data, "AUDIT",
            producers=("intake",), consumers=("intake",), retention=_AT_LEAST_400_DAYS,
        )
        for fact, data in (
            ("unmasking-requested", UnmaskingRequested),
            ("unmasking-decided", UnmaskingDecided),
            ("identity-unmasked", IdentityUnmasked),
            ("identity-erased", IdentityErased),
        )
    ),
    *(
        EventSpec(
            "cases", fact, data, "CASES",
            producers=("rectify",), consumers=("rectify", "notify", "scoring"),
            retention=_AT_LEAST_400_DAYS,
            topic="changed", key="case_id",
        )
        for fact, data in _CASE_FACTS
    ),
    EventSpec(
        "bulletins", "published", BulletinPublished, "REGISTRY",
        producers=("rectify",), consumers=("rectify",), retention=_FOR_GOOD, key="period",
    ),
    EventSpec(
        "deadletter", "rejected", MessageDeadLettered, "DEADLETTER",
        producers=(ANY_SERVICE,), consumers=("notify",), retention=_LONGEST,
    ),
    *_REGISTRY,
    *_SANCTIONS,
)  # fmt: skip

_BY_DATA = {spec.data: spec for spec in EVENTS}
_BY_TYPE = {spec.event_type: spec for spec in EVENTS}


def spec_for_data(data: type[EventData]) -> EventSpec:
    """The spec of a data model.

    Raises:
        KeyError: the model is not registered; add it to :data:`EVENTS`.
    """
    return _BY_DATA[data]


def spec_for_type(event_type: str) -> EventSpec:
    """The spec of a CloudEvents type.

    Raises:
        InvalidEventError: no event of that type is registered.
    """
    spec = _BY_TYPE.get(event_type)
    if spec is None:
        raise InvalidEventError(
            describe(
                event_type, f"one of {', '.join(sorted(_BY_TYPE))}", "register the event or drop the message"
            )
        )
    return spec


class _Head(msgspec.Struct):
    """The least of an event that says how to read the rest."""

    type: str


_head = msgspec.json.Decoder(_Head).decode


def parse_event(raw: bytes) -> Envelope[Any]:
    """Parse a message body that may be any registered event, with the model of its type.

    Raises:
        InvalidEventError: the body is no event, of no registered type, or breaks its contract.
    """
    try:
        event_type = _head(raw).type
    except UNREADABLE as error:
        raise InvalidEventError(
            describe(f"{len(raw)} bytes", f"a CloudEvent ({error})", "fix the producer, then replay")
        ) from error
    return parse_envelope(spec_for_type(event_type).envelope, raw)
