"""What is sent to ask for what takes two people, and what is answered."""

from datetime import datetime
from typing import Annotated, Final

from pydantic import BaseModel, Field

from services.intake.domain.approvals import Approval, Kind, Pack, Stage
from services.intake.domain.decisions import Changes
from services.intake.entrypoints.bodies import DimensionsBody
from services.intake.entrypoints.revision_bodies import naming_nobody
from services.intake.entrypoints.staff_routes import ActingBody, Strict
from shared.kernel.clock import rfc3339
from shared.kernel.grades import Level
from shared.kernel.reasons import (
    CorrectionReason,
    ExclusionReason,
    ReinstatementReason,
    RejectionReason,
    RuleChangeReason,
)

MOST_TARGETS: Final = 10_000


class ExclusionsBody(ActingBody):
    """Ratings that shall not count."""

    targets: Annotated[
        list[Annotated[str, Field(max_length=64)]],
        Field(description="Event ids or receipt codes.", min_length=1, max_length=MOST_TARGETS),
    ]
    reason: Annotated[ExclusionReason, Field(description="Why.")]
    import_id: Annotated[
        str | None,
        Field(description="Bulk import that is undone.", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"),
        naming_nobody("an import's id", "take the id that the import was given"),
    ] = None


class OneExclusionBody(ActingBody):
    """Why the rating shall not count."""

    reason: Annotated[ExclusionReason, Field(description="Why.")]


class CorrectionBody(ActingBody):
    """What had been taken down wrongly; fields that are left out stay as they are."""

    unit_id: Annotated[
        str | None, Field(description="The unit that was meant.", min_length=1, max_length=64)
    ] = None
    grade: Annotated[
        int | None, Field(description="5 very satisfied … 1 very dissatisfied", strict=True, ge=1, le=5)
    ] = None
    dimensions: Annotated[
        DimensionsBody | None, Field(description="All sub-grades anew; {} takes them out.")
    ] = None
    reason: Annotated[CorrectionReason, Field(description="Why.")]

    @property
    def changes(self) -> Changes:
        """What it would put in force."""
        given = self.dimensions
        dimensions = None if given is None else {name: grade for name, grade in given if grade is not None}
        return Changes(unit_id=self.unit_id, grade=self.grade, dimensions=dimensions)


class RulesBody(ActingBody):
    """A rule pack that shall be used."""

    pack: Annotated[
        str,
        Field(description="The pack, TOML; kept for good, comments too.", min_length=1, max_length=131_072),
        naming_nobody("a rule pack", "take it out of the comments"),
    ]
    reason: Annotated[RuleChangeReason, Field(description="Why.")] = RuleChangeReason.POLICY


class RejectionBody(ActingBody):
    """Why it is refused."""

    reason: Annotated[RejectionReason, Field(description="Why.")]


class AppealBody(Strict):
    """The citizen's appeal; nobody has to say more than that."""


class StaffAppealBody(ActingBody):
    """An appeal on a citizen's or a unit's behalf."""

    reason: Annotated[ReinstatementReason, Field(description="Why.")] = ReinstatementReason.APPEAL_UPHELD


class DifferenceAnswer(BaseModel):
    """One value that a proposed pack changes."""

    key: str
    old: str | None = None
    new: str | None = None


class RulesAnswer(BaseModel):
    """A proposed rule pack."""

    version: str
    valid_from: str
    hash: str
    replaces: Annotated[str, Field(description="Hash of the pack that it was compared with.")]
    differences: list[DifferenceAnswer]
    pack: Annotated[str | None, Field(description="The pack itself; only when asked for one.")] = None


class CorrectionAnswer(BaseModel):
    """What a correction puts in force; what is left out stays as it is."""

    unit_id: str | None = None
    grade: int | None = None
    dimensions: Annotated[dict[str, int] | None, Field(description="All sub-grades.")] = None


class LeftAnswer(BaseModel):
    """Ratings for which nothing was done."""

    state: str
    count: int
    targets: list[str] | None = None


class ApprovalAnswer(BaseModel):
    """A request for approval, and what became of it."""

    approval_id: str
    kind: Kind
    stage: Stage
    reason: str
    requested_by: Annotated[str | None, Field(description="Null: the citizen.")] = None
    level: Level | None = None
    requested_at: str
    expires_at: str
    size: Annotated[int, Field(description="Ratings that it is about.")]
    targets: Annotated[
        list[str] | None, Field(description="Their event ids, until all is carried out; only of one.")
    ] = None
    import_id: str | None = None
    rules: RulesAnswer | None = None
    correction: CorrectionAnswer | None = None
    decided_by: str | None = None
    decided_at: str | None = None
    rejection: str | None = None
    done: Annotated[int | None, Field(description="Ratings for which it was done.")] = None
    left: Annotated[list[LeftAnswer] | None, Field(description="The others, by what they were.")] = None


class ApprovalPageAnswer(BaseModel):
    """One page of requests, newest first."""

    items: list[ApprovalAnswer]
    next: Annotated[str | None, Field(description="Cursor of the next page; null on the last.")] = None


def approval_answer(approval: Approval, now: datetime, *, whole: bool = False) -> ApprovalAnswer:
    """A request as it is answered at ``now``; `whole`: with its ratings, and the text of a pack."""
    request, verdict, outcomes = approval.request, approval.verdict, approval.outcomes
    asker = request.requested_by
    return ApprovalAnswer(
        approval_id=request.approval_id,
        kind=request.kind,
        stage=approval.stage(now),
        reason=request.reason,
        requested_by=None if asker is None else asker.credential,
        level=None if asker is None else asker.level,
        requested_at=rfc3339(request.requested_at),
        expires_at=rfc3339(request.expires_at),
        size=approval.size,
        targets=list(request.targets) if whole and request.targets else None,
        import_id=request.import_id,
        correction=_correction(request.changes),
        rules=None if request.pack is None else _rules(request.pack, whole=whole),
        decided_by=None if verdict is None else verdict.by.credential,
        decided_at=None if verdict is None else rfc3339(verdict.at),
        rejection=None if verdict is None else verdict.reason,
        done=None if outcomes is None else outcomes.done,
        left=None
        if outcomes is None
        else [
            LeftAnswer(state=state, count=len(targets), targets=list(targets) if whole else None)
            for state, targets in outcomes.left.items()
        ],
    )


def _correction(changes: Changes | None) -> CorrectionAnswer | None:
    if changes is None:
        return None
    given = changes.dimensions
    return CorrectionAnswer(
        unit_id=changes.unit_id, grade=changes.grade, dimensions=None if given is None else dict(given)
    )


def _rules(pack: Pack, *, whole: bool) -> RulesAnswer:
    return RulesAnswer(
        version=pack.version,
        valid_from=pack.valid_from,
        hash=pack.hash,
        replaces=pack.replaces,
        differences=[DifferenceAnswer(key=key, old=old, new=new) for key, old, new in pack.differences],
        pack=pack.text if whole else None,
    )
