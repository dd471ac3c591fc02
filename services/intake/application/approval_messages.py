"""The events of approvals: from values to envelopes, and back into the book."""

from typing import Any

from services.intake.application.envelopes import SERVICE
from services.intake.application.prepared import RequestFacts
from services.intake.domain.approvals import (
    Actor,
    ApprovalBook,
    Kind,
    Outcomes,
    Pack,
    Request,
    Verdict,
)
from services.intake.domain.decisions import Changes
from shared.events import Envelope, EventData, spec_for_data
from shared.events.approvals import (
    ApprovalCompleted,
    ApprovalGranted,
    ApprovalRejected,
    ApprovalRequested,
    CorrectionProposal,
    LeftAlone,
    RulesProposal,
    SettingDifference,
)
from shared.kernel.ids import derived_id


def requested_event(request: Request, facts: RequestFacts) -> Envelope[Any]:
    """The event that somebody asks for `request`."""
    asker, pack = request.requested_by, request.pack
    return _wrap(
        ApprovalRequested(
            kind=request.kind.value,
            reason=request.reason,
            requested_by=None if asker is None else asker.credential,
            level=None if asker is None else asker.level,
            city=request.city,
            county=request.county,
            expires_at=request.expires_at,
            targets=request.targets,
            import_id=request.import_id,
            barred=tuple(sorted(request.barred)),
            rules=None if pack is None else _proposal(pack),
            correction=None if request.changes is None else _correction(request.changes),
            content=request.content,
        ),
        request.approval_id,
        request.approval_id,
        facts,
    )


def decided_event(request: Request, verdict: Verdict, facts: RequestFacts) -> Envelope[Any]:
    """The event of a decision. Its id names the decider: two people who decide at once are two events."""
    common: dict[str, Any] = {
        "approval_id": request.approval_id,
        "decided_by": verdict.by.credential,
        "level": verdict.by.level,
        "city": request.city,
        "county": request.county,
    }
    data: EventData
    if verdict.granted:
        data = ApprovalGranted.model_validate(common)
    else:
        data = ApprovalRejected.model_validate(common | {"reason": verdict.reason})
    event_id = derived_id(
        "approval-decision", request.approval_id, verdict.by.credential, str(verdict.granted)
    )
    return _wrap(data, event_id, request.approval_id, facts)


def carried_out_event(request: Request, outcomes: Outcomes, facts: RequestFacts) -> Envelope[Any]:
    """The event that everything granted is done; every replica would give it the same id."""
    data = ApprovalCompleted(
        approval_id=request.approval_id,
        done=outcomes.done,
        left=tuple(
            LeftAlone(state=state, targets=targets) for state, targets in sorted(outcomes.left.items())
        ),
        city=request.city,
        county=request.county,
    )
    return _wrap(data, derived_id("approval-completed", request.approval_id), request.approval_id, facts)


def apply_approval(book: ApprovalBook, envelope: Envelope[Any], sequence: int) -> None:
    """Fold one event into `book`; events of other kinds change nothing."""
    said = envelope.data
    if isinstance(said, ApprovalRequested):
        book.requested(_request(envelope, said, sequence))
    elif isinstance(said, ApprovalGranted):
        actor = Actor(said.decided_by, said.level)
        book.decided(said.approval_id, Verdict(granted=True, by=actor, at=envelope.receivedat))
    elif isinstance(said, ApprovalRejected):
        actor = Actor(said.decided_by, said.level)
        verdict = Verdict(granted=False, by=actor, at=envelope.receivedat, reason=said.reason)
        book.decided(said.approval_id, verdict)
    elif isinstance(said, ApprovalCompleted):
        left = {each.state: each.targets for each in said.left}
        book.carried_out(said.approval_id, Outcomes(said.done, left))


def _request(envelope: Envelope[Any], said: ApprovalRequested, sequence: int) -> Request:
    asker = None
    if said.requested_by is not None and said.level is not None:
        asker = Actor(said.requested_by, said.level)
    return Request(
        approval_id=envelope.id,
        kind=Kind(said.kind),
        reason=said.reason,
        requested_by=asker,
        requested_at=envelope.receivedat,
        expires_at=said.expires_at,
        content=said.content,
        targets=said.targets,
        import_id=said.import_id,
        barred=frozenset(said.barred),
        pack=None if said.rules is None else _pack(said.rules),
        changes=None if said.correction is None else _changes(said.correction),
        city=said.city,
        county=said.county,
        sequence=sequence,
    )


def _proposal(pack: Pack) -> RulesProposal:
    return RulesProposal(
        version=pack.version,
        valid_from=pack.valid_from,
        hash=pack.hash,
        text=pack.text,
        replaces=pack.replaces,
        differences=tuple(SettingDifference(key=key, old=old, new=new) for key, old, new in pack.differences),
    )


def _pack(said: RulesProposal) -> Pack:
    return Pack(
        said.version,
        said.valid_from,
        said.hash,
        said.text,
        said.replaces,
        tuple((each.key, each.old, each.new) for each in said.differences),
    )


def _correction(changes: Changes) -> CorrectionProposal:
    given = changes.dimensions
    return CorrectionProposal.model_validate(
        {"unit_id": changes.unit_id, "grade": changes.grade, "dimensions": given}
    )


def _changes(said: CorrectionProposal) -> Changes:
    given = said.dimensions
    dimensions = None if given is None else {name: grade for name, grade in given if grade is not None}
    return Changes(unit_id=said.unit_id, grade=said.grade, dimensions=dimensions)


def _wrap(data: EventData, event_id: str, subject: str, facts: RequestFacts) -> Envelope[Any]:
    return spec_for_data(type(data)).wrap(
        data,
        event_id=event_id,
        source=SERVICE,
        subject=subject,
        time=facts.received_at,
        received_at=facts.received_at,
        provenance=facts.provenance,
        rules=facts.rules_hash,
    )
