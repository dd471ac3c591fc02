"""Every event that crosses a service boundary: its data model, its registration and its envelope.

Import from here, not from the modules below: ``FeedbackSubmitted``, ``EVENTS``, ``Envelope`` …
"""

from shared.events.alerts import (
    AlertAcknowledged,
    AlertDelivered,
    AlertDeliveryFailed,
    AlertRaised,
    AlertSnoozed,
    AlertTelling,
)
from shared.events.audit import (
    BatchSequenced,
    CheckpointSigned,
    SequencedRun,
    StreamDiverged,
    StreamHistoryAccepted,
)
from shared.events.base import EventData
from shared.events.deadletter import MessageDeadLettered
from shared.events.envelope import Envelope, InvalidEventError, Provenance, parse_envelope
from shared.events.feedback import (
    CountedFields,
    DimensionGrades,
    FeedbackConflicted,
    FeedbackCorrected,
    FeedbackExcluded,
    FeedbackQuarantined,
    FeedbackReinstated,
    FeedbackReleased,
    FeedbackRevision,
    FeedbackSubmitted,
    FeedbackWithdrawn,
    SealedText,
)
from shared.events.integrity import UnitFlagged
from shared.events.people import IdentityErased, IdentityUnmasked, UnmaskingDecided, UnmaskingRequested
from shared.events.ranking import PeriodClosed, PeriodRestated, RankingRevised, RankingRow, UnitScoreChanged
from shared.events.reads import RecordsRead
from shared.events.registry import EVENTS, EventSpec, parse_event, spec_for_data, spec_for_type

__all__ = [
    "EVENTS",
    "AlertAcknowledged",
    "AlertDelivered",
    "AlertDeliveryFailed",
    "AlertRaised",
    "AlertSnoozed",
    "AlertTelling",
    "BatchSequenced",
    "CheckpointSigned",
    "CountedFields",
    "DimensionGrades",
    "Envelope",
    "EventData",
    "EventSpec",
    "FeedbackConflicted",
    "FeedbackCorrected",
    "FeedbackExcluded",
    "FeedbackQuarantined",
    "FeedbackReinstated",
    "FeedbackReleased",
    "FeedbackRevision",
    "FeedbackSubmitted",
    "FeedbackWithdrawn",
    "IdentityErased",
    "IdentityUnmasked",
    "InvalidEventError",
    "MessageDeadLettered",
    "PeriodClosed",
    "PeriodRestated",
    "Provenance",
    "RankingRevised",
    "RankingRow",
    "RecordsRead",
    "SealedText",
    "SequencedRun",
    "StreamDiverged",
    "StreamHistoryAccepted",
    "UnitFlagged",
    "UnitScoreChanged",
    "UnmaskingDecided",
    "UnmaskingRequested",
    "parse_envelope",
    "parse_event",
    "spec_for_data",
    "spec_for_type",
]
