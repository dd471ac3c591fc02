"""The bytes of the six events that say what became of a rating."""

from collections.abc import Mapping
from typing import Any, Final

from services.intake.application.envelopes import SERVICE
from services.intake.application.ports import InForce
from services.intake.application.prepared import RequestFacts
from services.intake.domain.decisions import Changes, Decision
from services.intake.domain.revisions import Move, revision_id
from shared.events import (
    CountedFields,
    DimensionGrades,
    FeedbackCorrected,
    FeedbackExcluded,
    FeedbackQuarantined,
    FeedbackReinstated,
    FeedbackReleased,
    FeedbackRevision,
    FeedbackWithdrawn,
    parse_envelope,
    spec_for_data,
)
from shared.messaging.group_commit import Outgoing

FACTS: Final[Mapping[Move, type[FeedbackRevision]]] = {
    Move.CORRECT: FeedbackCorrected,
    Move.WITHDRAW: FeedbackWithdrawn,
    Move.EXCLUDE: FeedbackExcluded,
    Move.REINSTATE: FeedbackReinstated,
    Move.QUARANTINE: FeedbackQuarantined,
    Move.RELEASE: FeedbackReleased,
}
"""The event that each move leads to."""


def apply_changes(fields: CountedFields, changes: Changes) -> CountedFields:
    """The fields in force after a correction; time, channel, citizen and transaction stay as they were."""
    update: dict[str, Any] = {}
    if changes.unit_id is not None:
        update["unit_id"] = changes.unit_id
    if changes.grade is not None:
        update["grade"] = changes.grade
    if changes.dimensions is not None:
        update["dimensions"] = DimensionGrades(**changes.dimensions) if changes.dimensions else None
    return fields.model_copy(update=update)


def revision_message(  # noqa: PLR0913 - the parts of one event, keyword-only
    decision: Decision,
    before: InForce,
    *,
    target_id: str,
    number: int,
    corrected: CountedFields,
    request: str | None,
    digest: str,
    facts: RequestFacts,
) -> Outgoing:
    """The message that makes `decision` the revision `number` of the rating `target_id`.

    `before` is in force until then, `corrected` from then on; `request` is the pseudonym of the request's
    key, `digest` that of its own fields.
    """
    kind = FACTS[decision.move]
    spec = spec_for_data(kind)
    data: dict[str, Any] = {
        "target_id": target_id,
        "target_revision": number,
        "target": before.fields,
        "submitted": before.submitted,
        "city": before.city,
        "county": before.county,
        "reason": decision.reason,
        "decided_by": decision.decided_by,
        "requested_by": decision.requested_by,
        "approval_id": decision.approval_id,
        "request_hmac": request,
        "digest": digest,
    }
    if kind is FeedbackCorrected:
        data["corrected"] = corrected
    if kind is FeedbackQuarantined:
        data["cluster"] = decision.cluster
    envelope = spec.wrap(
        kind.model_validate(data),
        event_id=revision_id(target_id, number),
        source=SERVICE,
        subject=before.fields.unit_id,
        time=facts.received_at,
        received_at=facts.received_at,
        provenance=facts.provenance,
        rules=facts.rules_hash,
        synthetic=before.fields.synthetic,
    )
    return Outgoing(spec.subject_for(before.city, before.county), envelope.id, envelope.to_json())


def renumbered_withdrawal(message: Outgoing, before: InForce, number: int) -> Outgoing:
    """The withdrawal in `message` as the revision `number` of its rating, over what is in force by then.

    Raises:
        InvalidEventError: it is no withdrawal.
    """
    spec = spec_for_data(FeedbackWithdrawn)
    envelope = parse_envelope(spec.envelope, message.payload)
    changes = {"target_revision": number, "target": before.fields, "submitted": before.submitted}
    event_id = revision_id(envelope.data.target_id, number)
    renewed = envelope.model_copy(
        update={
            "id": event_id,
            "subject": before.fields.unit_id,
            "data": envelope.data.model_copy(update=changes),
        }
    )
    return Outgoing(spec.subject_for(before.city, before.county), event_id, renewed.to_json())
